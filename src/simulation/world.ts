/**
 * The simulated world: one time, one queue of events, one notebook, and the parties that live in it.
 *
 * Owns the order in which things happen. Nothing happens at the same time: an event runs, everything that
 * follows from it without waiting runs, then the next event. So a seed fixes the whole history.
 */

import type { Clock } from "../bus/bus.ts";
import { Heap } from "../workflow/heap.ts";

/** The world begins at this epoch ms. */
const EPOCH = 1_700_000_000_000;

interface Happening {
  at: number;
  order: number;
  run: (() => void) | undefined;
}

export class World {
  /** What happened, one line each: the history that is shown for a failing seed. */
  readonly lines: string[] = [];
  #now = 0;
  #order = 0;
  #happened = 0;
  readonly #queue = new Heap<Happening>((a, b) => a.at < b.at || (a.at === b.at && a.order < b.order));

  /** Ms since the world began. */
  get now(): number {
    return this.#now;
  }

  /** Events so far. */
  get happened(): number {
    return this.#happened;
  }

  /** The broker's clock: the world's own time. */
  readonly clock: Clock = {
    now: () => EPOCH + Math.floor(this.#now),
    monotonic: () => this.#now,
    setTimeout: (callback, delayMs) => this.after(delayMs, callback),
    clearTimeout: (timer) => this.cancel(timer),
  };

  after(delayMs: number, run: () => void): unknown {
    const happening = { at: this.#now + Math.max(0, delayMs), order: this.#order++, run };
    this.#queue.push(happening);
    return happening;
  }

  cancel(happening: unknown): void {
    if (happening !== undefined) (happening as Happening).run = undefined;
  }

  note(who: string, what: string): void {
    this.lines.push(`${this.#now.toFixed(1).padStart(10)} ${who.padEnd(8)} ${what}`);
  }

  /** Lets things happen until `enough` says so, checked between events, or nothing is left before `until`. */
  async run(until: number, enough: () => boolean = () => false): Promise<void> {
    await settle();
    while (!enough()) {
      const next = this.#queue.peek();
      if (next === undefined || next.at > until) break;
      this.#queue.pop();
      if (next.run === undefined) continue;
      this.#now = Math.max(this.#now, next.at);
      this.#happened++;
      next.run();
      await settle();
    }
    if (!enough()) this.#now = Math.max(this.#now, until);
  }
}

/** Runs every promise callback that is due now. */
function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** How far a party's clock is from the world's. */
export interface Skew {
  offsetMs: number;
  /** 1: as fast as the world's. */
  rate: number;
}

/**
 * One process. Whatever enters it (a timer, a message, an answer) comes through `enter`: held back while it
 * is stopped, thrown away once it is dead. So a stopped process does nothing, and a dead one never again.
 */
export class Party {
  readonly name: string;
  readonly clock: Clock;
  readonly #world: World;
  readonly #waiting: (() => void)[] = [];
  #state: "alive" | "stopped" | "dead" = "alive";

  constructor(world: World, name: string, skew: Skew) {
    this.name = name;
    this.#world = world;
    this.clock = {
      now: () => EPOCH + Math.floor(world.now * skew.rate + skew.offsetMs),
      monotonic: () => world.now * skew.rate,
      setTimeout: (callback, delayMs) =>
        this.dead ? undefined : world.after(Math.max(0, delayMs) / skew.rate, () => this.enter(callback)),
      clearTimeout: (timer) => world.cancel(timer),
    };
  }

  get dead(): boolean {
    return this.#state === "dead";
  }
  get stopped(): boolean {
    return this.#state === "stopped";
  }

  enter(run: () => void): void {
    if (this.#state === "alive" && this.#waiting.length === 0) run();
    else if (this.#state !== "dead") this.#waiting.push(run);
  }

  /** As SIGSTOP does. */
  stop(): void {
    if (this.#state === "alive") this.#state = "stopped";
  }

  /** As SIGCONT does: what came meanwhile is met one by one. */
  go(): void {
    if (this.#state !== "stopped") return;
    this.#state = "alive";
    this.#catchUp();
  }

  #catchUp(): void {
    if (this.#waiting.length === 0) return;
    this.#world.after(0, () => {
      if (this.#state !== "alive") return;
      this.#waiting[0]?.();
      this.#waiting.shift();
      this.#catchUp();
    });
  }

  /** As SIGKILL does. */
  die(): void {
    this.#state = "dead";
    this.#waiting.length = 0;
  }
}
