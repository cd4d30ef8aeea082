/** A run's line in the list of runs. */
import type { RunSummary } from "../bus/messages.ts";
import { masked } from "../workflow/secrets.ts";
import type { RunFold } from "./run-fold.ts";

export function runSummaryOf(fold: RunFold): RunSummary {
  const { total, done, failed, running } = fold.counts;
  return {
    run: fold.run,
    name: fold.graph?.name ?? fold.run,
    status: fold.status,
    ...(fold.pause === undefined ? {} : { reason: masked(fold.secrets, fold.pause.message) }),
    startedAt: new Date(fold.startedAt ?? 0).toISOString(),
    endedAt: fold.endedAt === undefined ? null : new Date(fold.endedAt).toISOString(),
    steps: { total, done, failed, running },
  };
}
