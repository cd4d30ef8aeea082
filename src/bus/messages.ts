/**
 * Every message of wire protocol version 1, as zod schemas. The types derive from them, adapters parse
 * with them at the edge (L9), and `docs/protocol.md` is generated from them.
 *
 * Objects are open: a field that this version does not know is ignored, so that fields may be added.
 * A message of a newer major version (`v` above 1) is refused by the schema, never misread.
 */
import { z } from "zod";
import { budgetExcessSchema, budgetSchema, onLimitSchema } from "../workflow/budget.ts";
import { roleCardSchema } from "../workflow/capability.ts";
import { envKeySchema, idSchema, stepRefSchema } from "../workflow/names.ts";
import { PLANNER_TASKS } from "../workflow/planner-task.ts";
import { drawSchema } from "./budget-draw.ts";

/** Version of the wire protocol. */
export const WIRE_VERSION = 1;
const version = z.literal(WIRE_VERSION);
const dispatchNumber = z.int().min(1);
const epochMs = z.number();

/** Names one dispatch: the n-th time that a step of a run was given to a role. */
export const dispatchRefSchema = z.object({
  run: idSchema,
  step: stepRefSchema,
  n: dispatchNumber,
  role: idSchema,
});
export type DispatchRef = z.infer<typeof dispatchRefSchema>;

export const wireErrorSchema = z.object({
  name: z.string(),
  message: z.string(),
  retryable: z.boolean(),
  /** A stable code, where there is one (`E_OUTPUT_MISSING`, `E_POISON`, …). */
  code: z.string().optional(),
});
export type WireError = z.infer<typeof wireErrorSchema>;

export const usageSchema = z.object({
  tokens: z.number().optional(),
  usd: z.number().optional(),
  /** Dispatches of a nested run. */
  dispatches: z.number().optional(),
});
export type Usage = z.infer<typeof usageSchema>;

// ── the run log ──────────────────────────────────────────────────────────────────────────────────────

/** What a run takes over from another one, whole: the other may be purged. */
export const runOriginSchema = z.object({
  run: idSchema,
  /** The last record of the other run's log that counted. */
  seq: z.int(),
  /** The first step that is done again; without it, and with steps, the run is a fork. */
  from: idSchema.optional(),
  /** Steps that are closed from the beginning, each after those that it depends on. */
  steps: z
    .array(
      z.object({
        step: idSchema,
        outcome: z.enum(["completed", "skipped", "failed", "timed-out"]),
        agent: z.string().nullable().default(null),
        outputs: z.record(z.string(), z.unknown()).default({}),
      }),
    )
    .default([]),
  /** Keys with their writers; without a value, the writing step's output of that name is meant. */
  environment: z
    .record(
      envKeySchema,
      z.object({ value: z.unknown().optional(), step: z.string().optional(), agent: z.string().optional() }),
    )
    .default({}),
  /** What the planner said of the workflow. */
  plan: z
    .object({
      cost: z.number(),
      optimal: z.boolean(),
      explored: z.number(),
      reasons: z.record(z.string(), z.string()).default({}),
    })
    .optional(),
});
export type RunOrigin = z.infer<typeof runOriginSchema>;

/** A person's or program's request to run a workflow, or to plan and run towards goals. */
export const submitSchema = z.object({
  v: version,
  /** The document; its own schema is checked by the orchestrator, so that every error is reported. */
  workflow: z.unknown().optional(),
  goals: z.union([z.string(), z.array(z.string())]).optional(),
  want: z.array(envKeySchema).optional(),
  inputs: z.record(z.string(), z.unknown()).default({}),
  /** The environment to start from. */
  environment: z.record(z.string(), z.unknown()).optional(),
  timeout: z.string().optional(),
  /** Narrows the workflow's own budget. */
  budget: budgetSchema.optional(),
  /** Of goals: once a step has failed for good, people are asked for so long what to do (`defaults.ask`). */
  ask: z.string().optional(),
  /** Inputs and environment keys that are shown to nobody but the agents, beside those that the workflow names. */
  secrets: z.array(envKeySchema).optional(),
  /** The dispatch whose nested run this is: its end is that dispatch's result. */
  parent: z
    .object({
      run: idSchema,
      step: stepRefSchema,
      n: dispatchNumber,
      /** 1: the parent is no nested run itself. */
      depth: z.int().min(1),
      /** Environment keys that the result must hold. */
      outputs: z.array(z.string()).default([]),
      /** Dispatches of the runs above that have a budget, the nearest first: what this run spends is theirs. */
      budgets: z.array(dispatchRefSchema.omit({ role: true })).optional(),
    })
    .optional(),
  /** The run that this one repeats, or goes on from, and what it takes over. */
  origin: runOriginSchema.optional(),
  /** The caller's trace context (W3C): the run's spans go under it. */
  traceparent: z.string().optional(),
  by: z.string().optional(),
});
export type SubmitMessage = z.infer<typeof submitSchema>;

/** Published by the agent; the first one in the log for a dispatch closes it (L4). */
export const resultSchema = z.object({
  v: version,
  run: idSchema,
  step: stepRefSchema,
  n: dispatchNumber,
  agent: z.string(),
  status: z.enum(["done", "failed", "handoff"]),
  outputs: z.record(z.string(), z.unknown()).optional(),
  error: wireErrorSchema.optional(),
  handoff: z
    .object({
      role: idSchema,
      task: idSchema,
      inputs: z.record(z.string(), z.unknown()).default({}),
      reason: z.string().default(""),
      /** What the next holder should know beside its inputs. */
      notes: z.unknown().optional(),
    })
    .optional(),
  usage: usageSchema.optional(),
  startedAt: epochMs.optional(),
  endedAt: epochMs.optional(),
});
export type ResultMessage = z.infer<typeof resultSchema>;

/** An environment update in mid-step, by the agent that holds the dispatch, or by a person (no step). */
export const envUpdateSchema = z.object({
  v: version,
  key: envKeySchema,
  value: z.unknown(),
  ifRevision: z.int().min(0).optional(),
  step: stepRefSchema.optional(),
  n: dispatchNumber.optional(),
  by: z.string(),
});
export type EnvUpdateMessage = z.infer<typeof envUpdateSchema>;

export const CONTROL_VERBS = ["cancel", "pause", "resume", "retry", "signal", "approve", "reject"] as const;
export const controlSchema = z.object({
  v: version,
  verb: z.enum(CONTROL_VERBS),
  step: stepRefSchema.optional(),
  name: z.string().optional(),
  value: z.unknown().optional(),
  /**
   * Of a `retry` of one step: other steps that failed fail the run again only once nothing is open any more.
   * Without it they do so at once.
   */
  others: z.literal("later").optional(),
  /**
   * Of a `resume` by a run above: its budget was raised at this sequence of its log. Only a run that waits for that
   * goes on, and what was refused there before holds it back no more.
   */
  raised: z.object({ run: idSchema, seq: z.int().min(1) }).optional(),
  by: z.string(),
});
export type ControlMessage = z.infer<typeof controlSchema>;

/** What an orchestrator did and saw since its last batch (L6). Not a decision: void of any epoch check. */
export const observedSchema = z.object({
  v: version,
  epoch: z.int().min(1),
  dispatched: z.array(dispatchRefSchema.omit({ run: true }).extend({ at: epochMs })).default([]),
  started: z
    .array(dispatchRefSchema.omit({ run: true, role: true }).extend({ agent: z.string(), at: epochMs }))
    .default([]),
  /**
   * What runs below have spent so far, by the dispatch of this run that they are below of, and how many dispatches
   * more each wants to give out. Written by the holder of `child`, whose epoch it is.
   */
  drawn: z.array(drawSchema).optional(),
});
export type ObservedMessage = z.infer<typeof observedSchema>;

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

// ── tasks and live messages ──────────────────────────────────────────────────────────────────────────

const handoffHopRecordSchema = z.object({
  role: idSchema,
  task: idSchema,
  agent: z.string().nullable(),
  reason: z.string(),
  notes: z.unknown().optional(),
  usage: usageSchema.optional(),
});

/** A dispatch on its way to a role, in the role's work queue. */
export const taskSchema = z.object({
  v: version,
  run: idSchema,
  step: stepRefSchema,
  n: dispatchNumber,
  role: idSchema,
  task: idSchema,
  inputs: z.record(z.string(), z.unknown()).default({}),
  attempt: z.int().min(1),
  /** Of a step that is repeated: from 1. */
  iteration: z.int().min(1).optional(),
  idempotencyKey: z.string(),
  /** Epoch ms after which nobody waits for the result. */
  deadline: epochMs.optional(),
  /** Agents that failed at this step: they leave it to another of the role, if one takes it soon. */
  avoid: z.array(z.string()).optional(),
  /** Environment keys that the result must hold, and that may be set in mid-step. */
  outputs: z.array(z.string()).default([]),
  handoff: z
    .object({
      from: z.array(z.object({ step: stepRefSchema, role: idSchema })),
      reason: z.string().optional(),
      /** Who held the step before, oldest first: why each passed it on, what it learnt and spent. */
      hops: z.array(handoffHopRecordSchema).optional(),
    })
    .optional(),
  traceparent: z.string().optional(),
  /** Texts in the inputs that the workflow names as secret: not for the agent's log, nor for its spans. */
  secrets: z.array(z.string()).optional(),
});
export type TaskMessage = z.infer<typeof taskSchema>;

/** Live only: lost when nobody listens. */
export const liveSchema = z.object({
  /** `heartbeat` says nothing but that the agent is at it; every other type says that, too. */
  type: z.enum(["started", "progress", "chunk", "heartbeat"]),
  run: idSchema,
  step: stepRefSchema,
  n: dispatchNumber,
  agent: z.string(),
  role: idSchema.optional(),
  fraction: z.number().optional(),
  message: z.string().optional(),
  data: z.unknown().optional(),
  at: epochMs.optional(),
});
export type LiveMessage = z.infer<typeof liveSchema>;

/** Every change of a run's environment, after folding. Deduplicate by `number`. */
export const envChangeSchema = z.object({
  run: idSchema,
  key: envKeySchema,
  value: z.unknown(),
  revision: z.int(),
  writer: z.object({ step: z.string().optional(), agent: z.string().optional() }),
  /** Which change of this run it is, from 1: a number that is missing was lost. */
  number: z.int().min(0).optional(),
});
export type EnvChangeMessage = z.infer<typeof envChangeSchema>;

/**
 * Work passes from role to role: along the graph (`flow`: the steps whose results made this one ready), or
 * because an agent gave its step away (`handoff`). Published when the receiving dispatch is given out.
 */
export const handoffHopSchema = z.object({
  run: idSchema,
  step: stepRefSchema,
  n: dispatchNumber,
  kind: z.enum(["flow", "handoff"]),
  from: z.array(z.object({ step: stepRefSchema, role: idSchema })),
  to: z.object({ role: idSchema, task: idSchema }),
  reason: z.string(),
});
export type HandoffHopMessage = z.infer<typeof handoffHopSchema>;

export const cancelRequestSchema = z.object({ reason: z.string().default("") });
export const cancelReplySchema = z.object({ ok: z.boolean() });

/** What an agent may ask about the dispatch it holds. */
export const questionSchema = z.discriminatedUnion("q", [
  /** Is this dispatch still open? `{open: false}`: ack, do not run. */
  z.object({ q: z.literal("open") }),
  /** The environment, or one key of it. */
  z.object({ q: z.literal("env"), key: z.string().optional() }),
  /** What became of the environment update stored at this log sequence. */
  z.object({ q: z.literal("verdict"), seq: z.int() }),
  /** How much of the draw that a nested run stored at this log sequence is granted. */
  z.object({ q: z.literal("draw"), child: idSchema, seq: z.int() }),
  /**
   * The changes of the environment after that number, or after that revision; without either only the number of
   * the last one.
   */
  z.object({
    q: z.literal("changes"),
    after: z.int().min(0).optional(),
    afterRevision: z.int().min(0).optional(),
  }),
]);
export type Question = z.infer<typeof questionSchema>;

export const answerSchema = z.object({
  open: z.boolean().optional(),
  values: z.record(z.string(), z.unknown()).optional(),
  revision: z.int().optional(),
  /** For `changes`: in order, up to the one of this number; `more`: ask on from there. */
  changes: z.array(envChangeSchema).optional(),
  number: z.int().min(0).optional(),
  more: z.boolean().optional(),
  /** For `verdict`: applied, or the writer whose revision stands instead. */
  applied: z.boolean().optional(),
  conflict: z.object({ revision: z.int(), writer: z.string(), message: z.string().optional() }).optional(),
  /** For `draw`: how many dispatches may be given out, the limit that allows no more, and what is done at it. */
  granted: z.int().min(0).optional(),
  excess: budgetExcessSchema.optional(),
  onLimit: onLimitSchema.optional(),
  error: z.string().optional(),
});
export type Answer = z.infer<typeof answerSchema>;

/** An agent process's announcement; answered once the queues of its roles exist. */
export const helloSchema = z.object({
  v: version,
  id: z.string(),
  roles: z.array(roleCardSchema),
  /** What the agent can read, where that is not both: its roles' queues are set to it. */
  encoding: z.enum(["json", "msgpack"]).optional(),
});
export type HelloMessage = z.infer<typeof helloSchema>;

export const roleSettingsSchema = z.object({
  role: idSchema,
  encoding: z.enum(["json", "msgpack"]),
  /** Tasks of the role in progress at once over all agents; `max_ack_pending` of its queue. */
  inFlight: z.int().min(1),
  /** A task whose holder is silent for this long is given to another. */
  ackWaitMs: z.int().min(1_000),
});
export type RoleSettings = z.infer<typeof roleSettingsSchema>;
export const DEFAULT_ROLE_SETTINGS: Omit<RoleSettings, "role"> = {
  encoding: "msgpack",
  inFlight: 1_024,
  ackWaitMs: 10_000,
};

export const helloReplySchema = z.object({
  ok: z.boolean(),
  roles: z.array(roleSettingsSchema).default([]),
  error: z.string().optional(),
  /** What keeps the daemon from working at the moment. */
  problem: z.string().optional(),
});
export type HelloReply = z.infer<typeof helloReplySchema>;

/** A wake-up call for a run that nobody holds, this long after it was stored. */
export const runTimerSchema = z.object({ v: version, delayMs: z.number().min(0) });

// ── presence and the run index: views ────────────────────────────────────────────────────────────────

/** A present agent process, as `datahammer agents` lists it. */
export const agentPresenceSchema = z.object({
  id: z.string(),
  roles: z.array(roleCardSchema),
  pid: z.int(),
  host: z.string(),
  version: z.string(),
  startedAt: epochMs,
  running: z.int(),
  done: z.int(),
  failed: z.int(),
  concurrency: z.int(),
});
export type AgentPresence = z.infer<typeof agentPresenceSchema>;

export const RUN_STATUSES = [
  "planning",
  "running",
  "paused",
  "waiting",
  "done",
  "failed",
  "cancelled",
] as const;
export type RunStatus = (typeof RUN_STATUSES)[number];

/** A line of `datahammer runs`. A view: rebuilt from the log whenever it is in doubt (L1). */
export const runSummarySchema = z.object({
  run: idSchema,
  name: z.string(),
  status: z.enum(RUN_STATUSES),
  /** Why it is paused. */
  reason: z.string().optional(),
  startedAt: z.string(),
  endedAt: z.string().nullable(),
  steps: z.object({ total: z.int(), done: z.int(), failed: z.int(), running: z.int() }),
});
export type RunSummary = z.infer<typeof runSummarySchema>;
