/**
 * A step that is a run of its own: role `orchestrator`, task `run`.
 *
 * Owns what its inputs may be and how the child run is named. The nested document is the child's: its
 * expressions are evaluated there, so the parent hands it on as it is written.
 */
import { z } from "zod";
import type { IssueList } from "./issues.ts";
import { envKeySchema } from "./names.ts";
import { ORCHESTRATOR_ROLE } from "./reserved-roles.ts";

/** Runs below one another (L8). */
export const MAX_NESTING = 5;
/** The only task of the role `orchestrator`. */
export const NESTED_TASK = "run";
const MAX_ID = 64;
const NESTED_SOURCES = ["workflow", "goals", "want"] as const;

export const nestedInputsSchema = z
  .strictObject({
    workflow: z.unknown().optional(),
    goals: z.union([z.string(), z.array(z.string())]).optional(),
    want: z.array(envKeySchema).optional(),
    inputs: z.record(z.string(), z.unknown()).optional(),
    environment: z.record(envKeySchema, z.unknown()).optional(),
    timeout: z.string().optional(),
  })
  .refine(({ workflow, goals, want }) => (workflow ?? goals ?? want) !== undefined, {
    message: "needs a workflow, or goals or want",
  });

/** The id of the child run of a dispatch: readable, and the same whoever works it out. */
export function childRunId({ run, step, n }: { run: string; step: string; n: number }): string {
  const tail = `-${n}-${digest(`${run} ${step} ${n}`)}`;
  return `${`${run}-${step.replaceAll("~", "-")}`.slice(0, MAX_ID - tail.length)}${tail}`;
}

/** A nested document that is written out, and not computed by an expression. */
export function literalWorkflow(
  agent: unknown,
  inputs: Readonly<Record<string, unknown>>,
): Readonly<Record<string, unknown>> | undefined {
  if (agent !== ORCHESTRATOR_ROLE) return undefined;
  const { workflow } = inputs;
  const isLiteral = typeof workflow === "object" && workflow !== null && !Array.isArray(workflow);
  return isLiteral ? (workflow as Record<string, unknown>) : undefined;
}

/** What a schema of all steps cannot say about one that is a run of its own. */
export function checkNestedStep(
  {
    id,
    agent,
    task,
    inputs,
  }: { id: string; agent: string; task: string; inputs?: Record<string, unknown> | undefined },
  index: number,
  issues: IssueList,
): void {
  if (agent !== ORCHESTRATOR_ROLE) return;
  const path = ["steps", index];
  if (task !== NESTED_TASK) {
    const message = `The role ${ORCHESTRATOR_ROLE} has one task, ${NESTED_TASK}; there is no ${task}.`;
    issues.add("E_SCHEMA", [...path, "task"], message, id);
  }
  const names = Object.keys(nestedInputsSchema.shape);
  for (const name of Object.keys(inputs ?? {})) {
    if (names.includes(name)) continue;
    const message = `A nested run takes ${names.join(", ")}; what its workflow reads goes into inputs.inputs.`;
    issues.add("E_SCHEMA", [...path, "inputs", name], message, id);
  }
  if (!NESTED_SOURCES.some((name) => inputs?.[name] !== undefined)) {
    const message = `A nested run needs something to run: ${NESTED_SOURCES.join(", ")} among its inputs.`;
    issues.add("E_SCHEMA", [...path, "inputs"], message, id);
  }
}

/** FNV-1a, in six letters and digits: tells children apart whose names were cut, or run together. */
function digest(text: string): string {
  let hash = 0x811c9dc5;
  for (let at = 0; at < text.length; at += 1) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  return (hash >>> 0).toString(36).padStart(6, "0").slice(-6);
}
