/**
 * What a hold did and saw since its last note in the log (L6): dispatches given out, dispatches started.
 *
 * Appended without waiting before pushes or results; a batch that is lost with its holder costs the trace a
 * time of start, never an outcome. Entries whose dispatch closed meanwhile are left out: the result says it.
 */
import type { DispatchRef, ObservedMessage } from "../bus/messages.ts";

/** Bounds of a batch (L6, L8). */
export const OBSERVED_EVERY_MS = 100;
export const OBSERVED_MAX_ITEMS = 256;

export class ObservedBatch {
  #dispatched: ObservedMessage["dispatched"] = [];
  #started: ObservedMessage["started"] = [];

  get size(): number {
    return this.#dispatched.length + this.#started.length;
  }

  addDispatched(ref: DispatchRef, at: number): void {
    this.#dispatched.push({ step: ref.step, n: ref.n, role: ref.role, at });
  }

  addStarted(ref: DispatchRef, agent: string, at: number): void {
    this.#started.push({ step: ref.step, n: ref.n, agent, at });
  }

  /** Takes the entries that are still open. Undefined when there is nothing to write. */
  take(epoch: number, isOpen: (step: string, n: number) => boolean): ObservedMessage | undefined {
    const dispatched = this.#dispatched.filter((item) => isOpen(item.step, item.n));
    const started = this.#started.filter((item) => isOpen(item.step, item.n));
    this.#dispatched = [];
    this.#started = [];
    if (dispatched.length + started.length === 0) return undefined;
    return { v: 1, epoch, dispatched, started };
  }
}
