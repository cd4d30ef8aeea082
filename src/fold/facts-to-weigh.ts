/**
 * Facts of a planned run that its plan was not weighed against yet: those that steps gave, by step, and those that
 * somebody outside set.
 *
 * It owns which they are. It does not own what comes of the weighing, nor what waits for it.
 */
import { PLAN_REF } from "../workflow/planner-task.ts";
import type { FoldFrame } from "./fold-frame.ts";

/** Among the steps that gave facts: nobody of this run. */
const OUTSIDE = PLAN_REF;

export class FactsToWeigh {
  readonly #frame: FoldFrame;
  readonly #givers = new Set<string>();
  /** Sequence of the last fact from outside. */
  #outsideAt = 0;

  constructor(frame: FoldFrame) {
    this.#frame = frame;
  }

  get givers(): ReadonlySet<string> {
    return this.#givers;
  }

  /** A step gave them: what comes after it waits until they were weighed. */
  add(step: string): void {
    this.#givers.add(step);
    this.#frame.effects.push({ type: "weigh" });
  }

  /** Somebody set a key: the plan is weighed while the steps go on. */
  addOutside(): void {
    this.#outsideAt = this.#frame.seq;
    this.add(OUTSIDE);
  }

  forget(step: string): void {
    this.#givers.delete(step);
  }

  clear(): void {
    this.#givers.clear();
  }

  /**
   * The plan was weighed, on a log up to `upTo`: that says nothing of facts from outside that came after it.
   * @returns the steps whose facts were weighed just now
   */
  take(givers: readonly string[], upTo: number): string[] {
    const taken = givers.filter(
      (giver) => (giver !== OUTSIDE || this.#outsideAt <= upTo) && this.#givers.delete(giver),
    );
    return taken.filter((giver) => giver !== OUTSIDE);
  }
}
