/**
 * Logs of arbitrary records, sensible or not.
 * Catches: a fold that throws, moves a step where its machine has no way, or disagrees with itself when the log is
 * read again.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { RunFold } from "../../src/fold/run-fold.ts";
import { LogWriter } from "./log-writer.ts";

/** A log of arbitrary records over a small diamond: results, starts, time-outs, updates, controls, claims. */
const arbitraryRecord = fc.record({
  kind: fc.constantFrom("result", "started", "timed-out", "lost", "env", "control", "claim", "end"),
  step: fc.constantFrom("a", "b", "c", "d", "nowhere"),
  n: fc.integer({ min: 1, max: 4 }),
  status: fc.constantFrom("done", "failed", "handoff"),
  epoch: fc.integer({ min: 1, max: 3 }),
  value: fc.integer(),
});

const diamond = {
  steps: ["a", "b", "c", "d"].map((id, index) => ({
    id,
    agent: "worker",
    task: "work",
    outputs: [`${id}_out`],
    dependsOn: index === 0 ? [] : index === 3 ? ["b", "c"] : ["a"],
  })),
};

function folded(records: readonly Record<string, unknown>[]): LogWriter {
  const log = new LogWriter().submit(diamond);
  for (const one of records) {
    const { kind, step, n, status, epoch, value } = one as {
      kind: string;
      step: string;
      n: number;
      status: "done";
      epoch: number;
      value: number;
    };
    if (kind === "result") {
      const outputs = { [`${step}_out`]: value };
      const handoff = { role: "worker", task: "work", inputs: {}, reason: "" };
      log.add({
        kind,
        role: "worker",
        body: { v: 1, run: "r1", step, n, agent: "w", status, outputs, handoff },
      });
    } else if (kind === "started") {
      const body = { v: 1 as const, epoch, dispatched: [], started: [{ step, n, agent: "w", at: 1 }] };
      log.add({ kind: "observed", body });
    } else if (kind === "timed-out")
      log.decide({ type: "timed-out", step, n, code: "E_TIMEOUT", afterMs: 1 }, epoch);
    else if (kind === "lost") log.decide({ type: "lost", step, n }, epoch);
    else if (kind === "env") log.add({ kind, body: { v: 1, key: `${step}_out`, value, by: "w", step, n } });
    else if (kind === "control") log.control(value % 2 ? "pause" : "retry", { step });
    else if (kind === "claim") log.claim(epoch);
    else if (value % 5 === 0) log.decide({ type: "end", status: "failed" }, epoch);
  }
  return log;
}

describe("any log", () => {
  it("never throws, moves steps only along the machine, and is replayed to the same state", () => {
    const legal = new Set([
      "pending>ready",
      "pending>done",
      "pending>failed",
      "ready>running",
      "ready>failed",
    ]);
    for (const pair of ["running>ready", "running>done", "running>failed", "failed>ready"]) legal.add(pair);
    fc.assert(
      fc.property(fc.array(arbitraryRecord, { maxLength: 60 }), (records) => {
        const log = folded(records);
        const moves = log.transitions.filter(({ kind }) => kind === "step");
        for (const { from, to } of moves) expect(legal).toContain(`${from}>${to}`);
        const done = moves.filter(({ to }) => to === "done").map(({ actor }) => actor);
        expect(new Set(done).size).toBe(done.length);
        const replayed = new RunFold("r1");
        for (const record of log.records) replayed.apply(record);
        expect(replayed.counts).toEqual(log.fold.counts);
        expect(replayed.environment.snapshot()).toEqual(log.fold.environment.snapshot());
        expect([replayed.status, replayed.epoch]).toEqual([log.fold.status, log.fold.epoch]);
      }),
      { numRuns: 300 },
    );
  });

  it("no step is done before its dependencies are", () => {
    fc.assert(
      fc.property(fc.array(arbitraryRecord, { maxLength: 80 }), (records) => {
        const order = folded(records)
          .transitions.filter(({ to, kind }) => kind === "step" && to === "done")
          .map(({ actor }) => actor);
        for (const [index, step] of diamond.steps.entries()) {
          const at = order.indexOf(step.id);
          if (at < 0) continue;
          for (const before of diamond.steps[index]?.dependsOn ?? []) {
            expect(order.slice(0, at)).toContain(before);
          }
        }
      }),
      { numRuns: 300 },
    );
  });
});
