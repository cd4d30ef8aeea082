/** Ready steps in the order in which they are given out: priority, longest remaining path, position. */
import type { RunSteps } from "../fold/run-steps.ts";
import { Heap } from "../workflow/heap.ts";

interface Offer {
  id: string;
  priority: number;
  depth: number;
  index: number;
  /** Among the steps made from the same one. */
  place: number;
}

export class Offers {
  readonly #steps: RunSteps;
  readonly #heap = new Heap<Offer>(isBefore);

  constructor(steps: RunSteps) {
    this.#steps = steps;
  }

  add(id: string): void {
    const { priority, index, origin } = this.#steps.step(id);
    const depth = this.#steps.remainingDepth(id);
    this.#heap.push({ id, priority, depth, index, place: origin?.place ?? 0 });
  }

  /** The next step to give out; the caller checks that it still is ready. */
  take(): string | undefined {
    return this.#heap.pop()?.id;
  }
}

function isBefore(a: Offer, b: Offer): boolean {
  if (a.priority !== b.priority) return a.priority > b.priority;
  if (a.depth !== b.depth) return a.depth > b.depth;
  return a.index === b.index ? a.place < b.place : a.index < b.index;
}
