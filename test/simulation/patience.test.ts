/**
 * How long a simulated life waits for its runs. Would catch: a bound that a run may exceed without any mistake, since
 * its tries multiply with those of the runs that it is nested in, and one that grows without need.
 */
import { expect, it } from "vitest";
import { patienceFor } from "../../src/simulation/patience.ts";
import type { WorkflowDocument, WorkflowStepDocument } from "../../src/workflow/document.ts";

const MINUTE_MS = 60_000;

const retried = (inputs: Record<string, unknown>, more: object = {}): WorkflowStepDocument => ({
  id: "s0",
  agent: "red",
  task: "work",
  inputs,
  retry: { maxAttempts: 4, max: "10s" },
  ...more,
});
const around = (step: WorkflowStepDocument): WorkflowDocument => ({ steps: [step] });

const leaf = around(retried({ script: { ms: 20_000 } }));
const nested = around(retried({ workflow: leaf }));

it("what a few steps may take is the least", () => {
  expect(patienceFor([])).toBe(20 * MINUTE_MS);
  expect(patienceFor([leaf, leaf])).toBe(20 * MINUTE_MS);
});

it("the tries of runs within runs multiply, and runs beside each other may wait for each other", () => {
  const twice = around(retried({ workflow: nested }));
  // 4 × 90 s for the leaf; 4 × (70 s + that) around it, and once more.
  const tries = 4 * (70_000 + 4 * (70_000 + 4 * 90_000));
  expect(patienceFor([twice])).toBe(tries);
  expect(patienceFor([twice, twice])).toBe(2 * tries);
});

it("a time-out of the outer step bounds what the inner run may take", () => {
  const bounded = around(retried({ workflow: around(retried({ workflow: nested })) }, { timeout: "12s" }));
  expect(patienceFor([bounded])).toBe(20 * MINUTE_MS);
});
