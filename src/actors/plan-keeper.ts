/**
 * Keeps one run's plan: has it made, has its rest weighed when facts arrive, has another way found when a step
 * failed or a role went away.
 *
 * It owns when that is asked for, and that it is asked for once at a time. It does not own the answers (the
 * planning does) nor what they change (the fold does). An answer is computed again at the moment of writing,
 * on the state of that moment (L3).
 *
 *  - K1 Planning that throws is a mistake of ours or of what it was given: it is tried again a bounded number of
 *    times, and then the run goes on, or ends, without it (L8). Handing the run back would only move the mistake.
 */
import type { RunFold } from "../fold/run-fold.ts";
import { UnreachableError } from "../workflow/errors.ts";
import type { Proposal } from "./decision-writer.ts";
import type { HoldFrame } from "./hold-frame.ts";
import type { PlannerDesk } from "./planner-desk.ts";
import type { PlanChoice, RunPlanning, WaitingDispatch } from "./run-planning.ts";

/** A planned run looks this often whether the roles that it waits for are still served. */
export const ROLE_LOOK_MS = 5_000;
/** Revisions and recoveries that did not fit are tried so often; then the plan stands, or the step fails (L8). */
const MAX_MISFITS = 3;
/** What throws is tried so often, this far apart: a plan over all holds of the run, the rest over one (K1). */
const MAX_TRIES = 10;
const RETRY_MS = 1_000;

export class PlanKeeper {
  readonly #planning: RunPlanning;
  readonly #frame: HoldFrame;
  readonly #desk: PlannerDesk;
  #weighing = false;
  #looking = false;

  constructor(frame: HoldFrame, desk: PlannerDesk) {
    this.#frame = frame;
    this.#desk = desk;
    this.#planning = frame.context.planning;
  }

  plan(): void {
    const { fold } = this.#frame;
    const write = (proposal: Proposal): Promise<void> =>
      this.#decide(() => (fold.graph || fold.ended ? undefined : proposal));
    void this.#persist("planning failed", {
      act: async () => write(await this.#planning.plan(fold, this.#desk)),
      instead: (error) => write(unplanned(error)),
      // Every claim of a run without a workflow counts as a try, so that a failover does not begin anew.
      triedBefore: fold.epoch - 1,
    });
  }

  recover(step: string): void {
    const { fold } = this.#frame;
    const decide = (make: PlanChoice): Promise<void> =>
      this.#decide(() => (fold.recovering.has(step) ? make() : undefined));
    void this.#persist(`recovery of ${step} failed`, {
      act: async () => {
        for (let misfits = 0; fold.recovering.has(step) && !fold.ended && !this.#frame.over; misfits += 1) {
          const { n } = fold.step(step).context;
          const choose = await this.#planning.recover(fold, step, this.#desk);
          const none = givenUp(step, n, "no other way fitted what went on meanwhile");
          await decide(misfits < MAX_MISFITS ? choose : () => none);
        }
      },
      instead: (error) => decide(() => givenUp(step, fold.step(step).context.n, failureOf(error))),
    });
  }

  /** Weighs what waits to be weighed, all of it in one decision. */
  weigh(): void {
    if (this.#weighing) return;
    this.#weighing = true;
    const { fold } = this.#frame;
    const decide = (make: PlanChoice): Promise<void> =>
      this.#decide(() => {
        if (fold.weighing.size === 0 || fold.ended) return undefined;
        const made = make();
        return made?.type === "revise" ? { ...made, upTo: fold.lastSeq } : made;
      });
    void this.#persist("weighing the plan failed", {
      act: async () => {
        for (let misfits = 0; fold.weighing.size > 0 && !fold.ended && !this.#frame.over; ) {
          const { revision } = fold.environment;
          const choose = await this.#planning.weigh(fold, this.#desk);
          const none = () => standing(fold, "no revision of it fitted what went on meanwhile");
          await decide(misfits < MAX_MISFITS ? choose : none);
          // Facts that came meanwhile make it no misfit.
          if (fold.environment.revision === revision) misfits += 1;
        }
      },
      instead: async (error) => {
        // Facts that come while that is written have to be weighed, too, and nobody else is let in here.
        while (fold.weighing.size > 0 && !fold.ended && !this.#frame.over)
          await decide(() => standing(fold, failureOf(error)));
      },
    }).finally(() => {
      this.#weighing = false;
    });
  }

  /** Goes round roles that nobody serves any more, where there is a way. Only for a planned run. */
  async lookAtRoles(waiting: () => readonly WaitingDispatch[]): Promise<void> {
    if (this.#looking || waiting().length === 0) return;
    this.#looking = true;
    await this.#persist("looking for another way failed", {
      act: async () => {
        const choose = await this.#planning.replace(this.#frame.fold, waiting(), this.#desk);
        if (choose !== undefined) await this.#decide(choose);
      },
      // The work stays where it waits; its time-outs are not ours.
      instead: () => Promise.resolve(),
    });
    this.#looking = false;
  }

  /** Unlike the frame's, it tells when a decision cannot be made or written at all. */
  #decide(make: PlanChoice): Promise<void> {
    return this.#frame.writer.propose(make);
  }

  /** K1. */
  async #persist(what: string, { act, instead, triedBefore = 0 }: Endeavour): Promise<void> {
    const frame = this.#frame;
    const { run, context } = frame;
    try {
      for (let tried = triedBefore + 1; !frame.over; tried += 1) {
        try {
          return await act();
        } catch (error) {
          if (error instanceof UnreachableError) throw error;
          if (tried >= MAX_TRIES) {
            context.log.error({ run, err: error, tried }, `${what}; going on without it`);
            return await instead(error);
          }
          context.log.warn({ run, err: error, tried, of: MAX_TRIES }, `${what}; trying again`);
          await frame.pause(RETRY_MS);
        }
      }
    } catch (error) {
      frame.giveUp(what, error);
    }
  }
}

interface Endeavour {
  act(): Promise<void>;
  /** What is done when every try has thrown. @param error of the last one */
  instead(error: unknown): Promise<void>;
  /** Tries that were made before. */
  readonly triedBefore?: number;
}

function failureOf(error: unknown): string {
  return `planning failed ${MAX_TRIES} times, the last time with: ${error instanceof Error ? error.message : error}`;
}

function unplanned(error: unknown): Proposal {
  const remedy = "The daemon's log has where; submit the run again when that is mended.";
  return {
    type: "end",
    status: "failed",
    error: { code: "E_PLANNING", message: `${failureOf(error)}. ${remedy}` },
  };
}

function givenUp(step: string, n: number, reason: string): Proposal {
  return { type: "recover", step, n, reason };
}

function standing({ weighing }: RunFold, why: string): Proposal {
  return { type: "revise", weighed: [...weighing], reason: `the plan stands: ${why}` };
}
