/**
 * The workflow document: what people write in YAML or JSON and what planners produce.
 *
 * The zod schema here is the only definition of the file format: the TypeScript type, the published JSON
 * Schema and the shape check of `validate` all derive from it. What a schema cannot say (cycles, unknown
 * dependencies, unproduced inputs) is checked by the graph.
 */
import { z } from "zod";
import { budgetSchema } from "./budget.ts";
import { type Compensation, compensateSchema } from "./compensation.ts";
import type { StepOrigin } from "./derived-step.ts";
import { MAX_TIMEOUT_MS } from "./duration-bounds.ts";
import { durationSchema, envKeySchema, idSchema } from "./names.ts";
import { type StepTimeouts, timeoutsSchema } from "./step-timeouts.ts";
import { type AnswerDeadline, deadlineSchema } from "./waiting.ts";

/** Bounds of a workflow (L8); exceeding one is `E_LIMIT`. */
export const WORKFLOW_LIMITS = {
  steps: 100_000,
  dependenciesPerStep: 10_000,
  maxParallel: 10_000,
  maxAttempts: 100,
  expressionChars: 4_096,
  /** Iterations of one `repeat`. */
  iterations: 10_000,
  /** Items of one `forEach`. */
  items: 10_000,
  timeoutMs: MAX_TIMEOUT_MS,
} as const;

/** Steps of one run that may be in flight at once when the workflow does not say. */
export const DEFAULT_MAX_PARALLEL = 16;

/** Iterations of a `repeat` that does not say. */
export const DEFAULT_ITERATIONS = 100;

export const retrySchema = z.strictObject({
  maxAttempts: z.int().min(1).optional().describe("Attempts in all, the first included. Default 3."),
  initial: durationSchema.optional().describe("Delay before the second attempt. Default 1s."),
  factor: z.number().min(1).optional().describe("Growth of the delay per attempt. Default 2."),
  max: durationSchema.optional().describe("Upper bound of the delay. Default 30s."),
  jitter: z.number().min(0).max(1).optional().describe("Share of the delay that is spread. Default 0.2."),
  nonRetryable: z
    .array(z.string().min(1))
    .optional()
    .describe("Names or codes of errors that another attempt cannot help. Default none."),
});

export const repeatSchema = z.strictObject({
  until: z.string().describe("CEL, with `outputs` and `iteration`; true: the step is done."),
  max: z.int().min(1).optional().describe("Iterations in all; beyond: E_REPEAT_LIMIT. Default 100."),
});

export const stepSchema = z.strictObject({
  id: idSchema,
  agent: idSchema.describe("The role that does the step."),
  task: idSchema.describe("The task of that role."),
  description: z.string().optional(),
  inputs: z.record(z.string(), z.unknown()).optional(),
  outputs: z.array(envKeySchema).optional().describe("Environment keys that this step's result writes."),
  dependsOn: z.array(idSchema).optional(),
  when: z.string().optional().describe("CEL; false: the step is done with outcome skipped."),
  forEach: z
    .union([z.string(), z.array(z.unknown())])
    .optional()
    .describe("CEL that gives a list, or a list: done for each item, with `item` and `index` in the inputs."),
  repeat: repeatSchema.optional().describe("Done again and again, each time anew, until a condition holds."),
  join: z
    .union([z.enum(["all", "any"]), z.int().min(1)])
    .optional()
    .describe("How many dependencies must be done. Default all."),
  onFailure: z.enum(["fail", "continue", "recover"]).optional().describe("Default fail."),
  priority: z.number().optional().describe("Among the ready steps of the run; higher first. Default 0."),
  retry: retrySchema.optional(),
  timeout: durationSchema.optional().describe("From dispatch to result of one dispatch."),
  timeouts: timeoutsSchema.optional(),
  approval: z.boolean().optional().describe("The step waits for a person's approve before it is given out."),
  deadline: deadlineSchema.optional().describe("Of the wait for a person or a signal."),
  compensate: compensateSchema.optional(),
  observes: z
    .array(envKeySchema)
    .optional()
    .describe("Outputs that inform: in a planned run the rest of the plan is weighed again with them."),
  fallback: z
    .record(envKeySchema, z.unknown())
    .optional()
    .describe("Values for the outputs when no way to make them is left; the run goes on with them."),
  ask: deadlineSchema
    .optional()
    .describe("Once nothing else is left of `onFailure: recover`, people are asked for so long what to do."),
});

/** What a plan took for granted about facts that are not there yet. */
export const assumptionSchema = z.strictObject({
  step: idSchema.describe("The step that rests on it."),
  assumes: z.enum(["guard", "cost"]),
  expression: z.string(),
  reads: z.array(envKeySchema).describe("Keys that will tell."),
  estimate: z.number().optional().describe("What the cost was taken to be."),
});

export const workflowSchema = z.strictObject({
  name: idSchema.optional(),
  description: z.string().optional(),
  inputs: z.record(z.string(), z.unknown()).optional().describe("Defaults, overridden by the submission."),
  maxParallel: z.int().min(1).optional(),
  timeout: durationSchema.optional().describe("Of the whole run."),
  budget: budgetSchema.optional().describe("What the run may spend."),
  defaults: z
    .strictObject({
      retry: retrySchema.optional(),
      timeout: durationSchema.optional(),
      timeouts: timeoutsSchema.optional(),
      ask: deadlineSchema.optional(),
    })
    .optional(),
  environment: z
    .record(envKeySchema, z.strictObject({ schema: z.record(z.string(), z.unknown()) }))
    .optional()
    .describe("JSON Schemas of environment keys: a value that does not match is refused."),
  steps: z.array(stepSchema).min(1),
  outputs: z.record(z.string(), z.unknown()).optional(),
  secrets: z
    .array(envKeySchema)
    .optional()
    .describe(
      "Inputs and environment keys whose values are shown to nobody but the agents: `***` elsewhere.",
    ),
  assumptions: z
    .array(assumptionSchema)
    .optional()
    .describe("Of a planned workflow; nothing is executed because of them."),
});

/** A workflow as written: plain data, JSON-serialisable. */
export type WorkflowDocument = z.infer<typeof workflowSchema>;
/** One step as written. */
export type WorkflowStepDocument = z.infer<typeof stepSchema>;
export type PlanAssumption = z.infer<typeof assumptionSchema>;
export type RetryDocument = z.infer<typeof retrySchema>;

/** A retry policy with every default filled in; delays in milliseconds. */
export interface RetryPolicy {
  maxAttempts: number;
  initialMs: number;
  factor: number;
  maxMs: number;
  jitter: number;
  /** Names or codes of errors after which there is no other attempt. */
  nonRetryable: readonly string[];
}

export const DEFAULT_RETRY: RetryPolicy = {
  maxAttempts: 3,
  initialMs: 1_000,
  factor: 2,
  maxMs: 30_000,
  jitter: 0.2,
  nonRetryable: [],
};

/** How often a step is done, and until when. */
export interface Repeat {
  readonly until: string;
  readonly max: number;
}

/** A step with every default filled in: what the graph stores and the runtime executes. */
export interface WorkflowStep {
  readonly id: string;
  /** Position in the document; ties in priority are broken by it. */
  readonly index: number;
  /** The role that does it. */
  readonly agent: string;
  readonly task: string;
  readonly description: string | undefined;
  readonly inputs: Readonly<Record<string, unknown>>;
  readonly outputs: readonly string[];
  readonly dependsOn: readonly string[];
  readonly when: string | undefined;
  /** Gives the list over whose items the step fans out. */
  readonly forEach: string | readonly unknown[] | undefined;
  readonly repeat: Repeat | undefined;
  /** How many dependencies must be closed well before this step may start. */
  readonly joinCount: number;
  readonly onFailure: "fail" | "continue" | "recover";
  readonly priority: number;
  readonly retry: RetryPolicy;
  /** From dispatch to result of one dispatch, in ms. */
  readonly timeoutMs: number | undefined;
  readonly timeouts: StepTimeouts | undefined;
  /** It waits for a person's word before it is given out. */
  readonly approval: boolean;
  /** Of its wait for an answer from outside. */
  readonly deadline: AnswerDeadline | undefined;
  /** How it is undone. */
  readonly compensate: Compensation | undefined;
  /** Undefined for a step of the document. */
  readonly origin: StepOrigin | undefined;
  /** Outputs whose arrival lets a planned run weigh the rest of its plan. */
  readonly observes: readonly string[] | undefined;
  /** Values for its outputs once nothing else can make them. */
  readonly fallback: Readonly<Record<string, unknown>> | undefined;
  /** How long people are asked what to do once it failed for good; undefined: they are not. */
  readonly ask: AnswerDeadline | undefined;
}
