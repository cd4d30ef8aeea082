/** A clock that moves only when told to; timers due at the same instant fire in the order they were set. */
import type { Clock } from "../../src/bus/bus.ts";

interface Timer {
  at: number;
  order: number;
  callback: () => void;
}

export class VirtualClock implements Clock {
  readonly #timers = new Set<Timer>();
  #now = 1_700_000_000_000;
  #order = 0;

  now(): number {
    return this.#now;
  }
  /** Timers that are set. */
  get pending(): number {
    return this.#timers.size;
  }
  monotonic(): number {
    return this.#now;
  }
  setTimeout(callback: () => void, delayMs: number): unknown {
    const timer = { at: this.#now + Math.max(0, delayMs), order: this.#order++, callback };
    this.#timers.add(timer);
    return timer;
  }
  clearTimeout(timer: unknown): void {
    this.#timers.delete(timer as Timer);
  }

  /** Lets time pass; what the timers start is let run before the next one fires. */
  async advance(ms: number): Promise<void> {
    const end = this.#now + ms;
    for (;;) {
      await settle();
      const next = [...this.#timers]
        .filter(({ at }) => at <= end)
        .sort((a, b) => a.at - b.at || a.order - b.order)[0];
      if (next === undefined) break;
      this.#timers.delete(next);
      this.#now = Math.max(this.#now, next.at);
      next.callback();
    }
    this.#now = end;
    await settle();
  }
}

/** Runs every promise callback that is due now. */
export function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
