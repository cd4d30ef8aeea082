/** How messages travel in a simulation: lost, doubled, delayed, overtaken, or held for a stopped process. */
import type { Deliver, Parcel } from "../bus/memory/network.ts";
import type { Faults } from "./faults.ts";
import type { Party, World } from "./world.ts";

/** The party name of the harness itself. */
export const SPY = "spy";

interface Lane {
  /** When the last message of the lane arrives. */
  lastAt: number;
  underWay: number;
}

export class Network {
  readonly #world: World;
  readonly #faults: Faults;
  readonly #partyOf: (name: string) => Party | undefined;
  readonly #lanes = new Map<string, Lane>();

  constructor(world: World, faults: Faults, partyOf: (name: string) => Party | undefined) {
    this.#world = world;
    this.#faults = faults;
    this.#partyOf = partyOf;
  }

  readonly deliver: Deliver = (parcel, arrive) => {
    // The harness itself listens without faults.
    if (parcel.to === SPY) return queueMicrotask(arrive);
    if (parcel.kind !== "task") {
      if (this.#faults.strikes("loss")) return this.#world.note("network", `loses ${show(parcel)}`);
      if (this.#faults.strikes("duplication")) this.#send(parcel, arrive);
    }
    this.#send(parcel, arrive);
  };

  #send(parcel: Parcel, arrive: () => void): void {
    const party = this.#partyOf(parcel.to);
    const handOver = (): void => (party === undefined ? arrive() : party.enter(arrive));
    const faults = this.#faults;
    // Within a subject order is kept, as a connection keeps it; between subjects only without this fault.
    const lane = this.#lane(faults.has("reordering") ? `${parcel.to} ${parcel.subject}` : parcel.to);
    const delayMs = faults.strikes("delay", 2)
      ? faults.chance("delay").next() ** 3 * 4_000
      : faults.has("reordering")
        ? faults.chance("reordering").next() * 5
        : 0;
    const at = Math.max(lane.lastAt, this.#world.now + delayMs);
    if (lane.underWay === 0 && at <= this.#world.now) return queueMicrotask(handOver);
    lane.lastAt = at;
    lane.underWay++;
    this.#world.after(at - this.#world.now, () => {
      lane.underWay--;
      handOver();
    });
  }

  #lane(name: string): Lane {
    const lane = this.#lanes.get(name) ?? { lastAt: 0, underWay: 0 };
    this.#lanes.set(name, lane);
    return lane;
  }
}

function show({ kind, subject, to }: Parcel): string {
  return `${kind} ${subject.replace(/^dh\.main\./, "")} to ${to}`;
}
