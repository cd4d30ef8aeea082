/**
 * Values above the claim check's bound, which are in the log as references.
 * Catches: an expression that is evaluated on the reference instead of the value, a list that does not fit one
 * message, a value that is fetched although it is only passed on, and a step that waits for ever when its
 * daemon dies while it fetches.
 */
import { describe, expect, it } from "vitest";
import { checkIn, isClaimCheck } from "../../src/bus/claim-check.ts";
import { connectSwarm } from "../../src/client/connect.ts";
import { SwarmStage } from "./swarm-stage.ts";

const rows = Array.from({ length: 9_000 }, (_, n) => ({ id: n, name: `row ${n} ${"x".repeat(60)}` }));
const workflow = {
  maxParallel: 10_000,
  steps: [
    { id: "load", agent: "worker", task: "load", outputs: ["rows"] },
    {
      id: "each",
      agent: "clerk",
      task: "work",
      dependsOn: ["load"],
      when: "size(env.rows) == 9000",
      forEach: "env.rows.filter(r, r.id >= 10)",
      inputs: { id: "${item.id}", of: "${size(env.rows)}", first: "${env.rows[0].id}" },
    },
    { id: "never", agent: "clerk", task: "work", dependsOn: ["load"], when: "env.rows[5].id != 5" },
    { id: "whole", agent: "reader", task: "read", dependsOn: ["load"], inputs: { rows: "${env.rows}" } },
  ],
  outputs: { rows: "${env.rows}" },
};

async function stageWithRows(): Promise<SwarmStage> {
  const stage = new SwarmStage();
  for (const role of ["worker", "reader"]) await stage.serve(role);
  await stage.serve("clerk", 20_000);
  await stage.daemon();
  await stage.submit(workflow);
  const outputs = await checkIn(stage.bus.artifacts, "r1", { rows });
  expect(isClaimCheck(outputs.rows)).toBe(true);
  await stage.answer("worker", { outputs });
  return stage;
}

it("conditions, lists and inputs look inside a large value; one that is passed on whole stays a reference", async () => {
  const stage = await stageWithRows();
  await stage.clock.advance(1_000);
  const fold = await stage.fold();
  expect(fold.step("never").context.outcome).toBe("skipped");
  expect(fold.fanOutOf("each")).toMatchObject({ items: 8_990 });
  expect(fold.taskOf("each~0").inputs).toEqual({ id: 10, of: 9_000, first: 0 });
  expect(fold.taskOf("each~8989").inputs).toEqual({ id: 8_999, of: 9_000, first: 0 });
  expect(isClaimCheck(stage.taken.get("reader")?.[0]?.task.inputs.rows)).toBe(true);
  const client = await connectSwarm({ bus: stage.bus, by: "ada" });
  expect((await client.show("r1")).environment.rows).toEqual(rows);
});

it("a successor looks into the values that its predecessor had begun to fetch", async () => {
  const stage = new SwarmStage();
  for (const role of ["worker", "reader", "clerk"]) await stage.serve(role);
  const first = await stage.daemon();
  await stage.submit(workflow);
  // The daemon never gets the value.
  first.bus.artifacts.get = () => new Promise(() => undefined);
  await stage.answer("worker", { outputs: await checkIn(stage.bus.artifacts, "r1", { rows }) });
  expect([...(await stage.fold()).unresolved].sort()).toEqual(["each", "never"]);
  await stage.daemon();
  await first.bus.close();
  await stage.clock.advance(30_000);
  const fold = await stage.fold();
  expect(fold.unresolved.size).toBe(0);
  expect(fold.fanOutOf("each")).toMatchObject({ items: 8_990 });
});

it("an expression that fails on a large value fails its step with the reason", async () => {
  const stage = new SwarmStage();
  await stage.serve("worker");
  await stage.daemon();
  await stage.submit({
    steps: [
      { id: "load", agent: "worker", task: "load", outputs: ["rows"] },
      { id: "each", agent: "worker", task: "work", dependsOn: ["load"], forEach: "env.rows[0]" },
    ],
  });
  await stage.answer("worker", { outputs: await checkIn(stage.bus.artifacts, "r1", { rows }) });
  await stage.clock.advance(1_000);
  const fold = await stage.fold();
  expect(fold).toMatchObject({ status: "failed", error: { code: "E_NOT_A_LIST", step: "each" } });
});

it("a value above the bound can be set by a person, and given as an input", async () => {
  const stage = new SwarmStage();
  await stage.serve("worker");
  await stage.daemon();
  const client = await connectSwarm({ bus: stage.bus, by: "ada" });
  const steps = [
    {
      id: "a",
      agent: "worker",
      task: "t",
      inputs: { n: "${size(inputs.rows)}" },
      when: "size(env.known) > 0",
    },
  ];
  await client.submit({ run: "r2", workflow: { steps }, inputs: { rows }, environment: { known: rows } });
  await stage.clock.advance(1_000);
  expect(stage.taken.get("worker")?.[0]?.task.inputs).toEqual({ n: 9_000 });
  const seen: string[] = [];
  stage.bus.live.onEnv("r2", ({ key, value }) => void seen.push(`${key} ${isClaimCheck(value)}`));
  await client.setEnvironment("r2", "known", [...rows, ...rows]);
  await client.setEnvironment("r2", "small", 1);
  await stage.clock.advance(1_000);
  expect((await client.environment("r2", "known")).values.known).toHaveLength(18_000);
  expect(seen).toEqual(["known true", "small false"]);
});

const large = (text: string) => `${text} ${"x".repeat(300_000)}`;

it("the workflow's outputs look inside large values, and pass whole ones on", async () => {
  const stage = new SwarmStage();
  await stage.serve("worker");
  await stage.daemon();
  await stage.submit({
    steps: [{ id: "load", agent: "worker", task: "load", outputs: ["rows"] }],
    outputs: { count: "${size(env.rows)}", text: "${string(size(env.rows))} rows", rows: "${env.rows}" },
  });
  await stage.answer("worker", { outputs: await checkIn(stage.bus.artifacts, "r1", { rows }) });
  await stage.clock.advance(1_000);
  const fold = await stage.fold();
  expect(fold.status).toBe("done");
  expect(fold.outputs).toMatchObject({ count: 9_000, text: "9000 rows" });
  expect(isClaimCheck(fold.outputs.rows)).toBe(true);
});

it("outputs that look inside a value that is gone fail the run and say which", async () => {
  const stage = new SwarmStage();
  await stage.serve("worker");
  await stage.daemon();
  await stage.submit({
    steps: [{ id: "load", agent: "worker", task: "load", outputs: ["rows"] }],
    outputs: { count: "${size(env.rows)}" },
  });
  const outputs = await checkIn(stage.bus.artifacts, "r1", { rows });
  for (const ref of (await stage.bus.artifacts.list()).get("r1") ?? []) await stage.bus.artifacts.remove(ref);
  await stage.answer("worker", { outputs });
  await stage.clock.advance(1_000);
  expect(await stage.fold()).toMatchObject({
    status: "failed",
    error: { message: expect.stringContaining("outputs: ") },
  });
});

const repeated = {
  steps: [
    {
      id: "grow",
      agent: "worker",
      task: "grow",
      inputs: { round: "${iteration}", size: "${size(outputs) > 0 ? size(outputs.text) : 0}" },
      repeat: { until: 'outputs.text.startsWith("last")', max: 3 },
      outputs: ["text"],
    },
  ],
};

it("a repeated step's condition and the inputs of its next iteration look inside large outputs", async () => {
  const stage = new SwarmStage();
  await stage.serve("worker");
  await stage.daemon();
  await stage.submit(repeated);
  const give = async (text: string) =>
    stage.answer("worker", { outputs: await checkIn(stage.bus.artifacts, "r1", { text: large(text) }) });
  await give("first");
  await stage.clock.advance(1_000);
  expect(stage.taken.get("worker")?.[0]?.task.inputs).toEqual({ round: 2, size: large("first").length });
  await give("last");
  await stage.clock.advance(1_000);
  const fold = await stage.fold();
  expect(fold.status).toBe("done");
  expect(fold.step("grow").context).toMatchObject({ iteration: 2, outcome: "completed", n: 2 });
});

it("a second result of an iteration that is being looked into is late, and its limit still holds", async () => {
  const stage = new SwarmStage();
  await stage.serve("worker");
  const daemon = await stage.daemon();
  const { artifacts } = daemon.bus;
  const get = artifacts.get.bind(artifacts);
  let open = () => {};
  artifacts.get = async (ref) => {
    await new Promise<void>((resolve) => (open = resolve));
    return get(ref);
  };
  await stage.submit(repeated);
  for (const round of [1, 2, 3]) {
    const delivery = stage.taken.get("worker")?.[0];
    if (!delivery) throw new Error("no task");
    const outputs = await checkIn(stage.bus.artifacts, "r1", { text: large(`round ${round}`) });
    await stage.answer("worker", { outputs });
    expect([...(await stage.fold()).unresolved]).toEqual(["grow"]);
    await stage.report(delivery, "worker", { outputs: { text: "last" } });
    open();
    await stage.clock.advance(1_000);
  }
  const fold = await stage.fold();
  expect(fold.error).toMatchObject({ code: "E_REPEAT_LIMIT", step: "grow" });
});

it("a step whose iteration is being looked into can be cancelled, and its run goes on with a successor", async () => {
  const stage = new SwarmStage();
  await stage.serve("worker");
  const first = await stage.daemon();
  first.bus.artifacts.get = () => new Promise(() => undefined);
  await stage.submit({
    steps: [
      { ...repeated.steps[0], onFailure: "continue" },
      { ...repeated.steps[0], id: "other", agent: "worker", outputs: [] },
    ],
  });
  for (const step of ["grow", "other"]) {
    const outputs = await checkIn(stage.bus.artifacts, "r1", { text: large("last") });
    await stage.answer("worker", { step, outputs });
  }
  const client = await connectSwarm({ bus: stage.bus, by: "ada" });
  await client.cancel("r1", { step: "grow" });
  await stage.clock.advance(1_000);
  expect((await stage.fold()).step("grow").context.outcome).toBe("cancelled");
  await stage.daemon();
  await first.bus.close();
  await stage.clock.advance(30_000);
  const fold = await stage.fold();
  expect(fold.status).toBe("done");
  expect(fold.step("other").context).toMatchObject({ outcome: "completed", n: 1 });
});

it("large values are held against the schemas of their keys, of a result as of a fan-out's lists", async () => {
  const text = { type: "string", maxLength: 400_000 };
  const stage = new SwarmStage();
  await stage.serve("worker");
  await stage.daemon();
  await stage.submit({
    environment: {
      fits: { schema: text },
      each: { schema: { type: "array", items: text } },
      big: { schema: text },
    },
    steps: [
      { id: "fits", agent: "worker", task: "t", outputs: ["fits"] },
      { id: "each", agent: "worker", task: "t", dependsOn: ["fits"], forEach: ["a", "b"], outputs: ["each"] },
      { id: "big", agent: "worker", task: "t", dependsOn: ["each"], outputs: ["big"] },
    ],
  });
  const give = async (step: string, key: string, value: string) => {
    const outputs = await checkIn(stage.bus.artifacts, "r1", { [key]: value });
    await stage.answer("worker", { step, outputs });
    await stage.clock.advance(1_000);
  };
  await give("fits", "fits", large("a"));
  await give("each~0", "each", large("a"));
  await give("each~1", "each", "small");
  await give("big", "big", large(large("too long")));
  const fold = await stage.fold();
  expect(fold.step("each").context.outcome).toBe("completed");
  expect(fold).toMatchObject({ status: "failed", error: { code: "E_ENV_SCHEMA", step: "big" } });
});

it("what undoes a step is given what is inside its large outputs", async () => {
  const stage = new SwarmStage();
  for (const role of ["worker", "undoer"]) await stage.serve(role);
  await stage.daemon();
  await stage.submit({
    steps: [
      {
        id: "make",
        agent: "worker",
        task: "make",
        outputs: ["text"],
        compensate: { agent: "undoer", task: "undo", inputs: { size: "${size(self.outputs.text)}" } },
      },
      { id: "fail", agent: "worker", task: "fail", dependsOn: ["make"] },
    ],
  });
  await stage.answer("worker", {
    outputs: await checkIn(stage.bus.artifacts, "r1", { text: large("made") }),
  });
  await stage.answer("worker", { status: "failed", error: { name: "E", message: "no", retryable: false } });
  await stage.clock.advance(1_000);
  expect(stage.taken.get("undoer")?.[0]?.task.inputs).toEqual({ size: large("made").length });
});

it("a result that holds a large value is refused for a small one that breaks the schema of its key", async () => {
  const stage = new SwarmStage();
  await stage.serve("worker");
  await stage.daemon();
  await stage.submit({
    environment: { text: { schema: { type: "string" } }, count: { schema: { type: "number", maximum: 3 } } },
    steps: [{ id: "make", agent: "worker", task: "make", outputs: ["text", "count"] }],
  });
  const outputs = await checkIn(stage.bus.artifacts, "r1", { text: large("made"), count: 4 });
  await stage.answer("worker", { outputs });
  await stage.clock.advance(1_000);
  expect(await stage.fold()).toMatchObject({ status: "failed", error: { code: "E_ENV_SCHEMA" } });
});

it("the first iteration of a repeated step knows its number though its inputs look inside a large value", async () => {
  const stage = new SwarmStage();
  for (const role of ["worker", "counter"]) await stage.serve(role);
  await stage.daemon();
  const inputs = { size: "${size(env.text)}", round: "${iteration}" };
  const repeat = { until: "iteration >= 1", max: 2 };
  await stage.submit({
    steps: [
      { id: "make", agent: "worker", task: "make", outputs: ["text"] },
      { id: "count", agent: "counter", task: "count", dependsOn: ["make"], inputs, repeat },
    ],
  });
  const text = large("made");
  await stage.answer("worker", { outputs: await checkIn(stage.bus.artifacts, "r1", { text }) });
  await stage.clock.advance(1_000);
  expect(stage.taken.get("counter")?.[0]?.task.inputs).toEqual({ size: text.length, round: 1 });
});

it("a step whose large values are looked into does not begin once its run gives up", async () => {
  const stage = new SwarmStage();
  for (const role of ["worker", "undoer"]) await stage.serve(role);
  const { bus } = await stage.daemon();
  const get = bus.artifacts.get.bind(bus.artifacts);
  let fetch = (): void => undefined;
  const asked = new Promise<void>((resolve) => {
    bus.artifacts.get = async (ref) => {
      resolve();
      await new Promise<void>((go) => {
        fetch = go;
      });
      return get(ref);
    };
  });
  await stage.submit({
    steps: [
      {
        id: "make",
        agent: "worker",
        task: "t",
        outputs: ["text"],
        compensate: { agent: "undoer", task: "undo" },
      },
      { id: "other", agent: "worker", task: "t" },
      { id: "next", agent: "worker", task: "t", dependsOn: ["make"], when: "size(env.text) > 3" },
    ],
  });
  const outputs = await checkIn(stage.bus.artifacts, "r1", { text: large("made") });
  await stage.answer("worker", { step: "make", outputs });
  await asked;
  const error = { name: "E", message: "no", retryable: false };
  await stage.answer("worker", { step: "other", status: "failed", error });
  await stage.clock.advance(1_000);
  fetch();
  await stage.clock.advance(1_000);
  expect((await stage.fold()).step("next").state).toBe("pending");
});

it("under a holder that could not look inside, a record still means what it meant", async () => {
  const stage = new SwarmStage();
  await stage.submit(repeated);
  const claim = { v: 1, id: "c", epoch: 1, at: 0, type: "claim", holder: "earlier" } as const;
  await stage.bus.log.append("r1", { kind: "decision", body: claim });
  const outputs = await checkIn(stage.bus.artifacts, "r1", { text: large("last") });
  const result = { v: 1, run: "r1", step: "grow", n: 1, agent: "worker-1", status: "done", outputs } as const;
  await stage.bus.log.append("r1", { kind: "result", role: "worker", body: result });
  const fold = await stage.fold();
  expect(fold.dueEnd()).toMatchObject({ status: "failed", error: { code: "E_LARGE_VALUE" } });
});

const texts = {
  environment: { text: { schema: { type: "string", maxLength: 400_000 } } },
  steps: [{ id: "write", agent: "worker", task: "t", outputs: ["text"] }],
};

it("large values that a person or an agent sets are held against the schemas of their keys", async () => {
  const stage = new SwarmStage();
  await stage.serve("worker");
  await stage.daemon();
  await stage.submit(texts);
  const client = await connectSwarm({ bus: stage.bus, by: "ada" });
  expect(await client.setEnvironment("r1", "text", large("fits"))).toMatchObject({ applied: true });
  const tooLong = large(large("no"));
  const refused = await client.setEnvironment("r1", "text", tooLong);
  expect(refused).toMatchObject({ applied: false, reason: expect.stringContaining("text: ") });
  const { value } = await checkIn(stage.bus.artifacts, "r1", { value: tooLong });
  const body = { v: 1, key: "text", value, step: "write", n: 1, by: "worker-1" } as const;
  const stored = await stage.bus.log.append("r1", { kind: "env", body });
  if (!stored.ok) throw new Error("the update was not stored");
  const dispatch = { run: "r1", step: "write", n: 1, role: "worker" };
  const asked = stage.bus.live.ask(dispatch, { q: "verdict", seq: stored.seq }, 5_000);
  await stage.clock.advance(1_000);
  expect(await asked).toMatchObject({ applied: false, error: expect.stringContaining("text: ") });
  expect((await client.environment("r1", "text")).values.text).toBe(large("fits"));
});

it("a run that is submitted with a large value of the wrong shape fails before it begins", async () => {
  const stage = new SwarmStage();
  await stage.serve("worker");
  const client = await connectSwarm({ bus: stage.bus, by: "ada" });
  await client.submit({ run: "r1", workflow: texts, environment: { text: large(large("no")) } });
  await stage.daemon();
  await stage.clock.advance(1_000);
  expect(await stage.fold()).toMatchObject({ status: "failed", error: { code: "E_ENV_SCHEMA" } });
  expect(stage.taken.get("worker")).toEqual([]);
});

it("a run that was put away is woken to look at a large value that somebody sets", async () => {
  const stage = new SwarmStage();
  await stage.serve("worker");
  await stage.daemon();
  await stage.submit({ ...texts, steps: texts.steps.map((step) => ({ ...step, approval: true })) });
  await stage.clock.advance(10_000);
  expect(await stage.bus.runs.count()).toBe(0);
  const client = await connectSwarm({ bus: stage.bus, by: "ada" });
  const set = client.setEnvironment("r1", "text", large("fits"));
  await stage.clock.advance(10_000);
  expect(await set).toMatchObject({ applied: true });
});

describe("a planner", () => {
  const ROLES = {
    counter: [{ name: "count", gives: ["answer"], when: "size(env.rows) > 8000", cost: "size(env.rows)" }],
    guesser: [{ name: "guess", gives: ["answer"], cost: 20_000 }],
    tiny: [{ name: "peek", gives: ["answer"], when: "size(env.rows) < 10" }],
  };

  it("looks inside large values where guards and costs do", async () => {
    const stage = new SwarmStage();
    for (const [role, tasks] of Object.entries(ROLES)) await stage.join(role, tasks);
    const client = await connectSwarm({ bus: stage.bus, by: "ada" });
    await client.submit({ run: "r1", want: ["answer"], environment: { rows } });
    await stage.daemon();
    await stage.clock.advance(1_000);
    const { plan, graph } = await stage.fold();
    expect([...(graph?.steps() ?? [])].map(({ agent }) => agent)).toEqual(["counter"]);
    expect(plan).toMatchObject({ cost: rows.length, optimal: true });
  });

  it("does so for another way of a failed step, too", async () => {
    const stage = new SwarmStage();
    for (const [role, tasks] of Object.entries(ROLES)) await stage.join(role, tasks);
    await stage.join("first", [{ name: "try", gives: ["answer"] }]);
    const client = await connectSwarm({ bus: stage.bus, by: "ada" });
    const step = { id: "a", agent: "first", task: "try", outputs: ["answer"], onFailure: "recover" };
    await client.submit({ run: "r1", workflow: { steps: [step] }, environment: { rows } });
    await stage.daemon();
    await stage.clock.advance(1_000);
    await stage.answer("first", { status: "failed", error: { name: "E", message: "no", retryable: false } });
    await stage.clock.advance(1_000);
    expect(stage.inHand("counter")).toEqual(["a#2"]);
  });

  it("plans as if a value that was purged were not set", async () => {
    const stage = new SwarmStage();
    for (const [role, tasks] of Object.entries(ROLES)) await stage.join(role, tasks);
    const client = await connectSwarm({ bus: stage.bus, by: "ada" });
    await client.submit({ run: "r1", want: ["answer"], environment: { rows } });
    for (const ref of (await stage.bus.artifacts.list()).get("r1") ?? [])
      await stage.bus.artifacts.remove(ref);
    await stage.daemon();
    await stage.clock.advance(1_000);
    const { graph } = await stage.fold();
    expect([...(graph?.steps() ?? [])].map(({ agent }) => agent)).toEqual(["guesser"]);
  });
});

it("the first iteration of a repeated step can look inside a large input", async () => {
  const stage = new SwarmStage();
  await stage.serve("worker");
  await stage.daemon();
  const client = await connectSwarm({ bus: stage.bus, by: "ada" });
  const step = {
    id: "grow",
    agent: "worker",
    task: "t",
    repeat: { until: "iteration >= 2", max: 3 },
    inputs: { text: "${iteration == 1 ? inputs.text : outputs.text}", round: "${iteration}" },
  };
  await client.submit({ run: "r1", workflow: { steps: [step] }, inputs: { text: large("a") } });
  await stage.clock.advance(1_000);
  const task = stage.taken.get("worker")?.[0]?.task;
  expect(task?.inputs).toMatchObject({ round: 1 });
  expect(isClaimCheck(task?.inputs.text)).toBe(true);
});

it("expressions look inside large values that stand within another one", async () => {
  const stage = new SwarmStage();
  await stage.serve("worker");
  await stage.daemon();
  const { text } = await checkIn(stage.bus.artifacts, "r1", { text: large("a") });
  await stage.submit({
    steps: [
      { id: "give", agent: "worker", task: "t", outputs: ["doc"] },
      {
        id: "read",
        agent: "worker",
        task: "t",
        dependsOn: ["give"],
        inputs: { size: "${size(env.doc.text)}" },
      },
    ],
  });
  // As a nested run gives it: what its outputs pass on stays a reference.
  await stage.answer("worker", { step: "give", outputs: { doc: { text } } });
  await stage.clock.advance(1_000);
  expect(stage.taken.get("worker")?.[0]?.task.inputs).toEqual({ size: large("a").length });
});

it("under a holder that did not find nested values, a record still means what it meant", async () => {
  const stage = new SwarmStage();
  await stage.submit({
    steps: [
      { id: "make", agent: "worker", task: "t", forEach: ["a"], outputs: ["text"] },
      { id: "never", agent: "worker", task: "t", dependsOn: ["make"], when: "size(env.text[0]) > 1000" },
    ],
  });
  const claim = { v: 1, id: "c", epoch: 1, at: 0, type: "claim", holder: "earlier", looks: true } as const;
  await stage.bus.log.append("r1", { kind: "decision", body: claim });
  const outputs = await checkIn(stage.bus.artifacts, "r1", { text: large("a") });
  const body = { v: 1, run: "r1", step: "make~0", n: 1, agent: "worker-1", status: "done", outputs } as const;
  await stage.bus.log.append("r1", { kind: "result", role: "worker", body });
  expect((await stage.fold()).step("never").context.outcome).toBe("skipped");
});
