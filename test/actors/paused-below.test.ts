/**
 * Nested runs at a limit of a run above, on the memory bus under a virtual clock.
 * Catches: a nested run that fails where its parent's budget says pause, or begins anew when that is raised; one that
 * waits for ever although there is more, whichever daemon died; runs that are held while nothing of them can move; a
 * time-out or a cancel that does not reach one that waits.
 */
import { describe, expect, it } from "vitest";
import { childRunId } from "../../src/workflow/nested-run.ts";
import { answerAll, chain, nested as retried, settled, step } from "./nested-chains.ts";
import { workingSwarm } from "./swarm-stage.ts";

const nested = (id: string, workflow: unknown, more: Record<string, unknown> = {}) =>
  retried(id, workflow, { retry: { maxAttempts: 1 }, ...more });
const childOf = (run: string, step: string) => childRunId({ run, step, n: 1 });
const CHILD = childOf("r1", "sub");

/** A run whose nested run of four steps waits after the second of them. */
async function waiting(more: Record<string, unknown> = {}, workflow: Record<string, unknown> = {}) {
  const swarm = await workingSwarm();
  const { stage } = swarm;
  await stage.submit({ budget: { dispatches: 3 }, ...workflow, steps: [nested("sub", chain(4), more)] });
  expect(await answerAll(stage)).toBe(2);
  return swarm;
}

describe("a nested run at its parent's limit", () => {
  it("pauses with what it did, its parent says for whom it waits, and more lets it go on where it stood", async () => {
    const { stage, client } = await waiting();
    const child = await client.show(CHILD);
    expect(child).toMatchObject({
      status: "paused",
      pause: {
        code: "E_BUDGET",
        message: "the budget of 3 dispatches of run r1 is spent: 3 dispatches",
        above: "r1",
      },
      steps: { x0: { state: "done" }, x1: { state: "done" }, x2: { state: "ready" } },
    });
    expect(await client.show("r1")).toMatchObject({
      status: "paused",
      pause: {
        code: "E_BUDGET",
        message: `the budget of 3 dispatches is spent: 3 dispatches; its nested run ${CHILD} waits for more`,
        below: [CHILD],
      },
      steps: { sub: { state: "running", attempts: 1 } },
    });
    await stage.resume({ dispatches: 5 });
    expect(await answerAll(stage)).toBe(2);
    expect((await stage.fold(CHILD)).status).toBe("done");
    const fold = await stage.fold();
    expect(fold.status).toBe("done");
    expect(fold.spending.total.dispatches).toBe(5);
  });

  it("begins and waits although the dispatch that it is for was the last one", async () => {
    const { stage } = await workingSwarm();
    await stage.submit({ budget: { dispatches: 1 }, steps: [nested("sub", chain(1))] });
    expect(await answerAll(stage, 4)).toBe(0);
    expect((await stage.fold(CHILD)).status).toBe("paused");
    await stage.resume({ dispatches: 2 });
    expect(await answerAll(stage, 4)).toBe(1);
    expect((await stage.fold()).status).toBe("done");
  });

  it("fails with it where the budget says fail", async () => {
    const { stage } = await workingSwarm();
    const budget = { dispatches: 3, onLimit: "fail" };
    await stage.submit({ budget, steps: [nested("sub", chain(4))] });
    expect(await answerAll(stage)).toBe(2);
    expect((await stage.fold(CHILD)).error?.code).toBe("E_BUDGET");
    expect((await stage.fold()).error?.code).toBe("E_BUDGET");
  });

  it("does at its own limit what its own workflow says", async () => {
    const { stage } = await workingSwarm();
    const own = { ...chain(4), budget: { dispatches: 1 } };
    const failing = { ...chain(4), budget: { dispatches: 1, onLimit: "fail" } };
    const steps = [nested("sub", own), nested("bad", failing, { onFailure: "continue" })];
    await stage.submit({ budget: { dispatches: 30, onLimit: "fail" }, steps });
    expect(await answerAll(stage)).toBe(2);
    expect((await stage.fold(CHILD)).pause?.message).toBe(
      "the budget of 1 dispatches is spent: 1 dispatches",
    );
    expect((await stage.fold(childOf("r1", "bad"))).error?.code).toBe("E_BUDGET");
    expect((await stage.fold()).status).toBe("running");
  });

  it("waits again when what it was given is spent, at whatever depth", async () => {
    const { stage } = await workingSwarm();
    const middle = { steps: [step("first"), nested("low", chain(3), { dependsOn: ["first"] })] };
    await stage.submit({ budget: { dispatches: 4 }, steps: [nested("sub", middle)] });
    const low = childOf(CHILD, "low");
    expect(await answerAll(stage)).toBe(2);
    for (const dispatches of [5, 6]) {
      expect((await stage.fold(low)).pause?.above).toBe("r1");
      await stage.resume({ dispatches });
      expect(await answerAll(stage)).toBe(1);
    }
    expect((await stage.fold()).status).toBe("done");
  });
});

describe("a nested run that waits at its parent's limit", () => {
  it("holds nothing, nor does its parent; and goes on whichever daemon hears that there is more", async () => {
    const { stage, daemon } = await waiting();
    expect(daemon.agent.runs).toEqual([]);
    await daemon.bus.close();
    await stage.resume({ dispatches: 4 });
    const second = await stage.daemon();
    expect(await answerAll(stage)).toBe(1);
    expect(second.agent.runs).toEqual([]);
    // It dies as soon as it has heard of it.
    await stage.resume({ dispatches: 5 });
    await second.bus.close();
    await stage.daemon();
    await stage.clock.advance(12_000);
    expect(await answerAll(stage)).toBe(1);
    expect((await stage.fold()).status).toBe("done");
    expect((await stage.fold()).spending.total.dispatches).toBe(5);
  });

  it("is cancelled with its parent", async () => {
    const { stage, client } = await waiting();
    await client.control("r1", { verb: "cancel" });
    await settled(stage);
    expect((await stage.fold()).status).toBe("cancelled");
    expect((await stage.fold(CHILD)).status).toBe("cancelled");
  });

  it("ends its step when a person cancels it alone", async () => {
    const { stage, client } = await waiting();
    await client.control(CHILD, { verb: "cancel" });
    await settled(stage);
    expect((await stage.fold(CHILD)).status).toBe("cancelled");
    expect(await stage.fold()).toHaveProperty("error.message", expect.stringContaining("was cancelled"));
  });

  it.each([
    ["its step", { timeout: "100s" }, {}, "E_TIMEOUT"],
    ["its step over all attempts", { timeouts: { step: "100s" } }, {}, "E_STEP_TIMEOUT"],
    ["its run", {}, { timeout: "100s" }, "E_RUN_TIMEOUT"],
  ])("ends with the time-out of %s", async (_, more, workflow, code) => {
    const { stage } = await waiting(more, workflow);
    expect((await stage.fold()).status).toBe("paused");
    await stage.clock.advance(120_000);
    await settled(stage);
    expect((await stage.fold()).error?.code).toBe(code);
    expect((await stage.fold(CHILD)).status).toBe("cancelled");
  });

  it("stays as a person paused it, when there is more", async () => {
    const { stage, client } = await workingSwarm();
    await stage.submit({ budget: { dispatches: 2 }, steps: [nested("sub", chain(2))] });
    await settled(stage);
    await client.control(CHILD, { verb: "pause" });
    await stage.answer("worker");
    await settled(stage);
    expect((await stage.fold(CHILD)).pause?.code).toBe("E_PAUSED");
    await stage.bus.log.append(CHILD, {
      kind: "control",
      body: { v: 1, verb: "resume", by: "run r1", raised: { run: "r1", seq: 999 } },
    });
    await settled(stage);
    expect((await stage.fold(CHILD)).status).toBe("paused");
  });
});
