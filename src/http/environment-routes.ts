/** Routes about a run's environment: its keys with who wrote them, how each came about, and setting one. */
import { z } from "zod";
import { redeem } from "../bus/claim-check.ts";
import { NotFoundError } from "../workflow/errors.ts";
import { environmentHistorySchema, environmentSchema, environmentVerdictSchema } from "./api.ts";
import type { ApiContext } from "./api-context.ts";
import { setEnvironmentSchema } from "./api-requests.ts";
import { EnvironmentFeed } from "./environment-feed.ts";
import { atSchema, placeInLog } from "./place-in-log.ts";
import { changeView } from "./presented.ts";
import { type Route, route } from "./route.ts";
import { between, type EnvironmentChange } from "./run-reading.ts";
import { openRunStream, resumeSchema } from "./run-stream.ts";

const MAX_CHANGES = 1_000;
const runParams = z.object({ run: z.string() });
/** Where every key is found, whatever it is called. */
const KEY_PATH = "/api/runs/{run}/environment/keys/{key}";
const SHORT_KEY_PATH = "/api/runs/{run}/environment/{key}";
const BESIDES = "Keys called `events` and `history` cannot be read here.";
const SET_SUMMARY = "Sets a key. The verdict is the log's: `applied: false` says who wrote it meanwhile.";
const keyParams = z.object({ run: z.string(), key: z.string() });

export function environmentRoutes(context: ApiContext): Route[] {
  const { library, bus } = context;
  return [
    route(
      {
        method: "GET",
        path: "/api/runs/{run}/environment",
        id: "environmentOfRun",
        summary: "Every key with its value, revision and writer. Large values stand as references.",
        params: runParams,
        query: z.object({ at: atSchema }),
        response: environmentSchema,
      },
      async ({ params, query }) => {
        const to = await placeInLog(context, params.run, query.at);
        return {
          value: await library.use(params.run, (reading) => {
            const last = new Map<string, EnvironmentChange>();
            for (const change of upTo(reading.changes, to)) last.set(change.key, change);
            const entries = [...last.values()].sort((a, b) => (a.key < b.key ? -1 : 1));
            return {
              run: params.run,
              revision: entries.reduce((most, { revision }) => Math.max(most, revision), 0),
              // No prototype: `__proto__` is a key like any other.
              values: Object.assign(
                Object.create(null),
                Object.fromEntries(entries.map((e) => [e.key, e.value])),
              ),
              entries: entries.map(changeView),
            };
          }),
        };
      },
    ),
    route(
      {
        method: "GET",
        path: "/api/runs/{run}/environment/history",
        id: "environmentHistoryOfRun",
        summary: "Every change of the environment, oldest first.",
        params: runParams,
        query: z.object({
          at: atSchema,
          key: z.string().optional(),
          after: z.coerce.number().int().min(0).default(0),
          limit: z.coerce.number().int().min(1).max(MAX_CHANGES).default(200),
        }),
        response: environmentHistorySchema,
      },
      async ({ params, query }) => {
        const to = await placeInLog(context, params.run, query.at);
        return {
          value: await library.use(params.run, (reading) => {
            const all = upTo(reading.changes, to, query.after).filter(
              ({ key }) => query.key === undefined || key === query.key,
            );
            // Changes of one record share its sequence, by which the next page begins: they stay together.
            const edge = all[query.limit - 1]?.revision;
            const page = edge === undefined ? all : all.filter(({ revision }) => revision <= edge);
            return {
              run: params.run,
              seq: reading.lastSeq,
              changes: page.map((change) => ({ ...changeView(change), value: change.value })),
              next: page.length < all.length ? (edge ?? null) : null,
            };
          }),
        };
      },
    ),
    route(
      {
        method: "GET",
        path: "/api/runs/{run}/environment/events",
        id: "watchEnvironment",
        summary:
          "Server-sent events: `environment` with the changes of one record, its sequence as id and whole values; " +
          "`ready`, `cut`. Goes on after the header Last-Event-ID, or `after`.",
        params: runParams,
        query: z.object({
          after: resumeSchema,
          key: z.string().optional().describe("Only changes of this key."),
        }),
        media: "text/event-stream",
      },
      async ({ params, query, request, response }) =>
        openRunStream(
          context,
          { run: params.run, after: query.after, request, response },
          (reading, stream, after) => new EnvironmentFeed(bus, reading, stream, after, query.key),
        ),
    ),
    ...keyRoutes(context, KEY_PATH, {
      get: { id: "environmentKeyOfRun", summary: "One key, with a large value in full." },
      put: { id: "setEnvironmentKey", summary: SET_SUMMARY },
    }),
    ...keyRoutes(context, SHORT_KEY_PATH, {
      get: {
        id: "environmentKeyOfRunShort",
        summary: `The same as ${KEY_PATH}, but for two keys. ${BESIDES}`,
      },
      put: { id: "setEnvironmentKeyShort", summary: `The same as ${KEY_PATH}.` },
    }),
  ];
}

/** Reading and setting one key, at a path of its own. */
function keyRoutes(
  context: ApiContext,
  path: string,
  names: Record<"get" | "put", { id: string; summary: string }>,
): Route[] {
  const { library, client, bus } = context;
  return [
    route(
      {
        method: "GET",
        path,
        ...names.get,
        params: keyParams,
        query: z.object({ at: atSchema }),
        response: environmentHistorySchema.shape.changes.element,
      },
      async ({ params, query }) => {
        const to = await placeInLog(context, params.run, query.at);
        const { run, key } = params;
        const change = await library.use(run, (reading) =>
          upTo(reading.changes, to).findLast((candidate) => candidate.key === key),
        );
        if (change === undefined) {
          throw new NotFoundError("E_KEY_NOT_FOUND", `the environment of run "${run}" has no "${key}"`, {
            remedy: `Its keys are listed at /api/runs/${run}/environment.`,
            data: { run, key },
          });
        }
        return { value: { ...changeView(change), value: await redeem(bus.artifacts, change.value) } };
      },
    ),
    route(
      {
        method: "PUT",
        path,
        ...names.put,
        params: keyParams,
        body: setEnvironmentSchema,
        response: environmentVerdictSchema,
      },
      async ({ params, body }) => {
        const { ifRevision } = body;
        const options = ifRevision === undefined ? {} : { ifRevision };
        const verdict = await client.setEnvironment(params.run, params.key, body.value, options);
        return { value: { ...verdict } };
      },
    ),
  ];
}

function upTo(changes: readonly EnvironmentChange[], to: number | undefined, after = 0): EnvironmentChange[] {
  return between(changes, ({ revision }) => revision, after, to);
}
