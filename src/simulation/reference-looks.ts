/**
 * Steps that stand until somebody has looked inside values that went by claim check, said a second time; and
 * whether what was found there is what those values say.
 *
 * It owns which steps stand, and how each goes on. It does not own how a step begins or is repeated: the reference
 * flow does, and works it out anew from the values themselves.
 */
import { isDeepStrictEqual } from "node:util";
import type { DecisionMessage } from "../bus/decisions.ts";
import type { KeptValues } from "./kept-values.ts";
import type { ReferenceStep } from "./reference-step.ts";

type Resolved = DecisionMessage & { type: "resolved" };

/**
 * What whoever looks has to say of the step. Where an iteration ended: that it is `over`, or that another one is called
 * for (`again`), even where that is one too many, which the log tells without them.
 */
export type Due = "refused" | "over" | "again" | "fits";

interface Standing {
  /** Undefined: it stands before its first dispatch. */
  n: number | undefined;
  goOn: () => Due;
  items: unknown[];
  itemInputs: Record<string, unknown>[];
  /** Places of items that cannot be given anything. */
  lacking: Set<number>;
}

export class ReferenceLooks {
  readonly #kept: KeptValues;
  readonly #standing = new Map<ReferenceStep, Standing>();

  constructor(kept: KeptValues) {
    this.#kept = kept;
  }

  get some(): boolean {
    return this.#standing.size > 0;
  }

  has(step: ReferenceStep): boolean {
    return this.#standing.has(step);
  }

  /**
   * @param n the dispatch after which it stands; undefined: it has not begun
   * @param goOn works out what is due, and goes on by it
   */
  stand(step: ReferenceStep, n: number | undefined, goOn: () => Due): void {
    this.#standing.set(step, { n, goOn, items: [], itemInputs: [], lacking: new Set() });
  }

  /** What has begun and is closed or opened otherwise stands no more. */
  forget(step: ReferenceStep): void {
    if (this.#standing.get(step)?.n !== undefined) this.#standing.delete(step);
  }

  /** Nothing begins any more. */
  clear(): void {
    this.#standing.clear();
  }

  /** Somebody has looked. @returns what is wrong with what they found */
  resolved(step: ReferenceStep, decision: Resolved): string | undefined {
    const standing = this.#standing.get(step);
    if (standing === undefined || (standing.n !== undefined && standing.n !== decision.n)) return undefined;
    const { items, from = 0, itemInputs = [], itemErrors = [], more } = decision;
    if (items !== undefined) {
      if (from > 0 && from !== standing.items.length) return undefined;
      // A successor begins anew.
      standing.items.splice(from, Number.POSITIVE_INFINITY, ...items);
      standing.itemInputs.splice(from, Number.POSITIVE_INFINITY, ...itemInputs);
      if (from === 0) standing.lacking.clear();
      for (const { place } of itemErrors) standing.lacking.add(place);
      if (more === true) return undefined;
    }
    this.#standing.delete(step);
    return this.#problem(step, decision, standing, standing.goOn());
  }

  #problem(
    step: ReferenceStep,
    { skip, error, again, inputs, items }: Resolved,
    found: Standing,
    due: Due,
  ): string | undefined {
    const { id, outcome, list, own } = step;
    if ((skip === true) !== (outcome === "skipped")) return `${id} is ${skip ? "" : "not "}to be skipped`;
    if ((error !== undefined) !== (due === "refused")) return `${id} has the error ${error?.message}`;
    const isDueAgain = due === "again" || (due === "over" ? false : undefined);
    if (again !== isDueAgain) return `${id} is ${again ? "" : "not "}to be repeated`;
    if (items !== undefined) {
      if (!this.#isSame(found.items, list)) return `${id} is for ${JSON.stringify(found.items)}`;
      // What is large in them is a reference to whoever reads an item from now on.
      step.list = found.items;
    }
    if (inputs !== undefined) {
      if (!this.#isSame(inputs, own)) return `${id} gets ${JSON.stringify(inputs)}`;
      // What is large in them goes by other references now.
      step.own = inputs;
    }
    for (const [place, given] of found.itemInputs.entries()) {
      const item = step.items[place];
      if (item === undefined) continue;
      if (found.lacking.has(place) !== item.lacksInputs)
        return `${item.id} can${item.lacksInputs ? "not" : ""} be given inputs`;
      if (item.lacksInputs) continue;
      if (!this.#isSame(given, item.own)) return `${item.id} gets ${JSON.stringify(given)}`;
      item.own = given;
    }
    return undefined;
  }

  #isSame(is: unknown, due: unknown): boolean {
    return isDeepStrictEqual(this.#kept.whole(is), this.#kept.whole(due));
  }
}
