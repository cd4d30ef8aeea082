/**
 * Putting a run away that only waits (L5): for days, perhaps, and without holding anything in any daemon.
 *
 * It owns when that is done and the timer that wakes the run when something is due. It does not own letting
 * go of the run's task, nor what wakes it: controls, submissions and timers push a task anew.
 *
 *  - P1 A run is put away only on a log that was read to its end, and with nothing under way.
 *  - P2 Its timer is set before its task goes: whoever dies in between leaves the task.
 */
import { HOLD_LIMITS } from "./hold-context.ts";
import type { HoldFrame } from "./hold-frame.ts";

/** What the parking needs to know of the hold. */
interface ParkingScene {
  /** A dispatch is out, or a decision is being written. */
  busy(): boolean;
  /** Ms until the first thing that the run itself has to do by time. */
  untilDue(): number | undefined;
  /** Lets go of the run. */
  leave(): void;
}

export class Parking {
  readonly #frame: HoldFrame;
  readonly #scene: ParkingScene;

  constructor(frame: HoldFrame, scene: ParkingScene) {
    this.#frame = frame;
    this.#scene = scene;
  }

  /** Called whenever something has happened: the run is put away soon, if nothing comes in between. */
  consider(): void {
    const { deadlines } = this.#frame;
    if (!this.#mayPark) deadlines.clear("park");
    else if (!deadlines.has("park")) deadlines.set("park", HOLD_LIMITS.parkMs);
  }

  async park(): Promise<void> {
    const { run, fold, context, deadlines } = this.#frame;
    const { bus, log } = context;
    const dueMs = this.#scene.untilDue();
    if (!this.#mayPark) return;
    if (dueMs !== undefined && dueMs < HOLD_LIMITS.parkAtLeastMs) {
      return deadlines.set("park", dueMs + HOLD_LIMITS.parkMs);
    }
    try {
      if (dueMs !== undefined) await bus.runs.setTimer(run, dueMs); // P2
      if (!this.#frame.over && (await this.#frame.sync()) && this.#mayPark) {
        log.info({ run, status: fold.status, dueMs }, "run parked");
        return this.#scene.leave();
      }
    } catch (error) {
      log.debug({ run, err: error }, "the run could not be put away");
    }
    if (!this.#frame.over) this.consider();
  }

  /** P1 */
  get #mayPark(): boolean {
    const { fold } = this.#frame;
    const thinking = fold.recovering.size + fold.weighing.size > 0;
    return fold.rests && !thinking && !this.#scene.busy() && fold.dueEnd() === undefined;
  }
}
