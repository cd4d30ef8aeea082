/**
 * What is left of a workflow that is under way: the steps that stay, what they have written or will write,
 * and what is still wanted.
 */
import { compileExpression } from "../workflow/cel.ts";
import type { PlanAssumption, WorkflowDocument, WorkflowStepDocument } from "../workflow/document.ts";
import { InvalidInputError } from "../workflow/errors.ts";
import { templateExpressions, visitTexts } from "../workflow/template.ts";
import type { Continuation } from "./assignment.ts";
import { outputsOf } from "./plan-document.ts";
import { isThere, unique } from "./problem.ts";

export interface Remainder extends Continuation {
  /** Done and running steps, as they were. */
  readonly kept: readonly WorkflowStepDocument[];
  /** Steps that are left to do, as they were. */
  readonly open: readonly WorkflowStepDocument[];
  /** Keys that running steps will write. */
  readonly coming: ReadonlySet<string>;
  /** What the workflow is for. */
  readonly want: readonly string[];
  /** The whole document again, with the new steps behind those that stay. */
  readonly merge: (
    steps: readonly WorkflowStepDocument[],
    want: readonly string[],
    name: string | undefined,
    assumptions: readonly PlanAssumption[],
  ) => WorkflowDocument;
}

export function remainderOf(
  workflow: WorkflowDocument,
  environment: Readonly<Record<string, unknown>>,
  options: {
    done?: Iterable<string>;
    running?: Iterable<string>;
    gone?: Iterable<string>;
    want?: readonly string[];
  },
): Remainder {
  const running = new Set(options.running);
  const done =
    options.done === undefined ? doneByOutputs(workflow, environment, running) : new Set(options.done);
  const ids = new Set(workflow.steps.map(({ id }) => id));
  for (const id of [...done, ...running]) {
    if (ids.has(id)) continue;
    throw new InvalidInputError("E_NO_STEP", `There is no step "${id}" in the workflow to update.`, {
      remedy: "Name steps of this workflow as done or running.",
      data: { step: id },
    });
  }
  const stays = (step: WorkflowStepDocument): boolean => done.has(step.id) || running.has(step.id);
  const kept = workflow.steps.filter(stays);
  const gone = new Set(options.gone);
  const open = workflow.steps.filter((step) => !stays(step) && !gone.has(step.id));
  const coming = new Set(kept.filter(({ id }) => running.has(id)).flatMap(({ outputs }) => outputs ?? []));
  const writers = new Map(
    kept.flatMap(({ id, outputs = [] }) =>
      outputs.filter((key) => coming.has(key) || isThere(environment, key)).map((key) => [key, id] as const),
    ),
  );
  const before = new Map(open.map((step) => [`${step.agent}.${step.task}`, step]));
  return {
    kept,
    open,
    coming,
    want: wantedOf(workflow),
    writers,
    takenIds: new Set([...kept.map(({ id }) => id), ...gone]),
    formerIds: new Map([...before].map(([task, { id }]) => [task, id])),
    merge: (steps, want, name, assumptions) => {
      const { assumptions: _, ...rest } = workflow;
      return {
        ...rest,
        ...(name === undefined ? {} : { name }),
        steps: [
          ...standing(kept, running, steps, want),
          ...steps.map((step) => inheriting(step, before.get(`${step.agent}.${step.task}`))),
        ],
        ...(options.want === undefined && workflow.outputs !== undefined ? {} : { outputs: outputsOf(want) }),
        ...(assumptions.length > 0 && { assumptions: [...assumptions] }),
      };
    },
  };
}

/**
 * The steps that stay, fit to stand before the new ones: a running step of which nobody reads anything any
 * more is left out, a key that a new step writes again is the new step's (a skipped step left it empty), and
 * nobody waits for a step that is not there.
 */
function standing(
  kept: readonly WorkflowStepDocument[],
  running: ReadonlySet<string>,
  steps: readonly WorkflowStepDocument[],
  want: readonly string[],
): WorkflowStepDocument[] {
  const read = new Set([...want, ...steps.flatMap((step) => [...readsOf(step.inputs), ...guardReads(step)])]);
  const waitedFor = new Set(steps.flatMap(({ dependsOn = [] }) => dependsOn));
  const rewritten = new Set(steps.flatMap(({ outputs = [] }) => outputs));
  const useful = kept.filter(
    ({ id, outputs = [] }) =>
      !running.has(id) || waitedFor.has(id) || outputs.length === 0 || outputs.some((key) => read.has(key)),
  );
  // A workflow has one step at least: where nothing is left to do, what is running may as well end.
  const stays = useful.length > 0 || steps.length > 0 ? useful : kept;
  const ids = new Set(stays.map(({ id }) => id));
  return stays.map((step) => {
    const { outputs, dependsOn, ...others } = step;
    const left = running.has(step.id) ? outputs : outputs?.filter((key) => !rewritten.has(key));
    const waits = dependsOn?.filter((id) => ids.has(id));
    return {
      ...others,
      ...(left !== undefined && left.length > 0 && { outputs: left }),
      ...(waits !== undefined && waits.length > 0 && { dependsOn: waits }),
    };
  });
}

function guardReads({ when }: WorkflowStepDocument): Iterable<string> {
  return when === undefined ? [] : compileExpression(when).reads.env;
}

function doneByOutputs(
  workflow: WorkflowDocument,
  environment: Readonly<Record<string, unknown>>,
  running: ReadonlySet<string>,
): Set<string> {
  return new Set(
    workflow.steps
      .filter(({ id, outputs = [] }) => !running.has(id) && outputs.length > 0)
      .filter(({ outputs = [] }) => outputs.every((key) => isThere(environment, key)))
      .map(({ id }) => id),
  );
}

/** The keys that the workflow's outputs read; without outputs, what no step of it reads. */
export function wantedOf(workflow: WorkflowDocument): string[] {
  if (workflow.outputs !== undefined) return readsOf(workflow.outputs);
  const read = new Set(workflow.steps.flatMap((step) => readsOf(step.inputs)));
  const written = unique(workflow.steps.flatMap(({ outputs }) => outputs ?? []));
  return written.filter((key) => !read.has(key));
}

function readsOf(value: unknown): string[] {
  const keys = new Set<string>();
  visitTexts(value, (text) => {
    for (const expression of templateExpressions(text)) for (const key of expression.reads.env) keys.add(key);
  });
  return [...keys];
}

/** What the plan does not decide stays as it was written for the same task. */
function inheriting(
  step: WorkflowStepDocument,
  former: WorkflowStepDocument | undefined,
): WorkflowStepDocument {
  if (former === undefined) return step;
  const {
    description: _,
    inputs,
    outputs: __,
    dependsOn: ___,
    when: ____,
    join: _____,
    observes: ______,
    fallback: _______,
    ...settings
  } = former;
  const constants = Object.entries(inputs ?? {}).filter(([, value]) => readsNothing(value));
  const merged = { ...Object.fromEntries(constants), ...step.inputs };
  return { ...settings, ...step, ...(Object.keys(merged).length > 0 && { inputs: merged }) };
}

function readsNothing(value: unknown): boolean {
  let reads = false;
  visitTexts(value, (text) => {
    for (const { reads: found } of templateExpressions(text)) {
      if (found.env.size + found.steps.size > 0) reads = true;
    }
  });
  return !reads;
}
