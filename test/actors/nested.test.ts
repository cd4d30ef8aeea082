/**
 * Runs inside runs.
 * Catches: a child that is started twice or never, one that goes on although its parent needs it no more, an
 * end that does not reach the parent or reaches it twice, a budget or a depth that is not kept, a secret that is shown below.
 */
import { describe, expect, it } from "vitest";
import { HOLD_LIMITS } from "../../src/actors/hold-context.ts";
import { checkIn, MESSAGE_VALUES_BYTES } from "../../src/bus/claim-check.ts";
import { UnreachableError } from "../../src/workflow/errors.ts";
import { childRunId } from "../../src/workflow/nested-run.ts";
import { workingSwarm } from "./swarm-stage.ts";

const step = (id: string, more: Record<string, unknown> = {}) => ({
  id,
  agent: "worker",
  task: "work",
  outputs: [id],
  ...more,
});
const inner = {
  steps: [step("x", { inputs: { n: "${inputs.n}" } })],
  outputs: { answer: "${env.x}" },
};
const nested = (workflow: unknown, more: Record<string, unknown> = {}) => ({
  id: "sub",
  agent: "orchestrator",
  task: "run",
  inputs: { workflow, inputs: { n: "${inputs.n}" } },
  outputs: ["answer"],
  ...more,
});
const outer = (more: Record<string, unknown> = {}) => ({
  inputs: { n: 7 },
  steps: [nested(inner, more), step("after", { dependsOn: ["sub"], inputs: { got: "${env.answer}" } })],
});
const CHILD = childRunId({ run: "r1", step: "sub", n: 1 });
const crash = { status: "failed" as const, error: { name: "Error", message: "boom", retryable: false } };

describe("a nested run", () => {
  it("is a run of its own, and gives its outputs to its step", async () => {
    const { stage, client } = await workingSwarm();
    await stage.submit(outer());
    await stage.clock.advance(200);
    expect(stage.taken.get("worker")?.[0]?.task).toMatchObject({ run: CHILD, step: "x", inputs: { n: 7 } });
    expect((await client.show("r1")).steps.sub).toMatchObject({ state: "running", child: CHILD });
    expect((await client.show(CHILD)).parent).toEqual({ run: "r1", step: "sub" });
    await stage.answer("worker", { outputs: { x: 42 }, usage: { tokens: 5, usd: 0.5 } });
    await stage.clock.advance(200);
    expect(stage.taken.get("worker")?.[0]?.task).toMatchObject({ run: "r1", inputs: { got: 42 } });
    await stage.answer("worker", { outputs: { after: 1 } });
    const view = await client.show("r1");
    expect(view.status).toBe("done");
    expect(view.spent).toEqual({ tokens: 5, usd: 0.5, dispatches: 3 });
  });

  it("keeps the secrets that it is given", async () => {
    const { stage, client } = await workingSwarm();
    await stage.submit({ ...outer(), inputs: { n: "open sesame" }, secrets: ["n"] });
    await stage.clock.advance(200);
    const { task } = stage.taken.get("worker")?.[0] ?? {};
    expect(task).toMatchObject({ run: CHILD, inputs: { n: "open sesame" }, secrets: ["open sesame"] });
    await stage.answer("worker", { outputs: { x: "they said open sesame" } });
    await stage.clock.advance(200);
    for (const run of ["r1", CHILD]) {
      const shown = await client.show(run);
      expect(JSON.stringify(shown)).not.toContain("sesame");
    }
    expect((await client.show(CHILD)).environment).toEqual({ x: "they said ***" });
  });

  it("is given a map that is a large value itself, and of many values those that are too large together", async () => {
    const { stage } = await workingSwarm();
    const text = (letter: string) => letter.repeat(200 * 1024);
    const read = { steps: [step("x", { inputs: { sizes: "${[size(inputs.a), size(env.e)]}" } })] };
    const inputs = { workflow: read, inputs: "${env.texts}", environment: { e: "${env.texts.b}" } };
    const steps = [step("texts"), { ...nested(read), dependsOn: ["texts"], inputs, outputs: [] }];
    await stage.submit({ steps });
    const texts = { a: text("a"), b: text("b"), c: text("c") };
    await stage.answer("worker", { outputs: await checkIn(stage.bus.artifacts, "r1", { texts }) });
    await stage.clock.advance(1_000);
    expect(stage.taken.get("worker")?.[0]?.task.inputs).toEqual({ sizes: [204_800, 204_800] });
    const { submission } = await stage.fold(CHILD);
    expect(JSON.stringify(submission?.inputs).length).toBeLessThan(MESSAGE_VALUES_BYTES);
  });

  it("that fails fails its step, and the error names the way down", async () => {
    const { stage } = await workingSwarm();
    const deep = nested({ steps: [nested(inner), step("y", { dependsOn: ["sub"] })] }, { outputs: [] });
    await stage.submit({ inputs: { n: 7 }, steps: [{ ...deep, id: "top" }] });
    await stage.clock.advance(200);
    await stage.answer("worker", crash);
    await stage.clock.advance(2_000);
    const { error, status } = await stage.fold();
    expect(status).toBe("failed");
    expect(error?.message).toMatch(
      /^run r1-top-1-\w+ failed in step sub: run r1-top-1-\S+ failed in step x: boom$/,
    );
  });

  it("is run anew by a retry of its step", async () => {
    const { stage } = await workingSwarm();
    await stage.submit(outer({ retry: { maxAttempts: 2, initial: "1ms", jitter: 0 } }));
    await stage.clock.advance(200);
    await stage.answer("worker", { ...crash, error: { ...crash.error, retryable: true } });
    await stage.clock.advance(20_000);
    for (let at = 0; at < 2; at++) {
      await stage.answer("worker", { ...crash, error: { ...crash.error, retryable: true } });
      await stage.clock.advance(20_000);
    }
    const second = childRunId({ run: "r1", step: "sub", n: 2 });
    expect(stage.taken.get("worker")?.[0]?.task.run).toBe(second);
    await stage.answer("worker", { outputs: { x: 1 } });
    await stage.clock.advance(200);
    await stage.answer("worker", { outputs: { after: 1 } });
    expect((await stage.fold()).status).toBe("done");
  });

  it("is cancelled with its parent", async () => {
    const { stage, client } = await workingSwarm();
    await stage.submit(outer());
    await stage.clock.advance(200);
    await client.control("r1", { verb: "cancel" });
    await stage.clock.advance(HOLD_LIMITS.cancelWaitMs * 2);
    expect((await stage.fold()).status).toBe("cancelled");
    expect(await stage.fold(CHILD)).toMatchObject({ status: "cancelled", error: { code: "E_CANCELLED" } });
  });

  it("is cancelled when its step times out", async () => {
    const { stage } = await workingSwarm();
    await stage.submit(outer({ timeout: "30s", retry: { maxAttempts: 1 } }));
    await stage.clock.advance(60_000);
    expect((await stage.fold()).error?.code).toBe("E_TIMEOUT");
    expect((await stage.fold(CHILD)).status).toBe("cancelled");
  });

  it("spends at most what is left of its parent's budget", async () => {
    const { stage } = await workingSwarm();
    const document = outer({ retry: { maxAttempts: 2, initial: "1ms" } });
    const chain = { steps: [step("x"), step("y", { dependsOn: ["x"] })], outputs: {} };
    document.steps[0] = nested(chain, { outputs: [], retry: { initial: "1ms" } });
    document.steps[1] = step("after", { dependsOn: ["sub"] });
    await stage.submit({ ...document, budget: { tokens: 100 } });
    await stage.clock.advance(200);
    await stage.answer("worker", { outputs: { x: 1 }, usage: { tokens: 120 } });
    await stage.clock.advance(20_000);
    const { status, pause } = await stage.fold(CHILD);
    expect({ status, code: pause?.code }).toEqual({ status: "paused", code: "E_BUDGET" });
    const fold = await stage.fold();
    expect(fold.pause?.message).toMatch(
      /^the budget of 100 tokens is spent: 120 tokens; its nested run r1-sub/,
    );
  });

  it("is not started below the deepest level", async () => {
    const { stage } = await workingSwarm();
    const parent = { run: "p", step: "s", n: 1, depth: 5, outputs: [] };
    await stage.bus.log.append(
      "r1",
      { kind: "submit", body: { v: 1, workflow: outer(), inputs: {}, parent } },
      { expectLast: 0 },
    );
    await stage.clock.advance(2_000);
    expect((await stage.fold()).error).toMatchObject({ code: "E_NESTING_LIMIT", step: "sub" });
  });

  it.each([
    [{ task: "fly" }, "one task, run"],
    [{ inputs: { inputs: {} } }, "needs something to run"],
    [{ inputs: { workflow: inner, n: 1 } }, "inputs.inputs"],
    [
      { inputs: { workflow: { steps: [step("x", { dependsOn: ["y"] })] } } },
      'In the nested workflow, step "x"',
    ],
  ])("that cannot be is refused before the run: %j", async (wrong, text) => {
    const { stage } = await workingSwarm();
    await stage.submit({ steps: [{ ...nested(inner), ...wrong }] });
    const { status, error } = await stage.fold();
    expect(status).toBe("failed");
    expect(error?.message).toContain(text);
  });
});

describe("when daemons die", () => {
  it("the end of the child reaches the parent once, whoever was killed in between", async () => {
    const { stage, daemon } = await workingSwarm();
    await stage.submit(outer());
    await stage.clock.advance(200);
    // The holder of both ends the child and dies before it can tell the parent.
    const append = daemon.bus.log.append.bind(daemon.bus.log);
    daemon.bus.log.append = async (run, entry, options) => {
      if (run === "r1" && entry.kind === "result") await daemon.bus.close();
      return append(run, entry, options);
    };
    await stage.answer("worker", { outputs: { x: 42 } });
    expect((await stage.fold(CHILD)).status).toBe("done");
    expect((await stage.fold()).step("sub").state).toBe("running");
    await stage.daemon();
    await stage.clock.advance(30_000);
    await stage.answer("worker", { outputs: { after: 1 } });
    await stage.clock.advance(2_000);
    const fold = await stage.fold();
    expect(fold.status).toBe("done");
    expect(fold.step("sub").context.n).toBe(1);
    const results: unknown[] = [];
    for await (const record of stage.bus.log.read("r1"))
      if (record.kind === "result") results.push(record.role);
    expect(results).toEqual(["orchestrator", "worker"]);
  });

  it("a child whose cancel died with its parent's holder finds out that nobody waits for it", async () => {
    const { stage, daemon } = await workingSwarm();
    await stage.submit(outer({ timeout: "5s", retry: { maxAttempts: 1 } }));
    await stage.clock.advance(200);
    const append = daemon.bus.log.append.bind(daemon.bus.log);
    daemon.bus.log.append = async (run, entry, options) => {
      if (run === CHILD && entry.kind === "control") await daemon.bus.close();
      return append(run, entry, options);
    };
    await stage.clock.advance(5_000);
    expect((await stage.fold(CHILD)).status).toBe("running");
    await stage.daemon();
    await stage.clock.advance(HOLD_LIMITS.parentLookMs + 15_000);
    expect((await stage.fold()).status).toBe("failed");
    expect(await stage.fold(CHILD)).toMatchObject({
      status: "cancelled",
      error: { message: expect.stringContaining("its step needs it no more") },
    });
  });

  it("a child that was put away finds out, too", async () => {
    const { stage, daemon } = await workingSwarm();
    const asks = {
      steps: [{ id: "ask", agent: "human", task: "ask", outputs: ["x"] }],
      outputs: { answer: "${env.x}" },
    };
    const steps = [nested(asks, { timeout: "5s", retry: { maxAttempts: 1 } })];
    await stage.submit({ inputs: { n: 7 }, steps });
    await stage.clock.advance(4_000);
    const append = daemon.bus.log.append.bind(daemon.bus.log);
    daemon.bus.log.append = async (run, entry, options) => {
      if (run === CHILD && entry.kind === "control") await daemon.bus.close();
      return append(run, entry, options);
    };
    await stage.clock.advance(2_000);
    expect((await stage.fold(CHILD)).status).toBe("waiting");
    await stage.daemon();
    await stage.clock.advance(HOLD_LIMITS.parkedParentLookMs + 60_000);
    expect((await stage.fold(CHILD)).status).toBe("cancelled");
  });

  it("a cancel that the broker did not take at once reaches the child when it does", async () => {
    const { stage, daemon, client } = await workingSwarm();
    await stage.submit(outer());
    await stage.clock.advance(200);
    const append = daemon.bus.log.append.bind(daemon.bus.log);
    let refusals = 3;
    daemon.bus.log.append = async (run, entry, options) => {
      if (run === CHILD && entry.kind === "control" && refusals-- > 0)
        throw new UnreachableError("E_UNREACHABLE", "away", { remedy: "wait" });
      return append(run, entry, options);
    };
    await client.control("r1", { verb: "cancel", step: "sub" });
    await stage.clock.advance(10_000);
    expect((await stage.fold(CHILD)).status).toBe("cancelled");
  });

  it("a child that was submitted and not noted is taken on, not started again", async () => {
    const { stage, daemon } = await workingSwarm();
    await stage.submit(outer());
    // Before the note of the dispatch is written.
    await daemon.bus.close();
    await stage.daemon();
    await stage.clock.advance(15_000);
    expect(stage.inHand("worker")).toEqual(["x#1"]);
    await stage.answer("worker", { outputs: { x: 42 } });
    await stage.clock.advance(1_000);
    await stage.answer("worker", { outputs: { after: 1 } });
    const fold = await stage.fold();
    expect(fold.status).toBe("done");
    expect(fold.step("sub").context).toMatchObject({ n: 1, agent: CHILD });
  });
});

describe("a rerun of a nested run", () => {
  it("answers to nobody: its parent goes by the first one's end, and it lives on without", async () => {
    const { stage, client } = await workingSwarm();
    await stage.submit(outer());
    await stage.clock.advance(200);
    await stage.answer("worker", { outputs: { x: 42 } });
    await stage.clock.advance(200);
    await stage.answer("worker", { outputs: { after: 1 } });
    expect((await stage.fold()).status).toBe("done");
    const { lastSeq } = await stage.fold();

    await client.rerun(CHILD, { from: "x", run: "again" });
    await stage.clock.advance(200);
    expect(stage.taken.get("worker")?.[0]?.task).toMatchObject({ run: "again", step: "x", inputs: { n: 7 } });
    // Longer than a nested run waits to ask whether anybody still waits for it.
    await stage.clock.advance(2 * HOLD_LIMITS.parentLookMs);
    await stage.answer("worker", { outputs: { x: 43 } });
    await stage.clock.advance(200);
    expect((await stage.fold("again")).submission?.parent).toBeUndefined();
    expect((await stage.fold("again")).outputs).toEqual({ answer: 43 });
    expect((await client.show("r1")).environment).toMatchObject({ answer: 42 });
    expect((await stage.fold()).lastSeq).toBe(lastSeq);
  });
});

it("ids of children fit, say whose they are, and differ", () => {
  const long = "x".repeat(64);
  const ids = [
    childRunId({ run: "a-b", step: "c", n: 1 }),
    childRunId({ run: "a", step: "b-c", n: 1 }),
    childRunId({ run: long, step: `${long}~12`, n: 100 }),
    childRunId({ run: long, step: `${long}~13`, n: 100 }),
  ];
  expect(new Set(ids).size).toBe(4);
  for (const id of ids) expect(id).toMatch(/^[A-Za-z0-9_-]{1,64}$/);
  expect(ids[0]).toMatch(/^a-b-c-1-/);
});
