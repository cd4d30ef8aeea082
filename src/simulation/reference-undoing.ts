/**
 * How what a run did is undone, said a second time: what completed last comes first, one at a time.
 *
 * It owns what can be undone and the steps that do it. It does not own whether the run gives up: the reference does.
 */
import type { WorkflowDocument } from "../workflow/document.ts";
import type { ReferenceLooks } from "./reference-looks.ts";
import type { ReferenceOpenings } from "./reference-openings.ts";
import { giveOwn, type ReferenceStep, undoingStep } from "./reference-step.ts";
import type { ReferenceValues } from "./reference-values.ts";

interface Done {
  step: ReferenceStep;
  inputs: Record<string, unknown>;
  outputs: Record<string, unknown>;
}

export class ReferenceUndoing {
  /** Completed steps that can be undone, in the order of their completion. */
  readonly #done: Done[] = [];
  readonly #values: ReferenceValues;
  readonly #looks: ReferenceLooks;
  readonly #openings: ReferenceOpenings;
  #begun = false;
  #steps: ReferenceStep[] = [];

  constructor(values: ReferenceValues, looks: ReferenceLooks, openings: ReferenceOpenings) {
    this.#values = values;
    this.#looks = looks;
    this.#openings = openings;
  }

  /** The steps that undo others, in their order. */
  get steps(): readonly ReferenceStep[] {
    return this.#steps;
  }

  /** Whether there is something to undo, and nobody has begun. */
  get isDue(): boolean {
    return !this.#begun && this.#done.length > 0;
  }

  /** Whether all that could be undone was, or could not be. */
  get isOver(): boolean {
    return this.#begun && this.#steps.every(({ state }) => state === "done" || state === "failed");
  }

  completed(done: Done): void {
    this.#done.push(done);
  }

  begin(defaults: WorkflowDocument["defaults"]): readonly ReferenceStep[] {
    this.#begun = true;
    this.#steps = this.#done.toReversed().map(({ step }) => undoingStep(step, defaults));
    return this.#steps;
  }

  next(): void {
    const next = this.#steps.find(({ state }) => state === "pending");
    const done = this.#done.find(({ step }) => step === next?.undoes);
    if (next === undefined || done === undefined) return;
    const { compensate } = done.step.doc;
    const template = typeof compensate === "object" ? compensate.inputs : undefined;
    const { inputs, outputs } = done;
    if (template === undefined || !this.#values.undoingLooks(template, { inputs, outputs }))
      return this.#begin(next, done, template);
    this.#looks.stand(next, next.n, () => {
      this.#begin(next, done, template);
      return next.state === "failed" ? "refused" : "fits";
    });
  }

  #begin(
    next: ReferenceStep,
    { step, inputs, outputs }: Done,
    template: Record<string, unknown> | undefined,
  ): void {
    try {
      const self = { inputs, outputs };
      const given = template && this.#values.undoingInputsOf(step, template, self);
      giveOwn(next, given ?? { ...inputs, ...outputs });
    } catch {
      next.errors.push("E_EXPRESSION");
      next.state = "failed";
      next.outcome = "failed";
      return this.next();
    }
    this.#openings.open(next, 0);
  }
}
