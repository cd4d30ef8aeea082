/**
 * Second chances: what failed is opened again, by a person's retry or by a recovery that found another way; people
 * are asked about it; values take the place of what it gives; or it is given up.
 *
 * It owns how a failed step is opened again, and which one the last retry left alone. It does not own that a step
 * failed nor what that means for the run (the frontier does), nor how its items go.
 */
import type { RunError } from "../bus/decisions.ts";
import type { WireError } from "../bus/messages.ts";
import type { StepEvent } from "../machines/step.ts";
import type { WorkflowStep } from "../workflow/document.ts";
import type { WorkflowGraph } from "../workflow/graph.ts";
import type { FactsToWeigh } from "./facts-to-weigh.ts";
import type { FoldFrame } from "./fold-frame.ts";
import type { Frontier } from "./frontier.ts";
import type { RunValues } from "./run-values.ts";
import { expressionError, runErrorOf } from "./step-error.ts";
import type { StepMoves } from "./step-moves.ts";

/** What a reopened step may change. */
export interface Reopening {
  role?: string;
  task?: string;
  inputs?: Record<string, unknown>;
}

/** What second chances need of the step flow. */
export interface ChancesScene {
  readonly graph: WorkflowGraph;
  readonly facts: FactsToWeigh;
  readonly frontier: Frontier;
  readonly values: RunValues;
}

export class SecondChances {
  readonly #frame: FoldFrame;
  readonly #moves: StepMoves;
  readonly #flow: ChancesScene;
  /** A failed step that the last retry did not choose. */
  #leftFailed: string | undefined;

  constructor(frame: FoldFrame, moves: StepMoves, flow: ChancesScene) {
    this.#frame = frame;
    this.#moves = moves;
    this.#flow = flow;
  }

  /**
   * Gives the chosen failed steps a new chance, and every step that was cancelled only because the run
   * failed. An item is chosen with its whole fan-out. Returns whether there was one.
   * @param othersLater a failed step that was not chosen fails the run only once nothing else is open
   */
  retry(chosen: string | undefined, cause: string, othersLater: boolean): boolean {
    const { graph, frontier } = this.#flow;
    const { steps } = this.#moves;
    const isKnown = chosen !== undefined && steps.has(chosen);
    const target = isKnown ? (steps.step(chosen).origin?.of ?? chosen) : chosen;
    const failed = [...graph.steps()]
      .map((step) => step.id)
      .filter((id) => this.#moves.read(id).state === "failed" && !frontier.isClosed(id));
    const cancelled = (id: string) => this.#moves.read(id).context.outcome === "cancelled";
    const wanted = failed.filter((id) => target === undefined || id === target || cancelled(id));
    if (!wanted.some((id) => target === undefined || id === target)) return false;
    frontier.failure = undefined;
    const left = failed.find((id) => !wanted.includes(id));
    for (const id of wanted) this.reopen(id, {}, cause);
    this.#leftFailed = othersLater ? left : undefined;
    if (left !== undefined && !othersLater) this.giveUp(left);
    return true;
  }

  /** What a failed step that a retry left alone fails the run with, once everything else is closed. */
  get leftFailure(): RunError | undefined {
    if (this.#leftFailed === undefined) return undefined;
    const { state, context } = this.#moves.read(this.#leftFailed);
    if (state !== "failed") return undefined;
    const { ready, running } = this.#moves.counts;
    const { recovering, unresolved } = this.#flow.frontier;
    const isOpen = ready + running + recovering.size + unresolved.size > 0;
    return isOpen || this.#flow.facts.givers.size > 0 ? undefined : runErrorOf(context);
  }

  /** Opens a failed step again; its failure is no longer the run's. */
  reopen(id: string, changes: Reopening, cause: string): void {
    const { frontier, values } = this.#flow;
    const step = this.#moves.steps.step(id);
    // Another way to the outputs gives them as a whole.
    if (step.forEach !== undefined && changes.role !== undefined) frontier.items.abandon(id);
    if (frontier.items.isFor(step)) return this.#reopenItems(step, cause);
    const { context } = this.#moves.read(id);
    // After the last iteration that was allowed, a person's retry allows as many again.
    const last = context.failures.at(-1);
    // A fan-out that failed with an item's limit has no iterations of its own.
    const isExhausted =
      step.forEach === undefined && last?.error.code === "E_REPEAT_LIMIT" && last.n === context.n;
    const iteration = isExhausted ? context.iteration + 1 : context.iteration;
    const given = isExhausted ? undefined : (changes.inputs ?? context.inputs ?? values.inputsOf(id));
    frontier.forgetLook(id);
    const again = { type: "reopen", ...changes, iteration } as const;
    const goOn = () => this.#open(id, again, cause);
    if (given !== undefined) return goOn();
    const look = values.inputsLook(step);
    if (look !== undefined) {
      return frontier.lookInside(id, look, ({ inputs, error }) => {
        if (error !== undefined) return this.#lackInputs(step, error, again, cause);
        values.giveInputs(id, inputs ?? {});
        goOn();
      });
    }
    try {
      values.fixInputs(step);
    } catch (thrown) {
      return this.#lackInputs(step, expressionError(thrown), again, cause);
    }
    goOn();
  }

  #open(id: string, again: StepEvent & { type: "reopen" }, cause: string): void {
    // A person's retry comes before a recovery that is still thought about.
    this.#flow.frontier.recovering.delete(id);
    this.#moves.move(id, again, cause);
    this.#moves.offer(id, 0);
  }

  /** Its inputs still cannot be worked out. It fails as it did the first time, unless people are asked about it. */
  #lackInputs(
    step: WorkflowStep,
    error: WireError,
    again: StepEvent & { type: "reopen" },
    cause: string,
  ): void {
    const { id } = step;
    const { frontier, values } = this.#flow;
    if (this.#frame.rules < 3) {
      frontier.failure ??= { code: "E_EXPRESSION", message: error.message, step: id };
      return;
    }
    values.forgetInputs(id);
    if (this.#moves.waits.isAsked(id)) return this.#open(id, again, cause);
    frontier.recovering.delete(id);
    frontier.release(frontier.refuseAgain(step, error, again, cause), `${id} failed, and may`);
  }

  #reopenItems(step: WorkflowStep, cause: string): void {
    const { frontier } = this.#flow;
    frontier.recovering.delete(step.id);
    try {
      const { items, released } = frontier.items.reopen(step, cause);
      for (const { id } of items) {
        // One that cannot be given inputs fails them all.
        if (this.#moves.read(step.id).state === "running") this.reopen(id, {}, cause);
      }
      frontier.release(released, `${step.id} is done`);
    } catch (thrown) {
      const { message } = expressionError(thrown);
      frontier.failure ??= { code: "E_EXPRESSION", message, step: step.id };
    }
  }

  // ── when no other way is left ────────────────────────────────────────────────────────────────────

  /** People are asked what to do about the failure. */
  ask(id: string, cause: string): void {
    const { role, task } = this.#moves.read(id).context;
    this.#moves.waits.ask(id);
    this.reopen(id, { role, task }, cause);
  }

  /** They say that it is to be tried again. */
  tryAgain(id: string, cause: string): void {
    const { inputs } = this.#moves.read(id).context;
    if (inputs !== null || this.#flow.values.inputsOf(id) !== undefined)
      return this.#moves.approve(id, cause);
    // Its inputs could not be worked out when they were asked.
    this.#moves.waits.approve(id);
    this.#moves.move(id, { type: "cancel" }, cause);
    this.reopen(id, {}, cause);
  }

  /** Nothing can make its outputs any more: the step stays failed, and the run goes on with these values. */
  fallBack(id: string, instead: Readonly<Record<string, unknown>>): void {
    const { graph, frontier, values } = this.#flow;
    const step = graph.step(id);
    const outputs = Object.fromEntries(step.outputs.map((key) => [key, instead[key] ?? null]));
    values.giveOutputs(step, outputs, undefined);
    frontier.release(frontier.close(id), `${id} failed, and its fallback is there`);
  }

  /** The step stays failed, and so fails the run. */
  giveUp(id: string): void {
    this.#flow.frontier.failure ??= runErrorOf(this.#moves.read(id).context);
  }
}
