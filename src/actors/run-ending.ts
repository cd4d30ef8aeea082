/**
 * How a run comes to its end, and how a step is stopped that somebody wants stopped.
 *
 * It owns taking back what is out before the end is decided, clearing up after it, and telling the parent run.
 * It does not own whether the run ends, nor how: the fold says what its state calls for (L1).
 *
 *  - L3 The end is proposed as a decision, judged again at the moment of writing.
 */
import { FetchedValues } from "../bus/claim-check.ts";
import { UnreachableError } from "../workflow/errors.ts";
import { reportToParent } from "./child-runs.ts";
import type { Flights } from "./flights.ts";
import { HOLD_LIMITS } from "./hold-context.ts";
import type { HoldFrame } from "./hold-frame.ts";

/** What the ending needs of the hold. */
interface EndingScene {
  /** The run has ended, and nothing of it is left to do. */
  finished(): void;
  /** The run was opened again while it was cleared away. */
  goOn(): void;
  /** There may be something to do. */
  wake(): void;
}

export class RunEnding {
  readonly #frame: HoldFrame;
  readonly #flights: Flights;
  readonly #scene: EndingScene;
  #underWay = false;

  constructor(frame: HoldFrame, flights: Flights, scene: EndingScene) {
    this.#frame = frame;
    this.#flights = flights;
    this.#scene = scene;
  }

  /** Whether an end is being decided: nothing is given out meanwhile. */
  get isUnderWay(): boolean {
    return this.#underWay;
  }

  /** The run does not end yet: it undoes its steps first. */
  putOff(): void {
    this.#underWay = false;
  }

  /** Stops what is out, then decides the end that the state calls for. */
  async decide(): Promise<void> {
    if (this.#underWay) return;
    this.#underWay = true;
    const { fold } = this.#frame;
    const fetched = new FetchedValues();
    if (fold.dueEnd()?.look) await this.#fetchFor(fetched);
    const reason = fold.dueEnd()?.error?.message ?? "the run has ended";
    const flights = [...this.#flights.all()];
    const taken = await Promise.all(flights.map((flight) => this.#flights.takeBack(flight, reason)));
    const stopped = taken.slice(0, HOLD_LIMITS.stoppedNoted);
    void this.#frame.propose(() => {
      const end = fold.dueEnd(fetched);
      this.#underWay = end !== undefined && end.look === undefined;
      // Somebody has written another large value meanwhile: the end is looked at anew.
      if (end?.look) this.#scene.wake();
      if (!end || end.look) return undefined;
      const { compensate, ...how } = end;
      const noted = stopped.length === 0 ? {} : { stopped };
      if (!compensate || how.status === "done") return { type: "end", ...how, ...noted };
      return { type: "compensate", status: how.status, ...(how.error && { error: how.error }), ...noted };
    });
  }

  /** Fetches the large values that the run's outputs look inside of. */
  async #fetchFor(fetched: FetchedValues): Promise<void> {
    const { fold, context } = this.#frame;
    while (!this.#frame.over) {
      const look = fold.dueEnd(fetched)?.look;
      if (look === undefined) return;
      try {
        await fetched.fetch(context.bus.artifacts, look.references);
      } catch (error) {
        if (!(error instanceof UnreachableError)) throw error;
        await this.#frame.pause(HOLD_LIMITS.retryMs);
      }
    }
  }

  /** Takes back what is out of a step that somebody wants stopped, then says in the log what came of it. */
  async stop(step: string): Promise<void> {
    const { fold } = this.#frame;
    const cause = fold.cancelling.get(step);
    // A revised plan may have left it out before its turn came.
    if (cause === undefined || fold.steps?.has(step) !== true || fold.step(step).state === "pending") return;
    const flight = this.#flights.get(step);
    const how = flight ? (await this.#flights.takeBack(flight, cause)).how : "removed";
    void this.#frame.propose(() => {
      if (!fold.cancelling.has(step) || fold.ended) return undefined;
      return { type: "cancelled", step, n: fold.step(step).context.n, how };
    });
  }

  /** The end was decided: clears away what is left of the run. */
  async finish(): Promise<void> {
    const { run, fold, context } = this.#frame;
    context.log.info({ run, status: fold.status, steps: fold.counts }, "run ended");
    try {
      await context.bus.tasks.removeRun(run);
      if (fold.rested) await context.bus.runs.clearTimer(run);
    } catch (error) {
      context.log.warn({ run, err: error }, "queued tasks of an ended run could not be removed");
    }
    // A person's retry may have come while the rest was cleared away; and an end that was decided on a log with
    // a hole may not be one. The run's task goes only once the log was read to its end.
    await this.#frame.syncAtLast();
    if (this.#frame.over) return;
    if (fold.ended) {
      await this.tellParent();
      return this.#scene.finished();
    }
    this.#underWay = false;
    this.#scene.goOn();
  }

  async tellParent(): Promise<void> {
    const { run, fold, context } = this.#frame;
    let pauseMs: number = HOLD_LIMITS.retryMs;
    while (!this.#frame.over) {
      try {
        return await reportToParent(context.bus, fold);
      } catch (error) {
        if (!(error instanceof UnreachableError))
          return this.#frame.giveUp("the parent could not be told", error);
        if (pauseMs === HOLD_LIMITS.retryMs)
          context.log.warn({ run, err: error }, "the parent could not be told; trying again");
        await this.#frame.pause(pauseMs);
        pauseMs = Math.min(2 * pauseMs, HOLD_LIMITS.retryMaxMs);
      }
    }
  }
}
