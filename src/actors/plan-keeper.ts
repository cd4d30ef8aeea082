/**
 * Keeps one run's plan: has it made, has its rest weighed when facts arrive, has another way found when a step
 * failed or a role went away.
 *
 * It owns when that is asked for, and that it is asked for once at a time. It does not own the answers (the
 * planning does) nor what they change (the fold does). An answer is computed again at the moment of writing,
 * on the state of that moment (L3).
 */
import type { RunFold } from "../fold/run-fold.ts";
import type { Proposal } from "./decision-writer.ts";
import type { RunPlanning, WaitingDispatch } from "./run-planning.ts";

/** A planned run looks this often whether the roles that it waits for are still served. */
export const ROLE_LOOK_MS = 5_000;
/** Revisions that did not fit are tried so often; then the plan stands (L8). */
const MAX_MISFITS = 3;

/** What the keeper needs of the hold. */
interface PlanScene {
  fold(): RunFold;
  over(): boolean;
  /** Resolves once the decision is folded, or given up. */
  propose(make: () => Proposal | undefined): Promise<void>;
  /** The run is handed back: somebody else shall try. */
  giveUp(what: string, error: unknown): void;
}

export class PlanKeeper {
  readonly #planning: RunPlanning;
  readonly #scene: PlanScene;
  #weighing = false;
  #looking = false;

  constructor(planning: RunPlanning, scene: PlanScene) {
    this.#planning = planning;
    this.#scene = scene;
  }

  plan(): void {
    const fold = this.#scene.fold();
    void this.#act("planning failed", async () => {
      const proposal = await this.#planning.plan(fold);
      await this.#scene.propose(() => (fold.graph || fold.ended ? undefined : proposal));
    });
  }

  recover(step: string): void {
    const fold = this.#scene.fold();
    void this.#act(`recovery of ${step} failed`, async () => {
      const choose = await this.#planning.recover(fold, step);
      await this.#scene.propose(() => (fold.recovering.has(step) ? choose() : undefined));
    });
  }

  /** Weighs what waits to be weighed, all of it in one decision. */
  weigh(): void {
    if (this.#weighing) return;
    this.#weighing = true;
    void this.#act("weighing the plan failed", async () => {
      const fold = this.#scene.fold();
      for (let misfits = 0; fold.weighing.size > 0 && !fold.ended && !this.#scene.over(); misfits++) {
        const choose = await this.#planning.weigh(fold);
        await this.#scene.propose(() => {
          if (fold.weighing.size === 0 || fold.ended) return undefined;
          return misfits < MAX_MISFITS ? choose() : standing([...fold.weighing]);
        });
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
      const choose = await this.#planning.replace(this.#scene.fold(), waiting());
      if (choose !== undefined) await this.#scene.propose(choose);
    });
    this.#looking = false;
  }

  async #act(what: string, act: () => Promise<void>): Promise<void> {
    try {
      await act();
    } catch (error) {
      this.#scene.giveUp(what, error);
    }
  }
}

function standing(weighed: string[]): Proposal {
  return {
    type: "revise",
    weighed,
    reason: "the plan stands: no revision of it fitted what went on meanwhile",
  };
}
