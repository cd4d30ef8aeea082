/**
 * Fair shares of the roles' queues among the runs that one daemon holds.
 *
 * A role's queue is first in, first out: a run that puts five thousand tasks there keeps a run of five waiting
 * until they are done. So of each role only so many tasks wait in the queue as its agents take in a moment, and
 * the runs that want to add one take turns. Alone, a run hardly notices: what leaves the queue is followed at once.
 * What waits there cannot be overtaken, so the window starts small, and opens as fast as agents are seen to empty it.
 *
 * It owns how many tasks of a role wait, as far as this daemon put them there, and whose turn it is. It does
 * not own what a run gives out with its turn.
 *
 *  - R1 At most `window` tasks of a role wait in its queue; what agents have taken is not counted.
 *  - R2 While several runs want to give out, each gives out one and goes to the end of the line.
 *  - R3 A queue is first in, first out: when a task is known to have left it, so have all before it.
 */
import type { Clock } from "../bus/bus.ts";

/** How many tasks of a role may wait: at first, and between which bounds once it is known how fast they go. */
export interface ShareWindow {
  readonly first: number;
  readonly least: number;
  readonly most: number;
}

/** Bounds of the tasks of a role that wait, for one daemon (L8). */
export const WINDOW: ShareWindow = { first: 8, least: 4, most: 1_024 };
/** So much time shall the tasks that wait need to be taken. */
const WAIT_MS = 250;
/** How fast a queue drains is worked out anew after this long. */
const MEASURE_MS = 500;
/** By how much a window opens whose tasks have all been taken while more could be given out. */
const GROWTH = 2;

/** A run that wants to give out tasks. */
export interface Sharer {
  /** Its turn came: it may give out one task of the role. Returns whether it wants another turn. */
  takeTurn(role: string): boolean;
}

export class RoleShares {
  readonly #clock: Clock;
  readonly #bounds: ShareWindow;
  readonly #roles = new Map<string, RoleShare>();

  constructor(clock: Clock, bounds = WINDOW) {
    this.#clock = clock;
    this.#bounds = bounds;
  }

  of(role: string): RoleShare {
    const known = this.#roles.get(role);
    if (known) return known;
    const share = new RoleShare(role, this.#clock, this.#bounds);
    this.#roles.set(role, share);
    return share;
  }

  /** The run gives out nothing more from here. */
  leave(sharer: Sharer): void {
    for (const share of this.#roles.values()) share.leave(sharer);
  }
}

export class RoleShare {
  readonly #role: string;
  readonly #clock: Clock;
  /** Runs that wait for their turn, the next one first. */
  readonly #line = new Set<Sharer>();
  readonly #bounds: ShareWindow;
  #window: number;
  #given = 0;
  /** The youngest task that is known to have left the queue (R3). */
  #left = 0;
  #measured = { at: 0, left: 0 };
  #pumping = false;

  constructor(role: string, clock: Clock, bounds: ShareWindow) {
    this.#role = role;
    this.#clock = clock;
    this.#bounds = bounds;
    this.#window = bounds.first;
  }

  /** Tasks that wait in the queue. */
  get waiting(): number {
    return this.#given - this.#left;
  }

  get window(): number {
    return this.#window;
  }

  /** Whether the run may give out a task now. If not, it stands in line, and its turn will come. */
  mayGive(sharer: Sharer): boolean {
    if (this.waiting < this.#window && this.#line.size === 0) return true;
    if (this.#line.size === 0) this.#measured = { at: this.#clock.monotonic(), left: this.#left };
    this.#line.add(sharer);
    // Nothing of the role is out that could leave the queue, and give somebody a turn.
    if (this.waiting < this.#window) this.#pump();
    return false;
  }

  /** Notes a task that goes into the queue. Returns its ticket. */
  give(): number {
    this.#given += 1;
    return this.#given;
  }

  /** The task of this ticket was taken from the queue, by whomever. */
  take(ticket: number): void {
    if (ticket <= this.#left) return;
    this.#left = ticket;
    if (this.#line.size > 0) this.#pump();
  }

  leave(sharer: Sharer): void {
    this.#line.delete(sharer);
  }

  /** Soon, so that all that has arrived is folded before anything is given out (L2). */
  #pump(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    queueMicrotask(() => {
      this.#pumping = false;
      this.#measure();
      for (const sharer of this.#line) {
        if (this.waiting >= this.#window) return;
        // R2: a set keeps the order of arrival, and whoever is added again stands last.
        this.#line.delete(sharer);
        if (sharer.takeTurn(this.#role)) this.#line.add(sharer);
      }
    });
  }

  /** While somebody stands in line, what leaves a queue that is never empty is what the agents can do. */
  #measure(): void {
    const now = this.#clock.monotonic();
    const elapsed = now - this.#measured.at;
    const isEmpty = this.waiting === 0;
    if (!isEmpty && elapsed < MEASURE_MS) return;
    const { least, most } = this.#bounds;
    const inTime = Math.round(((this.#left - this.#measured.left) / elapsed) * WAIT_MS);
    this.#window = Math.min(most, Math.max(least, isEmpty ? this.#window * GROWTH : inTime));
    this.#measured = { at: now, left: this.#left };
  }
}
