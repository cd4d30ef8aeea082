/**
 * Carries the trace context of a task into the calls that its code makes with `fetch`, as the header
 * `traceparent`, so that whoever is called goes on under the task's span.
 *
 * Node's `fetch` announces every request on a diagnostics channel, in the context of its caller. A call that has
 * the header already keeps its own: a library that speaks OpenTelemetry has done it.
 */
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { context, propagation } from "@opentelemetry/api";

const CHANNEL = "undici:request:create";

/** The part of a request of `fetch` that is needed here. */
interface OutgoingRequest {
  /** Names and values in turn; older versions: header lines. */
  readonly headers: readonly unknown[] | string;
  addHeader(name: string, value: string): unknown;
}

/** @returns stops it */
export function traceOutgoingCalls(): () => void {
  subscribe(CHANNEL, onRequest);
  return () => unsubscribe(CHANNEL, onRequest);
}

function onRequest(message: unknown): void {
  const { request } = message as { request?: Partial<OutgoingRequest> };
  if (!isOutgoing(request) || hasTraceparent(request.headers)) return;
  propagation.inject(context.active(), request, {
    set: (carrier, name, value) => void carrier.addHeader(name, value),
  });
}

/** Another version of Node may announce its requests in another shape: they go out without the header then. */
function isOutgoing(request: Partial<OutgoingRequest> | undefined): request is OutgoingRequest {
  return typeof request?.addHeader === "function" && request.headers !== undefined;
}

function hasTraceparent(headers: OutgoingRequest["headers"]): boolean {
  if (typeof headers === "string") return /^traceparent:/im.test(headers);
  return headers.some((name) => typeof name === "string" && name.toLowerCase() === "traceparent");
}
