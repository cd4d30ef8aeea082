/**
 * Messages of a newer wire version, as they come while two versions of DataHammer share a swarm.
 * Catches: a newer record that is read as if it were an old one, or as nonsense that may be passed over, and a daemon
 * that decides on a log of which it does not understand all.
 */
import { expect, it } from "vitest";
import type { LogEntry } from "../../src/bus/bus.ts";
import { encodeBody } from "../../src/bus/codec.ts";
import { decodeRecord } from "../../src/bus/record.ts";
import { SwarmStage } from "./swarm-stage.ts";

const KINDS: Record<LogEntry["kind"], string> = {
  submit: "submit",
  result: "result.worker",
  env: "env",
  control: "control",
  observed: "observed",
  decision: "decision",
};

/** As a newer version may write it: with all that this one knows, and more. */
const NEWER = {
  ...{ v: 2, run: "r1", step: "a", n: 1, agent: "x", status: "done", workflow: { steps: [] }, inputs: {} },
  ...{ verb: "cancel", by: "x", key: "k", value: 1, epoch: 9, id: "x", at: 1, type: "end", fresh: true },
};

for (const [kind, tail] of Object.entries(KINDS)) {
  it(`a newer ${kind} is refused with its version and the remedy, and keeps its place`, () => {
    const subject = `dh.main.run.r1.${tail}`;
    const record = decodeRecord({ run: "r1", subject, seq: 7, ts: 1 }, encodeBody(NEWER));
    expect(record).toMatchObject({ kind: "unreadable", of: kind, seq: 7, newer: 2 });
    expect(record).toMatchObject({ problem: expect.stringMatching(/wire version 2.*upgrade/) });
  });
}

for (const [kind, tail] of Object.entries(KINDS)) {
  it(`a run with a newer ${kind} is left to a newer daemon: nothing is decided or given out past it`, async () => {
    const stage = new SwarmStage();
    await stage.serve("worker");
    const { agent } = await stage.daemon();
    const steps = [
      { id: "a", agent: "worker", task: "work" },
      { id: "b", agent: "worker", task: "work", dependsOn: ["a"] },
    ];
    await stage.submit({ steps, timeout: "20s" });
    stage.broker.inject(`dh.main.run.r1.${tail}`, encodeBody(NEWER));
    await stage.clock.advance(0);
    expect(agent.runs).toEqual([]);
    const before = (await stage.fold()).lastSeq;
    await stage.answer("worker");
    // Longer than every time-out of the run and of its hold.
    await stage.clock.advance(120_000);
    const fold = await stage.fold();
    expect(fold.newer).toMatchObject({ version: 2, seq: before });
    expect(fold.lastSeq).toBe(before + 1);
    expect(stage.inHand("worker")).toEqual([]);
    // Its task waits for a daemon that reads more.
    expect(await stage.bus.runs.push("r1")).toBe("present");
  });
}

it("a task that a newer daemon wrote stays for a newer agent", async () => {
  const stage = new SwarmStage();
  await stage.bus.tasks.ensureRole({ role: "worker", ackWaitMs: 5_000 });
  const told: string[] = [];
  stage.bus.tasks.pull("worker", {
    slots: () => 1,
    onDelivery: () => told.push("delivered"),
    onUnreadable: ({ problem }) => told.push(problem),
  });
  stage.broker.inject("dh.main.task.worker.r1.a.1", encodeBody({ ...NEWER, role: "worker", task: "work" }));
  await stage.clock.advance(0);
  expect(told).toEqual([expect.stringMatching(/wire version 2/)]);
  expect(await stage.bus.tasks.has({ role: "worker", run: "r1", step: "a", n: 1 })).toBe(true);
});
