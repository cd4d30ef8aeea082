/**
 * The messages of wire protocol version 1, as zod schemas; an orchestrator's decisions stand in `decisions.ts`. The
 * types derive from them, adapters parse with them at the edge (L9), and `docs/protocol.md` is generated from them.
 *
 * Objects are open: a field that this version does not know is ignored, so that fields may be added.
 * A message of a newer major version (`v` above 1) is refused by the schema, never misread.
 */
import { z } from "zod";
import { budgetExcessSchema, budgetSchema, onLimitSchema } from "../workflow/budget.ts";
import { roleCardSchema } from "../workflow/capability.ts";
import { envKeySchema, idSchema, stepRefSchema } from "../workflow/names.ts";
import { drawSchema } from "./budget-draw.ts";

/** Version of the wire protocol. */
export const WIRE_VERSION = 1;
export const version = z.literal(WIRE_VERSION);
export const dispatchNumber = z.int().min(1);
export const epochMs = z.number();

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
