/**
 * Tasks that may be what ends this process, and when each of them begins.
 *
 * All tasks that a process held when it died are delivered again, and the deadly one cannot be told from those
 * beside it. Would they all begin at once again, all of them would be poison in the end (L8). So a task that was
 * delivered too often runs alone.
 *
 *  - S1 A suspect begins when nothing else runs, and nothing begins beside it. It waits for that no longer than
 *    `PATIENCE_MS`, so that one task which goes on for hours does not hold up the process.
 *  - S2 The most delivered begins first: it has the fewest chances left (nats-server 2.9 counts the first one of a
 *    queue twice while nobody is there). Among equals the order of their keys turns around with every delivery, so
 *    that what came after the deadly one comes before it the next time, and is done by then.
 */
import type { Clock } from "../bus/bus.ts";
import { type Dispatch, MAX_DELIVERIES } from "./dispatch.ts";

/** Delivered more often than this, a task is suspect. S2 needs two of the three deliveries that are left. */
const SUSPECT_DELIVERIES = MAX_DELIVERIES - 3;
/**
 * The same for one that agents leave to others, because it failed there: they gave its first two deliveries back,
 * so that the third may be the first that runs it. An ordinary retry must not have to wait for an idle process.
 */
const SUSPECT_RETRY_DELIVERIES = SUSPECT_DELIVERIES + 1;
/** What was lost together comes back together, but not in one moment. */
const GATHER_MS = 100;
const PATIENCE_MS = 30_000;

/** Beyond the bound a task is refused without running it: it harms nobody. */
export function isSuspect(deliveryCount: number, isLeftToOthers: boolean): boolean {
  const bound = isLeftToOthers ? SUSPECT_RETRY_DELIVERIES : SUSPECT_DELIVERIES;
  return deliveryCount > bound && deliveryCount <= MAX_DELIVERIES;
}

interface Suspect {
  readonly key: string;
  readonly dispatch: Dispatch;
  readonly deliveryCount: number;
  readonly timer: unknown;
  patient: boolean;
}

export class Suspects {
  readonly #clock: Clock;
  /** Called when one may be able to begin. */
  readonly #look: () => void;
  readonly #waiting: Suspect[] = [];
  /** Runs while more of them may be coming. */
  #gathering: unknown;
  #alone = false;

  constructor(clock: Clock, look: () => void) {
    this.#clock = clock;
    this.#look = look;
  }

  /** Whether one runs: nothing may begin beside it (S1). */
  get alone(): boolean {
    return this.#alone;
  }

  /** Whether there are any: a process takes nothing new until they are done. */
  get some(): boolean {
    return this.#alone || this.#waiting.length > 0;
  }

  add(key: string, dispatch: Dispatch, deliveryCount: number): void {
    const timer = this.#clock.setTimeout(() => {
      suspect.patient = false;
      this.#look();
    }, PATIENCE_MS);
    const suspect: Suspect = { key, dispatch, deliveryCount, timer, patient: true };
    this.#waiting.push(suspect);
    this.#waiting.sort(inTurn);
    if (this.#gathering !== undefined) this.#clock.clearTimeout(this.#gathering);
    this.#gathering = this.#clock.setTimeout(() => {
      this.#gathering = undefined;
      this.#look();
    }, GATHER_MS);
  }

  /** The one that begins now, if any: whoever gets it says `over` when it has ended. */
  take(running: number): { key: string; dispatch: Dispatch } | undefined {
    const [first] = this.#waiting;
    if (first === undefined || this.#alone || this.#gathering !== undefined) return undefined;
    if (running > 0 && first.patient) return undefined;
    this.#waiting.shift();
    this.#clock.clearTimeout(first.timer);
    this.#alone = true;
    return first;
  }

  over(): void {
    this.#alone = false;
  }

  /** All that have not begun; none of them begins any more. */
  takeAll(): { key: string; dispatch: Dispatch }[] {
    this.#clock.clearTimeout(this.#gathering);
    this.#gathering = undefined;
    for (const { timer } of this.#waiting) this.#clock.clearTimeout(timer);
    return this.#waiting.splice(0);
  }
}

/** S2. */
function inTurn(one: Suspect, other: Suspect): number {
  if (one.deliveryCount !== other.deliveryCount) return other.deliveryCount - one.deliveryCount;
  const ascending = one.key < other.key ? -1 : 1;
  return one.deliveryCount % 2 === 0 ? ascending : -ascending;
}
