/**
 * Ready steps in the order in which they are given out: priority, longest remaining path, position.
 *
 * They are kept by role, so that a role whose queue is full for now holds up none of the others.
 */
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
  readonly #roles = new Map<string, Heap<Offer>>();

  constructor(steps: RunSteps) {
    this.#steps = steps;
  }

  /** @param role that does the step now */
  add(id: string, role: string): void {
    const { priority, index, origin } = this.#steps.step(id);
    const depth = this.#steps.remainingDepth(id);
    let heap = this.#roles.get(role);
    if (heap === undefined) {
      heap = new Heap<Offer>(isBefore);
      this.#roles.set(role, heap);
    }
    heap.push({ id, priority, depth, index, place: origin?.place ?? 0 });
  }

  /** The role of the next step to give out, of those that are not passed over. */
  nextRole(passedOver: ReadonlySet<string>): string | undefined {
    let next: string | undefined;
    let best: Offer | undefined;
    for (const [role, heap] of this.#roles) {
      const first = heap.peek();
      if (first === undefined || passedOver.has(role)) continue;
      if (best === undefined || isBefore(first, best)) [next, best] = [role, first];
    }
    return next;
  }

  /** The next step of a role; the caller checks that it still is ready. */
  take(role: string): string | undefined {
    return this.#roles.get(role)?.pop()?.id;
  }

  has(role: string): boolean {
    return this.#roles.get(role)?.peek() !== undefined;
  }
}

function isBefore(a: Offer, b: Offer): boolean {
  if (a.priority !== b.priority) return a.priority > b.priority;
  if (a.depth !== b.depth) return a.depth > b.depth;
  return a.index === b.index ? a.place < b.place : a.index < b.index;
}
