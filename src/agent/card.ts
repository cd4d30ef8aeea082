/** An agent's card: what it can do, as data, for the planner and the presence list. */
import { z } from "zod";
import type { Capability, RoleCard } from "../workflow/capability.ts";
import { parseDuration } from "../workflow/names.ts";
import type { AgentDefinition, TaskDefinition } from "./define.ts";

export function roleCard(agent: AgentDefinition): RoleCard {
  return {
    role: agent.role,
    ...(agent.description === undefined ? {} : { description: agent.description }),
    tasks: Object.entries(agent.tasks).map(([name, task]) => capability(name, task)),
  };
}

function capability(name: string, task: TaskDefinition): Capability {
  const card: Capability = { name, needs: [...(task.needs ?? [])], gives: [...(task.gives ?? [])] };
  if (task.description !== undefined) card.description = task.description;
  if (task.uses !== undefined) card.uses = [...task.uses];
  if (task.when !== undefined) card.when = task.when;
  if (task.cost !== undefined) card.cost = task.cost;
  if (task.estimate !== undefined) card.estimate = task.estimate;
  if (task.observes !== undefined) card.observes = [...task.observes];
  if (task.fallback !== undefined) card.fallback = { ...task.fallback };
  if (task.synonyms !== undefined) card.synonyms = [...task.synonyms];
  if (task.idempotent !== undefined) card.idempotent = task.idempotent;
  const timeoutMs = task.timeout === undefined ? undefined : parseDuration(task.timeout);
  if (timeoutMs !== undefined) card.timeoutMs = timeoutMs;
  const inputSchema = jsonSchema(task.inputs, "input");
  if (inputSchema !== undefined) card.inputSchema = inputSchema;
  const outputSchema = jsonSchema(task.outputs, "output");
  if (outputSchema !== undefined) card.outputSchema = outputSchema;
  return card;
}

/**
 * A schema as others may see it. What JSON Schema cannot say (a transform, a date) becomes "anything": the
 * host checks with the real schema, so the card may be vaguer but never stricter.
 */
function jsonSchema(schema: z.ZodType | undefined, io: "input" | "output"): unknown {
  if (schema === undefined) return undefined;
  try {
    return z.toJSONSchema(schema, { io, unrepresentable: "any" });
  } catch {
    // A schema from another major version of zod checks values all the same; it only has no card.
    return undefined;
  }
}
