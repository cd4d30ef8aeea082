/** What a hold needs of planning: proposals for its log. The planner's own answer is pure; asking who is present is not. */
import type { RunFold } from "../fold/run-fold.ts";
import type { Proposal } from "./decision-writer.ts";
import type { PlannerDesk } from "./planner-desk.ts";

/** Decides on the state of the moment at which the decision is written; undefined: nothing to decide. */
export type PlanChoice = () => Proposal | undefined;

/** A dispatch whose role may be gone. */
export interface WaitingDispatch {
  readonly step: string;
  readonly n: number;
  readonly role: string;
  readonly started: boolean;
}

/** The desk is where the swarm may be asked for a planner of its own. */
export interface RunPlanning {
  /** A workflow for the run's goals, or the end of the run when there is none. */
  plan(fold: RunFold, desk: PlannerDesk): Promise<Proposal>;
  /** Another way to a failed step's outputs, or the word that there is none. */
  recover(fold: RunFold, step: string, desk: PlannerDesk): Promise<PlanChoice>;
  /** Whether the rest of the plan stands with the facts that have arrived. */
  weigh(fold: RunFold, desk: PlannerDesk): Promise<PlanChoice>;
  /** Another way round roles that nobody serves any more; undefined while there is no need. */
  replace(
    fold: RunFold,
    waiting: readonly WaitingDispatch[],
    desk: PlannerDesk,
  ): Promise<PlanChoice | undefined>;
}
