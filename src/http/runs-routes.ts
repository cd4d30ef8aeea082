/** Routes about runs as a list: finding them, submitting one, watching the swarm. */
import { z } from "zod";
import { RUN_STATUSES, type RunStatus, type RunSummary } from "../bus/messages.ts";
import type { SubmitRequest } from "../client/swarm.ts";
import { InvalidInputError, InvalidWorkflowError } from "../workflow/errors.ts";
import { validateWorkflow } from "../workflow/graph.ts";
import { runPageSchema, submittedSchema } from "./api.ts";
import type { ApiContext } from "./api-context.ts";
import { submitRequestSchema } from "./api-requests.ts";
import { EventStream } from "./event-stream.ts";
import { acceptsGzip } from "./reply.ts";
import { ANSWERED, type Route, route } from "./route.ts";

const MAX_PAGE = 500;
const DEFAULT_PAGE = 50;

const runsQuery = z.object({
  status: z
    .string()
    .optional()
    .describe(`One or several of ${RUN_STATUSES.join(", ")}, with commas between.`),
  q: z.string().max(200).optional().describe("Words that the run's id or name holds."),
  since: z.iso.datetime({ offset: true }).optional().describe("Started at or after."),
  until: z.iso.datetime({ offset: true }).optional().describe("Started before."),
  limit: z.coerce.number().int().min(1).max(MAX_PAGE).default(DEFAULT_PAGE),
  cursor: z.string().max(200).optional().describe("`next` of the page before."),
});

export function runsRoutes(context: ApiContext): Route[] {
  const { bus, client, clock } = context;
  return [
    route(
      {
        method: "GET",
        path: "/api/runs",
        id: "listRuns",
        summary: "The runs, newest first.",
        query: runsQuery,
        response: runPageSchema,
      },
      async ({ query }) => {
        const all = await client.runs();
        const counts = Object.fromEntries(RUN_STATUSES.map((status) => [status, 0])) as Record<
          RunStatus,
          number
        >;
        for (const { status } of all) counts[status] += 1;
        const matching = all.filter(matcher(query)).sort(newestFirst);
        const after = query.cursor === undefined ? undefined : readCursor(query.cursor);
        const rest = after === undefined ? matching : matching.filter((run) => newestFirst(run, after) > 0);
        const runs = rest.slice(0, query.limit);
        const last = runs.at(-1);
        const next = last === undefined || rest.length === runs.length ? null : makeCursor(last);
        return { value: { runs, total: matching.length, counts, next } };
      },
    ),
    route(
      {
        method: "POST",
        path: "/api/runs",
        id: "submitRun",
        summary: "Submits a workflow, or goals. Durable once it is answered.",
        body: submitRequestSchema,
        response: submittedSchema,
        status: 201,
      },
      async ({ body }) => {
        const { workflow, environment } = body;
        if (workflow !== undefined) assertWorkflow(workflow, environment ?? {});
        // JSON holds nothing that is undefined.
        const submitted = await client.submit(body as SubmitRequest);
        return { value: submitted, headers: { location: `/api/runs/${submitted.run}` } };
      },
    ),
    route(
      {
        method: "GET",
        path: "/api/events",
        id: "watchSwarm",
        summary: "Server-sent events `swarm`: all runs, agents and roles, then what changes.",
        media: "text/event-stream",
      },
      async ({ request, response }) => {
        const release = context.slots.take();
        const stream = new EventStream(response, clock, { gzip: acceptsGzip(request) });
        stream.onClose(release);
        context.swarm.add(stream);
        return ANSWERED;
      },
    ),
  ];

  function assertWorkflow(workflow: unknown, environment: Record<string, unknown>): void {
    const { issues } = validateWorkflow(workflow, { environmentKeys: Object.keys(environment) });
    if (issues.length === 0) return;
    throw new InvalidWorkflowError(
      `the workflow is invalid: ${issues[0]?.message ?? ""}${issues.length > 1 ? ` (and ${issues.length - 1} more)` : ""}`,
      issues,
      { remedy: "Correct each of the issues.", data: { swarm: bus.swarm } },
    );
  }
}

function matcher(query: z.infer<typeof runsQuery>): (run: RunSummary) => boolean {
  const statuses = query.status?.split(",").filter((status) => status !== "");
  const unknown = statuses?.find((status) => !RUN_STATUSES.some((known) => known === status));
  if (unknown !== undefined) {
    throw new InvalidInputError("E_REQUEST", `query.status: there is no status "${unknown.slice(0, 40)}"`, {
      remedy: `Use some of ${RUN_STATUSES.join(", ")}.`,
    });
  }
  const words = (query.q ?? "").toLowerCase().split(/\s+/);
  const since = query.since === undefined ? undefined : Date.parse(query.since);
  const until = query.until === undefined ? undefined : Date.parse(query.until);
  return ({ run, name, status, startedAt }) => {
    if (statuses !== undefined && statuses.length > 0 && !statuses.includes(status)) return false;
    if (since !== undefined && Date.parse(startedAt) < since) return false;
    if (until !== undefined && Date.parse(startedAt) >= until) return false;
    const text = `${run} ${name}`.toLowerCase();
    return words.every((word) => text.includes(word));
  };
}

type Place = Pick<RunSummary, "run" | "startedAt">;

/** Ids break ties, so that a cursor names one place. */
function newestFirst(a: Place, b: Place): number {
  if (a.startedAt !== b.startedAt) return a.startedAt < b.startedAt ? 1 : -1;
  return a.run < b.run ? 1 : a.run > b.run ? -1 : 0;
}

const makeCursor = ({ startedAt, run }: Place): string => `${startedAt}~${run}`;

function readCursor(cursor: string): Place {
  const [startedAt, run] = cursor.split("~");
  if (startedAt !== undefined && run !== undefined) return { startedAt, run };
  throw new InvalidInputError("E_CURSOR", `"${cursor}" is no cursor`, {
    remedy: "Give `next` of the page before, unchanged.",
  });
}
