/**
 * Defining an agent: checks at definition time what would otherwise fail at the first dispatch, and lets
 * TypeScript infer each task's input and output types from that task's own zod schemas.
 */
import type { z } from "zod";
import { InvalidInputError } from "../workflow/errors.ts";
import { ID_PATTERN, parseDuration } from "../workflow/names.ts";
import { assertServable } from "../workflow/reserved-roles.ts";
import type { AgentDefinition, Handoff, TaskContext, TaskDefinition } from "./define.ts";

/** What `run` is given: the parsed inputs, or the record as it came when the task has no schema. */
type InputsOf<Schema> = Schema extends z.ZodType ? z.output<Schema> : Record<string, unknown>;
/** What `run` may return: what the output schema accepts, or any record (or nothing) without a schema. */
type OutputsOf<Schema> = Schema extends z.ZodType ? z.input<Schema> : Record<string, unknown> | undefined;

/** What a task may say about itself beside its schemas and its code. */
type TaskFacts = Omit<TaskDefinition, "inputs" | "outputs" | "run">;

type TypedRun<Inputs, Outputs> = (
  inputs: InputsOf<Inputs>,
  ctx: TaskContext,
) => Promise<OutputsOf<Outputs> | Handoff> | OutputsOf<Outputs> | Handoff;

/**
 * An agent as its author writes it. `Inputs` and `Outputs` map each task's name to its schema; both are
 * inferred, which is why the tasks are two mapped types side by side: TypeScript infers through a mapped
 * type for one parameter only.
 */
export interface TypedAgentDefinition<Inputs, Outputs> {
  role: string;
  description?: string;
  tasks: {
    [Name in keyof Inputs]: TaskFacts & {
      inputs?: Inputs[Name];
      run: TypedRun<Inputs[Name], Outputs[Name & keyof Outputs]>;
    };
  } & { [Name in keyof Outputs]: { outputs?: Outputs[Name] } };
}

/**
 * Describes an agent: one role and the tasks it can do.
 *
 * @returns the definition, frozen; export it by default from an agent file, or pass it to `serveAgent`.
 * @throws InvalidInputError (`E_AGENT_DEFINITION`) naming the role, the task and what is wrong with it.
 */
export function defineAgent<Inputs, Outputs>(
  definition: TypedAgentDefinition<Inputs, Outputs>,
): AgentDefinition {
  // The author's types are tied to each task by now; from here on tasks are looked up by name.
  const agent = definition as unknown as AgentDefinition;
  checkAgentDefinition(agent);
  return Object.freeze({ ...agent, tasks: Object.freeze({ ...agent.tasks }) });
}

/** Whether a value has the shape of an agent definition, whoever made it. */
export function isAgentDefinition(value: unknown): value is AgentDefinition {
  return isRecord(value) && typeof value.role === "string" && isRecord(value.tasks);
}

/**
 * Checks an agent definition as a whole.
 * @throws InvalidInputError (`E_AGENT_DEFINITION`, `E_RESERVED_ROLE`) with the first problem found.
 */
export function checkAgentDefinition(agent: AgentDefinition): void {
  const { role } = agent;
  if (typeof role !== "string" || !ID_PATTERN.test(role)) {
    throw invalid(`an agent's role must match [A-Za-z0-9_-]{1,64}, but is ${show(role)}`, { role });
  }
  assertServable(role);
  if (!isRecord(agent.tasks) || Object.keys(agent.tasks).length === 0) {
    throw invalid(
      `agent "${role}" has no tasks`,
      { role },
      "Give it at least one: tasks: { name: { run } }.",
    );
  }
  for (const [task, definition] of Object.entries(agent.tasks)) checkTask(role, task, definition);
}

function checkTask(role: string, task: string, definition: TaskDefinition): void {
  const where = `task "${task}" of agent "${role}"`;
  const data = { role, task };
  if (!ID_PATTERN.test(task)) {
    throw invalid(`${where}: a task's name must match [A-Za-z0-9_-]{1,64}`, data);
  }
  if (!isRecord(definition) || typeof definition.run !== "function") {
    throw invalid(`${where} has no run function`, data, "Add run(inputs, ctx) { … } to it.");
  }
  for (const side of ["inputs", "outputs"] as const) {
    const schema: unknown = definition[side];
    if (schema !== undefined && !isSchema(schema)) {
      throw invalid(
        `${where}: ${side} must be a zod schema`,
        data,
        "Write z.object({ … }), or leave it out.",
      );
    }
  }
  for (const side of ["needs", "gives"] as const) {
    for (const key of definition[side] ?? []) {
      if (!ID_PATTERN.test(key)) {
        throw invalid(`${where}: ${side} names the environment key ${show(key)}`, data, KEY_REMEDY);
      }
    }
  }
  if (definition.timeout !== undefined && parseDuration(definition.timeout) === undefined) {
    throw invalid(
      `${where}: timeout ${show(definition.timeout)} is no duration`,
      data,
      "Write 500ms, 30s, 5m or 2h.",
    );
  }
  const { cost } = definition;
  if (typeof cost === "number" && !(cost >= 0 && Number.isFinite(cost))) {
    throw invalid(`${where}: cost must be 0 or more, but is ${cost}`, data);
  }
}

const KEY_REMEDY = "Keys match [A-Za-z0-9_-]{1,64}.";

function invalid(what: string, data: Record<string, unknown>, remedy?: string): InvalidInputError {
  return new InvalidInputError("E_AGENT_DEFINITION", what, {
    data,
    remedy: remedy ?? "Correct the agent's definition.",
  });
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}

/** By shape, not by class: an agent file may bring its own copy of zod. */
function isSchema(value: unknown): value is z.ZodType {
  return isRecord(value) && typeof value.safeParse === "function";
}

function show(value: unknown): string {
  return typeof value === "string" ? `"${value}"` : String(value);
}
