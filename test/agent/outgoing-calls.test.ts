/**
 * Catches a call of a task's code that loses the trace: one that goes out without its span's context, with that of
 * another task, or with two; and a process that goes on adding headers after it has stopped to export.
 */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { context, trace } from "@opentelemetry/api";
import { NodeTracerProvider } from "@opentelemetry/sdk-trace-node";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { traceOutgoingCalls } from "../../src/agent/outgoing-calls.ts";

describe("what a task calls with fetch", () => {
  const provider = new NodeTracerProvider();
  const tracer = provider.getTracer("test");
  let server: Server;
  let url: string;
  let stop: () => void;

  beforeAll(async () => {
    server = createServer((request, response) =>
      response.end(JSON.stringify(request.headersDistinct.traceparent ?? [])),
    );
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
    provider.register();
    stop = traceOutgoingCalls();
  });
  afterAll(async () => {
    await provider.shutdown();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });

  /** What a call told of its trace, and what it should have. */
  const called = (init: RequestInit = {}) =>
    tracer.startActiveSpan("task", async (span) => {
      const { traceId, spanId } = span.spanContext();
      const told = (await (await fetch(url, init)).json()) as string[];
      span.end();
      return { told, own: `00-${traceId}-${spanId}-01` };
    });

  it("is told the span that it is made in, also where many are made at once", async () => {
    const calls = await Promise.all(
      Array.from({ length: 20 }, () => called({ headers: { "x-other": "1" } })),
    );
    for (const { told, own } of calls) expect(told).toEqual([own]);
    expect(new Set(calls.map(({ own }) => own)).size).toBe(20);
  });

  it("keeps a header that it has been given already", async () => {
    const given = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    expect((await called({ headers: { traceparent: given } })).told).toEqual([given]);
  });

  it("is told nothing outside of a span, nor once the process has stopped", async () => {
    expect(trace.getSpan(context.active())).toBeUndefined();
    expect(await (await fetch(url)).json()).toEqual([]);
    stop();
    expect((await called()).told).toEqual([]);
  });
});
