/**
 * Finished runs that are older than the swarm keeps them, archived and purged from time to time.
 *
 * Owns when; what is removed and in which order is the removal's. Several daemons may do it at once: each run is
 * archived under the same name and removed once. What fails is logged and tried again at the next round.
 */
import type { Logger } from "pino";
import type { Bus, Clock } from "../bus/bus.ts";
import { archiveRun } from "../client/run-archive-file.ts";
import { RunRemoval } from "../client/run-removal.ts";

export interface RetentionOptions {
  /** Runs that ended longer ago than this are removed. */
  keepMs: number;
  /** Folder in which each is archived first; undefined: none is. */
  archiveTo?: string;
}

/** Between two rounds; a shorter time to keep makes for shorter rounds. */
const ROUND_MS = 3_600_000;
const MIN_ROUND_MS = 1_000;

/** Begins with a round at once. Resolves from `stop` when a round that is under way has let go of its run. */
export function startRetention(
  bus: Bus,
  clock: Clock,
  log: Logger,
  { keepMs, archiveTo }: RetentionOptions,
): { stop(): Promise<void> } {
  const removal = new RunRemoval(bus, clock);
  const everyMs = Math.min(ROUND_MS, Math.max(MIN_ROUND_MS, keepMs / 2));
  const over = new AbortController();
  let timer: unknown;
  const round = async (): Promise<void> => {
    try {
      const report = await removal.purge({ olderMs: keepMs, signal: over.signal }, async (finished) => {
        if (archiveTo !== undefined) await archiveRun(bus, finished, archiveTo);
      });
      if (report.runs > 0) log.info({ ...report, archiveTo }, "old runs removed");
    } catch (error) {
      if (!over.signal.aborted) log.warn({ err: error }, "old runs could not be removed; trying again later");
    }
    if (over.signal.aborted) return;
    timer = clock.setTimeout(() => {
      underWay = round();
    }, everyMs);
  };
  let underWay = round();
  return {
    stop: async () => {
      over.abort();
      clock.clearTimeout(timer);
      await underWay;
    },
  };
}
