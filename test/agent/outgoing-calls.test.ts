/**
 * Catches a call of a task's code that loses the trace: one that goes out without its span's context, with that of
 * another task, or with two; a process that goes on adding headers after it has stopped to export; and default
 * agents of Node that lose their connections, their settings or what somebody else has put in their place.
 */
import { channel } from "node:diagnostics_channel";
import http, { createServer, type RequestOptions, type Server } from "node:http";
import https from "node:https";
import type { AddressInfo } from "node:net";
import { context, trace } from "@opentelemetry/api";
import { NodeTracerProvider } from "@opentelemetry/sdk-trace-node";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { traceOutgoingCalls } from "../../src/agent/outgoing-calls.ts";

const GIVEN = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const provider = new NodeTracerProvider();
const tracer = provider.getTracer("test");
let server: Server;
let url: string;
const defaults = { http: http.globalAgent, https: https.globalAgent };

beforeAll(async () => {
  server = createServer((request, response) =>
    response.end(JSON.stringify(request.headersDistinct.traceparent ?? [])),
  );
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  provider.register();
});
afterAll(async () => {
  await provider.shutdown();
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

/** A call of each kind, and what it told of its trace. */
const CALLS: Record<string, (headers?: Record<string, string>) => Promise<string[]>> = {
  fetch: async (headers = {}) => (await (await fetch(url, { headers })).json()) as string[],
  "http.get": (headers = {}) => requested({ headers }),
  "http.request with a body": (headers = {}) => requested({ headers, method: "POST" }, "something"),
};

async function requested(options: RequestOptions, body?: string): Promise<string[]> {
  return new Promise((resolve, reject) => {
    const request = http.request(url, options, async (response) => {
      resolve(JSON.parse(Buffer.concat(await response.toArray()).toString()) as string[]);
    });
    request.on("error", reject);
    request.end(body);
  });
}

/** What a call told of its trace, and what it should have. */
function inSpan<Told>(call: () => Promise<Told>): Promise<{ told: Told; own: string }> {
  return tracer.startActiveSpan("task", async (span) => {
    const { traceId, spanId } = span.spanContext();
    const told = await call();
    span.end();
    return { told, own: `00-${traceId}-${spanId}-01` };
  });
}

describe.each(Object.entries(CALLS))("what a task calls with %s", (_kind, call) => {
  let stop: () => void;
  beforeAll(() => {
    stop = traceOutgoingCalls();
  });
  afterAll(() => stop());

  it("is told the span that it is made in, also where many are made at once", async () => {
    const calls = await Promise.all(Array.from({ length: 20 }, () => inSpan(() => call({ "x-other": "1" }))));
    for (const { told, own } of calls) expect(told).toEqual([own]);
    expect(new Set(calls.map(({ own }) => own)).size).toBe(20);
  });

  it("keeps a header that it has been given already", async () => {
    expect((await inSpan(() => call({ traceparent: GIVEN }))).told).toEqual([GIVEN]);
  });

  it("is told nothing outside of a span, nor once the process has stopped", async () => {
    expect(trace.getSpan(context.active())).toBeUndefined();
    expect(await call()).toEqual([]);
    stop();
    expect((await inSpan(() => call())).told).toEqual([]);
  });
});

describe("Node's default agents", () => {
  it("stay the same in all but the header, and are put back", () => {
    const stop = traceOutgoingCalls();
    expect(http.globalAgent).toBeInstanceOf(http.Agent);
    expect(http.globalAgent.sockets).toBe(defaults.http.sockets);
    http.globalAgent.maxSockets = 7;
    expect(defaults.http.maxSockets).toBe(7);
    defaults.http.maxSockets = Number.POSITIVE_INFINITY;
    stop();
    expect({ http: http.globalAgent, https: https.globalAgent }).toEqual(defaults);
    expect(http.globalAgent).toBe(defaults.http);
  });

  it("are left to who puts one of his own there", () => {
    const stop = traceOutgoingCalls();
    const own = new https.Agent();
    https.globalAgent = own;
    stop();
    expect(https.globalAgent).toBe(own);
    https.globalAgent = defaults.https;
  });

  it("do not matter where Node announces its requests: those of any agent are told", async () => {
    const stop = traceOutgoingCalls();
    const agent = new http.Agent();
    const { told, own } = await inSpan(async () => {
      const request = http.request(url, { agent });
      channel("http.client.request.created").publish({ request });
      const header = request.getHeader("traceparent");
      request.on("error", () => undefined).destroy();
      return header;
    });
    expect(told).toBe(own);
    agent.destroy();
    stop();
  });

  it("send headers that are given as a list as they are", async () => {
    const stop = traceOutgoingCalls();
    const headers = ["host", new URL(url).host, "x-other", "1"];
    expect((await inSpan(() => requested({ headers }))).told).toEqual([]);
    stop();
  });
});
