/**
 * Steps that stand until somebody has looked inside values that went by claim check, said a second time; and
 * whether what was found there is what those values say.
 *
 * It owns which steps stand, and how each goes on. It does not own how a step begins or is repeated: the reference
 * flow does, and works it out anew from the values themselves.
 */
import { isDeepStrictEqual } from "node:util";
import type { DecisionMessage } from "../bus/messages.ts";
import type { KeptValues } from "./kept-values.ts";
import type { ReferenceStep } from "./reference-step.ts";

type Resolved = DecisionMessage & { type: "resolved" };

/** What can be wrong with what was found. */
const REFUSALS: ReadonlySet<string> = new Set(["E_EXPRESSION", "E_ENV_SCHEMA", "E_REPEAT_LIMIT"]);

interface Standing {
  /** Undefined: it stands before its first dispatch. */
  n: number | undefined;
  goOn: () => void;
  items: unknown[];
  itemInputs: Record<string, unknown>[];
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

  /** @param n the dispatch after which it stands; undefined: it has not begun */
  stand(step: ReferenceStep, n: number | undefined, goOn: () => void): void {
    this.#standing.set(step, { n, goOn, items: [], itemInputs: [] });
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
    const { items, from = 0, itemInputs = [], more } = decision;
    if (items !== undefined) {
      if (from > 0 && from !== standing.items.length) return undefined;
      // A successor begins anew.
      standing.items.splice(from, Number.POSITIVE_INFINITY, ...items);
      standing.itemInputs.splice(from, Number.POSITIVE_INFINITY, ...itemInputs);
      if (more === true) return undefined;
    }
    this.#standing.delete(step);
    standing.goOn();
    return this.#problem(step, decision, standing);
  }

  #problem(
    step: ReferenceStep,
    { skip, error, inputs, items }: Resolved,
    found: Standing,
  ): string | undefined {
    const { id, outcome, errors, list, own } = step;
    const isRefused = step.state === "failed" && REFUSALS.has(errors.at(-1) ?? "");
    if ((skip === true) !== (outcome === "skipped")) return `${id} is ${skip ? "" : "not "}to be skipped`;
    if ((error !== undefined) !== isRefused) return `${id} has the error ${error?.message}`;
    if (items !== undefined && !this.#isSame(found.items, list))
      return `${id} is for ${JSON.stringify(found.items)}`;
    if (inputs !== undefined) {
      if (!this.#isSame(inputs, own)) return `${id} gets ${JSON.stringify(inputs)}`;
      // What is large in them goes by other references now.
      step.own = inputs;
    }
    for (const [place, given] of found.itemInputs.entries()) {
      const item = step.items[place];
      if (item === undefined) continue;
      if (!this.#isSame(given, item.own)) return `${item.id} gets ${JSON.stringify(given)}`;
      item.own = given;
    }
    return undefined;
  }

  #isSame(is: unknown, due: unknown): boolean {
    return isDeepStrictEqual(this.#kept.whole(is), this.#kept.whole(due));
  }
}
