/** Routes that act on a run: its controls, and what its steps stored as artifacts. */
import { z } from "zod";
import { redeem } from "../bus/claim-check.ts";
import { NotFoundError } from "../workflow/errors.ts";
import { controlVerdictSchema, purgeReportSchema, rerunReplySchema } from "./api.ts";
import type { ApiContext } from "./api-context.ts";
import { controlRequestSchema, purgeRequestSchema, rerunRequestSchema } from "./api-requests.ts";
import { HttpError } from "./problem.ts";
import { ANSWERED, type Route, route } from "./route.ts";

const runParams = z.object({ run: z.string() });

export function actionRoutes({ bus, client, library }: ApiContext): Route[] {
  return [
    route(
      {
        method: "POST",
        path: "/api/runs/{run}/controls",
        id: "controlRun",
        summary: "Cancel, pause, resume, retry, signal, approve, reject. The verdict is the log's.",
        params: runParams,
        body: controlRequestSchema,
        response: controlVerdictSchema,
      },
      async ({ params, body }) => {
        const { verb, step, name, value, by } = body;
        const verdict = await client.control(params.run, {
          verb,
          ...(step === undefined ? {} : { step }),
          ...(name === undefined ? {} : { name }),
          ...(value === undefined ? {} : { value }),
          ...(by === undefined ? {} : { by }),
        });
        return { value: { run: params.run, ...verdict } };
      },
    ),
    route(
      {
        method: "POST",
        path: "/api/runs/{run}/rerun",
        id: "rerunRun",
        summary: "Submits a new run of this one's workflow: from a step, from a place in its log, or whole.",
        params: runParams,
        body: rerunRequestSchema,
        response: rerunReplySchema,
        status: 201,
      },
      async ({ params, body }) => {
        const { run, from, at, budget } = body;
        const reply = await client.rerun(params.run, {
          ...(run === undefined ? {} : { run }),
          ...(from === undefined ? {} : { from }),
          ...(at === undefined ? {} : { at }),
          ...(budget === undefined ? {} : { budget }),
        });
        return { value: reply, headers: { location: `/api/runs/${reply.run}` } };
      },
    ),
    route(
      {
        method: "POST",
        path: "/api/purge",
        id: "purgeRuns",
        summary: "Removes runs that have ended, with their logs and artifacts. Open runs stay.",
        body: purgeRequestSchema,
        response: purgeReportSchema,
      },
      async ({ body }) => {
        const { runs, status, olderMs } = body;
        const report = await client.purge({
          ...(runs === undefined ? {} : { runs }),
          ...(status === undefined ? {} : { status }),
          ...(olderMs === undefined ? {} : { olderMs }),
        });
        return { value: { runs: report.runs, messages: report.messages, bytes: report.bytes } };
      },
    ),
    route(
      {
        method: "GET",
        path: "/api/runs/{run}/artifacts/{artifact}",
        id: "artifactOfRun",
        summary: "The bytes that a step stored, or with `as=value` the value that a reference stands for.",
        params: z.object({ run: z.string(), artifact: z.string() }),
        query: z.object({ as: z.enum(["bytes", "value"]).default("bytes") }),
        media: "application/octet-stream",
      },
      async ({ params, query, response }) => {
        // The run is part of the name, so that no other run's artifacts are reached by it.
        const name = `${params.run}/${params.artifact}`;
        const secrets = await library.secretsOf(params.run).catch(undefinedIfGone);
        if (secrets !== undefined && secrets.text(name) !== name) throw secretArtifact(params.run);
        if (query.as === "value") {
          const reference = { $artifact: { name, bytes: 0, holds: "value" as const } };
          return { value: (await redeem(bus.artifacts, reference)) as never };
        }
        const stored = await bus.artifacts.get({ $artifact: { name, bytes: 0 } });
        const bytes = secrets === undefined ? stored : secrets.bytes(stored);
        response.writeHead(200, {
          "content-type": "application/octet-stream",
          "content-length": bytes.length,
          "content-disposition": `attachment; filename="${params.artifact.replaceAll(/[^\w.-]/g, "_")}"`,
          "cache-control": "private, max-age=31536000, immutable",
        });
        response.end(bytes);
        return ANSWERED;
      },
    ),
  ];
}

/** An artifact may outlive its run's log. */
function undefinedIfGone(error: unknown): undefined {
  if (!(error instanceof NotFoundError)) throw error;
}

function secretArtifact(run: string): HttpError {
  return new HttpError(403, "E_SECRET", "the run's workflow names this value as secret", {
    remedy: `Only its agents are given it: see \`secrets\` in the workflow of run ${run}.`,
  });
}
