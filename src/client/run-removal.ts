/**
 * Removing finished runs with all that belongs to them: queued tasks, artifacts, log, entry in the list.
 *
 * Owns the order, which is what makes an interruption harmless. A run's tasks go while its log still holds the
 * id, so that a later run of that id never meets them; then its artifacts; then its log, submission first, up
 * to the record at which it was found ended; its entry in the list last, so that the next purge finds what this
 * one left. It never removes a run that has not ended by its own log (L1).
 */
import type { ArtifactRef, Bus, Clock } from "../bus/bus.ts";
import type { RunStatus, RunSummary } from "../bus/messages.ts";
import { RunFold } from "../fold/run-fold.ts";
import { hasEnded } from "../machines/run.ts";
import { InvalidInputError, NotFoundError, UnreachableError } from "../workflow/errors.ts";

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
  readonly status: RunStatus;
  readonly fold: RunFold;
  /** Body bytes of its log. */
  readonly bytes: number;
  readonly artifacts: readonly ArtifactRef[];
  /** Its log was left half-removed by a purge that was interrupted, or there is no more than its entry. */
  readonly remains: boolean;
}

/** Runs that are looked at and removed at the same time (L8). */
const AT_ONCE = 8;

export class RunRemoval {
  readonly #bus: Bus;
  readonly #clock: Clock;

  constructor(bus: Bus, clock: Clock) {
    this.#bus = bus;
    this.#clock = clock;
  }

  /**
   * Purges what the filter matches. With `before`, that is done with each run first; when it rejects, the run stays.
   * @throws NotFoundError, InvalidInputError `E_RUN_OPEN` for a run that was named
   */
  async purge(
    filter: FinishedFilter,
    before: (finished: FinishedRun) => Promise<void> = async () => {},
  ): Promise<PurgeReport> {
    const report: PurgeReport = { runs: 0, messages: 0, bytes: 0 };
    await this.each(filter, async (finished, entry) => {
      if (!finished.remains) await before(finished);
      const removed = await this.#remove(finished, entry);
      if (removed === undefined) return;
      report.runs += 1;
      report.messages += removed.messages;
      report.bytes += removed.bytes;
    });
    return report;
  }

  /**
   * Calls `visit` for every run that the filter matches, a few at a time. One that fails does not keep the others:
   * the first error is thrown when all have had their turn, or at once when the broker is away.
   */
  async each(
    filter: FinishedFilter,
    visit: (finished: FinishedRun, entry: RunSummary | undefined) => Promise<void>,
  ): Promise<void> {
    const entries = new Map((await this.#bus.index.list()).map((entry) => [entry.run, entry]));
    const artifacts = await this.#bus.artifacts.list();
    // The list is a view: runs that it has lost are found by their logs.
    const known = filter.runs ?? new Set([...entries.keys(), ...(await this.#bus.log.list())]);
    const candidates = [...known].filter((run) => this.#mayMatch(filter, entries.get(run)));
    const failures: unknown[] = [];
    let next = 0;
    const work = async (): Promise<void> => {
      for (let run = candidates[next++]; run !== undefined; run = candidates[next++]) {
        const entry = entries.get(run);
        try {
          filter.signal?.throwIfAborted();
          const finished = await this.#look(run, entry, artifacts.get(run) ?? [], filter);
          if (finished !== undefined) await visit(finished, entry);
        } catch (error) {
          failures.push(error);
          if (error instanceof UnreachableError || filter.signal?.aborted) next = candidates.length;
        }
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
    if (failures.length > 0) throw failures[0];
  }

  /** By the entry alone: spares reading the logs of runs that ended too recently or otherwise. */
  #mayMatch({ runs, status, olderMs }: FinishedFilter, entry: RunSummary | undefined): boolean {
    if (runs !== undefined || entry === undefined || !hasEnded(entry.status)) return true;
    const endedAt = Date.parse(entry.endedAt ?? entry.startedAt);
    return (status === undefined || status === entry.status) && this.#isOld(endedAt, olderMs);
  }

  /** Not asked for an age, the clocks of broker and client need not agree. */
  #isOld(endedAt: number, olderMs: number | undefined): boolean {
    return olderMs === undefined || endedAt <= this.#clock.now() - olderMs;
  }

  async #look(
    run: string,
    entry: RunSummary | undefined,
    artifacts: readonly ArtifactRef[],
    { runs, status, olderMs }: FinishedFilter,
  ): Promise<FinishedRun | undefined> {
    const fold = new RunFold(run);
    let bytes = 0;
    const onBytes = (size: number): void => {
      bytes += size;
    };
    let submitted = false;
    for await (const record of this.#bus.log.read(run, { onBytes })) {
      // One that cannot be read here may be a newer version's.
      submitted ||= record.kind === "submit" || (record.kind === "unreadable" && record.of === "submit");
      fold.apply(record);
    }
    const named = runs !== undefined;
    if (!submitted) {
      // No daemon takes up what was never submitted: it is what an interrupted purge has left.
      if (fold.lastSeq === 0 && entry === undefined && artifacts.length === 0) {
        if (named) throw notFound(run);
        return undefined;
      }
      return { run, status: entry?.status ?? "done", fold, bytes, artifacts, remains: true };
    }
    if (!fold.ended) {
      if (named) throw stillOpen(run, fold.status);
      return undefined;
    }
    if (status !== undefined && fold.status !== status) return undefined;
    if (!this.#isOld(fold.endedAt ?? 0, olderMs)) return undefined;
    return { run, status: fold.status, fold, bytes, artifacts, remains: false };
  }

  /** @returns undefined for a run that a person opened again meanwhile: it stays. */
  async #remove(
    { run, fold, bytes, artifacts }: FinishedRun,
    entry: RunSummary | undefined,
  ): Promise<{ messages: number; bytes: number } | undefined> {
    const removed = { messages: artifacts.length, bytes };
    if (await this.#bus.runs.remove(run)) removed.messages++;
    removed.messages += await this.#bus.tasks.removeRun(run);
    if (await this.#wasControlled(run, fold.lastSeq + 1)) {
      // The task that went may have been the control's.
      await this.#bus.runs.push(run);
      return undefined;
    }
    for (const ref of artifacts) {
      await this.#bus.artifacts.remove(ref);
      removed.bytes += ref.$artifact.bytes;
    }
    if (fold.lastSeq > 0) removed.messages += await this.#bus.log.purge(run, fold.lastSeq);
    removed.messages += await this.#removeLate(run, fold.lastSeq);
    if (entry !== undefined) await this.#bus.index.remove(entry);
    return removed;
  }

  async #wasControlled(run: string, from: number): Promise<boolean> {
    for await (const record of this.#bus.log.read(run, { from })) if (record.kind === "control") return true;
    return false;
  }

  /** What was appended while the run was being removed, unless the id has been used again. */
  async #removeLate(run: string, after: number): Promise<number> {
    let last = after;
    for await (const record of this.#bus.log.read(run, { from: after + 1 })) {
      if (record.kind === "submit") break;
      last = record.seq;
    }
    return last === after ? 0 : this.#bus.log.purge(run, last);
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
