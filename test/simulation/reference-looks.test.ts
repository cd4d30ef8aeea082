/**
 * What the judges hold against decisions about what is inside large values. Would catch: a judge that calls a right
 * decision wrong, and one that lets a wrong decision pass.
 */
import { expect, it } from "vitest";
import type { LogRecord } from "../../src/bus/bus.ts";
import type { DecisionMessage } from "../../src/bus/decisions.ts";
import { KeptValues } from "../../src/simulation/kept-values.ts";
import { fewForms } from "../../src/simulation/language.ts";
import { Reference } from "../../src/simulation/reference.ts";
import type { WorkflowDocument } from "../../src/workflow/document.ts";

type Resolved = DecisionMessage & { type: "resolved" };
type Found = Pick<Resolved, "n" | "again" | "inputs" | "error">;

const LARGE = { $artifact: { name: "large", holds: "value" } };
const ERROR = { name: "ExpressionError", code: "E_EXPRESSION", message: "no", retryable: false };

/** A step that looks inside a large value in each iteration, after the second of which this was decided. */
function afterTwo(until: string, found: Found): Reference {
  const kept = new KeptValues();
  kept.note("large", new TextEncoder().encode(JSON.stringify({ value: { n: 7 } })));
  const repeated = { agent: "red", task: "work", inputs: { n: "${env.v0.n}", round: "${iteration}" } };
  const workflow: WorkflowDocument = {
    steps: [{ id: "s0", ...repeated, repeat: { until, max: 2 } }],
  };
  const reference = new Reference(workflow, fewForms(kept));
  let seq = 0;
  const write = (record: object) => {
    seq += 1;
    reference.apply({ seq, ts: seq, ...record } as LogRecord);
  };
  const decide = (body: object) => write({ kind: "decision", body: { id: `d${seq}`, epoch: 1, ...body } });
  const resolve = (body: Found) => decide({ type: "resolved", step: "s0", ...body });
  const done = (n: number) =>
    write({ kind: "result", role: "red", body: { step: "s0", n, status: "done", agent: "a", outputs: {} } });
  write({ kind: "submit", body: { workflow, environment: { v0: LARGE } } });
  decide({ type: "claim", holder: "d", looks: true });
  resolve({ inputs: { n: 7, round: 1 } });
  done(1);
  resolve({ n: 1, again: true, inputs: { n: 7, round: 2 } });
  done(2);
  expect(reference.wrongs).toEqual([]);
  resolve(found);
  return reference;
}

it("after the last iteration that is allowed it is found that another one is called for", () => {
  const reference = afterTwo("iteration >= 4", { n: 2, again: true });
  expect(reference.wrongs).toEqual([]);
  expect(reference.steps.get("s0")).toMatchObject({ state: "failed", errors: ["E_REPEAT_LIMIT"] });
});

it("after an iteration whose condition holds it is found that the step is over", () => {
  const reference = afterTwo("iteration >= 2", { n: 2, again: false });
  expect(reference.wrongs).toEqual([]);
  expect(reference.steps.get("s0")).toMatchObject({ state: "done", completions: 1 });
});

it.each<[string, string, Found]>([
  ["that it is over, where it has to be repeated", "iteration >= 4", { n: 2, again: false }],
  ["an error, where its iterations are used up", "iteration >= 4", { n: 2, error: ERROR }],
  ["that it is repeated, where it is over", "iteration >= 2", { n: 2, again: true }],
  ["an error, where it is over", "iteration >= 2", { n: 2, error: ERROR }],
  ["nothing of its repetition", "iteration >= 2", { n: 2 }],
])("it is wrong to find %s", (_, until, found) => {
  const rules = afterTwo(until, found).wrongs.map(({ rule }) => rule);
  expect(rules).toEqual(["what is found in a large value is what it holds"]);
});
