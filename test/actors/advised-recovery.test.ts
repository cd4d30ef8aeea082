/**
 * A failed step of a workflow that somebody wrote, with advice: of the swarm's own planner, of a language model.
 * Would catch: an adviser who is not asked, one that is believed without being checked, one that is asked where there
 * is nothing to choose, and a step that waits for ever for an adviser who is wrong, gone or silent.
 */
import { pino } from "pino";
import { describe, expect, it } from "vitest";
import { SwarmPlanning } from "../../src/actors/swarm-planning.ts";
import type { ModelRequest } from "../../src/planner/plan-model.ts";
import type { Capability } from "../../src/workflow/capability.ts";
import { plannerQuestionSchema } from "../../src/workflow/planner-task.ts";
import { SwarmStage } from "./swarm-stage.ts";

type Task = Partial<Capability> & { name: string };

const WORK: Record<string, Task[]> = {
  cheap: [{ name: "make", gives: ["x"] }],
  dear: [{ name: "craft", gives: ["x"], cost: 3 }],
  raw: [{ name: "dig", gives: ["ore"] }],
  third: [{ name: "forge", needs: ["ore"], gives: ["x"], cost: 9 }],
};
const PLANNER: Task[] = [{ name: "recover" }];
const WORKFLOW = {
  steps: [
    { id: "get", agent: "cheap", task: "make", outputs: ["x"], onFailure: "recover" },
    { id: "use", agent: "raw", task: "dig", dependsOn: ["get"], inputs: { x: "${env.x}" } },
  ],
};
const ERROR = { name: "Error", message: "the sensor is broken", retryable: false };

async function failed(roles: Record<string, Task[]>, workflow: object = WORKFLOW): Promise<SwarmStage> {
  const stage = new SwarmStage();
  for (const [role, tasks] of Object.entries(roles)) await stage.join(role, tasks);
  await stage.daemon();
  await stage.submit(workflow);
  await stage.answer("cheap", { status: "failed", error: ERROR });
  return stage;
}

const draft = (...tasks: string[]) => ({
  workflow: {
    steps: tasks.map((name, at) => {
      const [agent = "", task = ""] = name.split(".");
      return { id: `s${at}`, agent, task, dependsOn: at === 0 ? [] : [`s${at - 1}`] };
    }),
  },
});

describe("the swarm's own planner", () => {
  it("is asked about a failed step of a written workflow, and the dearer way that it names is taken", async () => {
    const stage = await failed({ ...WORK, planner: PLANNER });
    const [delivery] = stage.taken.get("planner") ?? [];
    expect(delivery?.task).toMatchObject({ step: "~plan", task: "recover" });
    const question = plannerQuestionSchema.parse(delivery?.task.inputs);
    expect(question.want).toEqual(["x"]);
    expect(question.situation).toMatchObject({ failed: { step: "get", error: ERROR.message } });
    await stage.answer("planner", { outputs: draft("raw.dig", "third.forge") });
    const fold = await stage.fold();
    expect(fold.revisions).toMatchObject([{ added: ["get-dig", "get-forge"], dropped: ["get"] }]);
    expect(fold.revisions[0]?.reason).toContain("(as the swarm's planner proposed)");
  });

  it("may set one way aside", async () => {
    const stage = await failed({ ...WORK, planner: PLANNER });
    await stage.answer("planner", { outputs: { avoid: [{ role: "third", task: "forge" }] } });
    expect(stage.inHand("dear")).toEqual(["get#2"]);
  });

  it.each([
    ["a task that is not there", draft("evil.make"), "there is no task evil.make"],
    ["the task that failed", draft("cheap.make"), "there is no other way"],
    ["to let it stand", { stands: true }, "there is no other way"],
  ])("that proposes %s is told so, and then ours counts", async (_what, outputs, error) => {
    const stage = await failed({ ...WORK, planner: PLANNER });
    await stage.answer("planner", { outputs });
    const question = plannerQuestionSchema.parse(stage.taken.get("planner")?.[0]?.task.inputs);
    expect(question.refused[0]?.errors.join()).toContain(error);
    await stage.answer("planner", { outputs });
    await stage.answer("planner", { outputs });
    expect(stage.inHand("dear")).toEqual(["get#2"]);
  });

  it("that says nothing holds the step up for so long and no longer", async () => {
    const stage = await failed({ ...WORK, planner: PLANNER });
    await stage.clock.advance(11_000);
    expect(stage.inHand("dear")).toEqual(["get#2"]);
  });

  it("is not asked where there is no way", async () => {
    const { cheap = [] } = WORK;
    const stage = await failed({ cheap, planner: PLANNER });
    expect(stage.inHand("planner")).toEqual([]);
    expect((await stage.fold()).status).toBe("failed");
  });

  it("is not asked about a step that fails without wanting another way", async () => {
    const steps = WORKFLOW.steps.map((step) => ({ ...step, onFailure: "fail" }));
    const stage = await failed({ ...WORK, planner: PLANNER }, { steps });
    expect(stage.inHand("planner")).toEqual([]);
    expect((await stage.fold()).status).toBe("failed");
  });

  it("gets its questions in the trace of who submitted the run", async () => {
    const stage = new SwarmStage();
    for (const [role, tasks] of Object.entries({ ...WORK, planner: PLANNER })) await stage.join(role, tasks);
    await stage.daemon();
    const traceparent = `00-${"a".repeat(32)}-${"b".repeat(16)}-01`;
    const body = { v: 1 as const, workflow: WORKFLOW, inputs: {}, traceparent };
    await stage.bus.log.append("r1", { kind: "submit", body }, { expectLast: 0 });
    await stage.clock.advance(0);
    await stage.answer("cheap", { status: "failed", error: ERROR });
    expect(stage.taken.get("planner")?.[0]?.task.traceparent).toMatch(/^00-a{32}-[0-9a-f]{16}-01$/);
  });
});

it("a language model is asked, its way is checked, and the run pays for what it said", async () => {
  const stage = new SwarmStage();
  for (const [role, tasks] of Object.entries(WORK)) await stage.join(role, tasks);
  const asked: ModelRequest[] = [];
  const propose = async (request: ModelRequest) => {
    asked.push(request);
    return { text: JSON.stringify(draft("raw.dig", "third.forge")), usage: { tokens: 40 } };
  };
  const advisor = {
    model: { name: "tiny", propose },
    timeoutMs: 1_000,
    now: () => stage.clock.monotonic(),
  };
  const log = pino({ level: "silent" });
  await stage.daemon((bus) => new SwarmPlanning(bus, stage.clock, log, undefined, advisor));
  await stage.submit({ ...WORKFLOW, budget: { tokens: 100 } });
  await stage.answer("cheap", { status: "failed", error: ERROR });
  const fold = await stage.fold();
  expect(asked).toMatchObject([{ task: "recover", want: ["x"], tokensLeft: 100 }]);
  expect(fold.revisions[0]?.reason).toContain("(as tiny proposed)");
  expect(fold.spending.total.tokens).toBe(40);
});
