/** What a replay tells its observer: the transitions of the machines, and what changed nothing and why. */
import type { RunState } from "../machines/run.ts";
import type { StepState } from "../machines/step.ts";

/** One transition of one machine, caused by one log record. */
export interface TransitionRecord {
  /** Log sequence of the cause. */
  seq: number;
  /** Epoch ms. */
  ts: number;
  /** `run`, or the step's id. */
  actor: string;
  kind: "run" | "step";
  from: StepState | RunState;
  to: StepState | RunState;
  event: string;
  n: number;
  attempt: number;
  agent: string | null;
  /** In words: what in the log caused it. */
  cause: string;
}

/** A dispatch as it opens: the step's machine has counted it. */
export interface DispatchOpening {
  /** Log sequence of the cause. */
  seq: number;
  /** Epoch ms. */
  ts: number;
  step: string;
  n: number;
  attempt: number;
  role: string;
  task: string;
  /** In words. */
  cause: string;
}

/** A record that is kept for people and changed nothing. */
export interface VoidRecord {
  seq: number;
  ts: number;
  /**
   * `late`: the dispatch was closed; `foreign`: not this dispatch's role, or no such step; `void`: a decision
   * of an old epoch or out of place; `refused`: a control or update that does not apply; `unreadable`: did
   * not parse.
   */
  verdict: "late" | "foreign" | "void" | "refused" | "unreadable";
  step: string | null;
  reason: string;
}

export interface FoldObserver {
  onTransition?(transition: TransitionRecord): void;
  /** After the transition that opened it; one lost before anybody began is followed by another without one. */
  onDispatch?(opening: DispatchOpening): void;
  onVoid?(record: VoidRecord): void;
}
