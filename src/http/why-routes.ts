/** Routes that answer why: where a run's time went, and the story of one step, each citing the log. */
import { z } from "zod";
import { criticalPath } from "../trace/critical-path.ts";
import type { Trace } from "../trace/replay.ts";
import { isoTime } from "../trace/view.ts";
import { whatIf } from "../trace/what-if.ts";
import { whyStep } from "../trace/why.ts";
import { stepRefOf } from "../workflow/derived-step.ts";
import { reasonsSchema, runTimeSchema } from "./api.ts";
import type { ApiContext } from "./api-context.ts";
import { atSchema, placeInLog } from "./place-in-log.ts";
import { type Route, route } from "./route.ts";
import type { RunReading } from "./run-reading.ts";

const atQuery = z.object({ at: atSchema });

export function whyRoutes(context: ApiContext): Route[] {
  const { clock, library } = context;
  const ask = async <Result>(
    run: string,
    at: string | undefined,
    work: (trace: Trace, now: number | undefined) => Result,
  ): Promise<Result> =>
    library.useAt(run, await placeInLog(context, run, at), (reading) => {
      const trace = traceOf(reading);
      return work(trace, reading.fold.ended || at !== undefined ? undefined : clock.now());
    });
  return [
    route(
      {
        method: "GET",
        path: "/api/runs/{run}/why",
        id: "whyRun",
        summary: "Why the run took so long: its critical path, and what more room would have saved.",
        params: z.object({ run: z.string() }),
        query: atQuery,
        response: runTimeSchema,
      },
      async ({ params, query }) => ({
        value: await ask(params.run, query.at, (trace, now) => {
          const { steps, ...times } = criticalPath(trace, now);
          return {
            run: params.run,
            seq: trace.fold.lastSeq,
            ...times,
            steps: steps.map(({ readyAt, endedAt, endedSeq, fannedOut: _, ...time }) => ({
              ...time,
              readyAt: isoTime(readyAt),
              endedAt: isoTime(endedAt),
              endedSeq: endedSeq ?? null,
            })),
            whatIf: whatIfView(trace, now),
          };
        }),
      }),
    ),
    route(
      {
        method: "GET",
        path: "/api/runs/{run}/steps/{step}/why",
        id: "whyStep",
        summary: "Why a step waited, ran, failed, was tried again, handed off or skipped, in sentences.",
        params: z.object({ run: z.string(), step: z.string() }),
        query: atQuery,
        response: reasonsSchema,
      },
      async ({ params, query }) => ({
        value: await ask(params.run, query.at, (trace, now) => whyStep(trace, stepRefOf(params.step), now)),
      }),
    ),
  ];
}

function whatIfView(trace: Trace, now: number | undefined) {
  const { durationMs, variants } = whatIf(trace, now);
  return { durationMs, variants: variants.map((variant) => ({ ...variant })) };
}

function traceOf({ fold, transitions, voids, dispatches, lastAt, changes }: RunReading): Trace {
  const halts = dispatches.halts(fold.graph?.maxParallel ?? Number.POSITIVE_INFINITY);
  return { fold, transitions, voids, dispatches: dispatches.all, halts, asOf: lastAt, writes: changes };
}
