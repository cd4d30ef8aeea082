/**
 * The OpenAPI document against the daemon that serves it. Catches: a description that no tool can read, an
 * answer with a field that is not described, and a route that is described wrongly or not at all.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import type { SubmitRequest, SwarmClient } from "../../src/client/swarm.ts";
import { type HttpStage, openHttpStage } from "./stage.ts";

type Json = Record<string, unknown>;
interface Operation {
  operationId: string;
  parameters: { name: string; in: string; required: boolean; schema: Json }[];
  requestBody?: { content: Record<string, { schema: Json }> };
  responses: Record<string, { content: Record<string, { schema?: Json }> }>;
}

const operationSchema = z.object({
  operationId: z.string().regex(/^[a-z][A-Za-z]+$/),
  summary: z.string().min(5),
  parameters: z.array(
    z.object({
      name: z.string(),
      in: z.enum(["path", "query"]),
      required: z.boolean(),
      schema: z.record(z.string(), z.unknown()),
    }),
  ),
  requestBody: z
    .object({ required: z.literal(true), content: z.object({ "application/json": z.unknown() }) })
    .optional(),
  responses: z.record(
    z.string(),
    z.object({ description: z.string(), content: z.record(z.string(), z.unknown()) }),
  ),
});
const documentSchema = z.object({
  openapi: z.literal("3.1.0"),
  info: z.object({ title: z.string(), version: z.string() }),
  paths: z.record(
    z.string().startsWith("/api/"),
    z
      .record(z.enum(["get", "post", "put"]), operationSchema)
      .or(z.partialRecord(z.enum(["get", "post", "put"]), operationSchema)),
  ),
  components: z.object({
    schemas: z.record(z.string().regex(/^[A-Za-z]+$/), z.record(z.string(), z.unknown())),
  }),
});

let stage: HttpStage;
let document: {
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, Json> };
};

beforeAll(async () => {
  stage = await openHttpStage();
  document = (await (await fetch(`${stage.url}/api/openapi.json`)).json()) as typeof document;
  const step = { id: "a", agent: "worker", task: "work", inputs: { give: { made: 1 } }, outputs: ["made"] };
  await stage.client.submit({ run: "described", workflow: { steps: [step] } });
  await stage.client.watch("described", () => {});
});
afterAll(() => stage.stop());

function operations(): [string, string, Operation][] {
  return Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]): [string, string, Operation] => [
      path,
      method,
      operation,
    ]),
  );
}

/** Every reference in a schema, at any depth. */
function references(value: unknown): string[] {
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) =>
    key === "$ref" ? [String(inner)] : references(inner),
  );
}

/** Fields of an answer that its schema does not describe. */
function undescribed(value: unknown, schema: Json, path = ""): string[] {
  if (typeof schema.$ref === "string") {
    return undescribed(value, document.components.schemas[schema.$ref.split("/").at(-1) ?? ""] ?? {}, path);
  }
  const choices = (schema.anyOf ?? schema.oneOf) as Json[] | undefined;
  if (choices !== undefined) {
    const found = choices.map((choice) => undescribed(value, choice, path));
    return found.find((missing) => missing.length === 0) ?? found[0] ?? [];
  }
  if (Array.isArray(value)) {
    return value.flatMap((item, at) => undescribed(item, (schema.items ?? {}) as Json, `${path}[${at}]`));
  }
  if (typeof value !== "object" || value === null) return [];
  const properties = (schema.properties ?? {}) as Record<string, Json>;
  const others = schema.additionalProperties;
  return Object.entries(value).flatMap(([key, inner]) => {
    const property = properties[key];
    if (property !== undefined) return undescribed(inner, property, `${path}.${key}`);
    // An object of any names, or a value of any shape, describes nothing further.
    if (schema.properties === undefined || (typeof others === "object" && others !== null)) return [];
    return [`${path}.${key}`];
  });
}

describe("the OpenAPI document", () => {
  it("is a document of version 3.1 with all that a tool needs", () => {
    documentSchema.parse(document);
  });

  it("refers to nothing that is not in it", () => {
    const names = new Set(
      Object.keys(document.components.schemas).map((name) => `#/components/schemas/${name}`),
    );
    expect(references(document).filter((reference) => !names.has(reference))).toEqual([]);
  });

  it("names every operation once, and describes each parameter of its path", () => {
    const ids = operations().map(([, , { operationId }]) => operationId);
    expect(new Set(ids).size).toBe(ids.length);
    for (const [path, , { parameters }] of operations()) {
      const inPath = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
      expect(parameters.filter(({ in: place }) => place === "path").map(({ name }) => name)).toEqual(inPath);
    }
  });

  it("describes every field of every answer", async () => {
    const values: Record<string, string> = { run: "described", step: "a", key: "made" };
    const asked: string[] = [];
    for (const [path, method, operation] of operations()) {
      const schema = operation.responses["200"]?.content["application/json"]?.schema;
      if (method !== "get" || schema === undefined) continue;
      const answer = await fetch(
        `${stage.url}${path.replaceAll(/\{(\w+)\}/g, (_, name: string) => values[name] ?? name)}`,
      );
      expect([path, answer.status]).toEqual([path, 200]);
      expect([path, undescribed(await answer.json(), schema)]).toEqual([path, []]);
      asked.push(path);
    }
    expect(asked.length).toBeGreaterThan(14);
  });

  it("offers what a program's own client offers, and with the same options", () => {
    const operationOf: Record<keyof SwarmClient, string> = {
      ...{ submit: "submitRun", rerun: "rerunRun", watch: "watchRun", show: "showRun", runs: "listRuns" },
      ...{ control: "controlRun", cancel: "controlRun", records: "recordsOfRun", purge: "purgeRuns" },
      ...{ environment: "environmentOfRun", setEnvironment: "setEnvironmentKey" },
      ...{ watchEnvironment: "watchEnvironment", agents: "listAgents", roles: "listRoles" },
      ...{ ensureRole: "setRole", swarm: "swarm" },
      // Of a connection, not of the swarm.
      ...{ hasDaemon: "", close: "" },
    };
    const ids = new Set(operations().map(([, , { operationId }]) => operationId));
    expect(Object.values(operationOf).filter((id) => id !== "" && !ids.has(id))).toEqual([]);
    const offered = Object.getOwnPropertyNames(Object.getPrototypeOf(stage.client));
    expect(Object.keys(operationOf).sort()).toEqual(offered.filter((name) => name !== "constructor").sort());
    const options: Record<keyof SubmitRequest, true> = {
      ...{ run: true, workflow: true, goals: true, want: true, inputs: true, environment: true },
      ...{ timeout: true, ask: true, secrets: true, budget: true },
    };
    const { properties } = document.components.schemas.SubmitRequest as { properties: Json };
    expect(Object.keys(properties).sort()).toEqual(Object.keys(options).sort());
  });

  it("describes the problem that a refused request is answered with", async () => {
    const answer = await fetch(`${stage.url}/api/runs/nobody`);
    expect(answer.headers.get("content-type")).toBe("application/problem+json");
    expect(undescribed(await answer.json(), { $ref: "#/components/schemas/Problem" })).toEqual([]);
  });
});
