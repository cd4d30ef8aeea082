/**
 * What becomes of failed steps, said a second time: opened again by a person's retry or by a recovery, asked about,
 * replaced by values, or given up.
 *
 * It owns which failed step the last retry left alone. Where steps stand is the reference flow's matter.
 */
import type { DecisionMessage } from "../bus/decisions.ts";
import type { Due, ReferenceLooks } from "./reference-looks.ts";
import type { ReferenceOpenings } from "./reference-openings.ts";
import { giveOwn, type ReferenceStep } from "./reference-step.ts";
import type { ReferenceValues } from "./reference-values.ts";

export interface FailingFlow {
  readonly rules: number;
  readonly steps: ReadonlyMap<string, ReferenceStep>;
  readonly documentSteps: readonly ReferenceStep[];
  readonly values: ReferenceValues;
  readonly openings: ReferenceOpenings;
  readonly looks: ReferenceLooks;
  /** For whose failure the run fails. */
  failing: ReferenceStep | undefined;
  release(steps: ReferenceStep[]): void;
  closeWell(step: ReferenceStep): ReferenceStep[];
  give(step: ReferenceStep, outputs: Record<string, unknown>): void;
  refuse(step: ReferenceStep, code: string): void;
  readonly fanOuts: { reopen(step: ReferenceStep): void };
}

export class ReferenceChances {
  readonly #flow: FailingFlow;
  #left: ReferenceStep | undefined;

  constructor(flow: FailingFlow) {
    this.#flow = flow;
  }

  /** Whether there is a failed step that the last retry did not choose, and that is failed still. */
  get leftOne(): boolean {
    return this.#left?.state === "failed";
  }

  /** @returns whether there was a failed step to open again */
  retry(chosen: string | undefined, othersLater: boolean): boolean {
    const flow = this.#flow;
    const target = flow.steps.get(chosen ?? "")?.parent?.id ?? chosen;
    const failed = flow.documentSteps.filter(({ state, closedWell }) => state === "failed" && !closedWell);
    const named = failed.filter(({ id }) => target === undefined || id === target);
    if (named.length === 0) return false;
    flow.failing = undefined;
    this.#left = undefined;
    for (const step of failed) {
      if (named.includes(step) || step.outcome === "cancelled") this.reopen(step);
      else if (othersLater) this.#left ??= step;
      else flow.failing ??= step;
    }
    return true;
  }

  reopen(step: ReferenceStep): void {
    step.recovering = false;
    // An item has its parent's document, and is opened as the step that it is.
    const isFanOut = step.parent === undefined && step.doc.forEach !== undefined && !step.asWhole;
    if (isFanOut) this.#flow.fanOuts.reopen(step);
    else this.#openAgain(step);
  }

  /** Where the iterations were used up, it goes on with the next one. */
  #openAgain(step: ReferenceStep): void {
    const { values, looks, openings } = this.#flow;
    const { exhausted } = step;
    const isNew = exhausted || (step.lacksInputs && step.brought === undefined);
    looks.forget(step);
    const goOn = (): Due => {
      try {
        if (isNew) giveOwn(step, values.inputsOf(step, step.iteration + (exhausted ? 1 : 0)));
      } catch {
        this.#lackInputs(step);
        return "refused";
      }
      if (exhausted) step.iteration += 1;
      step.attempt = 1;
      openings.open(step, 0);
      return "fits";
    };
    if (isNew && values.looks({ inputs: step.doc.inputs }, step)) looks.stand(step, step.n, goOn);
    else goOn();
  }

  #lackInputs(step: ReferenceStep): void {
    if (this.#flow.rules < 3) this.#flow.failing ??= step;
    // People are told of it, and asked all the same.
    else if (step.asked) this.#openWithout(step);
    else this.refuseAgain(step);
  }

  /** It is opened again, there is nothing that it could be given, and so it fails again. */
  refuseAgain(step: ReferenceStep): void {
    this.#openWithout(step);
    this.#flow.refuse(step, "E_EXPRESSION");
  }

  #openWithout(step: ReferenceStep): void {
    if (step.exhausted) step.iteration += 1;
    step.attempt = 1;
    step.lacksInputs = true;
    this.#flow.openings.open(step, 0);
  }

  /** Somebody who was asked says that it is to be tried again, and it could not be given anything before. */
  tryAgain(step: ReferenceStep): void {
    this.#flow.openings.shut(step, "tried again");
    step.state = "failed";
    this.#openAgain(step);
  }

  recover(step: ReferenceStep, decision: DecisionMessage & { type: "recover" }): void {
    if (!step.recovering) return;
    step.recovering = false;
    const flow = this.#flow;
    const { role, task, inputs, fallback, ask } = decision;
    if (fallback !== undefined) {
      const values = (step.doc.outputs ?? []).map((key) => [key, fallback[key] ?? null]);
      flow.give(step, Object.fromEntries(values));
      return flow.release(flow.closeWell(step));
    }
    if (ask === true) step.asked = true;
    else if (role === undefined || task === undefined) {
      flow.failing ??= step;
      return;
    }
    step.role = role ?? step.role;
    step.task = task ?? step.task;
    // Another way to the outputs gives them as a whole.
    step.asWhole = true;
    step.list = undefined;
    if (inputs !== undefined) step.brought = inputs;
    this.#openAgain(step);
  }
}
