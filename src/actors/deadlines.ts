/**
 * Many deadlines on one timer, with lazy removal.
 *
 * It owns when to wake up; what a deadline means is the caller's matter (L7: a timer that fires proposes).
 */
import type { Clock } from "../bus/bus.ts";
import { Heap } from "../workflow/heap.ts";

interface Entry {
  key: string;
  at: number;
}

/** The longest timer that Node takes; a later deadline is armed in pieces. */
const MAX_TIMER_MS = 2_147_483_647;

export class Deadlines {
  readonly #clock: Clock;
  readonly #onDue: (key: string) => void;
  readonly #heap = new Heap<Entry>((a, b) => a.at < b.at);
  readonly #current = new Map<string, number>();
  #timer: { handle: unknown; at: number } | undefined;

  /** @param onDue called once for each key whose time came, in order of time */
  constructor(clock: Clock, onDue: (key: string) => void) {
    this.#clock = clock;
    this.#onDue = onDue;
  }

  has(key: string): boolean {
    return this.#current.has(key);
  }

  /** Ms until the first of the chosen deadlines; undefined when there is none. Looks at all of them. */
  untilNext(chosen: (key: string) => boolean): number | undefined {
    let first = Number.POSITIVE_INFINITY;
    for (const [key, at] of this.#current) if (at < first && chosen(key)) first = at;
    return Number.isFinite(first) ? Math.max(0, first - this.#clock.monotonic()) : undefined;
  }

  /** Sets or moves a deadline, `delayMs` from now. */
  set(key: string, delayMs: number): void {
    const at = this.#clock.monotonic() + Math.max(0, delayMs);
    this.#current.set(key, at);
    this.#heap.push({ key, at });
    this.#arm();
  }

  clear(key: string): void {
    this.#current.delete(key);
  }

  stop(): void {
    if (this.#timer) this.#clock.clearTimeout(this.#timer.handle);
    this.#timer = undefined;
    this.#current.clear();
    this.#heap.clear();
  }

  #arm(): void {
    const next = this.#heap.peek();
    if (!next) return;
    if (this.#timer) {
      if (this.#timer.at <= next.at) return;
      this.#clock.clearTimeout(this.#timer.handle);
    }
    const delay = Math.min(MAX_TIMER_MS, Math.max(0, Math.ceil(next.at - this.#clock.monotonic())));
    this.#timer = { at: next.at, handle: this.#clock.setTimeout(() => this.#fire(), delay) };
  }

  #fire(): void {
    this.#timer = undefined;
    const now = this.#clock.monotonic();
    for (let top = this.#heap.peek(); top && top.at <= now; top = this.#heap.peek()) {
      this.#heap.pop();
      // An entry whose key was cleared or moved is stale.
      if (this.#current.get(top.key) !== top.at) continue;
      this.#current.delete(top.key);
      this.#onDue(top.key);
    }
    this.#arm();
  }
}
