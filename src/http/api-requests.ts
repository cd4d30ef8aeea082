/**
 * What the HTTP API takes, as zod schemas: requests are checked against them, and the OpenAPI document is generated
 * from them. They are strict: a field that is written wrongly is refused, not left out.
 */
import { z } from "zod";
import { CONTROL_VERBS, RUN_STATUSES } from "../bus/messages.ts";
import { budgetSchema } from "../workflow/budget.ts";
import { durationSchema, envKeySchema, idSchema } from "../workflow/names.ts";

const values = z.record(z.string(), z.unknown());

export const submitRequestSchema = z.strictObject({
  run: idSchema.optional().describe("Default: made up from the workflow's name."),
  workflow: z.unknown().optional(),
  goals: z.union([z.string(), z.array(z.string())]).optional(),
  want: z.array(envKeySchema).optional(),
  inputs: values.optional(),
  environment: values.optional(),
  timeout: durationSchema.optional(),
  budget: budgetSchema.optional(),
  ask: durationSchema
    .optional()
    .describe("Of goals: people are asked for so long about a step that failed for good."),
  secrets: z
    .array(envKeySchema)
    .optional()
    .describe("Inputs and environment keys that are shown to nobody but the agents."),
});
export const rerunRequestSchema = z.strictObject({
  run: idSchema.optional().describe("The new run's id. Default: made up."),
  from: z
    .string()
    .max(80)
    .optional()
    .describe("The first step to do again; the others' results are taken over."),
  at: z.int().min(0).optional().describe("The last log sequence that counts."),
  budget: budgetSchema.optional(),
});
export const purgeRequestSchema = z.strictObject({
  runs: z.array(idSchema).max(1_000).optional().describe("Only these. Default: all that have ended."),
  status: z.enum(RUN_STATUSES).optional(),
  olderMs: z.number().min(0).optional(),
});

export const controlRequestSchema = z.strictObject({
  verb: z.enum(CONTROL_VERBS),
  step: z.string().max(80).optional(),
  name: z.string().max(200).optional(),
  value: z.unknown().optional(),
  by: z.string().min(1).max(100).optional(),
});

export const setEnvironmentSchema = z.strictObject({
  value: z.unknown(),
  ifRevision: z.int().min(0).optional(),
});

export const setRoleSchema = z.strictObject({
  encoding: z.enum(["json", "msgpack"]).optional(),
  inFlight: z.int().min(1).max(100_000).optional(),
  ackWaitMs: z.int().min(1_000).max(3_600_000).optional(),
});

export const sessionRequestSchema = z.strictObject({ token: z.string().min(1).max(1_000) });
