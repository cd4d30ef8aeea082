/**
 * Would catch: a swarm's own planner that is not asked, that is believed without being checked, that holds a run up
 * when it is slow or dead, or that is asked twice because a daemon died in between.
 */
import { describe, expect, it } from "vitest";
import { MAX_CONSULTATIONS } from "../../src/fold/consultations.ts";
import { ADVICE_REASON } from "../../src/planner/advised-planning.ts";
import type { Capability } from "../../src/workflow/capability.ts";
import { plannerQuestionSchema } from "../../src/workflow/planner-task.ts";
import { SwarmStage } from "./swarm-stage.ts";

type Task = Partial<Capability> & { name: string };

const WORK: Record<string, Task[]> = {
  cheap: [{ name: "make", gives: ["x"] }],
  dear: [{ name: "craft", gives: ["x"], cost: 3 }],
  third: [{ name: "buy", gives: ["x"], cost: 9 }],
  end: [{ name: "tell", needs: ["x"], gives: ["y"] }],
};
const ALL_TASKS = [{ name: "plan" }, { name: "replan" }, { name: "recover" }];

async function stageWith(planner: Task[], work = WORK): Promise<SwarmStage> {
  const stage = new SwarmStage();
  for (const [role, tasks] of Object.entries({ ...work, planner })) {
    await stage.join(role, tasks);
  }
  await stage.daemon();
  return stage;
}

async function submit(stage: SwarmStage, more: object = { want: ["y"] }): Promise<void> {
  const body = { v: 1 as const, inputs: {}, ...more };
  await stage.bus.log.append("r1", { kind: "submit", body }, { expectLast: 0 });
  await stage.clock.advance(0);
}

const draft = (...tasks: string[]) => ({
  steps: tasks.map((name, at) => {
    const [agent = "", task = ""] = name.split(".");
    return { id: `s${at}`, agent, task };
  }),
});

async function planned(stage: SwarmStage): Promise<string[]> {
  const { graph } = await stage.fold();
  return [...(graph?.steps() ?? [])].map(({ agent, task }) => `${agent}.${task}`);
}

describe("a planner that is an agent", () => {
  it("is asked with what there is to know, and its plan is carried out though another costs less", async () => {
    const stage = await stageWith(ALL_TASKS);
    await submit(stage, { goals: "tell", want: ["y"], environment: { note: "n", big: "x".repeat(5_000) } });
    const [delivery] = stage.taken.get("planner") ?? [];
    expect(delivery?.task).toMatchObject({ step: "~plan", n: 1, role: "planner", task: "plan", attempt: 1 });
    const question = plannerQuestionSchema.parse(delivery?.task.inputs);
    expect(question).toMatchObject({
      goals: ["tell"],
      want: ["y"],
      environment: { note: "n" },
      large: ["big"],
    });
    expect(question.roles.map(({ role }) => role)).toEqual(["cheap", "dear", "third", "end"]);
    await stage.answer("planner", { outputs: { workflow: draft("dear.craft", "end.tell") } });
    expect(await planned(stage)).toEqual(["dear.craft", "end.tell"]);
    const { plan } = await stage.fold();
    expect(plan).toMatchObject({ cost: 4, optimal: false });
    expect(plan?.reasons[ADVICE_REASON.planner]).toContain("cost 4 (without it: y, cost 2)");
    await stage.answer("dear", { outputs: { x: 1 } });
    await stage.answer("end", { outputs: { y: 2 } });
    expect((await stage.fold()).status).toBe("done");
  });

  it("whose plan costs as little as any is told to be proven best", async () => {
    const stage = await stageWith(ALL_TASKS);
    await submit(stage);
    await stage.answer("planner", { outputs: { workflow: draft("cheap.make", "end.tell") } });
    expect((await stage.fold()).plan).toMatchObject({ cost: 2, optimal: true });
  });

  it("is asked when a step failed, and the way that it names is gone", async () => {
    const stage = await stageWith(ALL_TASKS);
    await submit(stage);
    await stage.answer("planner", { outputs: {} });
    const error = { name: "Error", message: "the sensor is broken", retryable: false };
    await stage.answer("cheap", { status: "failed", error });
    const [delivery] = stage.taken.get("planner") ?? [];
    const { situation } = plannerQuestionSchema.parse(delivery?.task.inputs);
    expect(delivery?.task.task).toBe("recover");
    expect(situation).toMatchObject({
      failed: { step: "make", role: "cheap", task: "make", error: "the sensor is broken" },
      steps: [
        { id: "make", state: "failed" },
        { id: "tell", state: "open" },
      ],
    });
    await stage.answer("planner", { outputs: { avoid: [{ role: "dear", task: "craft" }] } });
    const fold = await stage.fold();
    expect(fold.revisions).toMatchObject([{ added: ["buy"], dropped: ["make"] }]);
    expect(fold.revisions[0]?.reason).toContain("(as the swarm's planner proposed)");
    expect(stage.inHand("third")).toEqual(["buy#1"]);
  });

  const FACTS: Record<string, Task[]> = {
    look: [{ name: "look", gives: ["n"] }],
    exact: [{ name: "exact", needs: ["n"], gives: ["x"], cost: "env.n", estimate: 1 }],
    quick: [{ name: "quick", needs: ["n"], gives: ["x"], cost: 5 }],
  };

  it("is asked when facts arrive, and may let a plan stand that can", async () => {
    const stage = await stageWith(ALL_TASKS, FACTS);
    await submit(stage, { want: ["x"] });
    await stage.answer("planner", { outputs: {} });
    await stage.answer("look", { outputs: { n: 100 } });
    expect(stage.taken.get("planner")?.[0]?.task.task).toBe("replan");
    await stage.answer("planner", { outputs: { stands: true } });
    expect((await stage.fold()).revisions).toEqual([]);
    expect(stage.inHand("exact")).toEqual(["exact#1"]);
  });

  it("cannot change a plan for a saving within the margin", async () => {
    const stage = await stageWith(ALL_TASKS, FACTS);
    await submit(stage, { want: ["x"] });
    await stage.answer("planner", { outputs: {} });
    await stage.answer("look", { outputs: { n: 5.2 } });
    await stage.answer("planner", { outputs: { workflow: draft("quick.quick") } });
    expect((await stage.fold()).revisions).toEqual([]);
    expect(stage.inHand("exact")).toEqual(["exact#1"]);
  });

  it("of one task is asked for nothing else", async () => {
    const stage = await stageWith([{ name: "recover" }]);
    await submit(stage);
    expect(stage.inHand("planner")).toEqual([]);
    expect(stage.inHand("cheap")).toEqual(["make#1"]);
  });

  it("pays for its answers from the run's budget", async () => {
    const stage = await stageWith(ALL_TASKS);
    await submit(stage, { want: ["y"], budget: { tokens: 100 } });
    await stage.answer("planner", { outputs: {}, usage: { tokens: 150 } });
    const fold = await stage.fold();
    expect(fold.spending.total.tokens).toBe(150);
    expect(fold.status).toBe("paused");
  });
});

it("a planner that has spent the run's budget is not asked to correct itself", async () => {
  for (const budget of [{ tokens: 100 }, { usd: 1 }]) {
    const stage = await stageWith(ALL_TASKS);
    await submit(stage, { want: ["y"], budget });
    await stage.answer("planner", { outputs: { want: ["bitcoin"] }, usage: { tokens: 150, usd: 2 } });
    expect(stage.inHand("planner")).toEqual([]);
    const { plan, status } = await stage.fold();
    expect(plan?.reasons[ADVICE_REASON.planner]).toContain("the budget of the run is spent");
    expect(status).toBe("paused");
  }
});

describe("what such a planner must not do", () => {
  it.each([
    ["a task that is not there", { workflow: draft("evil.make", "end.tell") }, "there is no task evil.make"],
    ["a way that does not get there", { workflow: draft("end.tell") }, "y"],
    ["a key that nobody gives", { want: ["bitcoin"] }, "no task gives the key bitcoin"],
    ["fields of its own", { workflow: draft("end.tell"), shell: "rm -rf /" }, "shell"],
    ["something that is no object", { workflow: "plan" }, "workflow"],
    [
      "an expression of its own",
      { workflow: { steps: [{ id: "a", agent: "end", task: "tell", inputs: { x: "${env.x + 'y'}" } }] } },
      "input x must be",
    ],
  ])("%s goes back with its errors, twice, and then ours counts", async (_what, outputs, error) => {
    const stage = await stageWith(ALL_TASKS);
    await submit(stage);
    await stage.answer("planner", { outputs });
    const [again] = stage.taken.get("planner") ?? [];
    expect(again?.task).toMatchObject({ step: "~plan", n: 2, attempt: 2 });
    const { refused } = plannerQuestionSchema.parse(again?.task.inputs);
    expect(refused[0]?.errors.join()).toContain(error);
    await stage.answer("planner", { outputs });
    await stage.answer("planner", { outputs });
    expect(stage.inHand("planner")).toEqual([]);
    expect(await planned(stage)).toEqual(["cheap.make", "end.tell"]);
    const note = (await stage.fold()).plan?.reasons[ADVICE_REASON.planner];
    expect(note).toContain("its 3 answers were refused");
    expect(note).toContain(error);
  });

  it("leaving out what was asked for by name changes nothing of that", async () => {
    const stage = await stageWith(ALL_TASKS);
    await submit(stage);
    await stage.answer("planner", { outputs: { want: ["x"] } });
    expect(await planned(stage)).toEqual(["cheap.make", "end.tell"]);
  });

  it("letting a plan stand whose step failed is refused", async () => {
    const stage = await stageWith([{ name: "recover" }]);
    await submit(stage);
    const error = { name: "Error", message: "no", retryable: false };
    await stage.answer("cheap", { status: "failed", error });
    for (let asked = 0; asked < 3; asked++) await stage.answer("planner", { outputs: { stands: true } });
    expect((await stage.fold()).revisions).toMatchObject([{ added: ["craft"], dropped: ["make"] }]);
  });

  it("answering a second time, or for another, changes nothing", async () => {
    const stage = await stageWith(ALL_TASKS);
    await submit(stage);
    const [delivery] = stage.taken.get("planner") ?? [];
    if (delivery === undefined) throw new Error("the planner was not asked");
    await stage.report(delivery, "cheap", { outputs: { workflow: draft("third.buy", "end.tell") } });
    expect(await planned(stage)).toEqual([]);
    await stage.answer("planner", { outputs: { workflow: draft("dear.craft", "end.tell") } });
    await stage.report(delivery, "planner", { outputs: { workflow: draft("third.buy", "end.tell") } });
    expect(await planned(stage)).toEqual(["dear.craft", "end.tell"]);
  });
});

describe("a planner that does not answer", () => {
  it("is waited for as long as is said; then ours counts, its task is taken back, and it is late", async () => {
    const stage = await stageWith(ALL_TASKS);
    await submit(stage);
    const [delivery] = stage.taken.get("planner") ?? [];
    if (delivery === undefined) throw new Error("the planner was not asked");
    await stage.clock.advance(9_000);
    expect(await planned(stage)).toEqual([]);
    await stage.clock.advance(2_000);
    expect(await planned(stage)).toEqual(["cheap.make", "end.tell"]);
    expect((await stage.fold()).plan?.reasons[ADVICE_REASON.planner]).toContain("no answer within 10000 ms");
    expect(await stage.bus.tasks.ofRun("r1")).toMatchObject([{ role: "cheap" }]);
    await stage.report(delivery, "planner", { outputs: { workflow: draft("third.buy", "end.tell") } });
    expect(await planned(stage)).toEqual(["cheap.make", "end.tell"]);
  });

  it("or reports a failure is not asked again about the same", async () => {
    const stage = await stageWith(ALL_TASKS);
    await submit(stage);
    const error = { name: "Error", message: "out of memory", retryable: true };
    await stage.answer("planner", { status: "failed", error });
    expect(stage.inHand("planner")).toEqual([]);
    expect(await planned(stage)).toEqual(["cheap.make", "end.tell"]);
    expect((await stage.fold()).plan?.reasons[ADVICE_REASON.planner]).toContain("out of memory");
  });

  it("whose answer's live copy is lost is heard by reading the log", async () => {
    const stage = await stageWith(ALL_TASKS);
    await submit(stage);
    stage.lost = (subject) => subject.endsWith(".result.planner");
    await stage.answer("planner", { outputs: { workflow: draft("dear.craft", "end.tell") } });
    await stage.clock.advance(12_000);
    expect(await planned(stage)).toEqual(["dear.craft", "end.tell"]);
  });
});

describe("over a failover", () => {
  it("the question that is out is answered to the daemon that took over, and not asked again", async () => {
    const stage = await stageWith(ALL_TASKS);
    await submit(stage);
    await stage.daemons[0]?.bus.close();
    await stage.daemon();
    await stage.clock.advance(11_000);
    // The run was given to the second daemon only now: the time for the answer was over.
    expect(await planned(stage)).toEqual(["cheap.make", "end.tell"]);
    const { asked } = (await stage.fold()).consultations;
    expect(asked).toHaveLength(1);
  });

  it("an answer that came meanwhile counts", async () => {
    const stage = await stageWith(ALL_TASKS);
    await submit(stage);
    await stage.daemons[0]?.bus.close();
    await stage.answer("planner", { outputs: { workflow: draft("dear.craft", "end.tell") } });
    await stage.daemon();
    await stage.clock.advance(30_000);
    expect(await planned(stage)).toEqual(["dear.craft", "end.tell"]);
    expect((await stage.fold()).consultations.asked).toHaveLength(1);
  });

  it("corrections go on where they stood", async () => {
    const stage = await stageWith(ALL_TASKS);
    await submit(stage);
    await stage.answer("planner", { outputs: { want: ["bitcoin"] } });
    await stage.daemons[0]?.bus.close();
    await stage.answer("planner", { outputs: { workflow: draft("dear.craft", "end.tell") } });
    await stage.daemon();
    await stage.clock.advance(30_000);
    expect(await planned(stage)).toEqual(["dear.craft", "end.tell"]);
    expect((await stage.fold()).consultations.asked.map(({ round }) => round)).toEqual([1, 2]);
  });
});

it("a log with more questions than a run may ask opens no more than that", async () => {
  const stage = await stageWith([]);
  await submit(stage, { want: ["nothing"] });
  const fold = await stage.fold("r2");
  const base = { v: 1 as const, id: "d", at: 0 };
  const record = (seq: number, body: object) =>
    ({ seq, ts: 0, kind: "decision", body: { ...base, ...body } }) as never;
  fold.apply({ seq: 1, ts: 0, kind: "submit", body: { v: 1, want: ["x"], inputs: {} } } as never);
  fold.apply(record(2, { type: "claim", epoch: 1, holder: "h" }));
  for (let n = 1; n <= MAX_CONSULTATIONS + 5; n++) {
    fold.apply(record(2 + n, { type: "consult", epoch: 1, n, task: "plan", about: `a${n}`, round: 1 }));
  }
  expect(fold.consultations.asked).toHaveLength(MAX_CONSULTATIONS);
});
