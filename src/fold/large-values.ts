/**
 * Large values in expressions: a value above the claim check's bound is in the log as a reference, which no
 * fold can look inside.
 *
 * It owns telling which expressions of a step would look inside one, and evaluating them once somebody fetched
 * the values. It does not own fetching: that is I/O, so what came of it is a decision in the log (L3). An
 * expression that only passes a value on passes its reference on, and nothing is fetched for it.
 */
import type { ArtifactRef } from "../bus/bus.ts";
import {
  type FetchedValues,
  holdsReference,
  isClaimCheck,
  referencesIn,
  travelsAsItIs,
} from "../bus/claim-check.ts";
import type { WireError } from "../bus/messages.ts";
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
import { expressionError } from "./step-error.ts";

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
  | { items: readonly unknown[]; itemInputs?: readonly ItemInputs[] };

/** What an item is given, or why that cannot be worked out: that is the matter of this item alone. */
export type ItemInputs = { inputs: Record<string, unknown> } | { error: WireError };

/** What can be said only once large values are there. */
export interface LookInside {
  /** What has to be fetched. */
  readonly references: readonly ArtifactRef[];
  /** What comes of it. @throws DataHammerError */
  evaluate(fetched: FetchedValues): Found;
}

/** What came of looking inside. */
export interface Found {
  /** Of a repeated step: whether there is another iteration. */
  again?: boolean | undefined;
  inputs?: Record<string, unknown> | undefined;
  error?: WireError | undefined;
}

/** Whether there is a large value to be found in a value. */
export type Finding = (value: unknown) => boolean;

/** Undefined when the step's expressions can be evaluated as things stand. */
export function lookedInto(
  step: WorkflowStep,
  scope: ExpressionScope,
  finds: Finding,
): LookedInto | undefined {
  const sight = new Sight(scope, finds);
  if (step.when !== undefined) sight.read(step.when);
  if (typeof step.forEach === "string") sight.read(step.forEach);
  else if (step.forEach !== undefined) sight.readTexts(step.forEach);
  sight.readTexts(templateOf(step));
  const { inputs, env, steps } = sight;
  if (inputs.size + env.size + steps.size === 0) return undefined;
  return { inputs: [...inputs], env: [...env], steps: [...steps] };
}

/** What expressions would look inside of. */
class Sight {
  readonly inputs = new Set<string>();
  readonly env = new Set<string>();
  readonly steps = new Set<string>();
  readonly locals = new Set<(typeof LOCALS)[number]>();
  readonly #scope: ExpressionScope;
  readonly #finds: Finding;

  constructor(scope: ExpressionScope, finds: Finding) {
    this.#scope = scope;
    this.#finds = finds;
  }

  /** An expression. */
  read(source: string): void {
    const scope = this.#scope;
    const { reads } = compileExpression(source);
    const known = (keys: ReadonlySet<string>, optional: ReadonlySet<string>) => [...keys, ...optional];
    // A key that is computed may be any.
    const named = known(reads.env, reads.optionalEnv);
    const env = named.length > 0 || !reads.variables.has("env") ? named : Object.keys(scope.env);
    for (const key of env) if (this.#finds(scope.env[key])) this.env.add(key);
    for (const id of known(reads.steps, reads.optionalSteps)) {
      const outputs = scope.steps[id]?.outputs ?? {};
      if (Object.values(outputs).some(this.#finds)) this.steps.add(id);
    }
    for (const name of LOCALS)
      if (reads.variables.has(name) && holdsReference(scope[name])) this.locals.add(name);
    if (!reads.variables.has("inputs")) return;
    for (const key of Object.keys(scope.inputs)) if (this.#finds(scope.inputs[key])) this.inputs.add(key);
  }

  /** Texts with expressions in them; one that only passes a large value on looks at nothing. */
  readTexts(value: unknown): void {
    visitTexts(value, (text) => {
      if (isPassedOn(text, this.#scope)) return;
      for (const part of splitTemplate(text)) if ("source" in part) this.read(part.source);
    });
  }

  get references(): ArtifactRef[] {
    const { inputs, env, steps } = this.#scope;
    return [
      ...[...this.inputs].map((key) => inputs[key]),
      ...[...this.env].map((key) => env[key]),
      ...[...this.steps].map((id) => steps[id]?.outputs),
      ...[...this.locals].map((name) => this.#scope[name]),
    ].flatMap(referencesIn);
  }

  /** The scope with the values themselves. */
  whole(fetched: FetchedValues): ExpressionScope {
    const { inputs, env, steps } = this.#scope;
    const pick = (keys: ReadonlySet<string>, from: Readonly<Record<string, unknown>>) =>
      Object.fromEntries([...keys].map((key) => [key, fetched.whole(from[key])]));
    return {
      ...this.#scope,
      inputs: { ...inputs, ...pick(this.inputs, inputs) },
      env: { ...env, ...pick(this.env, env) },
      steps: { ...steps, ...(pick(this.steps, steps) as ExpressionScope["steps"]) },
      ...pick(this.locals, this.#scope as unknown as Record<string, unknown>),
    };
  }
}

/** The references that these expressions would look inside of; one that cannot be compiled looks at nothing. */
export function referencesRead(sources: readonly string[], scope: ExpressionScope): readonly ArtifactRef[] {
  const sight = new Sight(scope, holdsReference);
  for (const source of sources) {
    try {
      sight.read(source);
    } catch (error) {
      if (!(error instanceof DataHammerError)) throw error;
    }
  }
  return sight.references;
}

/** Names that only some expressions have. */
const LOCALS = ["item", "outputs", "self"] as const;

/** A template that looks inside large values; undefined: it can be resolved as things stand. */
export function templateLook(
  template: Readonly<Record<string, unknown>>,
  scope: ExpressionScope,
  finds: Finding,
): LookInside | undefined {
  const sight = new Sight(scope, finds);
  sight.readTexts(template);
  const { references } = sight;
  if (references.length === 0) return undefined;
  return {
    references,
    evaluate: (fetched) => ({
      inputs: resolveMixed(scope, sight.whole(fetched))(template) as Record<string, unknown>,
    }),
  };
}

/** The inputs of a step that look inside large values. */
export function inputsLook(
  step: WorkflowStep,
  scope: ExpressionScope,
  finds: Finding,
): LookInside | undefined {
  const look = templateLook(templateOf(step), scope, finds);
  if (look === undefined) return undefined;
  const { references } = look;
  return {
    references,
    evaluate: (fetched) => ({ inputs: inputsOf(step, () => look.evaluate(fetched).inputs) }),
  };
}

/**
 * The end of an iteration that cannot be told without large values, or whose next one cannot be given inputs.
 * @param ended the scope of the iteration that ended
 * @param next that of the one after it
 */
export function iterationLook(
  step: WorkflowStep,
  { until, isLast }: { until: string; isLast: boolean },
  ended: ExpressionScope,
  next: ExpressionScope,
  finds: Finding,
): LookInside | undefined {
  const sight = new Sight(ended, finds);
  sight.read(until);
  const inputs = inputsLook(step, next, finds);
  const references = [...sight.references, ...(inputs?.references ?? [])];
  if (references.length === 0) return undefined;
  return {
    references,
    evaluate: (fetched) => {
      if (evaluateCondition(until, sight.whole(fetched))) return { again: false };
      if (isLast) return { again: true };
      const found = inputs?.evaluate(fetched) ?? {
        inputs: inputsOf(step, (template) => resolveTemplate(template, next)),
      };
      return { ...found, again: true };
    },
  };
}

/**
 * Evaluates what a step needs to become ready.
 * @param raw the scope as the fold has it
 * @param full the same with the values that are looked into
 * @param claimCheckBytes above it an item goes as a reference
 * @throws ExpressionError, or DataHammerError as `listOf`
 */
export function resolveStep(
  step: WorkflowStep,
  raw: ExpressionScope,
  full: ExpressionScope,
  claimCheckBytes?: number,
): Resolution {
  if (step.when !== undefined && !evaluateCondition(step.when, full)) return { skip: true };
  if (step.forEach === undefined) return { inputs: inputsOf(step, resolveMixed(raw, full)) };
  const items = listOf(step, full);
  const looksInside =
    lookedInto({ ...step, when: undefined, forEach: undefined }, raw, holdsReference) !== undefined;
  // A large item goes as a reference, which the fold cannot look inside either.
  if (!looksInside && items.every((item) => travelsAsItIs({ item }, claimCheckBytes))) return { items };
  const itemInputs = items.map((item, place) => {
    const local = { item, index: BigInt(place), iteration: 1n, outputs: {} };
    try {
      return { inputs: inputsOf(step, resolveMixed({ ...raw, ...local }, { ...full, ...local })) };
    } catch (thrown) {
      return { error: expressionError(thrown) };
    }
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

/** Whether the text is one expression that names a large value and does nothing with it. */
function isPassedOn(text: string, scope: ExpressionScope): boolean {
  if (!text.includes("${")) return false;
  const [only, ...more] = splitTemplate(text);
  if (more.length > 0 || only === undefined || !("source" in only)) return false;
  return holdsReference(compileExpression(only.source).named(scope));
}

/** A reference itself, or a list some of whose items are: all that holders found at first (L1). */
export function isLargeOrListed(value: unknown): boolean {
  return isClaimCheck(value) || (Array.isArray(value) && value.some(isClaimCheck));
}
