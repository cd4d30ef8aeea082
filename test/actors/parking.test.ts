/**
 * Runs that wait for people, put away and woken, on the memory bus under a virtual clock.
 * Catches: a run that is held for days in a daemon's memory, one that sleeps through its answer or its
 * deadline, a deadline that is forgotten with its daemon, and a second answer that counts.
 */
import { describe, expect, it } from "vitest";
import { SwarmStage } from "./swarm-stage.ts";

const HOUR = 3_600_000;
const ask = (more: object = {}) => ({
  id: "ask",
  agent: "human",
  task: "choose",
  outputs: ["choice"],
  ...more,
});
const use = { id: "use", agent: "worker", task: "use", dependsOn: ["ask"], inputs: { c: "${env.choice}" } };

async function say(
  stage: SwarmStage,
  verb: "approve" | "reject" | "pause" | "resume" | "retry",
  more: object = {},
) {
  const body = { v: 1 as const, verb, by: "ada", ...more };
  await stage.bus.log.append("r1", { kind: "control", body });
  await stage.clock.advance(10);
}

async function waiting(steps: unknown[], more: object = {}) {
  const stage = new SwarmStage();
  await stage.serve("worker");
  const daemon = await stage.daemon();
  await stage.submit({ steps, ...more });
  await stage.clock.advance(2_000);
  return { stage, daemon };
}

describe("a run that only waits", () => {
  it("is held by nobody, says so in the list of runs, and goes on at the answer", async () => {
    const { stage, daemon } = await waiting([ask(), use]);
    expect(daemon.agent.runs).toEqual([]);
    expect((await stage.bus.index.list())[0]).toMatchObject({ run: "r1", status: "waiting" });
    await stage.clock.advance(30 * HOUR);
    await say(stage, "approve", { step: "ask", value: 2 });
    expect(stage.inHand("worker")).toEqual(["use#1"]);
    await stage.answer("worker");
    expect((await stage.fold()).status).toBe("done");
  });

  it("is not held through five hundred others either: they cost a daemon nothing", async () => {
    const stage = new SwarmStage();
    const { agent } = await stage.daemon();
    const before = stage.clock.pending;
    for (let at = 0; at < 500; at++) await stage.submit({ steps: [ask()] }, `run-${at}`);
    await stage.clock.advance(60_000);
    expect(agent.runs).toEqual([]);
    // What is left are the arrivals' and the keeper's own timers, whatever the number of runs.
    expect(stage.clock.pending).toBeLessThanOrEqual(before + 2);
    await stage.bus.log.append("run-7", {
      kind: "control",
      body: { v: 1, verb: "approve", step: "ask", value: 1, by: "ada" },
    });
    await stage.clock.advance(10);
    expect((await stage.fold("run-7")).status).toBe("done");
  });

  it("survives the death of every daemon while it waits", async () => {
    const { stage, daemon } = await waiting([ask(), use]);
    await daemon.bus.close();
    await say(stage, "approve", { step: "ask", value: 2 });
    await stage.clock.advance(HOUR);
    await stage.daemon();
    await stage.clock.advance(10);
    expect(stage.inHand("worker")).toEqual(["use#1"]);
  });

  it("survives its daemon's death before it was put away", async () => {
    const stage = new SwarmStage();
    await stage.serve("worker");
    const { bus } = await stage.daemon();
    await stage.submit({ steps: [ask(), use] });
    await bus.close();
    await stage.daemon();
    await say(stage, "approve", { step: "ask", value: 2 });
    await stage.clock.advance(15_000);
    expect(stage.inHand("worker")).toEqual(["use#1"]);
  });

  it("takes the first of two answers that come at once", async () => {
    const { stage } = await waiting([ask(), use]);
    for (const value of [1, 2]) {
      const body = { v: 1 as const, verb: "approve" as const, step: "ask", value, by: `p${value}` };
      await stage.bus.log.append("r1", { kind: "control", body });
    }
    await stage.clock.advance(10);
    expect((await stage.fold()).environment.values.choice).toBe(1);
  });

  it("is put away while it is paused, too, and goes on when it is resumed", async () => {
    const stage = new SwarmStage();
    await stage.serve("worker");
    const { agent } = await stage.daemon();
    await stage.submit({
      steps: [
        { id: "a", agent: "worker", task: "t" },
        { ...use, inputs: {}, dependsOn: ["a"] },
      ],
    });
    await say(stage, "pause");
    await stage.clock.advance(60_000);
    expect(agent.runs).toEqual(["r1"]);
    await stage.answer("worker");
    await stage.clock.advance(60_000);
    expect(agent.runs).toEqual([]);
    expect(stage.inHand("worker")).toEqual([]);
    await say(stage, "resume");
    expect(stage.inHand("worker")).toEqual(["use#1"]);
  });
});

describe("a deadline", () => {
  const deadline = { after: "2h", answer: "approve", value: 7 };

  it("gives its default answer although every daemon was replaced meanwhile, and not before", async () => {
    const { stage, daemon } = await waiting([ask({ deadline }), use]);
    expect(daemon.agent.runs).toEqual([]);
    await daemon.bus.close();
    await stage.clock.advance(HOUR);
    const next = await stage.daemon();
    await stage.clock.advance(0.9 * HOUR);
    expect(next.agent.runs).toEqual([]);
    expect(stage.inHand("worker")).toEqual([]);
    await stage.clock.advance(0.2 * HOUR);
    expect(stage.inHand("worker")).toEqual(["use#1"]);
    expect((await stage.fold()).environment.values.choice).toBe(7);
  });

  it("of a minute counts to the minute while the run is held, and of a day is not forgotten", async () => {
    const { stage } = await waiting([ask({ deadline: { ...deadline, after: "3s" } }), use]);
    expect(stage.inHand("worker")).toEqual([]);
    await stage.clock.advance(1_100);
    expect(stage.inHand("worker")).toEqual(["use#1"]);
    const long = await waiting([ask({ deadline: { ...deadline, after: "30h" } }), use]);
    await long.stage.clock.advance(30 * HOUR + 60_000);
    expect(long.stage.inHand("worker")).toEqual(["use#1"]);
    const claims = (await long.stage.fold()).epoch;
    expect(claims).toBeLessThanOrEqual(3);
  });

  it("that nobody gave an answer for times the step out; its time-out is the run's failure", async () => {
    const { stage } = await waiting([ask({ deadline: { after: "1h" } }), use]);
    await stage.clock.advance(1.1 * HOUR);
    const fold = await stage.fold();
    expect([fold.status, fold.error?.code]).toEqual(["failed", "E_NO_ANSWER"]);
    expect(fold.step("ask").context.outcome).toBe("timed-out");
  });

  it("leaves a run alone that was answered in time", async () => {
    const { stage } = await waiting([ask({ deadline }), use]);
    await say(stage, "approve", { step: "ask", value: 1 });
    await stage.clock.advance(3 * HOUR);
    const fold = await stage.fold();
    expect(fold.environment.values.choice).toBe(1);
    expect(fold.status).toBe("running");
  });
});

it("a run's own time-out wakes it while it waits for a person", async () => {
  const { stage, daemon } = await waiting([ask(), use], { timeout: "1h" });
  expect(daemon.agent.runs).toEqual([]);
  await stage.clock.advance(1.1 * HOUR);
  const fold = await stage.fold();
  expect([fold.status, fold.error?.code]).toEqual(["failed", "E_RUN_TIMEOUT"]);
});
