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

/** A fan-out over a large list of two, whose items look inside another value, of which this was decided. */
function ofTwo(v0: unknown, found: Partial<Resolved>, rules = 3): Reference {
  const kept = new KeptValues();
  kept.note("large", new TextEncoder().encode(JSON.stringify({ value: [1, 2] })));
  const step = { agent: "red", task: "work", forEach: "env.list", inputs: { n: "${env.v0.n}" } };
  const workflow: WorkflowDocument = { steps: [{ id: "s0", ...step }] };
  const reference = new Reference(workflow, fewForms(kept));
  const records = [
    { kind: "submit", body: { workflow, environment: { list: LARGE, v0 } } },
    { kind: "decision", body: { id: "d1", epoch: 1, type: "claim", holder: "d", looks: true, rules } },
    { kind: "decision", body: { id: "d2", epoch: 1, type: "resolved", step: "s0", ...found } },
  ];
  for (const [at, record] of records.entries())
    reference.apply({ seq: at + 1, ts: at + 1, ...record } as unknown as LogRecord);
  return reference;
}

const given = (n: number) => ({ from: 0, items: [1, 2], itemInputs: [{ n }, { n }], more: false });
const lacking = (...places: number[]) => ({
  from: 0,
  items: [1, 2],
  itemInputs: [{}, {}],
  itemErrors: places.map((place) => ({ place, error: ERROR })),
  more: false,
});

it.each<[string, unknown, Partial<Resolved>, number]>([
  ["the inputs of its items", { n: 7 }, given(7), 3],
  ["of each item that its inputs cannot be worked out", {}, lacking(0, 1), 3],
  ["an error of the whole for one of an item, by the rules of before", {}, { error: ERROR }, 2],
])("of a fan-out over a large list it is right to find %s", (_, v0, found, rules) => {
  const reference = ofTwo(v0, found, rules);
  expect(reference.wrongs).toEqual([]);
  expect(reference.isDue("failed")).toBe(v0 instanceof Object && !("n" in v0));
});

it.each<[string, unknown, Partial<Resolved>]>([
  ["an error of the whole for one of an item", {}, { error: ERROR }],
  ["inputs where they cannot be worked out", {}, given(7)],
  ["only some of the items whose inputs cannot be worked out", {}, lacking(0)],
  ["that inputs cannot be worked out which can", { n: 7 }, lacking(0, 1)],
])("of a fan-out over a large list it is wrong to find %s", (_, v0, found) => {
  const rules = ofTwo(v0, found).wrongs.map(({ rule }) => rule);
  expect(rules).toEqual(["what is found in a large value is what it holds"]);
});
