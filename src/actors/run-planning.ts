/** What a hold needs of planning: proposals for its log. The planner's own answer is pure; asking who is present is not. */
import type { RunFold } from "../fold/run-fold.ts";
import type { Proposal } from "./decision-writer.ts";

export interface RunPlanning {
  /** A workflow for the run's goals, or the end of the run when there is none. */
  plan(fold: RunFold): Promise<Proposal>;
  /** Another way to a failed step's outputs, or the word that there is none. */
  recover(fold: RunFold, step: string): Promise<Proposal>;
}
