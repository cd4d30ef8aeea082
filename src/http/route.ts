/**
 * One route of the API: its place, the shapes of what goes in and out, and what answers it.
 *
 * The same object is matched, checked against and described in the OpenAPI document, so that the three cannot
 * say different things.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { z } from "zod";

export type Method = "GET" | "POST" | "PUT";

export interface RouteCall<Params, Query, Body> {
  params: Params;
  query: Query;
  body: Body;
  request: IncomingMessage;
  /** For routes that answer by themselves. */
  response: ServerResponse;
}

/** Said by a route that has written its response itself. */
export const ANSWERED = Symbol("answered");

export interface Answer<Value> {
  value: Value;
  /** Default: the route's. */
  status?: number;
  headers?: Record<string, string>;
}

interface RouteShape {
  method: Method;
  /** `/api/runs/{run}`; a last `{name...}` takes the rest. */
  path: string;
  /** Names the operation in generated clients. */
  id: string;
  summary: string;
  params?: z.ZodObject;
  query?: z.ZodObject;
  body?: z.ZodType;
  /** Of a success; undefined: the route writes by itself, as `media` says. */
  response?: z.ZodType;
  /** Media type of an answer that is no JSON. */
  media?: string;
  /** Of a success. Default 200. */
  status?: number;
  /** Whoever has no right yet may call it. */
  open?: boolean;
  /** It leaves out by itself what the run's workflow names as secret. */
  masked?: boolean;
}

export interface Route extends RouteShape {
  answer(
    call: RouteCall<Record<string, unknown>, Record<string, unknown>, unknown>,
  ): Promise<Answer<unknown> | typeof ANSWERED>;
}

type Out<Schema, Otherwise> = Schema extends z.ZodType ? z.output<Schema> : Otherwise;

/** Ties the types of the handler to the schemas of the route. */
export function route<const Shape extends RouteShape>(
  shape: Shape,
  answer: (
    call: RouteCall<
      Out<Shape["params"], Record<string, never>>,
      Out<Shape["query"], Record<string, never>>,
      Out<Shape["body"], undefined>
    >,
  ) => Promise<Answer<Out<Shape["response"], never>> | typeof ANSWERED>,
): Route {
  // The table holds routes of many shapes; each is called with what its own schemas have checked.
  return { ...shape, answer: answer as Route["answer"] };
}

/** Finds routes by method and path. */
export class RouteTable {
  readonly routes: readonly Route[];
  readonly #compiled: readonly { route: Route; pattern: RegExp; names: readonly string[] }[];

  constructor(routes: readonly Route[]) {
    this.routes = routes;
    this.#compiled = routes.map((entry) => ({ route: entry, ...compile(entry.path) }));
  }

  /** Undefined: no route has this path; `methods`: it has others. */
  find(
    method: string,
    path: string,
  ): { route: Route; params: Record<string, string> } | { methods: Method[] } | undefined {
    const methods: Method[] = [];
    for (const { route: entry, pattern, names } of this.#compiled) {
      const match = pattern.exec(path);
      if (match === null) continue;
      if (entry.method === method || (entry.method === "GET" && method === "HEAD")) {
        return {
          route: entry,
          params: Object.fromEntries(names.map((name, at) => [name, decode(match[at + 1] ?? "")])),
        };
      }
      methods.push(entry.method);
    }
    return methods.length === 0 ? undefined : { methods };
  }
}

function compile(path: string): { pattern: RegExp; names: string[] } {
  const names: string[] = [];
  const source = path.replaceAll(/\{(\w+)(\.\.\.)?\}|[.]/g, (token, name: string | undefined, rest) => {
    if (name === undefined) return `\\${token}`;
    names.push(name);
    return rest === undefined ? "([^/]+)" : "(.+)";
  });
  return { pattern: new RegExp(`^${source}$`), names };
}

/** A path's part that is no valid encoding stays as it is, and will not be found. */
function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
