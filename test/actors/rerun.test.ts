/**
 * Runs that take over results of other runs.
 * Catches: a step that is done again although its result is there, one that is not although it depends on
 * what changed, an environment that is not as it was, a new run that needs the old one's log or artifacts.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { connectSwarm } from "../../src/client/connect.ts";
import { resubmissionOf } from "../../src/client/rerun.ts";
import { replay } from "../../src/trace/replay.ts";
import { LogWriter } from "../fold/log-writer.ts";
import { SwarmStage } from "./swarm-stage.ts";

const step = (id: string, more: Record<string, unknown> = {}) => ({
  id,
  agent: "worker",
  task: "work",
  outputs: [id],
  ...more,
});
const diamond = {
  name: "diamond",
  steps: [
    step("a", { inputs: { from: "${inputs.start}" } }),
    step("b", { dependsOn: ["a"], inputs: { a: "${env.a}" } }),
    step("c", { dependsOn: ["a"], inputs: { a: "${env.a}" } }),
    step("d", { dependsOn: ["b", "c"], inputs: { b: "${env.b}", c: "${steps.c.outputs.c}" } }),
  ],
  outputs: { d: "${env.d}" },
};

async function swarm() {
  const stage = new SwarmStage();
  await stage.serve("worker");
  await stage.daemon();
  const client = await connectSwarm({ bus: stage.bus, by: "ada" });
  /** Answers every task with `<run>:<step>` until nothing is in hand; returns the steps that were done. */
  const work = async (mark: string): Promise<string[]> => {
    const done: string[] = [];
    for (let turn = 0; turn < 200; turn++) {
      const [next] = stage.taken.get("worker") ?? [];
      if (next === undefined) return done;
      const { step: id } = next.task;
      done.push(id);
      await stage.answer("worker", { step: id, outputs: { [id.replace(/~\d+$/, "")]: `${mark}:${id}` } });
    }
    throw new Error("the work does not end");
  };
  return { stage, client, work };
}

async function submitAndWork(more: Record<string, unknown> = {}) {
  const all = await swarm();
  await all.client.submit({ run: "r1", workflow: diamond, inputs: { start: 1 }, ...more });
  await all.stage.clock.advance(0);
  expect(await all.work("old")).toEqual(["a", "b", "c", "d"]);
  return all;
}

describe("a rerun", () => {
  it("from a step does that step and what depends on it, on the results of the others", async () => {
    const { stage, client, work } = await submitAndWork();
    const { run, kept } = await client.rerun("r1", { from: "b", run: "r2" });
    await stage.clock.advance(0);
    expect([run, kept]).toEqual(["r2", ["a", "c"]]);
    const [first] = stage.taken.get("worker") ?? [];
    expect(first?.task).toMatchObject({ run: "r2", step: "b", n: 1, inputs: { a: "old:a" } });
    expect(await work("new")).toEqual(["b", "d"]);
    const view = await client.show("r2");
    expect(view).toMatchObject({ status: "done", outputs: { d: "new:d" } });
    expect(view.environment).toEqual({ a: "old:a", b: "new:b", c: "old:c", d: "new:d" });
    expect(view.origin).toMatchObject({ run: "r1", from: "b", kept: ["a", "c"] });
    expect(view.steps.a).toMatchObject({
      state: "done",
      outcome: "completed",
      attempts: 0,
      agent: "worker-1",
    });
  });

  it("without a step does everything again, on the same inputs and environment", async () => {
    const { stage, client, work } = await submitAndWork({ environment: { given: 7 } });
    await client.setEnvironment("r1", "given", 8);
    const { run, kept } = await client.rerun("r1");
    await stage.clock.advance(0);
    expect(kept).toEqual([]);
    expect(await work("new")).toEqual(["a", "b", "c", "d"]);
    const view = await client.show(run);
    expect(view.environment).toMatchObject({ a: "new:a", given: 7 });
  });

  it("needs neither the log nor the artifacts of the first run", async () => {
    const { stage, client } = await swarm();
    const large = "x".repeat(300_000);
    await client.submit({ run: "r1", workflow: diamond, inputs: { start: 1 } });
    await stage.clock.advance(0);
    const { $artifact } = await stage.bus.artifacts.put(
      "r1",
      new TextEncoder().encode(JSON.stringify({ value: large })),
    );
    await stage.answer("worker", { outputs: { a: { $artifact: { ...$artifact, holds: "value" } } } });
    await client.rerun("r1", { at: (await stage.fold()).lastSeq, run: "r2" });
    await stage.bus.log.purge("r1", { from: 1, to: (await stage.fold()).lastSeq });
    await stage.bus.artifacts.remove({ $artifact });
    await stage.clock.advance(0);
    expect((await client.environment("r2", "a")).values.a).toBe(large);
    expect((await stage.fold("r2")).status).toBe("running");
  });

  it("of a failed run takes over what was done, the failed step is done again", async () => {
    const { stage, client, work } = await swarm();
    await client.submit({ run: "r1", workflow: diamond, inputs: { start: 1 } });
    await stage.clock.advance(0);
    await stage.answer("worker", { outputs: { a: "old:a" } });
    const error = { name: "Error", message: "no", retryable: false };
    await stage.answer("worker", { step: "b", status: "failed", error });
    await stage.clock.advance(10_000);
    expect((await stage.fold()).status).toBe("failed");
    await client.rerun("r1", { from: "b", run: "r2" });
    await stage.clock.advance(0);
    stage.taken.get("worker")?.splice(0, stage.inHand("worker").indexOf("b#1"));
    expect((await client.show("r2")).origin?.kept).toEqual(["a"]);
    await work("new");
    expect((await client.show("r2")).status).toBe("done");
  });

  it("shows in its trace which steps were taken over, and from where", async () => {
    const { client } = await submitAndWork();
    await client.rerun("r1", { from: "d", run: "r2" });
    const { transitions } = await replay("r2", client.records("r2"));
    const taken = transitions.filter(({ event }) => event === "take over");
    expect(taken.map(({ actor, to }) => `${actor} ${to}`)).toEqual(["a done", "b done", "c done"]);
    expect(taken[0]?.cause).toMatch(/^taken over from run r1 at \d+$/);
  });

  it("keeps a fan-out whole", async () => {
    const { stage, client, work } = await swarm();
    const workflow = {
      steps: [
        step("each", { forEach: "inputs.list" }),
        step("sum", { dependsOn: ["each"], inputs: { all: "${env.each}" } }),
      ],
    };
    await client.submit({ run: "r1", workflow, inputs: { list: [1, 2] } });
    await stage.clock.advance(0);
    await work("old");
    await client.rerun("r1", { from: "sum", run: "r2" });
    await stage.clock.advance(0);
    expect(stage.taken.get("worker")?.[0]?.task.inputs).toEqual({ all: ["old:each~0", "old:each~1"] });
    expect(await work("new")).toEqual(["sum"]);
    await client.rerun("r1", { from: "each[1]", run: "r3" });
    await stage.clock.advance(0);
    expect(await work("new")).toEqual(["each~0", "each~1", "sum"]);
  });

  it("of a run of goals keeps its plan", async () => {
    const { stage, client, work } = await swarm();
    await stage.bus.log.append(
      "r1",
      { kind: "submit", body: { v: 1, goals: "g", inputs: { start: 1 } } },
      { expectLast: 0 },
    );
    const base = { v: 1, id: "p", epoch: 9, at: 0 } as const;
    await stage.bus.log.append("r1", { kind: "decision", body: { ...base, type: "claim", holder: "x" } });
    await stage.bus.log.append("r1", {
      kind: "decision",
      body: {
        ...base,
        type: "plan",
        workflow: diamond,
        cost: 4,
        optimal: true,
        explored: 1,
        reasons: { a: "why" },
      },
    });
    await client.rerun("r1", { run: "r2" });
    await stage.clock.advance(0);
    await work("new");
    expect((await stage.fold("r2")).status).toBe("done");
    expect((await stage.fold("r2")).plan).toMatchObject({ cost: 4, reasons: { a: "why" } });
  });

  it.each([
    [{ from: "bb" }, "E_STEP_NOT_FOUND"],
    [{ at: 0 }, "E_SEQUENCE"],
    [{ run: "r1" }, "E_RUN_EXISTS"],
  ])("%j is refused with %s", async (request, code) => {
    const { client } = await submitAndWork();
    await expect(client.rerun("r1", request)).rejects.toMatchObject({ code });
  });
});

it("a fork at any sequence ends in the environment of the run itself", async () => {
  const { stage, client } = await submitAndWork();
  const { environment } = await client.show("r1");
  const seqs: number[] = [];
  for await (const { seq } of client.records("r1")) seqs.push(seq);
  let fork = 0;
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...seqs), async (at) => {
      const { run, kept } = await client.rerun("r1", { at, run: `fork-${fork++}` });
      await stage.clock.advance(0);
      const again: string[] = [];
      for (let next = stage.taken.get("worker")?.[0]; next; next = stage.taken.get("worker")?.[0]) {
        const { step: id } = next.task;
        again.push(id);
        await stage.answer("worker", { step: id, outputs: { [id]: `old:${id}` } });
      }
      const view = await client.show(run);
      expect(view.status).toBe("done");
      expect(view.environment).toEqual(environment);
      expect([...kept, ...again].sort()).toEqual(["a", "b", "c", "d"]);
    }),
    { numRuns: 30 },
  );
});

it("a rerun of a planned run keeps what a step had set that its plan left out later", async () => {
  const log = new LogWriter();
  log.add({ kind: "submit", body: { v: 1, want: ["b"], inputs: {} } });
  log.claim(1);
  const plan = { cost: 1, optimal: true, explored: 0, reasons: {} };
  log.decide({ type: "plan", ...plan, workflow: { steps: [step("a"), step("b", { dependsOn: ["a"] })] } });
  log.add({ kind: "env", body: { v: 1, key: "a", value: 7, step: "a", n: 1, by: "worker-1" } });
  log.decide({ type: "revise", weighed: [], reason: "a is there", workflow: { steps: [step("b")] } });
  async function* records() {
    yield* log.records;
  }
  const whole = await resubmissionOf(log.run, records(), {});
  expect(whole).toMatchObject({ want: ["b"], origin: { steps: [] } });
  expect([whole.workflow, whole.origin?.plan]).toEqual([undefined, undefined]);
  const { origin } = await resubmissionOf(log.run, records(), { from: "b" });
  expect(origin).toMatchObject({ steps: [], environment: { a: { value: 7, step: "a" } } });
});

it("a rerun of a rerun keeps it, too, although neither's workflow has that step", async () => {
  const kept = { step: "a", agent: "worker-1", value: 7 };
  const origin = { run: "r0", seq: 5, from: "b", steps: [], environment: { a: kept } };
  const log = new LogWriter();
  log.add({ kind: "submit", body: { v: 1, workflow: { steps: [step("b")] }, inputs: {}, origin } });
  async function* records() {
    yield* log.records;
  }
  const again = await resubmissionOf(log.run, records(), { from: "b" });
  expect(again.origin).toMatchObject({ run: log.run, from: "b", environment: { a: kept } });
});
