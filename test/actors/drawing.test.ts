/**
 * A nested run's draws on the budgets above it.
 * Catches: a draw of a run that waits at a limit. It would be granted after a raise that the run has not heard of, and
 * who is granted something is told of no raise any more.
 */
import { expect, it } from "vitest";
import { Drawing } from "../../src/actors/drawing.ts";
import type { HoldFrame } from "../../src/actors/hold-frame.ts";
import type { LogEntry } from "../../src/bus/bus.ts";
import { LogWriter } from "../fold/log-writer.ts";

const ABOVE = { run: "above", step: "sub", n: 1 };

/** A nested run, and a log above it that grants whatever is drawn. */
function nested() {
  const writer = new LogWriter();
  const parent = { ...ABOVE, depth: 1, outputs: [], budgets: [ABOVE] };
  const workflow = { steps: [{ id: "a", agent: "worker", task: "work" }] };
  writer.add({ kind: "submit", body: { v: 1, workflow, inputs: {}, parent, budget: { tokens: 9 } } });
  writer.decide({ type: "claim", holder: "daemon-1", raises: true }, 1);
  const drawn: LogEntry[] = [];
  const log = {
    exists: async () => true,
    append: async (_run: string, entry: LogEntry) => ({ ok: true, seq: drawn.push(entry) }),
  };
  const live = { ask: async () => ({ open: true, granted: 9 }) };
  const frame = { run: writer.run, fold: writer.fold, writer: { epoch: 1 }, context: { bus: { log, live } } };
  return { writer, drawn, drawing: new Drawing(frame as unknown as HoldFrame) };
}

it("a nested run draws on the budget above it before it gives something out", async () => {
  const { drawing, drawn } = nested();
  expect(await drawing.draw(2)).toBe(2);
  expect(drawn).toMatchObject([{ body: { drawn: [{ child: "r1", step: "sub", wants: 2 }] } }]);
});

it("one that waits for a raise above draws nothing until it has heard of it", async () => {
  const { drawing, drawn, writer } = nested();
  const excess = { resource: "dispatches" as const, bound: 3, actual: 3 };
  writer.decide({ type: "spent-above", run: "above", excess, onLimit: "pause", seq: 40 });
  expect(await drawing.draw(1)).toBe(0);
  expect(drawn).toEqual([]);
  writer.control("resume", { by: "run above", raised: { run: "above", seq: 50 } });
  expect(await drawing.draw(1)).toBe(1);
});
