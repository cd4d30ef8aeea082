/**
 * Undoing what a run has done, when it fails or is cancelled: the compensations of its completed steps, one
 * after the other, in the reverse order of completion.
 *
 * It owns which steps can be undone, their order, and what each undoing task is given. It does not own when a
 * run gives up (a decision, L3), nor how an undoing step is dispatched, tried again and lost: like any other.
 *
 *  - U1 What completed last is undone first, and nothing else is undone at the same time: a step may rest on
 *    every step that completed before it.
 *  - U2 An undoing step that fails for good stays failed, and the next one begins.
 */
import type { WireError } from "../bus/messages.ts";
import { undoStep } from "../workflow/compensation.ts";
import type { DerivedStep } from "../workflow/derived-step.ts";
import type { WorkflowStep } from "../workflow/document.ts";
import { DataHammerError } from "../workflow/errors.ts";
import type { ExpressionScope } from "../workflow/expressions.ts";
import type { Found, LookInside } from "./large-values.ts";
import type { RunValues } from "./run-values.ts";
import type { StepMoves } from "./step-moves.ts";

type LookLater = (id: string, look: LookInside, goOn: (found: Found) => void) => void;

interface Completed {
  readonly step: WorkflowStep;
  readonly inputs: Record<string, unknown>;
  readonly outputs: Record<string, unknown>;
  readonly item: unknown;
}

export class Compensations {
  readonly #moves: StepMoves;
  readonly #values: RunValues;
  readonly #lookInside: LookLater;
  /** In the order of completion; the last is undone first. */
  readonly #completed: Completed[] = [];
  readonly #undoing: DerivedStep[] = [];
  readonly #undone = new Set<string>();
  #begun = false;
  #over = false;

  /** @param lookInside has a step stand until large values were looked into */
  constructor(moves: StepMoves, values: RunValues, lookInside: LookLater) {
    this.#moves = moves;
    this.#values = values;
    this.#lookInside = lookInside;
  }

  /** Whether there is something to undo, and nobody has begun to. */
  get isDue(): boolean {
    return !this.#begun && this.#completed.length > 0;
  }

  get isBegun(): boolean {
    return this.#begun;
  }

  get isOver(): boolean {
    return this.#over;
  }

  /** The undoing steps, in the order in which they are done. */
  get steps(): readonly DerivedStep[] {
    return this.#undoing;
  }

  /** Whether the step was undone, or that was tried: its result does not stand any more. */
  isUndone(step: string): boolean {
    return this.#undone.has(step);
  }

  /** A step that can be undone completed. To be called while its inputs are there. */
  note(step: WorkflowStep, inputs: Record<string, unknown>, outputs: Record<string, unknown>): void {
    const { origin } = step;
    const item = origin && this.#values.itemsOf(origin.of)[origin.place];
    this.#completed.push({ step, inputs, outputs, item });
  }

  begin(): void {
    this.#begun = true;
    for (const { step } of this.#completed.toReversed()) {
      if (step.compensate === undefined) continue;
      const undo = undoStep(step, step.compensate);
      this.#undoing.push(undo);
      this.#undone.add(step.id).add(undo.origin.of);
      this.#moves.make(undo);
    }
    this.goOn("the run gives up");
  }

  /** U1: begins the next one, if there is one. */
  goOn(cause: string): void {
    for (let next = this.#completed.pop(); next !== undefined; next = this.#completed.pop()) {
      const undo = this.#undoing[this.#undoing.length - 1 - this.#completed.length];
      if (undo === undefined) continue;
      try {
        const local = localsOf(next);
        const template = next.step.compensate?.inputs;
        const look = template && this.#values.templateLook(template, local);
        if (look !== undefined)
          return this.#lookInside(undo.id, look, (found) => this.#begin(undo, found, cause));
        const inputs = template ? this.#values.resolve(template, local) : { ...next.inputs, ...next.outputs };
        return this.#begin(undo, { inputs }, cause);
      } catch (thrown) {
        if (!(thrown instanceof DataHammerError)) throw thrown;
        const { name, code, message } = thrown;
        this.#refuse(undo, { name, code, message, retryable: false });
      }
    }
    this.#over = true;
  }

  #begin(undo: DerivedStep, { inputs = {}, error }: Found, cause: string): void {
    if (error !== undefined) {
      this.#refuse(undo, error);
      return this.goOn(cause);
    }
    this.#values.giveInputs(undo.id, inputs);
    this.#moves.move(undo.id, { type: "dependencies met" }, cause);
    this.#moves.offer(undo.id, 0);
  }

  /** U2 */
  #refuse(undo: DerivedStep, error: WireError): void {
    this.#moves.move(undo.id, { type: "refuse", error }, error.message);
  }
}

/** What only the expressions of an undoing step see. */
function localsOf({ step, inputs, outputs, item }: Completed): Partial<ExpressionScope> {
  const self = { inputs, outputs };
  return step.origin === undefined ? { self } : { self, item, index: BigInt(step.origin.place) };
}
