/**
 * Many deadlines on one timer, with lazy removal.
 *
 * It owns when to wake up; what a deadline means is the caller's matter (L7: a timer that fires proposes).
 *
 *  - What was cleared or moved takes room for no longer than as many again are set: a run that waits with a time-out
 *    of a day sets one every second, and would keep all of them until tomorrow.
 */
import type { Clock } from "../bus/bus.ts";
import { Heap } from "../workflow/heap.ts";

interface Entry {
  key: string;
  at: number;
}

/** Entries that are cleared or moved and still kept, beyond as many as there are deadlines. */
const MAX_STALE = 64;
/** The longest timer that Node takes; a later deadline is armed in pieces. */
const MAX_TIMER_MS = 2_147_483_647;

export class Deadlines {
  readonly #clock: Clock;
  readonly #onDue: (key: string) => void;
  readonly #heap = new Heap<Entry>((a, b) => a.at < b.at);
  readonly #current = new Map<string, number>();
  #timer: { handle: unknown; at: number } | undefined;
  #stopped = false;

  /** @param onDue called once for each key whose time came, in order of time */
  constructor(clock: Clock, onDue: (key: string) => void) {
    this.#clock = clock;
    this.#onDue = onDue;
  }

  /** Entries that are kept, those that are cleared or moved among them. */
  get size(): number {
    return this.#heap.size;
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

  /** Sets or moves a deadline, `delayMs` from now. After `stop` nothing. */
  set(key: string, delayMs: number): void {
    if (this.#stopped) return;
    const at = this.#clock.monotonic() + Math.max(0, delayMs);
    this.#current.set(key, at);
    this.#heap.push({ key, at });
    if (this.#heap.size > 2 * this.#current.size + MAX_STALE) this.#dropStale();
    this.#arm();
  }

  clear(key: string): void {
    this.#current.delete(key);
  }

  stop(): void {
    this.#stopped = true;
    if (this.#timer) this.#clock.clearTimeout(this.#timer.handle);
    this.#timer = undefined;
    this.#current.clear();
    this.#heap.clear();
  }

  #dropStale(): void {
    this.#heap.clear();
    for (const [key, at] of this.#current) this.#heap.push({ key, at });
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
