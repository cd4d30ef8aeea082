/**
 * What the expressions of a run can read: its inputs, its environment, and the outputs of its steps.
 *
 * It owns the outputs of closed steps and the inputs of open ones, which are fixed when a step becomes ready,
 * so that a retry and a failover send the same task. It does not own when that is.
 */
import { holdsReference, isClaimCheck, referencesIn } from "../bus/claim-check.ts";
import type { WireError } from "../bus/messages.ts";
import { itemRef } from "../workflow/derived-step.ts";
import type { Repeat, WorkflowStep } from "../workflow/document.ts";
import type { EnvironmentSchemas } from "../workflow/environment-schema.ts";
import { DataHammerError } from "../workflow/errors.ts";
import { type ExpressionScope, evaluateCondition, resolveTemplate } from "../workflow/expressions.ts";
import type { FoldFrame } from "./fold-frame.ts";
import {
  type Finding,
  inputsLook,
  inputsOf,
  isLargeOrListed,
  iterationLook,
  type LookedInto,
  type LookInside,
  listOf,
  lookedInto,
  type Resolution,
  resolveStep,
  templateLook,
} from "./large-values.ts";
import { expressionError, schemaError } from "./step-error.ts";

export class RunValues {
  /** The workflow's inputs, with the submission's over the defaults. */
  readonly inputs: Record<string, unknown>;
  /** Of environment keys; those of the present graph. */
  schemas: EnvironmentSchemas | undefined;
  readonly #frame: FoldFrame;
  readonly #scope: ExpressionScope;
  readonly #items = new Map<string, readonly unknown[]>();
  /** Of every step that is repeated: how often it was done, and what it gave last. */
  readonly #iterations = new Map<string, { count: number; outputs: Record<string, unknown> }>();
  readonly #stepInputs = new Map<string, Record<string, unknown>>();
  /** Why items that are about to be made cannot be given inputs, where that was found inside large values. */
  readonly #inputsErrors = new Map<string, WireError>();
  readonly #stepOutputs: ExpressionScope["steps"] = Object.create(null);
  /** Whether any input or output ever was too large for the log. */
  #hasLarge: boolean;
  /** Whether any ever had such a value inside. */
  #hasNested: boolean;

  constructor(inputs: Record<string, unknown>, frame: FoldFrame) {
    this.inputs = inputs;
    this.#hasLarge = Object.values(inputs).some(isClaimCheck);
    this.#hasNested = holdsReference(inputs);
    this.#frame = frame;
    // Both are kept up to date in place.
    this.#scope = { inputs, env: frame.environment.values, steps: this.#stepOutputs };
  }

  /** @param local what only these expressions see. @throws ExpressionError */
  resolve(
    template: Readonly<Record<string, unknown>>,
    local?: Partial<ExpressionScope>,
  ): Record<string, unknown> {
    const scope = local === undefined ? this.#scope : { ...this.#scope, ...local };
    return resolveTemplate(template, scope) as Record<string, unknown>;
  }

  /** @throws ExpressionError */
  holds(condition: string): boolean {
    return evaluateCondition(condition, this.#scope);
  }

  /**
   * The list that a step fans out over, fixed from now on.
   * @throws ExpressionError, or DataHammerError `E_NOT_A_LIST`, `E_LIMIT`
   */
  fixItems(step: WorkflowStep): readonly unknown[] {
    if (this.#frame.rules >= 3) this.forgetItems(step.id);
    const list = listOf(step, this.#scope);
    this.#items.set(step.id, list);
    return list;
  }

  /** Fixes the list of a fan-out, part by part. A successor may begin anew. */
  addItems(step: string, items: readonly unknown[], from: number): void {
    if (from === 0 && this.#frame.rules >= 3) this.forgetItems(step);
    const known = from === 0 ? [] : this.itemsOf(step);
    this.#items.set(step, [...known, ...items]);
  }

  /** The list, and what its items would have been given, is to be found anew. */
  forgetItems(step: string): void {
    for (const place of this.itemsOf(step).keys()) {
      this.#stepInputs.delete(itemRef(step, place));
      this.#inputsErrors.delete(itemRef(step, place));
    }
    this.#items.delete(step);
  }

  /** What has to be fetched before the step's expressions can be evaluated; undefined: nothing. */
  lookedInto(step: WorkflowStep): LookedInto | undefined {
    return this.#anyLarge ? lookedInto(step, this.#scope, this.#finds) : undefined;
  }

  /** What comes of the step's expressions with these values. @throws ExpressionError */
  resolveStep(
    step: WorkflowStep,
    fetched: Pick<ExpressionScope, "inputs" | "env" | "steps">,
    claimCheckBytes: number | undefined,
  ): Resolution {
    const raw = this.#nextScopeOf(step);
    const { inputs, env, steps } = raw;
    const full = {
      ...raw,
      inputs: { ...inputs, ...fetched.inputs },
      env: { ...env, ...fetched.env },
      steps: { ...steps, ...fetched.steps },
    };
    return resolveStep(step, raw, full, claimCheckBytes);
  }

  /** Whether there is any reason to ask what has to be looked inside of. */
  get #looks(): boolean {
    return this.#frame.looksInside && this.#anyLarge;
  }

  /** Whether there is a large value that the present holder would find (L1). */
  get #anyLarge(): boolean {
    const { environment, rules } = this.#frame;
    if (this.#hasLarge || environment.hasLarge) return true;
    return rules >= 1 && (this.#hasNested || environment.hasNested);
  }

  get #finds(): Finding {
    return this.#frame.rules >= 1 ? holdsReference : isLargeOrListed;
  }

  /** What a template needs to look inside of; undefined: nothing. @param local what only it sees */
  templateLook(
    template: Readonly<Record<string, unknown>>,
    local?: Partial<ExpressionScope>,
  ): LookInside | undefined {
    if (!this.#looks && !holdsReference(local?.self)) return undefined;
    const scope = local === undefined ? this.#scope : { ...this.#scope, ...local };
    return templateLook(template, scope, this.#finds);
  }

  /** What the workflow's outputs need to look inside of. Its end is a decision, so that any holder may look. */
  outputsLook(template: Readonly<Record<string, unknown>>): LookInside | undefined {
    const { hasLarge, hasNested } = this.#frame.environment;
    if (!(hasLarge || hasNested || this.#hasLarge || this.#hasNested)) return undefined;
    return templateLook(template, this.#scope, holdsReference);
  }

  /** What the inputs of a step that is opened again need to look inside of; undefined: nothing. */
  inputsLook(step: WorkflowStep): LookInside | undefined {
    return this.#looks ? inputsLook(step, this.#nextScopeOf(step), this.#finds) : undefined;
  }

  /** What the end of an iteration needs to look inside of; undefined: nothing. Takes what the iteration gave. */
  iterationLook(
    step: WorkflowStep,
    { until, max }: Repeat,
    count: number,
    outputs: Record<string, unknown>,
  ): LookInside | undefined {
    if (!this.#frame.looksInside || !(this.#looks || holdsReference(outputs))) return undefined;
    this.#iterations.set(step.id, { count, outputs });
    const isLast = count % max === 0;
    const [ended, next] = [this.#scopeOf(step, count), this.#nextScopeOf(step)];
    return iterationLook(step, { until, isLast }, ended, next, this.#finds);
  }

  /** Outputs that have to be held against a schema and are not at hand; undefined: none. */
  schemaLook(step: WorkflowStep, outputs: Record<string, unknown>): LookInside | undefined {
    const { schemas } = this;
    if (schemas === undefined || !this.#frame.looksInside) return undefined;
    const keys = step.outputs.filter((key) => schemas.has(key) && holdsReference(outputs[key]));
    if (keys.length === 0) return undefined;
    return {
      references: keys.flatMap((key) => referencesIn(outputs[key])),
      evaluate: (fetched) => {
        for (const key of step.outputs) {
          if (!schemas.has(key) || !Object.hasOwn(outputs, key)) continue;
          const problem = schemas.problem(key, fetched.whole(outputs[key]));
          if (problem !== undefined) return { error: schemaError(problem) };
        }
        return {};
      },
    };
  }

  itemsOf(step: string): readonly unknown[] {
    return this.#items.get(step) ?? [];
  }

  /** The inputs that a step's next task carries; undefined before it became ready. */
  inputsOf(step: string): Record<string, unknown> | undefined {
    return this.#stepInputs.get(step);
  }

  /** Fixes a step's inputs. @throws ExpressionError */
  fixInputs(step: WorkflowStep): void {
    if (!this.#frame.looksInside && this.lookedInto(step) !== undefined) throw tooLargeToLookInto(step.id);
    const scope = this.#nextScopeOf(step);
    this.#stepInputs.set(
      step.id,
      inputsOf(step, (template) => resolveTemplate(template, scope)),
    );
  }

  /** Fixes an item's inputs, unless they were found before. @returns why that cannot be */
  fixItemInputs(item: WorkflowStep): WireError | undefined {
    if (this.#stepInputs.has(item.id)) return undefined;
    const found = this.#inputsErrors.get(item.id);
    if (found !== undefined) {
      this.#inputsErrors.delete(item.id);
      return found;
    }
    try {
      this.fixInputs(item);
    } catch (thrown) {
      return expressionError(thrown);
    }
    return undefined;
  }

  /** The step's inputs cannot be worked out: that was found inside large values. */
  refuseInputs(step: string, error: WireError): void {
    this.#stepInputs.delete(step);
    this.#inputsErrors.set(step, error);
  }

  /** The inputs were those of another iteration. */
  forgetInputs(step: string): void {
    this.#stepInputs.delete(step);
  }

  /** Fixes a step's inputs to these. */
  giveInputs(step: string, inputs: Record<string, unknown>): void {
    this.#stepInputs.set(step, inputs);
  }

  /** Takes what an iteration gave. @returns whether it was the last. @throws ExpressionError */
  endsIteration(step: WorkflowStep, until: string, count: number, outputs: Record<string, unknown>): boolean {
    this.#iterations.set(step.id, { count, outputs });
    if (!this.#frame.looksInside && Object.values(outputs).some(isClaimCheck)) throw untilTooLarge(step.id);
    return evaluateCondition(until, this.#scopeOf(step, count));
  }

  /** A closed step needs its inputs no more, nor its items. */
  dropInputs(step: WorkflowStep): void {
    this.#stepInputs.delete(step.id);
    if (step.forEach !== undefined) this.#items.delete(step.id);
    if (step.repeat !== undefined) this.#iterations.delete(step.id);
  }

  /** What a step's result held, declared keys and others; null values for a skipped step. */
  outputsOf(step: string): Record<string, unknown> | undefined {
    return this.#stepOutputs[step]?.outputs ?? undefined;
  }

  /** Takes a step's outputs: all of them as the step's, the declared ones as environment keys. */
  giveOutputs(step: WorkflowStep, outputs: Record<string, unknown>, agent: string | undefined): void {
    const writer = agent === undefined ? { step: step.id } : { step: step.id, agent };
    for (const key of step.outputs) {
      if (Object.hasOwn(outputs, key)) this.#frame.setEnv(key, outputs[key], writer);
    }
    this.keepOutputs(step.id, outputs);
  }

  /** Has the outputs of a step that was done in another run; the environment is taken over by itself. */
  keepOutputs(step: string, outputs: Record<string, unknown>): void {
    for (const key in outputs) {
      if (isClaimCheck(outputs[key])) this.#hasLarge = true;
      else if (holdsReference(outputs[key])) this.#hasNested = true;
    }
    this.#frame.secrets?.learnAll(outputs);
    this.#stepOutputs[step] = { outputs };
  }

  /** A step that ended without a result leaves null where nothing was, so that dependents can read on. */
  giveNulls(step: WorkflowStep): void {
    const outputs: Record<string, unknown> = Object.create(null);
    for (const key of step.outputs) {
      outputs[key] = null;
      if (!this.#frame.environment.has(key)) this.#frame.setEnv(key, null, { step: step.id });
    }
    this.#stepOutputs[step.id] = { outputs };
  }

  /** Why what somebody answers may not become environment keys; undefined: it may, or counts as a result does. */
  answerProblem(step: WorkflowStep, outputs: Record<string, unknown>): string | undefined {
    return this.#frame.rules >= 1 ? this.schemaProblem(step, outputs) : undefined;
  }

  /** Why the declared outputs may not become environment keys; undefined: they may. */
  schemaProblem(step: WorkflowStep, outputs: Record<string, unknown>): string | undefined {
    if (this.schemas === undefined) return undefined;
    for (const key of step.outputs) {
      if (!Object.hasOwn(outputs, key)) continue;
      const problem = this.schemaProblemOf(key, outputs[key]);
      if (problem !== undefined) return problem;
    }
    return undefined;
  }

  schemaProblemOf(key: string, value: unknown): string | undefined {
    // A reference cannot be looked at: see `schemaLook`.
    return isClaimCheck(value) ? undefined : this.schemas?.problem(key, value);
  }

  /** Declared outputs that neither the result has nor the step wrote while it ran. */
  missingOutputs(step: WorkflowStep, outputs: Record<string, unknown>): string[] {
    return step.outputs.filter((key) => !Object.hasOwn(outputs, key) && !this.#wrote(step.id, key));
  }

  /** The scope of the iteration that comes next; of a step that is not repeated, its scope. */
  #nextScopeOf(step: WorkflowStep): ExpressionScope {
    return this.#scopeOf(step, (this.#iterations.get(step.id)?.count ?? 0) + 1);
  }

  /** @param iteration in which the expression is evaluated */
  #scopeOf({ id, origin, repeat }: WorkflowStep, iteration: number): ExpressionScope {
    if (origin === undefined && repeat === undefined) return this.#scope;
    const item =
      origin === undefined
        ? {}
        : { item: this.#items.get(origin.of)?.[origin.place], index: BigInt(origin.place) };
    if (repeat === undefined) return { ...this.#scope, ...item };
    const outputs = this.#iterations.get(id)?.outputs ?? {};
    return { ...this.#scope, ...item, iteration: BigInt(iteration), outputs };
  }

  #wrote(id: string, key: string): boolean {
    return this.#frame.environment.entry(key)?.writer.step === id;
  }
}

/** Under a holder that does not look inside. */
function untilTooLarge(step: string): DataHammerError {
  const message = `an output of ${step} is above 256 KiB, so that \`until\` cannot look at it; give a smaller one`;
  return new DataHammerError("E_LARGE_VALUE", message);
}

/** The same: a step that is repeated or opened again got its inputs in the fold, which cannot fetch anything. */
function tooLargeToLookInto(step: string): DataHammerError {
  const message = `the inputs of ${step} look inside a value above 256 KiB in an iteration after the first`;
  return new DataHammerError("E_LARGE_VALUE", `${message}; pass the value on whole, or give a smaller one`);
}
