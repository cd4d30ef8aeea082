/**
 * Looking at many runs as their records pass by, to tell which have ended and how.
 *
 * Owns one run's standing between records. It keeps the whole state of a run only while the run is open: of one
 * that has ended a line is left, so that a pass over twenty thousand runs holds what is open at the same time.
 */
import type { LogRecord } from "../bus/bus.ts";
import type { RunStatus } from "../bus/messages.ts";
import { RunFold } from "../fold/run-fold.ts";

export interface RunEnding {
  name: string;
  status: RunStatus;
  /** Epoch ms. */
  startedAt: number;
  endedAt: number;
}

export class RunReview {
  readonly run: string;
  firstSeq = 0;
  lastSeq = 0;
  /** Body bytes. */
  bytes = 0;
  /** There is a submission, be it one of a newer version that cannot be read here. */
  submitted = false;
  /** A person's word came after the end: it may have opened the run again, and its state was given up. */
  doubtful = false;
  #fold: RunFold | undefined;
  #ending: RunEnding | undefined;
  readonly #thorough: boolean;

  /** @param thorough keep the state of an ended run, so that nothing becomes doubtful */
  constructor(run: string, thorough: boolean) {
    this.run = run;
    this.#fold = new RunFold(run);
    this.#thorough = thorough;
  }

  /** Undefined while the run is open. */
  get ending(): RunEnding | undefined {
    return this.#ending;
  }
  /** Of a run that is open. */
  get status(): RunStatus {
    return this.#ending?.status ?? this.#fold?.status ?? "planning";
  }

  /** Called with every record of the run in order. */
  take(record: LogRecord): void {
    this.firstSeq ||= record.seq;
    this.lastSeq = record.seq;
    this.submitted ||= record.kind === "submit" || (record.kind === "unreadable" && record.of === "submit");
    if (this.#fold === undefined) {
      if (record.kind === "control") this.doubtful = true;
      return;
    }
    this.#fold.apply(record);
    this.#ending = this.#fold.ended ? endingOf(this.#fold) : undefined;
    if (this.#ending !== undefined && !this.#thorough) this.#fold = undefined;
  }
}

function endingOf({ run, graph, status, startedAt = 0, endedAt = 0 }: RunFold): RunEnding {
  return { name: graph?.name ?? run, status, startedAt, endedAt };
}
