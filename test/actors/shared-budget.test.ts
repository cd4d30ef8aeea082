/**
 * One budget for a run and all runs below it, on the memory bus under a virtual clock.
 * Catches: nested runs at the same time that together spend more than is left, a run above that does not know what
 * was spent below it, a dispatch that is paid twice or never after a crash, a nested run that waits for ever.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { childRunId } from "../../src/workflow/nested-run.ts";
import { answerAll, chain, nested, settled, step } from "./nested-chains.ts";
import { SwarmStage, workingSwarm } from "./swarm-stage.ts";

async function resume(stage: SwarmStage, budget: Record<string, unknown>): Promise<void> {
  await stage.resume(budget);
  await settled(stage);
}

/** A person raises the budget of a run that is not at its limit. */
async function raise(stage: SwarmStage, budget: Record<string, unknown>): Promise<void> {
  await stage.bus.log.append("r1", { kind: "control", body: { v: 1, verb: "pause", by: "ada" } });
  await settled(stage);
  await resume(stage, budget);
}

describe("nested runs at the same time", () => {
  const fanOut = (count: number, length: number, budget: Record<string, unknown>) => ({
    budget,
    steps: [nested("sub", chain(length), { forEach: Array.from({ length: count }, (_, at) => at) })],
  });

  it("share their parent's dispatches exactly, and go on when there are more", async () => {
    const { stage } = await workingSwarm();
    // Five nested runs are five dispatches: six are left for fifteen steps.
    await stage.submit(fanOut(5, 3, { dispatches: 11 }));
    expect(await answerAll(stage)).toBe(6);
    const fold = await stage.fold();
    expect(fold.pause?.message).toMatch(/^the budget of 11 dispatches is spent: 11 dispatches; /);
    expect(fold.waitsBelow).toHaveLength(5);
    await resume(stage, { dispatches: 200 });
    for (let turn = 0; turn < 60 && !(await stage.fold()).ended; turn++) {
      while (stage.inHand("worker").length > 0) await stage.answer("worker");
      await settled(stage);
    }
    expect((await stage.fold()).status).toBe("done");
    // All went on in their first attempt: five nested runs of three steps each.
    expect((await stage.fold()).spending.total.dispatches).toBe(20);
  });

  it("start no step once they have spent all tokens together", async () => {
    const { stage } = await workingSwarm();
    await stage.submit(fanOut(2, 3, { tokens: 100 }));
    await settled(stage);
    expect(stage.inHand("worker")).toHaveLength(2);
    await stage.answer("worker", { usage: { tokens: 60 } });
    await settled(stage);
    expect(stage.inHand("worker")).toHaveLength(2);
    await stage.answer("worker", { usage: { tokens: 60 } });
    await settled(stage);
    // One is out since before the limit was reached: nothing is started any more, in neither run.
    expect(stage.inHand("worker")).toHaveLength(1);
    await stage.answer("worker", { usage: { tokens: 1 } });
    await settled(stage);
    expect(stage.inHand("worker")).toEqual([]);
    const fold = await stage.fold();
    expect(fold.pause?.message).toMatch(/^the budget of 100 tokens is spent: 120 tokens; /);
    expect(fold.spending.total.tokens).toBe(121);
    const child = await stage.fold(childRunId({ run: "r1", step: "sub~0", n: 1 }));
    expect(child.pause).toEqual({
      code: "E_BUDGET",
      above: "r1",
      message: expect.stringMatching(/^the budget of 100 tokens of run r1 is spent: 12[01] tokens$/),
    });
  });

  it("count at once for the steps beside them, and not twice when they end", async () => {
    const { stage, client } = await workingSwarm();
    await stage.submit({
      budget: { tokens: 100 },
      steps: [
        nested("sub", chain(2), { retry: { maxAttempts: 1 }, onFailure: "continue" }),
        step("one"),
        step("two", { dependsOn: ["one"] }),
      ],
    });
    await settled(stage);
    await stage.answer("worker", { step: "x0", usage: { tokens: 50 } });
    await settled(stage);
    expect((await client.show("r1")).spent).toMatchObject({ tokens: 50 });
    await stage.answer("worker", { step: "x1", usage: { tokens: 49 } });
    await settled(stage);
    const { spending } = await stage.fold();
    // The nested run, its two steps, and `one`.
    expect(spending.total).toEqual({ tokens: 99, usd: 0, dispatches: 4 });
    await stage.answer("worker", { step: "one", usage: { tokens: 1 } });
    await settled(stage);
    expect(stage.inHand("worker")).toEqual([]);
    expect((await stage.fold()).pause?.code).toBe("E_BUDGET");
  });

  it("that are at work when more is allowed spend that in their first attempt, also under another daemon", async () => {
    const { stage, daemon } = await workingSwarm();
    const once = { retry: { maxAttempts: 1 } };
    // Two nested runs, of four steps each: two of the five are theirs from the start.
    const steps = [nested("a", chain(4), once), nested("b", chain(4), once)];
    await stage.submit({ budget: { dispatches: 5 }, steps });
    await settled(stage);
    expect(stage.inHand("worker")).toHaveLength(2);
    await raise(stage, { dispatches: 10 });
    await daemon.bus.close();
    await stage.daemon();
    await stage.clock.advance(12_000);
    expect(await answerAll(stage)).toBe(8);
    expect((await stage.fold()).status).toBe("done");
    expect((await stage.fold()).spending.total.dispatches).toBe(10);
  });

  it("need no new attempt when more is allowed while they are at work, at whatever depth", async () => {
    const { stage } = await workingSwarm();
    const once = { retry: { maxAttempts: 1 } };
    const middle = {
      steps: [step("first"), nested("low", chain(3), { ...once, dependsOn: ["first"] })],
    };
    await stage.submit({ budget: { dispatches: 2, tokens: 10 }, steps: [nested("a", middle, once)] });
    await settled(stage);
    await raise(stage, { dispatches: 6, tokens: 100 });
    await stage.answer("worker", { usage: { tokens: 20 } });
    expect(await answerAll(stage)).toBe(3);
    expect((await stage.fold()).status).toBe("done");
    expect((await stage.fold()).spending.total).toEqual({ tokens: 20, usd: 0, dispatches: 6 });
  });

  it("keep the budget of the run at the top, at whatever depth", async () => {
    const { stage } = await workingSwarm();
    const middle = { steps: [nested("low", chain(3)), step("beside")] };
    // Two nested runs at each level: four of the nine dispatches.
    await stage.submit({ budget: { dispatches: 9 }, steps: [nested("a", middle), nested("b", middle)] });
    expect(await answerAll(stage)).toBe(5);
    expect((await stage.fold()).spending.total.dispatches).toBe(9);
    expect((await stage.fold()).pause?.code).toBe("E_BUDGET");
  });

  it("undo what they did although nothing is left", async () => {
    const { stage } = await workingSwarm();
    const undone = {
      steps: [step("x0", { compensate: { task: "undo" } }), step("x1", { dependsOn: ["x0"] })],
    };
    await stage.submit({
      budget: { dispatches: 2, onLimit: "fail" },
      steps: [nested("sub", undone, { retry: { maxAttempts: 1 } })],
    });
    await settled(stage);
    await stage.answer("worker", { step: "x0" });
    await settled(stage);
    await stage.answer("worker", { step: "x0~undo" });
    await settled(stage);
    expect(await stage.fold()).toMatchObject({ status: "failed", error: { code: "E_BUDGET" } });
  });
});

it("however daemons die, a tree of runs gives out no more than allowed, and ends when it may", async () => {
  const moves = fc.array(
    fc.oneof(
      { weight: 4, arbitrary: fc.constant("answer" as const) },
      { weight: 2, arbitrary: fc.constant("fail" as const) },
      { weight: 2, arbitrary: fc.constant("kill" as const) },
      { weight: 1, arbitrary: fc.constant("wait" as const) },
      { weight: 1, arbitrary: fc.constant("raise" as const) },
    ),
    { maxLength: 10 },
  );
  const trees = fc.record({ allowed: fc.integer({ min: 3, max: 12 }), wide: fc.integer({ min: 1, max: 3 }) });
  await fc.assert(
    fc.asyncProperty(trees, moves, async ({ allowed: atFirst, wide }, all) => {
      let allowed = atFirst;
      const stage = new SwarmStage();
      await stage.serve("worker");
      const given = new Set<string>();
      const join = async () => {
        const daemon = await stage.daemon();
        const { tasks, log } = daemon.bus;
        const pushed = tasks.push.bind(tasks);
        tasks.push = (task) => {
          given.add(`${task.run} ${task.step}#${task.n}`);
          return pushed(task);
        };
        const appended = log.append.bind(log);
        log.append = async (run, entry, options) => {
          if (entry.kind === "submit") given.add(run);
          return appended(run, entry, options);
        };
        return daemon;
      };
      let daemon = await join();
      const item = nested("sub", chain(2), { forEach: Array.from({ length: wide }, (_, at) => at) });
      await stage.submit({ budget: { dispatches: allowed }, steps: [item, step("beside")] });
      await settled(stage);
      for (const move of all) {
        const inHand = stage.inHand("worker").length > 0;
        if (move === "answer" && inHand) await stage.answer("worker");
        else if (move === "fail" && inHand)
          await stage.answer("worker", {
            status: "failed",
            error: { name: "Error", message: "no", retryable: true },
          });
        else if (move === "kill") {
          await daemon.bus.close();
          daemon = await join();
          await stage.clock.advance(12_000);
        } else if (move === "raise") {
          allowed += 2;
          await raise(stage, { dispatches: allowed });
        }
        await settled(stage);
        expect(given.size).toBeLessThanOrEqual(allowed);
      }
      expect((await stage.untilEnd("worker")).ended).toBe(true);
    }),
    { numRuns: 40 },
  );
});
