/**
 * How every step of a run stood at every moment of its log, so that a slider can go anywhere at once.
 *
 * Owns the run's transitions in order, the state they lead to at one place (the cursor), and snapshots on the
 * way from which a step back begins. Thousands of steps are held as arrays of numbers; moving the cursor
 * costs the transitions between two places, never more than the distance between two snapshots.
 */
import type { EnvChange, Transition, VoidView } from "../../http/api.ts";
import { codeOf, LOOKS, type Look, type LookCode, lookAfter, lookOf } from "./step-look.ts";

/** Transitions between two snapshots. */
const SNAPSHOT_EVERY = 2_000;

/** What is known of a step at the cursor. */
export interface StepAt {
  readonly look: Look;
  readonly n: number;
  readonly attempt: number;
  readonly agent: string | null;
  /** Epoch ms of its last transition. */
  readonly since: number;
}

export class RunHistory {
  /** Step ids by index; steps that are made while the run goes on are added. */
  readonly ids: string[] = [];
  readonly #indexes = new Map<string, number>();
  readonly transitions: Transition[] = [];
  /** Epoch ms of each transition. */
  readonly times: number[] = [];
  /** Index of the step of each transition; -1: the run's own. */
  readonly actors: number[] = [];
  readonly voids: VoidView[] = [];
  readonly changes: EnvChange[] = [];
  /** Sequences at which a step was handed on, by step. */
  readonly handoffs = new Map<string, number[]>();
  /** Sequences at which anything happened, ascending. */
  readonly moments: number[] = [];
  /** The look of each step at the cursor. */
  looks: Uint8Array = new Uint8Array(64);
  /** The last transition of each step before the cursor; -1: none. */
  last: Int32Array = new Int32Array(64).fill(-1);
  /** How many steps have which look at the cursor. */
  readonly counts: number[] = LOOKS.map(() => 0);
  /** Transitions that are applied. */
  #applied = 0;
  readonly #snapshots: { looks: Uint8Array; last: Int32Array; counts: number[] }[] = [];
  #status = "planning";

  /** Makes steps known in the document's order; those that are known keep their place. */
  addSteps(ids: Iterable<string>): void {
    for (const id of ids) this.indexOf(id);
  }

  indexOf(id: string): number {
    const known = this.#indexes.get(id);
    if (known !== undefined) return known;
    const index = this.ids.length;
    this.ids.push(id);
    this.#indexes.set(id, index);
    if (index >= this.looks.length) this.#grow();
    this.counts[0] = (this.counts[0] ?? 0) + 1;
    return index;
  }

  has(id: string): boolean {
    return this.#indexes.has(id);
  }

  get lastSeq(): number {
    return this.moments.at(-1) ?? 0;
  }

  /** The run's status at the cursor. */
  get status(): string {
    return this.#status;
  }

  /** Transitions at or before the cursor. */
  get applied(): number {
    return this.#applied;
  }

  add(transitions: readonly Transition[], voids: readonly VoidView[], changes: readonly EnvChange[]): void {
    const seqs = new Set<number>();
    for (const transition of transitions) {
      this.transitions.push(transition);
      this.times.push(Date.parse(transition.ts));
      this.actors.push(transition.kind === "run" ? -1 : this.indexOf(transition.actor));
      if (transition.event === "hand off") {
        const known = this.handoffs.get(transition.actor);
        if (known) known.push(transition.seq);
        else this.handoffs.set(transition.actor, [transition.seq]);
      }
      seqs.add(transition.seq);
    }
    for (const record of voids) {
      this.voids.push(record);
      seqs.add(record.seq);
    }
    for (const change of changes) {
      this.changes.push(change);
      seqs.add(change.revision);
    }
    for (const seq of [...seqs].sort((a, b) => a - b)) if (seq > this.lastSeq) this.moments.push(seq);
  }

  stepAt(index: number): StepAt {
    const last = this.last[index] ?? -1;
    const transition = this.transitions[last];
    return {
      look: lookOf(this.looks[index] ?? 0),
      n: transition?.n ?? 0,
      attempt: transition?.attempt ?? 0,
      agent: transition?.agent ?? null,
      since: this.times[last] ?? 0,
    };
  }

  /** How often a step had been handed on at a sequence. */
  handoffsOf(id: string, seq: number): number {
    return this.handoffs.get(id)?.filter((at) => at <= seq).length ?? 0;
  }

  /** Moves the cursor to a sequence; undefined: to the end. Returns the transitions passed, forwards only. */
  seek(seq: number | undefined): readonly Transition[] {
    const to = seq === undefined ? this.transitions.length : this.#countUpTo(seq);
    if (to < this.#applied) {
      this.#restore(Math.floor(to / SNAPSHOT_EVERY));
      this.#forward(to);
      return [];
    }
    const from = this.#applied;
    this.#forward(to);
    return to - from > 500 ? [] : this.transitions.slice(from, to);
  }

  /** The time of the last transition at or before a sequence. */
  timeAt(seq: number): number {
    return this.times[this.#countUpTo(seq) - 1] ?? this.times[0] ?? 0;
  }

  /** The last sequence at or before a time. */
  seqAt(epochMs: number): number {
    let best = this.transitions[0]?.seq ?? 0;
    let low = 0;
    let high = this.times.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.times[middle] ?? 0) <= epochMs) {
        best = this.transitions[middle]?.seq ?? best;
        low = middle + 1;
      } else high = middle;
    }
    return best;
  }

  /** The place of a sequence among the moments. */
  momentOf(seq: number): number {
    let low = 0;
    let high = this.moments.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.moments[middle] ?? 0) <= seq) low = middle + 1;
      else high = middle;
    }
    return Math.max(0, low - 1);
  }

  #countUpTo(seq: number): number {
    let low = 0;
    let high = this.transitions.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.transitions[middle]?.seq ?? 0) <= seq) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #forward(to: number): void {
    while (this.#applied < to) {
      if (this.#applied % SNAPSHOT_EVERY === 0) this.#keep(this.#applied / SNAPSHOT_EVERY);
      const at = this.#applied;
      const transition = this.transitions[at];
      const index = this.actors[at] ?? -1;
      this.#applied += 1;
      if (transition === undefined) return;
      if (index < 0) this.#status = transition.to;
      else this.#put(index, codeOf(lookAfter(transition)), at);
    }
  }

  #put(index: number, code: LookCode, at: number): void {
    const before = this.looks[index] ?? 0;
    this.counts[before] = (this.counts[before] ?? 0) - 1;
    this.counts[code] = (this.counts[code] ?? 0) + 1;
    this.looks[index] = code;
    this.last[index] = at;
  }

  #keep(place: number): void {
    this.#snapshots[place] ??= {
      looks: this.looks.slice(),
      last: this.last.slice(),
      counts: [...this.counts],
    };
  }

  #restore(place: number): void {
    const snapshot = this.#snapshots[place];
    this.looks.fill(0);
    this.last.fill(-1);
    this.#applied = snapshot === undefined ? 0 : place * SNAPSHOT_EVERY;
    if (snapshot !== undefined) {
      this.looks.set(snapshot.looks);
      this.last.set(snapshot.last);
    }
    this.counts.fill(0);
    for (let index = 0; index < this.ids.length; index++) {
      const code = this.looks[index] ?? 0;
      this.counts[code] = (this.counts[code] ?? 0) + 1;
    }
    this.#status = "planning";
    for (let at = this.#applied - 1; at >= 0; at--) {
      if (this.actors[at] !== -1) continue;
      this.#status = this.transitions[at]?.to ?? "planning";
      break;
    }
  }

  #grow(): void {
    const looks = new Uint8Array(this.looks.length * 2);
    const last = new Int32Array(this.looks.length * 2).fill(-1);
    looks.set(this.looks);
    last.set(this.last);
    this.looks = looks;
    this.last = last;
  }
}
