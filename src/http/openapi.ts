/** The OpenAPI 3.1 document, generated from the routes: what is checked is what is described. */
import { z } from "zod";
import * as api from "./api.ts";
import * as events from "./api-events.ts";
import * as requests from "./api-requests.ts";
import type { Route } from "./route.ts";

type Json = Record<string, unknown>;

/** Schemas that get a name of their own in the document. */
const NAMED: Readonly<Record<string, z.ZodType>> = {
  Problem: api.problemSchema,
  Swarm: api.swarmSchema,
  RunPage: api.runPageSchema,
  RunView: api.runViewSchema,
  RunHead: api.runHeadSchema,
  Graph: api.graphSchema,
  GraphStep: api.graphStepSchema,
  Transition: api.transitionSchema,
  VoidRecord: api.voidSchema,
  Transitions: api.transitionsSchema,
  Records: api.recordsSchema,
  Environment: api.environmentSchema,
  EnvironmentHistory: api.environmentHistorySchema,
  EnvironmentChange: api.envChangeSchema,
  Plan: api.planSchema,
  Dispatch: api.dispatchSchema,
  Step: api.stepDetailSchema,
  Agents: api.agentsSchema,
  Agent: api.agentSchema,
  Roles: api.rolesSchema,
  Role: api.roleSchema,
  TaskStatistics: api.taskStatisticsSchema,
  Machines: api.machinesSchema,
  SubmitRequest: requests.submitRequestSchema,
  ControlRequest: requests.controlRequestSchema,
  ControlVerdict: api.controlVerdictSchema,
  RecordsEvent: events.recordsEventSchema,
  LiveEvent: events.liveEventSchema,
  EnvironmentEvent: events.environmentEventSchema,
  SwarmEvent: events.swarmEventSchema,
};

export function openApiDocument(routes: readonly Route[], version: string): Json {
  const registry = z.registry<{ id: string }>();
  for (const [id, schema] of Object.entries(NAMED)) registry.add(schema, { id });
  const { schemas } = z.toJSONSchema(registry, { uri: (id) => `#/components/schemas/${id}`, io: "output" });
  const names = new Map(Object.entries(NAMED).map(([id, schema]) => [schema, id]));
  const schemaOf = (schema: z.ZodType): Json => {
    const name = names.get(schema);
    if (name !== undefined) return { $ref: `#/components/schemas/${name}` };
    return plain(z.toJSONSchema(schema, { io: "input" }) as Json);
  };
  const paths: Record<string, Json> = {};
  for (const entry of routes) {
    const path = entry.path.replace("...", "");
    paths[path] = { ...paths[path], [entry.method.toLowerCase()]: operation(entry, schemaOf) };
  }
  return {
    openapi: "3.1.0",
    info: {
      title: "DataHammer",
      version,
      description:
        "The swarm as `connectSwarm` offers it. Writes are JSON. Streams are server-sent events and go on " +
        "after Last-Event-ID.",
    },
    paths,
    components: {
      schemas: Object.fromEntries(Object.entries(schemas).map(([id, schema]) => [id, plain(schema as Json)])),
      securitySchemes: { token: { type: "http", scheme: "bearer" } },
    },
    security: [{}, { token: [] }],
  };
}

function operation(entry: Route, schemaOf: (schema: z.ZodType) => Json): Json {
  const { id, summary, body, response, media = "application/json", status = 200 } = entry;
  const success =
    response === undefined
      ? { [media]: media === "text/event-stream" ? { schema: { type: "string" } } : {} }
      : { [media]: { schema: schemaOf(response) } };
  return {
    operationId: id,
    summary,
    parameters: [...parameters(entry.params, "path"), ...parameters(entry.query, "query")],
    ...(body === undefined
      ? {}
      : { requestBody: { required: true, content: { "application/json": { schema: schemaOf(body) } } } }),
    responses: {
      [status]: { description: "Done.", content: success },
      default: {
        description: "What is wrong, and what to do about it.",
        content: { "application/problem+json": { schema: { $ref: "#/components/schemas/Problem" } } },
      },
    },
  };
}

function parameters(schema: z.ZodObject | undefined, place: "path" | "query"): Json[] {
  if (schema === undefined) return [];
  const { properties = {}, required = [] } = z.toJSONSchema(schema, { io: "input" }) as {
    properties?: Record<string, Json>;
    required?: string[];
  };
  return Object.entries(properties).map(([name, property]) => {
    const { description, ...rest } = property;
    // Numbers are read from text, so that zod's input type of a query is anything.
    const read = (schema.shape[name] as z.ZodType | undefined) ?? z.unknown();
    const type = Object.keys(rest).some((key) => key === "type" || key === "enum")
      ? rest
      : plain(z.toJSONSchema(read, { io: "output" }) as Json);
    return {
      name,
      in: place,
      required: place === "path" || required.includes(name),
      ...(description === undefined ? {} : { description }),
      schema: type,
    };
  });
}

/** Without what only a schema of its own may carry. */
function plain(schema: Json): Json {
  const { $schema: _schema, $id: _id, ...rest } = schema;
  return rest;
}
