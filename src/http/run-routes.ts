/** Routes that read one run: what it is, what happened, where it stands, live. */
import { z } from "zod";
import { traceTransition } from "../trace/replay.ts";
import { viewOf } from "../trace/view.ts";
import { stepRefOf } from "../workflow/derived-step.ts";
import {
  planSchema,
  recordsSchema,
  runHeadSchema,
  runViewSchema,
  stepDetailSchema,
  transitionsSchema,
} from "./api.ts";
import type { ApiContext } from "./api-context.ts";
import { atSchema, placeInLog } from "./place-in-log.ts";
import { planView } from "./plan-view.ts";
import { headView, transitionView, voidView } from "./presented.ts";
import { type Route, route } from "./route.ts";
import { RunFeed } from "./run-feed.ts";
import { between, graphSeqAt, type RunReading, runNotFound } from "./run-reading.ts";
import { openRunStream, resumeSchema } from "./run-stream.ts";
import { stepDetail } from "./step-detail.ts";

const MAX_RECORDS = 1_000;
const runParams = z.object({ run: z.string() });
const stepParams = z.object({ run: z.string(), step: z.string() });
const atQuery = z.object({ at: atSchema });
const afterSchema = z.coerce.number().int().min(0).default(0);

export function runRoutes(context: ApiContext): Route[] {
  const { clock, library } = context;
  const readAt = async <Result>(
    run: string,
    at: string | undefined,
    work: (reading: RunReading) => Result,
  ): Promise<Result> => library.useAt(run, await placeInLog(context, run, at), work);
  return [
    route(
      {
        method: "GET",
        path: "/api/runs/{run}",
        id: "showRun",
        summary: "The whole run, as `datahammer show --json` prints it.",
        params: runParams,
        query: atQuery,
        response: runViewSchema,
      },
      async ({ params, query }) => ({
        value: await readAt(params.run, query.at, ({ fold }) => ({ ...viewOf(fold, clock.now()) })),
      }),
    ),
    route(
      {
        method: "GET",
        path: "/api/runs/{run}/head",
        id: "headRun",
        summary: "The run without its steps and environment.",
        params: runParams,
        query: atQuery,
        response: runHeadSchema,
      },
      async ({ params, query }) => ({ value: await readAt(params.run, query.at, headView) }),
    ),
    route(
      {
        method: "GET",
        path: "/api/runs/{run}/transitions",
        id: "transitionsOfRun",
        summary: "Every transition of every machine, replayed from the log, and what changed nothing.",
        params: runParams,
        query: z.object({
          at: atSchema,
          after: afterSchema.describe("Only what came after this sequence."),
          step: z.string().optional().describe("Only of this step."),
        }),
        response: transitionsSchema,
      },
      async ({ params, query }) => {
        const to = await placeInLog(context, params.run, query.at);
        return {
          value: await library.use(params.run, (reading) => {
            const seqOf = ({ seq }: { seq: number }): number => seq;
            const step = query.step === undefined ? undefined : stepRefOf(query.step);
            const transitions = between(reading.transitions, seqOf, query.after, to);
            const voids = between(reading.voids, seqOf, query.after, to);
            return {
              run: params.run,
              seq: Math.min(to ?? reading.lastSeq, reading.lastSeq),
              graphSeq: graphSeqAt(reading, to),
              transitions: transitions
                .filter(({ actor, kind }) => step === undefined || (kind === "step" && actor === step))
                .map(transitionView),
              voids: voids.filter((record) => step === undefined || record.step === step).map(voidView),
            };
          }),
        };
      },
    ),
    route(
      {
        method: "GET",
        path: "/api/runs/{run}/records",
        id: "recordsOfRun",
        summary: "The log itself, in order.",
        params: runParams,
        query: z.object({
          after: afterSchema.describe("Only records after this sequence."),
          limit: z.coerce.number().int().min(1).max(MAX_RECORDS).default(100),
        }),
        response: recordsSchema,
      },
      async ({ params, query }) => {
        const { run } = params;
        if (!(await context.bus.log.exists(run))) throw runNotFound(run);
        const records: z.infer<typeof recordsSchema>["records"] = [];
        let more = false;
        for await (const record of context.bus.log.read(run, { from: query.after + 1 })) {
          more = records.length === query.limit;
          if (more) break;
          const { seq, ts, kind } = record;
          records.push({
            seq,
            ts: new Date(ts).toISOString(),
            kind,
            ...(record.kind === "result" ? { role: record.role } : {}),
            body: record.kind === "unreadable" ? { problem: record.problem } : record.body,
          });
        }
        return { value: { run, records, next: more ? (records.at(-1)?.seq ?? null) : null } };
      },
    ),
    route(
      {
        method: "GET",
        path: "/api/runs/{run}/steps/{step}",
        id: "stepOfRun",
        summary: "One step: its dispatches with inputs and outputs, its transitions, what went wrong.",
        params: stepParams,
        query: atQuery,
        response: stepDetailSchema,
      },
      async ({ params, query }) => ({
        value: await readAt(params.run, query.at, (reading) => stepDetail(reading, params.step)),
      }),
    ),
    route(
      {
        method: "GET",
        path: "/api/runs/{run}/trace",
        id: "traceOfRun",
        summary: "The transitions as `datahammer trace --format json` prints them.",
        params: runParams,
        query: z.object({ at: atSchema, step: z.string().optional() }),
        response: z.array(
          z.object({
            seq: z.int(),
            ts: z.string(),
            actor: z.string(),
            from: z.string(),
            to: z.string(),
            event: z.string(),
            attempt: z.int(),
            agent: z.string().nullable(),
            cause: z.string(),
          }),
        ),
      },
      async ({ params, query }) => {
        const to = await placeInLog(context, params.run, query.at);
        const value = await library.use(params.run, (reading) =>
          between(reading.transitions, ({ seq }) => seq, 0, to)
            .filter(({ actor }) => query.step === undefined || actor === stepRefOf(query.step))
            .map(traceTransition),
        );
        return { value };
      },
    ),
    route(
      {
        method: "GET",
        path: "/api/runs/{run}/plan",
        id: "planOfRun",
        summary: "Why the run has these steps: the planner's answer, its reasons, its revisions.",
        params: runParams,
        query: atQuery,
        response: planSchema,
      },
      async ({ params, query }) => ({ value: await readAt(params.run, query.at, planView) }),
    ),
    route(
      {
        method: "GET",
        path: "/api/runs/{run}/events",
        id: "watchRun",
        summary:
          "Server-sent events: `records` with the log's sequence as id, `live`, `ready`, `cut`. " +
          "Goes on after the header Last-Event-ID, or `after`.",
        params: runParams,
        query: z.object({ after: resumeSchema }),
        media: "text/event-stream",
      },
      async ({ params, query, request, response }) =>
        openRunStream(
          context,
          { run: params.run, after: query.after, request, response },
          (reading, stream, after) => new RunFeed(context, reading, stream, after),
        ),
    ),
  ];
}
