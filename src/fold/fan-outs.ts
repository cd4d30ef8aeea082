/**
 * The fan-outs of a run: for every `forEach` that was begun, what its items gave so far.
 *
 * It owns the items' results and how many are still awaited. It does not own the items' machines, nor what
 * their ends mean for the run. The cost of an item does not depend on how many there are.
 *
 *  - I1 The list is fixed when the step becomes ready; later changes of the environment do not reach it.
 *  - I2 An item is settled once: by its outputs, or by null where its failure is allowed.
 */
import { type DerivedStep, itemRef, type StepOrigin } from "../workflow/derived-step.ts";
import type { WorkflowStep } from "../workflow/document.ts";

interface FanOut {
  /** By place; null: failed where that is allowed; undefined: still awaited. */
  readonly results: (Record<string, unknown> | null | undefined)[];
  awaited: number;
  failed: number;
}

/** How far a fan-out is. */
export interface FanOutProgress {
  items: number;
  done: number;
  /** Failed where that is allowed. */
  failed: number;
}

export class FanOuts {
  readonly #fanOuts = new Map<string, FanOut>();
  readonly #abandoned = new Set<string>();

  /** Whether the step's work is done by its items now. */
  has(id: string): boolean {
    return this.#fanOuts.has(id);
  }

  ids(): Iterable<string> {
    return this.#fanOuts.keys();
  }

  begin(id: string, items: number): void {
    this.#fanOuts.set(id, { results: new Array(items).fill(undefined), awaited: items, failed: 0 });
  }

  /** From now on the step does its work itself. */
  abandon(id: string): void {
    this.#fanOuts.delete(id);
    this.#abandoned.add(id);
  }

  isAbandoned(id: string): boolean {
    return this.#abandoned.has(id);
  }

  /** I2. @returns whether this was the last that was awaited */
  settle({ of, place }: StepOrigin, outputs: Record<string, unknown> | null): boolean {
    const fanOut = this.#fanOuts.get(of);
    if (fanOut === undefined || fanOut.results[place] !== undefined) return false;
    fanOut.results[place] = outputs;
    fanOut.awaited -= 1;
    if (outputs === null) fanOut.failed += 1;
    return fanOut.awaited === 0;
  }

  isSettled({ of, place }: StepOrigin): boolean {
    return this.#fanOuts.get(of)?.results[place] !== undefined;
  }

  /** Undefined for a step whose work is not done by items. */
  progressOf(id: string): FanOutProgress | undefined {
    const fanOut = this.#fanOuts.get(id);
    if (fanOut === undefined) return undefined;
    const { results, awaited, failed } = fanOut;
    return { items: results.length, done: results.length - awaited - failed, failed };
  }

  /** What an item gave; undefined while it is awaited. */
  outputsOf({ of, place }: StepOrigin): Record<string, unknown> | undefined {
    return this.#fanOuts.get(of)?.results[place] ?? undefined;
  }

  /** The step's outputs: for every declared key the items' values, in the order of the list. */
  lists({ id, outputs }: WorkflowStep): Record<string, unknown[]> {
    const results = this.#fanOuts.get(id)?.results ?? [];
    const lists: Record<string, unknown[]> = Object.create(null);
    for (const key of outputs) lists[key] = results.map((result) => result?.[key] ?? null);
    return lists;
  }
}

/** One item of a fan-out, as the step that it is. */
export function itemStep(parent: WorkflowStep, place: number): DerivedStep {
  return {
    ...parent,
    id: itemRef(parent.id, place),
    // Evaluated once, for the whole.
    when: undefined,
    forEach: undefined,
    origin: { kind: "item", of: parent.id, place },
  };
}
