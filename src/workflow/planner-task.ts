/**
 * A planner that is an agent: the role `planner`, what it is asked, and what it may answer.
 *
 * Owns the shapes, on the wire as in a language model's answer, and which cards mean such an agent. What an answer
 * may name, and what comes of it, is the planner's matter: nobody who proposes is believed.
 */
import { z } from "zod";
import { type RoleCard, roleCardSchema } from "./capability.ts";
import { envKeySchema, idSchema } from "./names.ts";

export const PLANNER_ROLE = "planner";
/** Stands in a dispatch where other tasks have their step. No step of a workflow can be called so. */
export const PLAN_REF = "~plan";
export const PLANNER_TASKS = ["plan", "replan", "recover"] as const;
export type PlannerTask = (typeof PLANNER_TASKS)[number];

const taskRefSchema = z.strictObject({ role: idSchema, task: idSchema });

const draftStepSchema = z.strictObject({
  id: idSchema,
  agent: idSchema,
  task: idSchema,
  inputs: z.record(envKeySchema, z.string()).optional(),
  outputs: z.array(envKeySchema).optional(),
  dependsOn: z.array(idSchema).optional(),
  when: z.string().optional(),
});
export type DraftStep = z.infer<typeof draftStepSchema>;

/** What a planner, or a language model, proposes. */
export const proposalSchema = z.strictObject({
  /** Keys that have to be there in the end. */
  want: z.array(envKeySchema).min(1).max(100).optional(),
  /** Tasks that must not be used. */
  avoid: z.array(taskRefSchema).max(1_000).optional(),
  /** A way to get there; of a plan under way, what is left to do. */
  workflow: z.strictObject({ steps: z.array(draftStepSchema).min(1).max(1_000) }).optional(),
  /** Of a plan under way: go on as planned. */
  stands: z.boolean().optional(),
  reason: z.string().max(1_000).optional(),
});

/** What is asked about a plan under way. */
export const situationSchema = z.object({
  /** Why it is asked. */
  reason: z.string(),
  steps: z.array(
    z.object({
      id: idSchema,
      agent: idSchema,
      task: idSchema,
      outputs: z.array(envKeySchema),
      state: z.enum(["done", "running", "open", "failed"]),
    }),
  ),
  /** Tasks and roles that must not be used any more. */
  excluded: z.array(z.object({ role: idSchema, task: idSchema.optional(), reason: z.string() })),
  /** The step whose outputs need another way. */
  failed: z.object({ step: idSchema, role: idSchema, task: idSchema, error: z.string() }).optional(),
});
export type PlanSituation = z.infer<typeof situationSchema>;

/** The inputs of the tasks `plan`, `replan` and `recover`. */
export const plannerQuestionSchema = z.object({
  goals: z.array(z.string()),
  /** Keys that were asked for by name, or that the plan is for. */
  want: z.array(envKeySchema),
  roles: z.array(roleCardSchema),
  /** Values of the environment, the small ones. */
  environment: z.record(z.string(), z.unknown()),
  /** Keys that are there with a value too large to be told here. */
  large: z.array(z.string()),
  inputs: z.record(z.string(), z.unknown()),
  /** For `replan` and `recover`. */
  situation: situationSchema.optional(),
  /** What was wrong with this planner's answers to this question, oldest first. */
  refused: z.array(z.object({ errors: z.array(z.string()) })),
});
export type PlannerQuestion = z.infer<typeof plannerQuestionSchema>;

/** Whether these cards offer a planner for this task. A task that gives keys is a task like any other. */
export function hasPlanner(cards: readonly RoleCard[], task: PlannerTask): boolean {
  return cards.some(
    ({ role, tasks }) =>
      role === PLANNER_ROLE && tasks.some(({ name, gives }) => name === task && gives.length === 0),
  );
}
