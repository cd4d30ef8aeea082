/**
 * The test kit of users. Catches: a simulated run that does not do what the recorded one did, a disturbance that
 * disturbs nothing, virtual time that is no time, results that differ for the same seed.
 */
import { describe, expect, it } from "vitest";
import {
  FAULT_KINDS,
  type ScriptedDispatch,
  type SimulatedRun,
  type SimulatedWorkflow,
  simulateRun,
  simulateWorkflow,
} from "../../src/simulation/index.ts";
import { LogWriter } from "../fold/log-writer.ts";

async function all(lives: AsyncIterable<SimulatedRun>): Promise<SimulatedRun[]> {
  const collected: SimulatedRun[] = [];
  for await (const life of lives) collected.push(life);
  return collected;
}
const one = async (lives: AsyncIterable<SimulatedRun>): Promise<SimulatedRun> =>
  (await all(lives))[0] as SimulatedRun;

/** A run that failed once, was handed over, set a key on the way, fanned out and was approved by a person. */
function recorded(): LogWriter {
  const log = new LogWriter().submit({
    maxParallel: 2,
    steps: [
      { id: "load", agent: "loader", task: "load", outputs: ["rows", "seen"] },
      { id: "clean", agent: "cleaner", task: "clean", dependsOn: ["load"], outputs: ["clean"] },
      {
        id: "each",
        agent: "cleaner",
        task: "one",
        forEach: "env.rows",
        inputs: { row: "${item}" },
        outputs: ["each"],
        dependsOn: ["clean"],
      },
      { id: "send", agent: "loader", task: "send", approval: true, dependsOn: ["each"] },
    ],
  });
  const took = (ms: number) => ({ startedAt: 0, endedAt: ms });
  const broke = { name: "Error", message: "broke", retryable: true };
  log.result("load", { status: "failed", error: broke, ...took(2_000) });
  log.add({ kind: "env", body: { v: 1, key: "seen", value: 7, step: "load", n: 2, by: "agent-1" } });
  log.result("load", { outputs: { rows: [1, 2, 3] }, ...took(4_000) });
  const handoff = { role: "expert", task: "clean", inputs: { hard: true }, reason: "hard" };
  log.result("clean", { status: "handoff", handoff, ...took(1_000) });
  log.result("clean", { agent: "agent-2", outputs: { clean: "yes" }, ...took(3_000) });
  for (const place of [0, 1, 2])
    log.result(`each~${place}`, { outputs: { each: place * place }, ...took(500) });
  log.control("approve", { step: "send" });
  log.result("send", { outputs: {}, ...took(100) });
  log.decide({ type: "end", status: "done", outputs: {} });
  return log;
}

describe("a recorded run", () => {
  const { run, records } = recorded();

  it("undisturbed does what it did, in the time that its tasks took", async () => {
    const life = await one(simulateRun(run, records));
    expect(life).toMatchObject({ status: "done", violations: [] });
    expect(life.environment).toEqual({ seen: 7, rows: [1, 2, 3], clean: "yes", each: [0, 1, 4] });
    expect(life.steps).toMatchObject({ load: { attempts: 2 }, "each~2": { outcome: "completed" } });
    expect(life.dispatches).toBe(2 + 2 + 3 + 1);
    // Its tasks, the items one after the other since their agent did them so, and the back-off of one retry.
    expect(life.durationMs).toBeGreaterThanOrEqual(2_000 + 4_000 + 1_000 + 3_000 + 1_500 + 100);
    expect(life.durationMs).toBeLessThan(15_000);
  });

  it("ends in the same environment whatever goes wrong", async () => {
    const faults = FAULT_KINDS.filter((kind) => kind !== "people");
    const lives = await all(simulateRun(run, records, { seeds: 20, faults, killDaemon: true }));
    expect(lives.map(({ seed }) => seed)).toEqual(Array.from({ length: 20 }, (_, at) => at + 1));
    for (const { status, environment, violations } of lives) {
      expect({ status, violations }).toEqual({ status: "done", violations: [] });
      expect(environment).toEqual({ seen: 7, rows: [1, 2, 3], clean: "yes", each: [0, 1, 4] });
    }
    expect(lives.some(({ history }) => history.some((line) => line.includes("dies")))).toBe(true);
  });

  it("with a slower role takes longer, with a failing step fails, with a failing attempt tries once more", async () => {
    const usual = await one(simulateRun(run, records));
    const slow = await one(simulateRun(run, records, { slow: { loader: 3 } }));
    expect(slow.durationMs - usual.durationMs).toBeGreaterThan(2 * 4_000);
    const failing = await one(simulateRun(run, records, { fail: { "each[1]": Number.POSITIVE_INFINITY } }));
    expect(failing).toMatchObject({ status: "failed", violations: [] });
    expect(failing.steps["each~1"]).toEqual({ outcome: "failed", attempts: 3 });
    const again = await one(simulateRun(run, records, { fail: { clean: 1 } }));
    expect(again).toMatchObject({ status: "done", steps: { clean: { attempts: 2 } } });
  });

  it("refuses a role, a step and a run that it does not know", async () => {
    await expect(one(simulateRun(run, records, { slow: { nobody: 2 } }))).rejects.toMatchObject({
      code: "E_ROLE",
      remedy: expect.stringContaining("loader"),
    });
    await expect(one(simulateRun(run, records, { fail: { nothing: 1 } }))).rejects.toMatchObject({
      code: "E_STEP",
      remedy: expect.stringContaining("clean"),
    });
    await expect(one(simulateRun(run, records.slice(0, 0)))).rejects.toMatchObject({
      code: "E_NOTHING_TO_SIMULATE",
    });
  });

  it("the same seed gives the same result, byte for byte", async () => {
    const options = { seed: 5, seeds: 2, faults: FAULT_KINDS, killDaemon: true };
    const [first, second] = [
      await all(simulateRun(run, records, options)),
      await all(simulateRun(run, records, options)),
    ];
    expect(JSON.stringify(first)).toBe(JSON.stringify(second));
    expect(JSON.stringify(first[0])).not.toBe(JSON.stringify(first[1]));
  });
});

describe("a recorded run with newer features", () => {
  const nested = {
    steps: [
      { id: "load", agent: "loader", task: "load", outputs: ["n"] },
      {
        id: "sub",
        agent: "orchestrator",
        task: "run",
        dependsOn: ["load"],
        inputs: {
          workflow: {
            steps: [{ id: "x", agent: "a", task: "t", outputs: ["x"], inputs: { n: "${inputs.n}" } }],
          },
        },
        outputs: ["answer"],
      },
      { id: "send", agent: "loader", task: "send", dependsOn: ["sub"], inputs: { got: "${env.answer}" } },
    ],
  };
  const ends = (log: LogWriter): LogWriter => {
    log.result("sub", { agent: "r1-sub-1-abcdef", outputs: { answer: 42 }, startedAt: 0, endedAt: 9_000 });
    log.result("send", { outputs: {}, startedAt: 0, endedAt: 100 });
    log.decide({ type: "end", status: "done", outputs: {} });
    return log;
  };

  it("plays a nested run as one task, and says so", async () => {
    const log = new LogWriter().submit(nested);
    log.result("load", { outputs: { n: 1 }, startedAt: 0, endedAt: 100 });
    const lives = await all(simulateRun(log.run, ends(log).records, { seeds: 5, faults: FAULT_KINDS }));
    for (const life of lives) expect(life).toMatchObject({ violations: [] });
    const life = await one(simulateRun(log.run, log.records));
    expect(life).toMatchObject({ status: "done", violations: [], environment: { n: 1, answer: 42 } });
    expect(life.durationMs).toBeGreaterThanOrEqual(9_000);
    expect(life.leftOut).toEqual([expect.stringContaining("sub is played as one task")]);
  });

  it("takes over in a rerun what the rerun took over", async () => {
    const log = new LogWriter();
    const steps = [{ step: "load", outcome: "completed" as const, agent: "agent-1", outputs: { n: 1 } }];
    const environment = { n: { step: "load", agent: "agent-1" } };
    const origin = { run: "r0", seq: 9, from: "sub", steps, environment };
    log.add({ kind: "submit", body: { v: 1, workflow: nested, inputs: {}, origin } });
    const life = await one(simulateRun(log.run, ends(log.claim(1)).records));
    expect(life).toMatchObject({
      status: "done",
      violations: [],
      dispatches: 2,
      environment: { n: 1, answer: 42 },
    });
    expect(life.steps.load).toEqual({ outcome: "completed", attempts: 1 });
  });
});

describe("a workflow with scripted agents", () => {
  const done = (outputs: Record<string, unknown>): ScriptedDispatch => ({
    ms: 300,
    end: { status: "done", outputs },
  });
  const broken: ScriptedDispatch = { ms: 50, end: { status: "failed", error: { message: "not yet" } } };
  const simulated: SimulatedWorkflow = {
    workflow: {
      steps: [
        { id: "one", agent: "counter", task: "count", outputs: ["n"] },
        {
          id: "two",
          agent: "counter",
          task: "add",
          inputs: { n: "${env.n}" },
          outputs: ["sum"],
          dependsOn: ["one"],
        },
      ],
    },
    agents: {
      counter: {
        count: (_, { attempt }) => (attempt === 1 ? broken : done({ n: 2 })),
        add: ({ n }) => done({ sum: (n as number) + 1 }),
      },
    },
  };

  it("comes to the same end with and without faults", async () => {
    const lives = await all(
      simulateWorkflow(simulated, { seeds: 10, faults: ["loss", "crash", "delay"], killDaemon: true }),
    );
    for (const { status, environment, steps, violations } of lives) {
      expect({ status, environment, violations }).toEqual({
        status: "done",
        environment: { n: 2, sum: 3 },
        violations: [],
      });
      expect(steps.one?.attempts).toBeGreaterThanOrEqual(2);
    }
  });

  it("is refused when it is invalid", async () => {
    const steps = [{ id: "one", agent: "a", task: "t", dependsOn: ["none"] }];
    await expect(one(simulateWorkflow({ ...simulated, workflow: { steps } }))).rejects.toMatchObject({
      code: "E_UNKNOWN_DEPENDENCY",
    });
  });
});
