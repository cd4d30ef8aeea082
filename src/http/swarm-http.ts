/**
 * A swarm over HTTP: the API and the inspector page on one address, put together from a bus.
 *
 * Owns what they share (readings, the swarm's feed, the bound on streams) and closes it.
 */
import type { Logger } from "pino";
import { z } from "zod";
import type { Bus, Clock } from "../bus/bus.ts";
import { connectSwarm } from "../client/connect.ts";
import { actionRoutes } from "./action-routes.ts";
import { type ApiContext, StreamSlots } from "./api-context.ts";
import { environmentRoutes } from "./environment-routes.ts";
import { graphRoutes } from "./graph-routes.ts";
import { Guard } from "./guard.ts";
import { type HttpServer, type HttpServerOptions, parseAddress, startHttpServer } from "./http-server.ts";
import { openApiDocument } from "./openapi.ts";
import { PageFiles } from "./page-files.ts";
import { ANSWERED, type Route, RouteTable, route } from "./route.ts";
import { RunLibrary } from "./run-library.ts";
import { runRoutes } from "./run-routes.ts";
import { runsRoutes } from "./runs-routes.ts";
import { SwarmFeed } from "./swarm-feed.ts";
import { swarmRoutes } from "./swarm-routes.ts";
import { TaskStatistics } from "./task-statistics.ts";
import { whyRoutes } from "./why-routes.ts";

export interface SwarmHttpOptions {
  /** `HOST:PORT`, `:PORT` or `PORT`. */
  address: string;
  /** Asked of everybody; without it only this machine is answered. */
  token: string | undefined;
  bus: Bus;
  clock: Clock;
  log: Logger;
  daemon: { id: string; version: string };
  /** Health and metrics, by path. */
  plain: HttpServerOptions["plain"];
}

/** @throws InvalidInputError `E_HTTP_ADDRESS`, `E_PORT_IN_USE` */
export async function serveSwarm(options: SwarmHttpOptions): Promise<HttpServer> {
  const { bus, clock, log, daemon, plain, token } = options;
  const address = parseAddress(options.address);
  const guard = new Guard({ host: address.host, token });
  const library = new RunLibrary({ bus, clock });
  const client = await connectSwarm({ bus, clock, by: "inspector" });
  const context: ApiContext = {
    bus,
    clock,
    client,
    library,
    guard,
    daemon,
    swarm: new SwarmFeed(bus, clock, (error) =>
      log.debug({ err: error }, "the swarm could not be looked at"),
    ),
    statistics: new TaskStatistics(bus, clock, library),
    slots: new StreamSlots(),
  };
  const server = await startHttpServer(address, {
    plain,
    guard,
    log,
    page: new PageFiles(),
    routes: apiRoutes(context),
  });
  void readAhead(context, log);
  return {
    url: server.url,
    close: async () => {
      await server.close();
      library.close();
    },
  };
}

/**
 * Reads the newest run before anybody asks: a log takes several times as long to fold in a process that has
 * folded none, and what people open first is mostly that run.
 */
async function readAhead({ client, library }: ApiContext, log: Logger): Promise<void> {
  try {
    const [newest] = await client.runs({ limit: 1 });
    if (newest !== undefined) await library.use(newest.run, () => undefined);
  } catch (error) {
    log.debug({ err: error }, "no run was read ahead");
  }
}

/** The same route, whose answers hold nothing that the run's workflow names as secret. */
function withoutSecrets(route: Route, library: RunLibrary): Route {
  if (route.method === "POST" || route.masked || !route.path.includes("{run}")) return route;
  return {
    ...route,
    answer: async (call) => {
      const answered = await route.answer(call);
      if (answered === ANSWERED) return answered;
      const secrets = await library.secretsOf(String(call.params.run));
      return secrets === undefined ? answered : { ...answered, value: secrets.view(answered.value) };
    },
  };
}

function apiRoutes(context: ApiContext): RouteTable {
  const routes: Route[] = [
    ...swarmRoutes(context),
    ...runsRoutes(context),
    ...[
      ...runRoutes(context),
      ...graphRoutes(context),
      ...whyRoutes(context),
      ...environmentRoutes(context),
      ...actionRoutes(context),
    ].map((route) => withoutSecrets(route, context.library)),
  ];
  let document: Record<string, unknown> | undefined;
  const described: Route = route(
    {
      method: "GET",
      path: "/api/openapi.json",
      id: "openApi",
      summary: "This document.",
      response: z.record(z.string(), z.unknown()),
      open: true,
    },
    async () => {
      document ??= openApiDocument([described, ...routes], context.daemon.version);
      return { value: document };
    },
  );
  return new RouteTable([described, ...routes]);
}
