/**
 * Carries the trace context of a task into the calls that its code makes with `fetch`, `node:http` and
 * `node:https`, as the header `traceparent`, so that whoever is called goes on under the task's span.
 *
 * Node announces a request on a diagnostics channel, in the context of its caller: one of `fetch` always, one of
 * `node:http` from version 22.12 on. Before that, the header is set where a request is handed to the default agent,
 * which Node lets be replaced; who brings an agent of his own is not told then. A call that has the header already
 * keeps its own: a library that speaks OpenTelemetry has done it.
 */
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import http, { type Agent, type ClientRequest } from "node:http";
import https from "node:https";
import { context, propagation } from "@opentelemetry/api";

const HEADER = "traceparent";
const FETCH_CHANNEL = "undici:request:create";
const HTTP_CHANNEL = "http.client.request.created";

/** The part of a request of `fetch` that is needed here. */
interface FetchRequest {
  /** Names and values in turn; older versions: header lines. */
  readonly headers: readonly unknown[] | string;
  addHeader(name: string, value: string): unknown;
}

/** What Node asks of anything that is given as `agent`; its type definitions leave it out. */
interface RequestTaker {
  addRequest(request: ClientRequest, ...connection: unknown[]): unknown;
}

/** @returns stops it */
export function traceOutgoingCalls(): () => void {
  subscribe(FETCH_CHANNEL, onFetch);
  subscribe(HTTP_CHANNEL, onHttp);
  const putBack = [http, https].map((module) => {
    const before = module.globalAgent;
    const telling = tellingAgent(before);
    module.globalAgent = telling;
    return () => {
      // Somebody may have put an agent of his own there since.
      if (module.globalAgent === telling) module.globalAgent = before;
    };
  });
  return () => {
    unsubscribe(FETCH_CHANNEL, onFetch);
    unsubscribe(HTTP_CHANNEL, onHttp);
    for (const undo of putBack) undo();
  };
}

/** The same agent, with its sockets and settings; what it is asked to send has the header. */
function tellingAgent(agent: Agent): Agent {
  const taker = agent as Agent & RequestTaker;
  const addRequest: RequestTaker["addRequest"] = (request, ...connection) => {
    tell(request);
    return taker.addRequest(request, ...connection);
  };
  return new Proxy(agent, {
    get: (target, name) => (name === "addRequest" ? addRequest : Reflect.get(target, name)),
  });
}

function onHttp(message: unknown): void {
  const { request } = message as { request?: ClientRequest };
  if (request !== undefined) tell(request);
}

function tell(request: ClientRequest): void {
  // Headers that were given as a list are written at once: nothing can be added to them.
  if (request.headersSent || request.hasHeader(HEADER)) return;
  propagation.inject(context.active(), request, {
    set: (carrier, name, value) => void carrier.setHeader(name, value),
  });
}

function onFetch(message: unknown): void {
  const { request } = message as { request?: Partial<FetchRequest> };
  if (!isOfFetch(request) || hasTraceparent(request.headers)) return;
  propagation.inject(context.active(), request, {
    set: (carrier, name, value) => void carrier.addHeader(name, value),
  });
}

/** Another version of Node may announce its requests in another shape: they go out without the header then. */
function isOfFetch(request: Partial<FetchRequest> | undefined): request is FetchRequest {
  return typeof request?.addHeader === "function" && request.headers !== undefined;
}

function hasTraceparent(headers: FetchRequest["headers"]): boolean {
  if (typeof headers === "string") return new RegExp(`^${HEADER}:`, "im").test(headers);
  return headers.some((name) => typeof name === "string" && name.toLowerCase() === HEADER);
}
