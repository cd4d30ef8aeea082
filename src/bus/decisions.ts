/**
 * Decisions: what an orchestrator chooses and the log alone does not tell, written before it counts (L3), as zod
 * schemas like every message.
 *
 * A decision of an older epoch is void, and what one means may depend on its claim: a holder says there which rules it
 * goes by, so that the log of an earlier version keeps its meaning (L1).
 */
import { z } from "zod";
import { budgetExcessSchema, onLimitSchema } from "../workflow/budget.ts";
import { envKeySchema, idSchema, stepRefSchema } from "../workflow/names.ts";
import { PLANNER_TASKS } from "../workflow/planner-task.ts";
import { dispatchNumber, epochMs, usageSchema, version, wireErrorSchema } from "./messages.ts";

const decisionBase = { v: version, id: z.string(), epoch: z.int().min(1), at: epochMs };
const runErrorSchema = z.object({
  code: z.string(),
  message: z.string(),
  step: z.string().optional(),
});

/** Taken out of its queue, stopped by its agent, or given up after the bound. */
const stoppedSchema = z.enum(["removed", "stopped", "given-up"]);
/** What became of the dispatches that were out when a run was given up, of at most 1,000 of them. */
const stoppedListSchema = z.array(z.object({ step: stepRefSchema, n: dispatchNumber, how: stoppedSchema }));

/** A task that a plan could have used; `step` is the one whose place it would take, where it would take one. */
const planAlternativeSchema = z.object({
  role: z.string(),
  task: z.string(),
  step: z.string().optional(),
  reason: z.string(),
});
export type PlanAlternative = z.infer<typeof planAlternativeSchema>;

/** Non-deterministic choices, written before they count (L3). */
export const decisionSchema = z.discriminatedUnion("type", [
  /** First decision of every hold; raises the epoch, so that earlier holders are fenced. */
  z.object({
    ...decisionBase,
    type: z.literal("claim"),
    holder: z.string(),
    /**
     * This holder looks inside values above the claim check's bound wherever that is needed. Under a claim
     * without it, a record means what it did before holders could: iterations fail with `E_LARGE_VALUE`, and
     * schemas are not held against such values.
     */
    looks: z.literal(true).optional(),
    /**
     * This holder also holds such values against schemas where a person, an agent in mid-step or the submission
     * set them. Under a claim without it they count at once.
     */
    judges: z.literal(true).optional(),
    /**
     * This holder heeds what is raised: a nested run may spend what its own workflow allows and the runs above it
     * grant, and a retry that is refused raises nothing. Under a claim without it, a nested run also keeps what was
     * left above at its start, and limits are raised by a retry that is refused, too.
     */
    raises: z.literal(true).optional(),
    /**
     * Edition of the rules by which records under this claim are read; without it they mean what they did before.
     * 1: large values are also found inside of others (in a fan-out's list, in what a nested run gave), where an
     * expression saw their references; and an answer that its key's schema refuses leaves the step waiting.
     * 2: a step that waits for what is in a large value does not begin once its run gives up.
     * 3: a fan-out that never began has its list found anew by a retry, also inside large values; the inputs of all
     * items are fixed with the list; and what is opened again and cannot be given inputs fails again, an item with
     * its fan-out, unless people are asked about it.
     */
    rules: z.number().int().min(1).optional(),
  }),
  /** The planner's answer to a submission of goals. */
  z.object({
    ...decisionBase,
    type: z.literal("plan"),
    workflow: z.unknown(),
    cost: z.number(),
    optimal: z.boolean(),
    explored: z.number(),
    reasons: z.record(z.string(), z.string()).default({}),
    alternatives: z.array(planAlternativeSchema).optional(),
    /** What a language model's advice has cost; it counts into the run's budget. */
    usage: usageSchema.optional(),
  }),
  /** The swarm's own planner is asked: dispatch `n` of `~plan`, a task for its role. A `timed-out` ends the waiting. */
  z.object({
    ...decisionBase,
    type: z.literal("consult"),
    n: dispatchNumber,
    task: z.enum(PLANNER_TASKS),
    /** What it is about, the same after a failover. */
    about: z.string(),
    /** 1, and one more for each correction. */
    round: z.int().min(1),
    /** What was wrong with the answer before. */
    errors: z.array(z.string()).optional(),
  }),
  /** A dispatch got no result within its time-out. */
  z.object({
    ...decisionBase,
    type: z.literal("timed-out"),
    step: stepRefSchema,
    n: dispatchNumber,
    code: z.string(),
    afterMs: z.number(),
  }),
  /** A step that somebody wanted stopped is closed; `how` says what became of its dispatch. */
  z.object({
    ...decisionBase,
    type: z.literal("cancelled"),
    step: stepRefSchema,
    n: dispatchNumber,
    how: stoppedSchema,
  }),
  /** Nobody answered a waiting step within its deadline: its default answer counts. */
  z.object({
    ...decisionBase,
    type: z.literal("defaulted"),
    step: stepRefSchema,
    n: dispatchNumber,
    answer: z.enum(["approve", "reject"]),
    value: z.unknown().optional(),
    afterMs: z.number(),
  }),
  /** The run's own time-out passed. */
  z.object({ ...decisionBase, type: z.literal("run-timed-out"), afterMs: z.number() }),
  /** Its daemons could not go on with the run, time and again: it fails with this. */
  z.object({ ...decisionBase, type: z.literal("defeated"), code: z.string(), message: z.string() }),
  /** The time that the run's budget allows is over. */
  z.object({ ...decisionBase, type: z.literal("time-spent"), elapsedMs: z.number() }),
  /** A run above, on whose budget this nested run draws, has reached a limit of it. */
  z.object({
    ...decisionBase,
    type: z.literal("spent-above"),
    run: idSchema,
    excess: budgetExcessSchema,
    /** What the run above does at its limits: this one does the same. Without it what its own `onLimit` says. */
    onLimit: onLimitSchema.optional(),
    /** Sequence of the draw in the log of the run above; void, if that was raised later. */
    seq: z.int().min(1).optional(),
  }),
  /** The task is gone and the log has no result (L10). */
  z.object({ ...decisionBase, type: z.literal("lost"), step: stepRefSchema, n: dispatchNumber }),
  /** A failed step goes on with another capability that gives the same keys. */
  z.object({
    ...decisionBase,
    type: z.literal("recover"),
    step: stepRefSchema,
    /** 0: its inputs could not be worked out, so that it was never given out. */
    n: z.int().min(0),
    role: idSchema.optional(),
    task: idSchema.optional(),
    inputs: z.record(z.string(), z.unknown()).optional(),
    /** Instead of another capability: values for its outputs, and the run goes on with them. */
    fallback: z.record(z.string(), z.unknown()).optional(),
    /** People are asked what to do. */
    ask: z.boolean().optional(),
    reason: z.string(),
    /** What a language model's advice has cost. */
    usage: usageSchema.optional(),
  }),
  /**
   * The rest of a plan, weighed again: because facts arrived, a step failed, or a role went away. With a
   * workflow it takes the place of the run's; without one the plan stands.
   */
  z.object({
    ...decisionBase,
    type: z.literal("revise"),
    /** Steps whose facts were weighed; what comes after them waited for it. `~plan`: facts from outside. */
    weighed: z.array(stepRefSchema).default([]),
    /** The log was folded so far when it was decided. */
    upTo: z.int().optional(),
    /** The whole document. A step that has begun is in it as it was, or not at all. */
    workflow: z.unknown().optional(),
    reason: z.string(),
    /** Of what is left to do: as it was planned, seen with what is known now, and as it is now. */
    costBefore: z.number().optional(),
    cost: z.number().optional(),
    optimal: z.boolean().optional(),
    explored: z.number().optional(),
    reasons: z.record(z.string(), z.string()).optional(),
    /** What a language model's advice has cost. */
    usage: usageSchema.optional(),
    alternatives: z.array(planAlternativeSchema).optional(),
  }),
  /** The run will end like this; before, the compensations of its completed steps are done. */
  z.object({
    ...decisionBase,
    type: z.literal("compensate"),
    status: z.enum(["failed", "cancelled"]),
    error: runErrorSchema.optional(),
    stopped: stoppedListSchema.optional(),
  }),
  /**
   * What came of a step's expressions that look inside values above the claim check's bound: it is skipped,
   * has these inputs, or fans out over these items (in parts, all but the last with `more`), or they failed.
   */
  z.object({
    ...decisionBase,
    type: z.literal("resolved"),
    step: stepRefSchema,
    /** Of a step that was not pending: the dispatch at which it stands. */
    n: z.int().min(0).optional(),
    skip: z.boolean().optional(),
    /** Of an iteration that ended: whether there is another one. */
    again: z.boolean().optional(),
    inputs: z.record(z.string(), z.unknown()).optional(),
    /** Place of the first of these items in the list. */
    from: z.int().min(0).optional(),
    items: z.array(z.unknown()).optional(),
    itemInputs: z.array(z.record(z.string(), z.unknown())).optional(),
    /** Of these items, those whose inputs cannot be worked out, by their place in the list. */
    itemErrors: z.array(z.object({ place: z.int().min(0), error: wireErrorSchema })).optional(),
    more: z.boolean().optional(),
    error: wireErrorSchema.optional(),
  }),
  /**
   * What came of holding a value above the claim check's bound against the schema of its key: an update that was
   * set aside for it counts from here on, or is refused; a submitted value that does not match fails the run.
   */
  z.object({
    ...decisionBase,
    type: z.literal("judged"),
    key: envKeySchema,
    /** Log sequence of the update, or of the submission. */
    seq: z.int().min(1),
    problem: z.string().optional(),
  }),
  /** The run has ended. Nothing after it changes the outcome. */
  z.object({
    ...decisionBase,
    type: z.literal("end"),
    status: z.enum(["done", "failed", "cancelled"]),
    outputs: z.record(z.string(), z.unknown()).optional(),
    error: runErrorSchema.optional(),
    stopped: stoppedListSchema.optional(),
  }),
]);
export type DecisionMessage = z.infer<typeof decisionSchema>;
export type RunError = z.infer<typeof runErrorSchema>;
