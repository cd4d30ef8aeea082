/**
 * The daemon's HTTP side: whether it lives and whether it can work.
 *
 * `/healthz` answers 200 while the process runs; `/readyz` answers 200 when the broker is reached, 503 with
 * the reason otherwise. No secrets, no state, no actions.
 */
import { createServer, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { InvalidInputError } from "../workflow/errors.ts";

export interface HealthReport {
  ready: boolean;
  reason: string;
  details: Record<string, unknown>;
}

export interface HealthServer {
  /** Where it listens, with the port that was really taken. */
  readonly url: string;
  close(): Promise<void>;
}

/**
 * @param address `HOST:PORT`, `:PORT` or `PORT`; port 0 takes a free one; host default 127.0.0.1
 * @throws InvalidInputError `E_HTTP_ADDRESS`, `E_PORT_IN_USE`
 */
export async function startHealthServer(address: string, report: () => HealthReport): Promise<HealthServer> {
  const { host, port } = parseAddress(address);
  const server = createServer((request, response) => {
    const path = new URL(request.url ?? "/", "http://daemon").pathname;
    if (request.method !== "GET" && request.method !== "HEAD") answer(response, 405, { error: "only GET" });
    else if (path === "/healthz") answer(response, 200, { status: "ok" });
    else if (path === "/readyz") {
      const { ready, reason, details } = report();
      answer(response, ready ? 200 : 503, { ready, reason, ...details });
    } else answer(response, 404, { error: "no such page", pages: ["/healthz", "/readyz"] });
  });
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

function answer(response: ServerResponse, status: number, body: Record<string, unknown>): void {
  response.writeHead(status, { "content-type": "application/json", "cache-control": "no-store" });
  response.end(`${JSON.stringify(body)}\n`);
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

function parseAddress(address: string): { host: string; port: number } {
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
