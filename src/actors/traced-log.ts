/**
 * A hold's context whose log lines carry the run's trace id: the same as its spans have, so that a line is found
 * from a span and the other way round, whether or not anybody collects spans.
 */
import type { Logger } from "pino";
import { SpanIds } from "../bus/span-ids.ts";
import type { RunFold } from "../fold/run-fold.ts";
import type { HoldContext } from "./hold-context.ts";

/** Worked out from the log (L1); undefined while it has not been read to the submission. */
export function spanIdsOf({ run, startedAt, submission }: RunFold): SpanIds | undefined {
  if (submission === undefined) return undefined;
  return new SpanIds(run, startedAt ?? 0, submission.traceparent);
}

export function withTraceId(context: HoldContext, fold: () => RunFold): HoldContext {
  let traced: Logger | undefined;
  return Object.defineProperty({ ...context }, "log", {
    get() {
      if (traced !== undefined) return traced;
      const traceId = spanIdsOf(fold())?.traceId;
      if (traceId === undefined) return context.log;
      traced = context.log.child({ traceId });
      return traced;
    },
  });
}
