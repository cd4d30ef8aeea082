/**
 * Runs that cannot be gone on with, on the memory bus under a virtual clock.
 * Catches: a run that is handed from hold to hold for ever; one that is given up for what passes; a daemon that
 * writes to a log without end which the broker has lost, and lists the run as running; one that dies of a single run.
 */
import { expect, it, vi } from "vitest";
import type { Bus, LogEntry } from "../../src/bus/bus.ts";
import { RunFold } from "../../src/fold/run-fold.ts";
import { SwarmStage } from "./swarm-stage.ts";

const step = (id: string) => ({ id, agent: "worker", task: "work" });
const LONG_MS = 60_000;

/** Appends of a daemon that throw, as a mistake of ours would. @returns how often one was called */
function breakAppends(bus: Bus, isBroken: (entry: LogEntry, times: number) => boolean): () => number {
  let times = 0;
  const append = bus.log.append.bind(bus.log);
  bus.log.append = async (run, entry, options) => {
    if (!isBroken(entry, times)) return append(run, entry, options);
    times += 1;
    throw new TypeError("this is undone");
  };
  return () => times;
}

async function claims(stage: SwarmStage): Promise<number> {
  let count = 0;
  for await (const record of stage.bus.log.read("r1"))
    if (record.kind === "decision" && record.body.type === "claim") count += 1;
  return count;
}

async function working(): Promise<{ stage: SwarmStage; bus: Bus }> {
  const stage = new SwarmStage();
  await stage.serve("worker");
  const { bus } = await stage.daemon();
  return { stage, bus };
}

it("an end that cannot be written is tried a bounded number of times, then the run fails", async () => {
  const { stage, bus } = await working();
  breakAppends(bus, ({ kind, body }) => kind === "decision" && body.type === "end" && body.status === "done");
  await stage.submit({ steps: [step("a")] });
  await stage.answer("worker");
  for (let minute = 0; minute < 10; minute += 1) await stage.clock.advance(LONG_MS);
  const fold = await stage.fold();
  expect(fold.error).toMatchObject({
    code: "E_ORCHESTRATION",
    message: expect.stringContaining("this is undone"),
  });
  expect(fold.status).toBe("failed");
  expect(await claims(stage)).toBe(9);
});

it("dispatches of a budget that cannot be noted are tried a bounded number of times, then the run fails", async () => {
  const { stage, bus } = await working();
  breakAppends(bus, ({ kind }) => kind === "observed");
  await stage.submit({ budget: { dispatches: 5 }, steps: [step("a")] });
  for (let minute = 0; minute < 10; minute += 1) await stage.clock.advance(LONG_MS);
  expect((await stage.fold()).error?.code).toBe("E_ORCHESTRATION");
  expect(stage.inHand("worker")).toEqual([]);
});

it("what goes wrong a few times does not end the run", async () => {
  const { stage, bus } = await working();
  const broken = breakAppends(
    bus,
    ({ kind, body }, times) => kind === "decision" && body.type === "end" && times < 4,
  );
  await stage.submit({ steps: [step("a")] });
  await stage.answer("worker");
  await stage.clock.advance(2 * LONG_MS);
  expect(broken()).toBe(4);
  expect((await stage.fold()).status).toBe("done");
});

it("a run whose log the broker has removed is let go, and listed as failed", async () => {
  const { stage, bus } = await working();
  await stage.submit({ steps: [step("a")] });
  await stage.clock.advance(2_000);
  let decisions = 0;
  const append = bus.log.append.bind(bus.log);
  bus.log.append = (run, entry, options) => {
    if (entry.kind === "decision") decisions += 1;
    return append(run, entry, options);
  };
  await stage.bus.log.purge("r1", { from: 1, to: 1_000 });
  await stage.answer("worker");
  for (let minute = 0; minute < 10; minute += 1) await stage.clock.advance(LONG_MS);
  expect(decisions).toBe(6);
  const [listed] = await stage.bus.index.list();
  expect(listed).toMatchObject({
    run: "r1",
    status: "failed",
    reason: expect.stringContaining("has removed"),
  });
  expect(stage.daemons[0]?.agent.runs).toEqual([]);
});

it("a log that cannot be folded ends its own hold, while other runs go on; mended, the run goes on", async () => {
  const { stage } = await working();
  const apply = RunFold.prototype.apply;
  const broken = vi.spyOn(RunFold.prototype, "apply").mockImplementation(function (this: RunFold, record) {
    if (record.run === "r1" && record.kind === "result") throw new TypeError("this is undone");
    return apply.call(this, record);
  });
  await stage.submit({ steps: [step("a"), { ...step("b"), dependsOn: ["a"] }] });
  await stage.submit({ steps: [step("c")] }, "r2");
  await stage.answer("worker", { step: "c" });
  await stage.answer("worker", { step: "a" });
  await stage.clock.advance(LONG_MS / 2);
  expect((await stage.fold("r2")).status).toBe("done");
  expect(await claims(stage)).toBe(1);
  broken.mockRestore();
  await stage.clock.advance(2 * LONG_MS);
  await stage.answer("worker", { step: "b" });
  expect((await stage.fold()).status).toBe("done");
});

it("a mistake in what a run needs next ends its own hold, too", async () => {
  const { stage } = await working();
  vi.spyOn(RunFold.prototype, "dueEnd").mockImplementationOnce(() => {
    throw new TypeError("this is undone");
  });
  await stage.submit({ steps: [step("a")] });
  await stage.clock.advance(LONG_MS);
  await stage.answer("worker");
  expect((await stage.fold()).status).toBe("done");
  expect(await claims(stage)).toBe(2);
});
