/** What a hold is given, and the bounds that it keeps. */
import type { Logger } from "pino";
import type { Bus, Clock } from "../bus/bus.ts";
import type { Defeats } from "./defeats.ts";
import type { HoldObserver } from "./hold-observer.ts";
import type { RoleShares } from "./role-shares.ts";
import type { RunPlanning } from "./run-planning.ts";

/** Bounds of a hold (L8). */
export const HOLD_LIMITS = {
  /** A running dispatch that is cancelled is waited for this long, then fenced and given up. */
  cancelWaitMs: 5_000,
  /** The end of a run says of so many dispatches that were out what became of them. */
  stoppedNoted: 1_000,
  /** A broker that is away is tried again after this. */
  retryMs: 500,
  retryMaxMs: 4_000,
  /** A queue without room has some as soon as an agent takes a task. */
  fullRetryMs: 500,
  /** After this much silence the log's end is read from the leader; with nothing out, less and less often. */
  silenceMs: 5_000,
  idleSilenceMs: 60_000,
  /** How often tasks that are out are looked for in their queues (L10), and how many at a time. */
  watchdogMs: 15_000,
  watchdogBatch: 64,
  /** A dispatch whose task vanished is given out anew so many times in a row; then its step fails as `E_LOST`. */
  lostInARow: 5,
  /** How much less often nested runs are looked at: they tell by themselves. */
  childLookMs: 60_000,
  /** How often a nested run asks whether its parent still waits for it, held and put away, and for how long. */
  parentLookMs: 30_000,
  parkedParentLookMs: 600_000,
  parentAnswerMs: 2_000,
  /** A run that only waits is put away after this: most of what a person says next comes at once, or late. */
  parkMs: 1_000,
  /** What is due sooner than this is waited for; putting the run away would cost more. */
  parkAtLeastMs: 5_000,
  /** How often a changed summary is put into the index. */
  indexMs: 1_000,
  /** How long an answer about an update waits for the fold to reach it. */
  verdictWaitMs: 5_000,
  /** How long a nested run waits for the answer to a draw on a budget above, before it draws again. */
  drawAnswerMs: 5_000,
  /** How long what was read for a watcher of the environment is kept for its next question. */
  historyKeptMs: 10_000,
} as const;

/** How long a daemon may take it that its runs are still its own. One for all of its holds. */
export interface Lease {
  /** Monotonic ms at which the runs were last reported in progress. */
  keptAt: number;
  /** The ack-wait: after it the queue gives the runs to others. */
  readonly forMs: number;
}

export interface HoldContext {
  bus: Bus;
  clock: Clock;
  log: Logger;
  planning: RunPlanning;
  /** Who holds: the daemon's id. */
  holder: string;
  newId(): string;
  lease: Lease;
  /** Of the runs that this daemon handed back. */
  defeats: Defeats;
  /** Of the roles' queues, among all runs that are held here. */
  shares: RoleShares;
  observer?: HoldObserver;
  /** Whether tasks carry their dispatch's trace context also when the submission has none. */
  traced?: boolean;
}
