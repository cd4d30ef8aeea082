/**
 * How a step is undone, as its workflow says it: a task of some role, with inputs that can read what the step
 * was given and what it gave.
 */
import { z } from "zod";
import type { DerivedStep } from "./derived-step.ts";
import type { WorkflowStep } from "./document.ts";
import { idSchema } from "./names.ts";

const compensationSchema = z.strictObject({
  agent: idSchema.optional().describe("Default: the role of the step."),
  task: idSchema,
  inputs: z
    .record(z.string(), z.unknown())
    .optional()
    .describe("Can also read self.inputs and self.outputs. Default: both together, outputs over inputs."),
});

export const compensateSchema = z
  .union([idSchema, compensationSchema])
  .describe("Undoes the step after it completed, when the run fails or is cancelled. A task, or its name.");

export interface Compensation {
  readonly agent: string;
  readonly task: string;
  /** Undefined: what the step was given, and over it what it gave. */
  readonly inputs: Readonly<Record<string, unknown>> | undefined;
}

export function compensationOf(
  written: z.infer<typeof compensateSchema> | undefined,
  agent: string,
): Compensation | undefined {
  if (written === undefined) return undefined;
  if (typeof written === "string") return { agent, task: written, inputs: undefined };
  return { agent: written.agent ?? agent, task: written.task, inputs: written.inputs };
}

/** The wire name of the step that undoes another: `reserve~undo`, or `reserve~3~undo` for an item. */
function undoRef(step: string): string {
  return `${step}~undo`;
}

/** The step that undoes a completed one. Its inputs are fixed when its turn comes. */
export function undoStep(step: WorkflowStep, { agent, task, inputs }: Compensation): DerivedStep {
  return {
    ...step,
    id: undoRef(step.id),
    agent,
    task,
    inputs: inputs ?? {},
    outputs: [],
    dependsOn: [],
    when: undefined,
    forEach: undefined,
    repeat: undefined,
    approval: false,
    deadline: undefined,
    compensate: undefined,
    // What cannot be undone does not stop the others.
    onFailure: "continue",
    observes: undefined,
    fallback: undefined,
    origin: { kind: "undo", of: step.origin?.of ?? step.id, place: step.origin?.place ?? 0 },
  };
}
