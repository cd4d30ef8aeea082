/**
 * Large values in expressions: a value above the claim check's bound is in the log as a reference, which no
 * fold can look inside.
 *
 * It owns telling which expressions of a step would look inside one, and evaluating them once somebody fetched
 * the values. It does not own fetching: that is I/O, so what came of it is a decision in the log (L3). An
 * expression that only passes a value on passes its reference on, and nothing is fetched for it.
 */
import { isClaimCheck } from "../bus/claim-check.ts";
import { WORKFLOW_LIMITS, type WorkflowStep } from "../workflow/document.ts";
import { DataHammerError } from "../workflow/errors.ts";
import {
  compileExpression,
  type ExpressionScope,
  evaluateCondition,
  evaluateExpression,
  resolveTemplate,
} from "../workflow/expressions.ts";
import { literalWorkflow } from "../workflow/nested-run.ts";
import { splitTemplate, visitTexts } from "../workflow/template.ts";

/** Keys of the scope whose values have to be fetched before a step's expressions can be evaluated. */
export interface LookedInto {
  readonly inputs: readonly string[];
  readonly env: readonly string[];
  readonly steps: readonly string[];
}

/** What came of a step's expressions. */
export type Resolution =
  | { skip: true }
  | { inputs: Record<string, unknown> }
  /** The list of a fan-out; the items' inputs where they look inside large values themselves. */
  | { items: readonly unknown[]; itemInputs?: readonly Record<string, unknown>[] };

/** Undefined when the step's expressions can be evaluated as things stand. */
export function lookedInto(step: WorkflowStep, scope: ExpressionScope): LookedInto | undefined {
  const found = { inputs: new Set<string>(), env: new Set<string>(), steps: new Set<string>() };
  const look = (source: string) => {
    const { reads } = compileExpression(source);
    const known = (keys: ReadonlySet<string>, optional: ReadonlySet<string>) => [...keys, ...optional];
    // A key that is computed may be any.
    const named = known(reads.env, reads.optionalEnv);
    const env = named.length > 0 || !reads.variables.has("env") ? named : Object.keys(scope.env);
    for (const key of env) if (holdsLarge(scope.env[key])) found.env.add(key);
    for (const id of known(reads.steps, reads.optionalSteps)) {
      const outputs = scope.steps[id]?.outputs ?? {};
      if (Object.values(outputs).some(holdsLarge)) found.steps.add(id);
    }
    if (!reads.variables.has("inputs")) return;
    for (const key of Object.keys(scope.inputs)) if (holdsLarge(scope.inputs[key])) found.inputs.add(key);
  };
  if (step.when !== undefined) look(step.when);
  if (typeof step.forEach === "string") look(step.forEach);
  else if (step.forEach !== undefined) lookInTexts(step.forEach, scope, look);
  lookInTexts(templateOf(step), scope, look);
  if (found.inputs.size + found.env.size + found.steps.size === 0) return undefined;
  return { inputs: [...found.inputs], env: [...found.env], steps: [...found.steps] };
}

/**
 * Evaluates what a step needs to become ready.
 * @param raw the scope as the fold has it
 * @param full the same with the values that are looked into
 * @throws ExpressionError, or DataHammerError as `listOf`
 */
export function resolveStep(step: WorkflowStep, raw: ExpressionScope, full: ExpressionScope): Resolution {
  if (step.when !== undefined && !evaluateCondition(step.when, full)) return { skip: true };
  if (step.forEach === undefined) return { inputs: inputsOf(step, resolveMixed(raw, full)) };
  const items = listOf(step, full);
  if (lookedInto({ ...step, when: undefined, forEach: undefined }, raw) === undefined) return { items };
  const itemInputs = items.map((item, place) => {
    const local = { item, index: BigInt(place), iteration: 1n, outputs: {} };
    return inputsOf(step, resolveMixed({ ...raw, ...local }, { ...full, ...local }));
  });
  return { items, itemInputs };
}

/** The list of a fan-out. @throws ExpressionError, or DataHammerError `E_NOT_A_LIST`, `E_LIMIT` */
export function listOf(step: WorkflowStep, scope: ExpressionScope): readonly unknown[] {
  const source = step.forEach ?? [];
  const list =
    typeof source === "string" ? evaluateExpression(source, scope) : resolveTemplate(source, scope);
  if (!Array.isArray(list)) {
    const actual = list === null ? "null" : typeof list === "object" ? "a map" : `a ${typeof list}`;
    throw new DataHammerError("E_NOT_A_LIST", `forEach: \`${source}\` gives ${actual}, not a list`);
  }
  if (list.length > WORKFLOW_LIMITS.items) {
    const message = `forEach gives ${list.length} items, more than the ${WORKFLOW_LIMITS.items} allowed`;
    throw new DataHammerError("E_LIMIT", message);
  }
  return list;
}

/** A step's inputs. What a nested document says is for the nested run to work out. */
export function inputsOf(
  step: WorkflowStep,
  resolve: (template: unknown) => unknown,
): Record<string, unknown> {
  const inputs = resolve(templateOf(step)) as Record<string, unknown>;
  const workflow = literalWorkflow(step.agent, step.inputs);
  return workflow === undefined ? inputs : { ...inputs, workflow };
}

function templateOf({ agent, inputs }: WorkflowStep): Readonly<Record<string, unknown>> {
  return literalWorkflow(agent, inputs) === undefined ? inputs : { ...inputs, workflow: null };
}

/** Resolves texts that only pass a large value on by its reference, all others with the values themselves. */
function resolveMixed(raw: ExpressionScope, full: ExpressionScope): (template: unknown) => unknown {
  const resolve = (value: unknown): unknown => {
    if (typeof value === "string") return resolveTemplate(value, isPassedOn(value, raw) ? raw : full);
    if (Array.isArray(value)) return value.map(resolve);
    if (typeof value !== "object" || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, resolve(inner)]));
  };
  return resolve;
}

function lookInTexts(value: unknown, scope: ExpressionScope, look: (source: string) => void): void {
  visitTexts(value, (text) => {
    if (isPassedOn(text, scope)) return;
    for (const part of splitTemplate(text)) if ("source" in part) look(part.source);
  });
}

/** Whether the text is one expression that names a large value and does nothing with it. */
function isPassedOn(text: string, scope: ExpressionScope): boolean {
  if (!text.includes("${")) return false;
  const [only, ...more] = splitTemplate(text);
  if (more.length > 0 || only === undefined || !("source" in only)) return false;
  return holdsLarge(compileExpression(only.source).named(scope));
}

/** A reference itself, or a list of a fan-out some of whose items are. */
function holdsLarge(value: unknown): boolean {
  return isClaimCheck(value) || (Array.isArray(value) && value.some(isClaimCheck));
}
