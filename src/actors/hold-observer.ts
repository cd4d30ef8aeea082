/**
 * What somebody who counts may learn about the runs that are held here. Without an observer nothing is told and
 * nothing is spent; with one, it sees what happens from the claim on, not what the replay repeats.
 */
import type { RunFold } from "../fold/run-fold.ts";
import type { FoldObserver, TransitionRecord, VoidRecord } from "../fold/transition-record.ts";

/** How a hold ended. */
export type HoldOutcome =
  /** The run has ended, or there is nothing to hold: its task may be removed. */
  | "finished"
  /** The run only waits: its task may be removed, and what wakes it is a control, a submission or its timer. */
  | "parked"
  /** Given back while the run goes on: another shall take it. */
  | "released"
  /** Another holder claimed the run. */
  | "fenced"
  /** Its log holds records of a newer version: only a daemon that reads them may decide on it. */
  | "newer";

export interface HoldObserver {
  onTransition(transition: TransitionRecord, fold: RunFold): void;
  onVoid(record: VoidRecord): void;
  onHoldEnd(run: string, outcome: HoldOutcome): void;
}

/** The part of an observer that a run's fold tells, while the hold is at work. */
export function liveFoldObserver(
  observer: HoldObserver,
  hold: { readonly active: boolean; readonly fold: RunFold },
): FoldObserver {
  // A submission readies its first steps before anybody has claimed the run. Whoever is the first to claim it
  // tells of that; a later holder only repeats it.
  let unclaimed: TransitionRecord[] = [];
  return {
    onTransition: (transition) => {
      if (!hold.active) {
        if (hold.fold.epoch === 0) unclaimed.push(transition);
        return;
      }
      if (unclaimed.length > 0) {
        const first = hold.fold.epoch === 1 ? unclaimed : [];
        unclaimed = [];
        for (const early of first) observer.onTransition(early, hold.fold);
      }
      observer.onTransition(transition, hold.fold);
    },
    onVoid: (record) => {
      if (hold.active) observer.onVoid(record);
    },
  };
}
