/** Routes about the swarm: the daemon, who is here, the queues, the machines, the page's session. */
import { z } from "zod";
import { CONTROL_VERBS } from "../bus/messages.ts";
import { plainConfiguration } from "../machines/plain-configuration.ts";
import { isoTime } from "../trace/view.ts";
import {
  agentsSchema,
  machinesSchema,
  roleSettingsAnswerSchema,
  rolesSchema,
  sessionSchema,
  swarmSchema,
  taskStatisticsSchema,
} from "./api.ts";
import type { ApiContext } from "./api-context.ts";
import { sessionRequestSchema, setRoleSchema } from "./api-requests.ts";
import { agentView } from "./presented.ts";
import { HttpError } from "./problem.ts";
import { type Route, route } from "./route.ts";

export function swarmRoutes({ bus, client, clock, daemon, guard, statistics }: ApiContext): Route[] {
  return [
    route(
      {
        method: "GET",
        path: "/api/swarm",
        id: "swarm",
        summary: "The swarm and the daemon that answers.",
        response: swarmSchema,
      },
      async () => ({
        value: {
          swarm: bus.swarm,
          daemon: daemon.id,
          version: daemon.version,
          now: isoTime(clock.now()),
          verbs: [...CONTROL_VERBS],
          broker: bus.status(),
        },
      }),
    ),
    route(
      {
        method: "GET",
        path: "/api/agents",
        id: "listAgents",
        summary: "Who is present.",
        response: agentsSchema,
      },
      async () => ({
        value: { agents: (await client.agents()).map(agentView), at: isoTime(clock.now()) },
      }),
    ),
    route(
      {
        method: "GET",
        path: "/api/roles",
        id: "listRoles",
        summary: "The roles' queues.",
        response: rolesSchema,
      },
      async () => ({ value: { roles: await client.roles() } }),
    ),
    route(
      {
        method: "PUT",
        path: "/api/roles/{role}",
        id: "setRole",
        summary: "Creates a role's queue, or changes its settings.",
        params: z.object({ role: z.string() }),
        body: setRoleSchema,
        response: roleSettingsAnswerSchema,
      },
      async ({ params, body }) => {
        const { encoding, inFlight, ackWaitMs } = body;
        const settings = await client.ensureRole({
          role: params.role,
          ...(encoding === undefined ? {} : { encoding }),
          ...(inFlight === undefined ? {} : { inFlight }),
          ...(ackWaitMs === undefined ? {} : { ackWaitMs }),
        });
        return { value: settings };
      },
    ),
    route(
      {
        method: "GET",
        path: "/api/tasks",
        id: "taskStatistics",
        summary: "How long each task took and how often it succeeded, over the newest runs.",
        response: taskStatisticsSchema,
      },
      async () => ({ value: await statistics.view() }),
    ),
    route(
      {
        method: "GET",
        path: "/api/machines",
        id: "machines",
        summary: "The machines that every trace is a replay of, as plain XState configurations.",
        response: machinesSchema,
      },
      async () => ({
        value: {
          step: plainConfiguration("step"),
          run: plainConfiguration("run"),
          agent: plainConfiguration("agent"),
        },
      }),
    ),
    route(
      {
        method: "POST",
        path: "/api/session",
        id: "openSession",
        summary: "Takes the token once and keeps it in a cookie, for the page.",
        body: sessionRequestSchema,
        response: sessionSchema,
        open: true,
      },
      async ({ body }) => {
        if (!guard.isToken(body.token)) {
          throw new HttpError(401, "E_TOKEN", "this is not the daemon's token", {
            remedy: "Give what `datahammer up --http-token` was given.",
          });
        }
        return { value: { ok: true }, headers: { "set-cookie": guard.cookieFor(body.token) } };
      },
    ),
  ];
}
