/**
 * Runs with a budget, on the memory bus under a virtual clock.
 * Catches: more given out than allowed, by one daemon or by several that die and wake up; a granted dispatch
 * that nobody pushes; a run that is not resumed; time that is not kept.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { SwarmStage } from "./swarm-stage.ts";

const step = (id: string, more: Record<string, unknown> = {}) => ({
  id,
  agent: "worker",
  task: "work",
  ...more,
});
const wide = (count: number, budget: Record<string, unknown>, maxParallel = 4) => ({
  budget,
  maxParallel,
  steps: Array.from({ length: count }, (_, at) => step(`s${at}`)),
});

describe("a run with a budget of dispatches", () => {
  it("gives out that many, pauses, and goes on when it is raised", async () => {
    const stage = new SwarmStage();
    await stage.serve("worker");
    await stage.daemon();
    await stage.submit(wide(5, { dispatches: 3 }));
    expect(stage.inHand("worker")).toHaveLength(3);
    expect((await stage.fold()).status).toBe("paused");
    for (let at = 0; at < 3; at++) await stage.answer("worker");
    expect(stage.inHand("worker")).toEqual([]);
    await stage.resume({ dispatches: 5 });
    expect(stage.inHand("worker")).toHaveLength(2);
    for (let at = 0; at < 2; at++) await stage.answer("worker");
    expect((await stage.fold()).status).toBe("done");
  });

  it("tokens that are spent stop what waits, while what is out may end", async () => {
    const stage = new SwarmStage();
    await stage.serve("worker");
    await stage.daemon();
    await stage.submit(wide(6, { tokens: 100 }, 2));
    await stage.answer("worker", { usage: { tokens: 60 } });
    await stage.answer("worker", { usage: { tokens: 60 } });
    expect(stage.inHand("worker")).toHaveLength(1);
    await stage.answer("worker", { usage: { tokens: 60 } });
    const fold = await stage.fold();
    expect(fold.status).toBe("paused");
    expect(fold.spending.total).toMatchObject({ tokens: 180, dispatches: 3 });
  });
});

it("a step that is cancelled while its dispatch is noted is not given out", async () => {
  const stage = new SwarmStage();
  await stage.serve("worker");
  const { bus } = await stage.daemon();
  const { append } = bus.log;
  bus.log.append = async (run, entry, options) => {
    const isNoted = entry.kind === "observed" && entry.body.dispatched.some((one) => one.step === "b");
    const cancel = { v: 1, verb: "cancel", step: "b", by: "ada" } as const;
    if (isNoted) await stage.bus.log.append(run, { kind: "control", body: cancel });
    return append.call(bus.log, run, entry, options);
  };
  await stage.submit({
    budget: { dispatches: 5 },
    steps: [step("a"), step("b", { dependsOn: ["a"], onFailure: "continue" })],
  });
  await stage.answer("worker");
  await stage.clock.advance(10_000);
  expect(stage.inHand("worker")).toEqual([]);
  const fold = await stage.fold();
  expect(fold.step("b").context.outcome).toBe("cancelled");
  expect(fold.status).toBe("done");
});

it("time that is over pauses the run before its next step, also at a successor", async () => {
  const stage = new SwarmStage();
  await stage.serve("worker");
  const first = await stage.daemon();
  await stage.submit({ budget: { wall: "1m" }, steps: [step("a"), step("b", { dependsOn: ["a"] })] });
  await stage.clock.advance(30_000);
  await stage.daemon();
  await first.bus.close();
  await stage.clock.advance(35_000);
  await stage.answer("worker");
  expect(stage.inHand("worker")).toEqual([]);
  expect((await stage.fold()).pause?.code).toBe("E_BUDGET");
  await stage.resume({ wall: "2m" });
  expect(stage.inHand("worker")).toEqual(["b#1"]);
});

it("what was granted to a daemon that died before it gave it out is given out by its successor", async () => {
  const stage = new SwarmStage();
  await stage.serve("worker");
  const first = await stage.daemon();
  first.bus.tasks.push = () => new Promise(() => {});
  await stage.submit(wide(1, { dispatches: 1 }));
  expect((await stage.fold()).spending.total.dispatches).toBe(1);
  await first.bus.close();
  await stage.daemon();
  await stage.clock.advance(12_000);
  await stage.answer("worker");
  expect(await stage.fold()).toMatchObject({ status: "done" });
});

it("never more is given out than allowed, however daemons die, and a raised run ends", async () => {
  const moves = fc.array(
    fc.oneof(
      { weight: 4, arbitrary: fc.constant("answer" as const) },
      { weight: 2, arbitrary: fc.constant("fail" as const) },
      { weight: 2, arbitrary: fc.constant("kill" as const) },
      { weight: 1, arbitrary: fc.constant("wait" as const) },
    ),
    { maxLength: 12 },
  );
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 8 }),
      fc.integer({ min: 1, max: 5 }),
      moves,
      async (allowed, maxParallel, all) => {
        const stage = new SwarmStage();
        await stage.serve("worker");
        const given = new Set<string>();
        const join = async () => {
          const daemon = await stage.daemon();
          const pushed = daemon.bus.tasks.push.bind(daemon.bus.tasks);
          daemon.bus.tasks.push = (task) => {
            given.add(`${task.step}#${task.n}`);
            return pushed(task);
          };
          return daemon;
        };
        let daemon = await join();
        await stage.submit(wide(6, { dispatches: allowed }, maxParallel));
        for (const move of all) {
          const inHand = stage.inHand("worker").length > 0;
          if (move === "answer" && inHand) await stage.answer("worker");
          else if (move === "fail" && inHand)
            await stage.answer("worker", {
              status: "failed",
              error: { name: "Error", message: "no", retryable: true },
            });
          else if (move === "wait") await stage.clock.advance(2_000);
          else if (move === "kill") {
            await daemon.bus.close();
            daemon = await join();
            await stage.clock.advance(12_000);
          }
          expect(given.size).toBeLessThanOrEqual(allowed);
        }
        expect((await stage.untilEnd("worker")).ended).toBe(true);
      },
    ),
    { numRuns: 60 },
  );
});
