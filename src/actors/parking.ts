/**
 * Putting a run away that only waits (L5): for days, perhaps, and without holding anything in any daemon.
 *
 * It owns when that is done and the timer that wakes the run when something is due. It does not own letting
 * go of the run's task, nor what wakes it: controls, submissions and timers push a task anew.
 *
 *  - P1 A run is put away only on a log that was read to its end, and with nothing under way.
 *  - P2 Its timer is set before its task goes: whoever dies in between leaves the task.
 */
import type { Logger } from "pino";
import type { RunQueue } from "../bus/bus.ts";
import type { RunFold } from "../fold/run-fold.ts";
import type { Deadlines } from "./deadlines.ts";
import { HOLD_LIMITS } from "./hold-context.ts";

/** What the parking needs of the hold. */
export interface ParkingScene {
  readonly fold: RunFold;
  readonly runs: RunQueue;
  readonly log: Logger;
  readonly deadlines: Deadlines;
  /** A dispatch is out, or a decision is being written. */
  busy(): boolean;
  over(): boolean;
  /** Whether the log was read to its end. */
  sync(): Promise<boolean>;
  /** Ms until the first thing that the run itself has to do by time. */
  untilDue(): number | undefined;
  /** Lets go of the run. */
  leave(): void;
}

export class Parking {
  readonly #scene: ParkingScene;

  constructor(scene: ParkingScene) {
    this.#scene = scene;
  }

  /** Called whenever something has happened: the run is put away soon, if nothing comes in between. */
  consider(): void {
    const { deadlines } = this.#scene;
    if (!this.#mayPark) deadlines.clear("park");
    else if (!deadlines.has("park")) deadlines.set("park", HOLD_LIMITS.parkMs);
  }

  async park(): Promise<void> {
    const { fold, runs, log, deadlines, sync, over, leave } = this.#scene;
    const dueMs = this.#scene.untilDue();
    if (!this.#mayPark) return;
    if (dueMs !== undefined && dueMs < HOLD_LIMITS.parkAtLeastMs) {
      return deadlines.set("park", dueMs + HOLD_LIMITS.parkMs);
    }
    try {
      if (dueMs !== undefined) await runs.setTimer(fold.run, dueMs); // P2
      if (!over() && (await sync()) && this.#mayPark) {
        log.info({ run: fold.run, status: fold.status, dueMs }, "run parked");
        return leave();
      }
    } catch (error) {
      log.debug({ run: fold.run, err: error }, "the run could not be put away");
    }
    if (!over()) this.consider();
  }

  /** P1 */
  get #mayPark(): boolean {
    const { fold, busy } = this.#scene;
    const thinking = fold.recovering.size + fold.weighing.size > 0;
    return fold.rests && !thinking && !busy() && fold.dueEnd() === undefined;
  }
}
