/**
 * Removing finished runs with all that belongs to them: queued tasks, artifacts, log, entry in the list.
 *
 * Owns the order, which is what makes an interruption harmless. A run's tasks go while its log still holds the
 * id, so that a later run of that id never meets them; then its artifacts; then its log, submission first, up
 * to the last record that was looked at; its entry in the list last, so that the next purge finds what this one
 * left. It never removes a run that has not ended by its own log (L1).
 *
 * Many runs are found in one pass over the whole log: the cost follows what is stored, not its product with the
 * number of runs.
 */
import type { ArtifactRef, Bus, Clock } from "../bus/bus.ts";
import type { RunStatus, RunSummary } from "../bus/messages.ts";
import { hasEnded } from "../machines/run.ts";
import { InvalidInputError, NotFoundError, UnreachableError } from "../workflow/errors.ts";
import { RunReview } from "./run-review.ts";

export interface FinishedFilter {
  /** Only these; one that is open or unknown is an error then. Default: all. */
  runs?: readonly string[];
  /** Only runs that ended at least this long ago, in ms. */
  olderMs?: number;
  /** Only runs that ended so. */
  status?: RunStatus;
  /** Begins with no further run once it fires, and rejects with its reason. */
  signal?: AbortSignal;
}

export interface PurgeReport {
  runs: number;
  /** Log records, queued tasks and artifacts. */
  messages: number;
  /** Bodies of log records, and artifacts. */
  bytes: number;
}

/** A finished run, as it was when it was looked at. */
export interface FinishedRun {
  readonly run: string;
  readonly name: string;
  readonly status: RunStatus;
  /** Epoch ms. */
  readonly startedAt: number;
  readonly endedAt: number;
  /** Of its log; 0: it has none. */
  readonly firstSeq: number;
  readonly lastSeq: number;
  /** Body bytes of its log. */
  readonly bytes: number;
  readonly artifacts: readonly ArtifactRef[];
  readonly entry: RunSummary | undefined;
  /** Its log was left half-removed by a purge that was interrupted, or there is no more than its entry. */
  readonly remains: boolean;
}

/** Runs that are removed at the same time (L8). */
const AT_ONCE = 8;
/** Runs that are removed before it is looked again at what was appended meanwhile. */
const BATCH = 256;

export class RunRemoval {
  readonly #bus: Bus;
  readonly #clock: Clock;

  constructor(bus: Bus, clock: Clock) {
    this.#bus = bus;
    this.#clock = clock;
  }

  /**
   * Purges what the filter matches. With `before`, that is done with each run first; when it rejects, the run
   * stays. One run that fails does not keep the others: the first error is thrown when all have had their turn, or
   * at once when the broker is away.
   * @throws NotFoundError, InvalidInputError `E_RUN_OPEN` for a run that was named
   */
  async purge(
    filter: FinishedFilter,
    before: (finished: FinishedRun) => Promise<void> = async () => {},
  ): Promise<PurgeReport> {
    const report: PurgeReport = { runs: 0, messages: 0, bytes: 0 };
    const failures = new Failures();
    const { found, endSeq } = await this.#finished(filter);
    let seen = endSeq;
    for (let at = 0; at < found.length && !failures.final; at += BATCH) {
      const batch = new Map<string, FinishedRun>();
      await this.#inTurn(found.slice(at, at + BATCH), filter, failures, async (finished) => {
        if (!finished.remains) await before(finished);
        // Others add meanwhile: the sum is read after the wait, not before.
        const removed = await this.#removeTasks(finished.run);
        report.messages += removed;
        batch.set(finished.run, finished);
      });
      seen = await this.#noteLate(batch, seen);
      await this.#inTurn([...batch.values()], filter, failures, async (finished) => {
        const removed = await this.#removeRest(finished);
        report.messages += removed;
        report.bytes +=
          finished.bytes + finished.artifacts.reduce((sum, ref) => sum + ref.$artifact.bytes, 0);
        report.runs += 1;
      });
    }
    failures.rethrow();
    return report;
  }

  /** Calls `visit` for every run that the filter matches, a few at a time; what fails as with `purge`. */
  async each(filter: FinishedFilter, visit: (finished: FinishedRun) => Promise<void>): Promise<void> {
    const failures = new Failures();
    const { found } = await this.#finished(filter);
    await this.#inTurn(found, filter, failures, visit);
    failures.rethrow();
  }

  async #inTurn(
    runs: readonly FinishedRun[],
    { signal }: FinishedFilter,
    failures: Failures,
    visit: (finished: FinishedRun) => Promise<void>,
  ): Promise<void> {
    let next = 0;
    const work = async (): Promise<void> => {
      for (let finished = runs[next++]; finished !== undefined && !failures.final; finished = runs[next++]) {
        try {
          signal?.throwIfAborted();
          await visit(finished);
        } catch (error) {
          failures.add(error, signal?.aborted === true);
        }
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
  }

  // ── finding ──────────────────────────────────────────────────────────────────────────────────────

  /** What the filter matches, the eldest first, and up to which sequence the log was looked at. */
  async #finished(filter: FinishedFilter): Promise<{ found: FinishedRun[]; endSeq: number }> {
    const entries = new Map((await this.#bus.index.list()).map((entry) => [entry.run, entry]));
    const artifacts = await this.#bus.artifacts.list();
    const { reviews, endSeq } = await (filter.runs === undefined
      ? this.#passOver(await this.#candidates(filter, entries))
      : this.#lookAt(filter.runs));
    const found = reviews.flatMap((review) => {
      const { run } = review;
      const finished = this.#judge(review, entries.get(run), artifacts.get(run) ?? [], filter);
      return finished === undefined ? [] : [finished];
    });
    return { found: found.sort((a, b) => a.firstSeq - b.firstSeq), endSeq };
  }

  /** The list is a view: runs that it has lost are found by their logs. */
  async #candidates(filter: FinishedFilter, entries: ReadonlyMap<string, RunSummary>): Promise<Set<string>> {
    const known = new Set([...entries.keys(), ...(await this.#bus.log.list())]);
    for (const run of known) if (!this.#mayMatch(filter, entries.get(run))) known.delete(run);
    return known;
  }

  /** By the entry alone: spares looking at runs that ended too recently or otherwise. */
  #mayMatch({ status, olderMs }: FinishedFilter, entry: RunSummary | undefined): boolean {
    if (entry === undefined || !hasEnded(entry.status)) return true;
    const endedAt = Date.parse(entry.endedAt ?? entry.startedAt);
    return (status === undefined || status === entry.status) && this.#isOld(endedAt, olderMs);
  }

  async #passOver(runs: ReadonlySet<string>): Promise<{ reviews: RunReview[]; endSeq: number }> {
    const reviews = new Map([...runs].map((run) => [run, new RunReview(run, false)]));
    let endSeq = 0;
    let bytes = 0;
    const options = {
      wants: (run: string, seq: number) => {
        endSeq = seq;
        return reviews.has(run);
      },
      onBytes: (size: number) => {
        bytes = size;
      },
    };
    if (runs.size > 0) {
      for await (const record of this.#bus.log.scan(options)) {
        const review = reviews.get(record.run) as RunReview;
        review.bytes += bytes;
        review.take(record);
      }
    }
    const doubtful = [...reviews.values()].filter((review) => review.doubtful).map(({ run }) => run);
    for (const review of (await this.#lookAt(doubtful)).reviews) reviews.set(review.run, review);
    return { reviews: [...reviews.values()], endSeq };
  }

  async #lookAt(runs: readonly string[]): Promise<{ reviews: RunReview[]; endSeq: number }> {
    const reviews: RunReview[] = [];
    for (const run of runs) {
      const review = new RunReview(run, true);
      const onBytes = (size: number): void => {
        review.bytes += size;
      };
      for await (const record of this.#bus.log.read(run, { onBytes })) review.take(record);
      reviews.push(review);
    }
    return { reviews, endSeq: Math.min(...reviews.map(({ lastSeq }) => lastSeq)) };
  }

  #judge(
    { run, submitted, ending, status, firstSeq, lastSeq, bytes }: RunReview,
    entry: RunSummary | undefined,
    artifacts: readonly ArtifactRef[],
    filter: FinishedFilter,
  ): FinishedRun | undefined {
    const log = { run, firstSeq, lastSeq, bytes, artifacts, entry };
    if (!submitted) {
      // No daemon takes up what was never submitted: it is what an interrupted purge has left.
      const exists = lastSeq > 0 || entry !== undefined || artifacts.length > 0;
      if (exists) return { ...log, name: run, status: "done", startedAt: 0, endedAt: 0, remains: true };
      if (filter.runs !== undefined) throw notFound(run);
      return undefined;
    }
    if (ending === undefined) {
      if (filter.runs !== undefined) throw stillOpen(run, status);
      return undefined;
    }
    if (filter.status !== undefined && ending.status !== filter.status) return undefined;
    if (!this.#isOld(ending.endedAt, filter.olderMs)) return undefined;
    return { ...log, ...ending, remains: false };
  }

  /** Not asked for an age, the clocks of broker and client need not agree. */
  #isOld(endedAt: number, olderMs: number | undefined): boolean {
    return olderMs === undefined || endedAt <= this.#clock.now() - olderMs;
  }

  // ── removing ─────────────────────────────────────────────────────────────────────────────────────

  async #removeTasks(run: string): Promise<number> {
    const removed = await this.#bus.tasks.removeRun(run);
    return (await this.#bus.runs.remove(run)) ? removed + 1 : removed;
  }

  /**
   * What was appended to these runs after the sequence `from`: a late result goes with its run; a run that a person
   * opened again stays, and gets back the task that may have been the control's.
   */
  async #noteLate(batch: Map<string, FinishedRun>, from: number): Promise<number> {
    let endSeq = from;
    const controlled: string[] = [];
    const wants = (run: string, seq: number): boolean => {
      endSeq = seq;
      return batch.has(run);
    };
    for await (const { run, kind, seq } of this.#bus.log.scan({ from: from + 1, wants })) {
      const finished = batch.get(run);
      if (finished === undefined || seq <= finished.lastSeq) continue;
      batch.set(run, { ...finished, lastSeq: seq });
      if (kind !== "control") continue;
      batch.delete(run);
      controlled.push(run);
    }
    for (const run of controlled) await this.#bus.runs.push(run);
    return endSeq;
  }

  async #removeRest({ run, firstSeq, lastSeq, artifacts, entry }: FinishedRun): Promise<number> {
    for (const ref of artifacts) await this.#bus.artifacts.remove(ref);
    const range = { from: firstSeq, to: lastSeq };
    const removed = lastSeq === 0 ? 0 : await this.#bus.log.purge(run, range);
    if (entry !== undefined) await this.#bus.index.remove(entry);
    return removed + artifacts.length;
  }
}

/** What went wrong with some runs while others were done. */
class Failures {
  readonly #errors: unknown[] = [];
  /** Nothing more shall be begun. */
  final = false;

  add(error: unknown, isFinal: boolean): void {
    this.#errors.push(error);
    this.final ||= isFinal || error instanceof UnreachableError;
  }

  rethrow(): void {
    if (this.#errors.length > 0) throw this.#errors[0];
  }
}

function notFound(run: string): NotFoundError {
  return new NotFoundError("E_RUN_NOT_FOUND", `there is no run "${run}"`, {
    remedy: "List the runs with `datahammer runs`.",
    data: { run },
  });
}

function stillOpen(run: string, status: RunStatus): InvalidInputError {
  return new InvalidInputError("E_RUN_OPEN", `run "${run}" has not ended: it is ${status}`, {
    remedy: `Wait for its end, or end it with \`datahammer cancel ${run}\`.`,
    data: { run, status },
  });
}
