/**
 * The daemon's HTTP side: health, what others add (metrics), the API, the inspector page.
 *
 * It owns the listener and the way of a request: safe, allowed, found, checked, answered, or told what is
 * wrong. `/healthz` and what is added as `plain` stand before the token, for probes and scrapers; they show
 * no run. What a route throws becomes a problem; what was not thrown on purpose is logged and not told.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Logger } from "pino";
import { InvalidInputError } from "../workflow/errors.ts";
import type { Guard } from "./guard.ts";
import type { PageFiles } from "./page-files.ts";
import { checked, HttpError, problemOf } from "./problem.ts";
import { jsonBody, send } from "./reply.ts";
import { readJson } from "./request-body.ts";
import { ANSWERED, type RouteTable } from "./route.ts";

/** An answer that is neither API nor page: health, metrics. */
export interface PlainAnswer {
  status: number;
  type: string;
  text: string;
}

export interface HttpServerOptions {
  /** By path, such as `/healthz`. */
  plain: Readonly<Record<string, () => PlainAnswer | Promise<PlainAnswer>>>;
  routes: RouteTable;
  page: PageFiles;
  guard: Guard;
  log: Logger;
}

export interface HttpServer {
  /** Where it listens, with the port that was really taken. */
  readonly url: string;
  close(): Promise<void>;
}

/** What every answer carries. */
const SAFE_HEADERS = { "x-content-type-options": "nosniff", "cross-origin-resource-policy": "same-origin" };

/** @throws InvalidInputError `E_HTTP_ADDRESS`, `E_PORT_IN_USE` */
export async function startHttpServer(
  { host, port }: ListenAddress,
  options: HttpServerOptions,
): Promise<HttpServer> {
  const server = createServer((request, response) => void answer(request, response, options));
  await listen(server, host, port);
  const bound = server.address() as AddressInfo;
  return {
    url: `http://${host.includes(":") ? `[${host}]` : host}:${bound.port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  options: HttpServerOptions,
): Promise<void> {
  for (const [name, value] of Object.entries(SAFE_HEADERS)) response.setHeader(name, value);
  try {
    await respond(request, response, options);
  } catch (error) {
    const problem = problemOf(error);
    if (problem.status >= 500) options.log.warn({ err: error, url: request.url }, "a request failed");
    if (response.headersSent) {
      response.destroy();
      return;
    }
    const headers = {
      "content-type": "application/problem+json",
      "cache-control": "no-store",
      ...(error instanceof HttpError ? error.headers : {}),
    };
    await send(request, response, { status: problem.status, headers, body: jsonBody(problem) });
  }
}

async function respond(
  request: IncomingMessage,
  response: ServerResponse,
  { plain, routes, page, guard }: HttpServerOptions,
): Promise<void> {
  const method = request.method ?? "GET";
  const url = parseTarget(request.url ?? "/");
  const path = url.pathname;
  const isRead = method === "GET" || method === "HEAD";
  const probe = Object.hasOwn(plain, path) ? plain[path] : undefined;
  if (probe !== undefined) {
    if (!isRead) throw notAllowed(["GET"]);
    const { status, type, text } = await probe();
    const headers = { "content-type": type, "cache-control": "no-store" };
    return send(request, response, { status, headers, body: Buffer.from(text) });
  }
  guard.assertSafe(request);
  // The page itself holds nothing of the swarm: it asks for the token where one is needed.
  if (isRead && page.serve(request, response, path)) return;
  const found = routes.find(method, path);
  if (found === undefined || "methods" in found) {
    if (path.startsWith("/api/")) guard.assertAllowed(request);
    if (found !== undefined) throw notAllowed(found.methods);
    throw new HttpError(404, "E_NO_PAGE", `there is nothing at ${path.slice(0, 200)}`, {
      remedy: "The page is at /, the API is described at /api/openapi.json.",
    });
  }
  const { route, params } = found;
  if (route.open !== true) guard.assertAllowed(request);
  const call = {
    params: route.params === undefined ? {} : checked(route.params, params, "path"),
    query:
      route.query === undefined ? {} : checked(route.query, Object.fromEntries(url.searchParams), "query"),
    body: route.body === undefined ? undefined : checked(route.body, await readJson(request), "body"),
    request,
    response,
  };
  const answered = await route.answer(call);
  if (answered === ANSWERED) return;
  const headers = {
    "content-type": "application/json",
    "cache-control": "no-store",
    ...answered.headers,
  };
  const status = answered.status ?? route.status ?? 200;
  await send(request, response, { status, headers, body: jsonBody(answered.value) });
}

function parseTarget(target: string): URL {
  // Two slashes at the start would be read as a host.
  const url = `http://daemon${target.startsWith("/") ? target.replace(/^\/+/, "/") : "/"}`;
  if (URL.canParse(url)) return new URL(url);
  throw new HttpError(400, "E_URL", "the address cannot be read");
}

function notAllowed(methods: readonly string[]): HttpError {
  return new HttpError(405, "E_METHOD", `this can be asked with ${methods.join(" or ")} only`, {
    headers: { allow: methods.join(", ") },
  });
}

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", (cause: NodeJS.ErrnoException) => {
      const taken = cause.code === "EADDRINUSE";
      const what = taken ? "is in use by another process" : `cannot be listened on: ${cause.message}`;
      reject(
        new InvalidInputError(taken ? "E_PORT_IN_USE" : "E_HTTP_ADDRESS", `${host}:${port} ${what}`, {
          remedy: "Choose another with --http HOST:PORT; port 0 takes a free one.",
          data: { host, port },
          cause,
        }),
      );
    });
    server.listen(port, host, resolve);
  });
}

export interface ListenAddress {
  host: string;
  port: number;
}

/**
 * @param address `HOST:PORT`, `:PORT` or `PORT`; port 0 takes a free one; host default 127.0.0.1
 * @throws InvalidInputError `E_HTTP_ADDRESS`
 */
export function parseAddress(address: string): ListenAddress {
  const match = /^(?:(?:\[(?<v6>[^\]]+)\]|(?<host>[^:]*)):)?(?<port>\d{1,5})$/.exec(address.trim());
  const port = Number(match?.groups?.port);
  if (!match || port > 65_535) {
    throw new InvalidInputError("E_HTTP_ADDRESS", `"${address}" is no address to listen on`, {
      remedy: "Write HOST:PORT, such as 127.0.0.1:8080; ports go from 0 to 65535.",
      data: { address },
    });
  }
  return { host: match.groups?.v6 ?? (match.groups?.host || "127.0.0.1"), port };
}
