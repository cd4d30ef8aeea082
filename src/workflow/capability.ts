/** What agents can do, as the planner and the presence list see it. */
import { z } from "zod";
import { envKeySchema, idSchema } from "./names.ts";

export const capabilitySchema = z.object({
  name: idSchema.describe("The task's name."),
  description: z.string().optional(),
  needs: z.array(envKeySchema).default([]).describe("Environment keys that must be there before."),
  uses: z
    .array(envKeySchema)
    .optional()
    .describe("Keys that it takes when a step of the plan, or the environment, has them; never required."),
  gives: z.array(envKeySchema).default([]).describe("Environment keys that its result writes."),
  when: z.string().optional().describe("CEL over env and inputs: whether the task makes sense here."),
  cost: z
    .union([z.number().min(0), z.string()])
    .optional()
    .describe("A number or CEL. Default 1."),
  estimate: z.number().min(0).optional().describe("Stands in for a cost that cannot be known yet."),
  observes: z
    .array(envKeySchema)
    .optional()
    .describe("Keys among `gives` whose values inform: the rest of a plan is weighed again with them."),
  fallback: z
    .record(envKeySchema, z.unknown())
    .optional()
    .describe("Values to go on with when nothing can give these keys any more."),
  synonyms: z.array(z.string()).optional().describe("Words of a free-text goal that mean this task."),
  inputSchema: z.unknown().optional().describe("JSON Schema of the inputs."),
  outputSchema: z.unknown().optional().describe("JSON Schema of the outputs."),
  timeoutMs: z.number().optional(),
  idempotent: z.boolean().optional(),
});

/** One task that a role can do. */
export type Capability = z.infer<typeof capabilitySchema>;

/** A role with its tasks; the line of a capabilities file. */
export const roleCardSchema = z.object({
  role: idSchema,
  description: z.string().optional(),
  tasks: z.array(capabilitySchema),
});
export type RoleCard = z.infer<typeof roleCardSchema>;

/** A capabilities file, for planning without a swarm. */
export const capabilitiesFileSchema = z.object({ agents: z.array(roleCardSchema) });
