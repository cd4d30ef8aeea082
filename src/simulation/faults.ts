/**
 * Which faults a simulation has, how often, and until when.
 *
 * Every kind has a stream of chance of its own, so that a failing seed can be tried again with one kind left
 * out. After `untilMs` nothing new goes wrong: from then on every run has to end.
 */
import { Chance } from "./chance.ts";
import type { World } from "./world.ts";

export const FAULT_KINDS = [
  /** Live copies and core messages that never arrive. */
  "loss",
  /** Messages that arrive twice. */
  "duplication",
  /** Messages and answers that take their time. */
  "delay",
  /** Messages on different subjects that overtake each other. */
  "reordering",
  /** Deliveries and acks of tasks that are lost: the queue delivers again. */
  "redelivery",
  /** Calls to the broker that fail, before or after they had their effect. */
  "refusal",
  /** A connection that breaks for seconds. */
  "cut",
  /** A broker that restarts: nobody is connected, and tasks acked just before come back. */
  "broker",
  /** A process that is stopped for a while and goes on. */
  "pause",
  /** A process that dies and is started again. */
  "crash",
  /** A process that is asked to stop, and is started again. */
  "shutdown",
  /** Clocks that are off and run at different speeds. */
  "skew",
  /** Results and decisions by somebody who has no business here; bodies that are no messages. */
  "rogue",
  /** Tasks that vanish from their queue. */
  "vanishing",
  /** People who pause, cancel, retry and set keys. */
  "people",
] as const;
export type FaultKind = (typeof FAULT_KINDS)[number];

/** Which kinds of faults a simulation may have. */
export interface FaultChoice {
  /** Left out; the other kinds stay as they are. */
  without?: ReadonlySet<FaultKind>;
  /** Exactly these, at rates from the seed. Default: the seed chooses. */
  only?: ReadonlySet<FaultKind>;
  /** From when to when at most nothing new goes wrong any more, in ms. Default 5 to 90 s. */
  untilMs?: readonly [number, number];
}

const USUAL_UNTIL_MS = [5_000, 90_000] as const;

export class Faults {
  readonly kinds: ReadonlySet<FaultKind>;
  readonly untilMs: number;
  readonly #world: World;
  readonly #streams = new Map<FaultKind, Chance>();
  readonly #rates = new Map<FaultKind, number>();

  constructor(seed: number, world: World, { without, only, untilMs = USUAL_UNTIL_MS }: FaultChoice = {}) {
    const chance = new Chance(seed, "faults");
    this.#world = world;
    this.untilMs = chance.between(...untilMs);
    const calm = chance.happens(0.05);
    const kinds = new Set<FaultKind>();
    for (const kind of FAULT_KINDS) {
      const struck = chance.happens(0.5) && !calm;
      const has = only === undefined ? struck : only.has(kind);
      this.#rates.set(kind, 0.02 + chance.next() ** 2 * 0.3);
      this.#streams.set(kind, new Chance(seed, kind));
      if (has && without?.has(kind) !== true) kinds.add(kind);
    }
    this.kinds = kinds;
  }

  get over(): boolean {
    return this.#world.now >= this.untilMs;
  }

  chance(kind: FaultKind): Chance {
    return this.#streams.get(kind) as Chance;
  }

  has(kind: FaultKind): boolean {
    return this.kinds.has(kind) && !this.over;
  }

  /** Whether it goes wrong this time. @param share of the seed's rate for this kind */
  strikes(kind: FaultKind, share = 1): boolean {
    return this.has(kind) && this.chance(kind).happens((this.#rates.get(kind) ?? 0) * share);
  }

  /** Mean ms between two faults of this kind, for those that come by themselves. */
  pauseBefore(kind: FaultKind): number {
    const rate = this.#rates.get(kind) ?? 0;
    return -Math.log(1 - this.chance(kind).next()) * (2_000 / (rate + 0.05));
  }
}
