/**
 * Keeps one run's plan: has it made, has its rest weighed when facts arrive, has another way found when a step
 * failed or a role went away.
 *
 * It owns when that is asked for, and that it is asked for once at a time. It does not own the answers (the
 * planning does) nor what they change (the fold does). An answer is computed again at the moment of writing,
 * on the state of that moment (L3).
 */
import type { Proposal } from "./decision-writer.ts";
import type { HoldFrame } from "./hold-frame.ts";
import type { PlannerDesk } from "./planner-desk.ts";
import type { RunPlanning, WaitingDispatch } from "./run-planning.ts";

/** A planned run looks this often whether the roles that it waits for are still served. */
export const ROLE_LOOK_MS = 5_000;
/** Revisions and recoveries that did not fit are tried so often; then the plan stands, or the step fails (L8). */
const MAX_MISFITS = 3;

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
    void this.#act("planning failed", async () => {
      const proposal = await this.#planning.plan(fold, this.#desk);
      await this.#frame.propose(() => (fold.graph || fold.ended ? undefined : proposal));
    });
  }

  recover(step: string): void {
    const { fold } = this.#frame;
    void this.#act(`recovery of ${step} failed`, async () => {
      for (let misfits = 0; fold.recovering.has(step) && !fold.ended && !this.#frame.over; misfits += 1) {
        const { n } = fold.step(step).context;
        const choose = await this.#planning.recover(fold, step, this.#desk);
        await this.#frame.propose(() => {
          if (!fold.recovering.has(step)) return undefined;
          return misfits < MAX_MISFITS ? choose() : givenUp(step, n);
        });
      }
    });
  }

  /** Weighs what waits to be weighed, all of it in one decision. */
  weigh(): void {
    if (this.#weighing) return;
    this.#weighing = true;
    void this.#act("weighing the plan failed", async () => {
      const { fold } = this.#frame;
      for (let misfits = 0; fold.weighing.size > 0 && !fold.ended && !this.#frame.over; ) {
        const { revision } = fold.environment;
        const choose = await this.#planning.weigh(fold, this.#desk);
        await this.#frame.propose(() => {
          if (fold.weighing.size === 0 || fold.ended) return undefined;
          const made = misfits < MAX_MISFITS ? choose() : standing([...fold.weighing]);
          return made?.type === "revise" ? { ...made, upTo: fold.lastSeq } : made;
        });
        // Facts that came meanwhile make it no misfit.
        if (fold.environment.revision === revision) misfits += 1;
      }
    }).finally(() => {
      this.#weighing = false;
    });
  }

  /** Goes round roles that nobody serves any more, where there is a way. Only for a planned run. */
  async lookAtRoles(waiting: () => readonly WaitingDispatch[]): Promise<void> {
    if (this.#looking || waiting().length === 0) return;
    this.#looking = true;
    await this.#act("looking for another way failed", async () => {
      const choose = await this.#planning.replace(this.#frame.fold, waiting(), this.#desk);
      if (choose !== undefined) await this.#frame.propose(choose);
    });
    this.#looking = false;
  }

  async #act(what: string, act: () => Promise<void>): Promise<void> {
    try {
      await act();
    } catch (error) {
      this.#frame.giveUp(what, error);
    }
  }
}

function givenUp(step: string, n: number): Proposal {
  return { type: "recover", step, n, reason: "no other way fitted what went on meanwhile" };
}

function standing(weighed: string[]): Proposal {
  return {
    type: "revise",
    weighed,
    reason: "the plan stands: no revision of it fitted what went on meanwhile",
  };
}
