/**
 * What people and signals do to the steps that wait for them, said a second time.
 *
 * It owns the signals that came before anybody waited. It does not own the steps: the reference flow does.
 */
import type { ReferenceOpenings } from "./reference-openings.ts";
import { outputsOfAnswer, type ReferenceStep } from "./reference-step.ts";

export interface AnsweredFlow {
  readonly openings: ReferenceOpenings;
  readonly documentSteps: readonly ReferenceStep[];
  /** Somebody outside has done it. */
  done(step: ReferenceStep, outputs: Record<string, unknown>): void;
  /** Whether the schemas of its keys refuse them. */
  refuses(step: ReferenceStep, outputs: Record<string, unknown>): boolean;
  /** It will not be done. */
  refuse(step: ReferenceStep, code: string): void;
  /** It is tried once more, with inputs that are worked out now. */
  tryAgain(step: ReferenceStep): void;
}

export class ReferenceAnswers {
  readonly #flow: AnsweredFlow;
  #heedsSchemas = false;
  readonly #kept = new Map<string, { value: unknown }[]>();

  constructor(flow: AnsweredFlow) {
    this.#flow = flow;
  }

  /** From now on what a schema refuses is no answer, so that whoever gave it can give another. */
  heedSchemas(): void {
    this.#heedsSchemas = true;
  }

  /** Somebody answers a step. */
  say(step: ReferenceStep, verb: "approve" | "reject" | "signal", value: unknown): void {
    const isData =
      verb !== "reject" && step.waits !== "approval" && (step.waits !== "failure" || value !== undefined);
    const outputs = isData ? outputsOfAnswer(step.doc.outputs ?? [], value) : undefined;
    if (this.#heedsSchemas && outputs !== undefined && this.#flow.refuses(step, outputs)) return;
    this.answer(step, verb, value);
  }

  /** An answer to a step that waits; anything else changes nothing. @returns whether it fits */
  answer(step: ReferenceStep, verb: "approve" | "reject" | "signal", value: unknown): boolean {
    const { openings } = this.#flow;
    if (step.waits === undefined) return false;
    if (verb === "reject") {
      this.#flow.refuse(step, "E_REJECTED");
      return true;
    }
    const failed = step.waits === "failure";
    if (step.waits === "approval" || (failed && value === undefined)) {
      step.asked = false;
      if (step.lacksInputs && step.brought === undefined) {
        step.approved = true;
        this.#flow.tryAgain(step);
      } else openings.free(step);
      return true;
    }
    const outputs = outputsOfAnswer(step.doc.outputs ?? [], value);
    if (outputs === undefined) return false;
    step.asked = false;
    step.givenByPeople = failed;
    openings.shut(step, verb);
    step.state = "running";
    this.#flow.done(step, outputs);
    return true;
  }

  /** What a deadline answers; it is the end of the wait in any case. */
  answerByDefault(step: ReferenceStep, verb: "approve" | "reject", value: unknown): void {
    if (step.waits !== undefined && !this.answer(step, verb, value))
      this.#flow.refuse(step, "E_OUTPUT_MISSING");
  }

  signal(name: string, value: unknown): void {
    const waiting = this.#flow.openings.waiting.find((step) => step.waits === "signal" && step.task === name);
    if (waiting !== undefined) return this.say(waiting, "signal", value);
    if (!this.#flow.documentSteps.some(({ doc }) => doc.agent === "signal" && doc.task === name)) return;
    this.#kept.set(name, [...(this.#kept.get(name) ?? []), { value }]);
  }

  /** Gives kept signals to the steps that wait for them by now. */
  deliver(): void {
    for (;;) {
      const step = this.#flow.openings.waiting.find(
        (one) => one.waits === "signal" && this.#kept.get(one.task)?.length,
      );
      if (step === undefined) return;
      const signal = this.#kept.get(step.task)?.shift();
      if (!this.answer(step, "signal", signal?.value)) this.#flow.refuse(step, "E_OUTPUT_MISSING");
    }
  }
}
