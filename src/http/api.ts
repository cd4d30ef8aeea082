/**
 * What the HTTP API answers, as zod schemas: the OpenAPI document is generated from them, and the inspector's types
 * derive from them.
 *
 * Owns shapes only; those that are told live stand in `api-events.ts`, those that are sent in `api-requests.ts`.
 * Objects are open: fields may be added, none changes its meaning. Times are ISO 8601 with milliseconds, durations
 * are milliseconds.
 */
import { z } from "zod";
import { RUN_STATUSES, runSummarySchema } from "../bus/messages.ts";
import { roleCardSchema } from "../workflow/capability.ts";

export const time = z.string().describe("ISO 8601 with milliseconds.");
const values = z.record(z.string(), z.unknown());
export const seq = z.int().min(0).describe("A sequence of the swarm's log.");
const usage = z.object({ tokens: z.number().optional(), usd: z.number().optional() });
const spent = z.object({ tokens: z.number(), usd: z.number(), dispatches: z.int() });
const wireError = z.object({
  name: z.string(),
  message: z.string(),
  retryable: z.boolean(),
  code: z.string().optional(),
});

/** RFC 9457, with the code, the remedy and the facts of the error. */
export const problemSchema = z.object({
  type: z.literal("about:blank"),
  title: z.string(),
  status: z.int(),
  detail: z.string(),
  code: z.string(),
  remedy: z.string().optional(),
  data: values.optional(),
  /** Of an invalid request or workflow: each place that is wrong. */
  issues: z.array(z.object({ path: z.string(), message: z.string() }).loose()).optional(),
});

export const swarmSchema = z.object({
  swarm: z.string(),
  daemon: z.string(),
  version: z.string(),
  now: time,
  /** The verbs of `controls`. */
  verbs: z.array(z.string()),
  /** Of the broker's connection. */
  broker: z.enum(["connected", "reconnecting", "closed"]),
});

export const runPageSchema = z.object({
  runs: z.array(runSummarySchema),
  /** Runs that match, on all pages. */
  total: z.int(),
  /** Runs of the swarm by status, whatever the filter. */
  counts: z.record(z.enum(RUN_STATUSES), z.int()),
  /** The cursor of the next page; null: there is none. */
  next: z.string().nullable(),
});

/** What a step waits for from outside. */
export const waitSchema = z.object({
  for: z.enum(["approval", "human", "signal", "failure"]),
  task: z
    .string()
    .describe("The question, the signal's name, the task that wants approval, or the one that failed."),
  inputs: values,
  since: time,
  deadline: time.optional(),
  default: z.enum(["approve", "reject"]).optional().describe("What counts as answered at the deadline."),
  error: z.string().optional().describe("Why the step failed that people shall decide about."),
});

const stepViewSchema = z.object({
  state: z.string(),
  outcome: z.string().nullable(),
  attempts: z.int(),
  agent: z.string().nullable(),
  spent: spent.optional(),
  waiting: waitSchema.optional(),
});

const runError = z.object({ code: z.string(), message: z.string(), step: z.string().optional() });

const pauseSchema = runError.extend({
  above: z.string().optional().describe("The run above at whose limit it waits."),
  below: z.array(z.string()).optional().describe("Nested runs that wait at its limit."),
});

const originSchema = z.object({
  run: z.string(),
  seq,
  from: z.string().optional(),
  kept: z.array(z.string()),
});

const limitsSchema = z.object({
  tokens: z.number().optional(),
  usd: z.number().optional(),
  wall: z.number().optional().describe("Milliseconds."),
  dispatches: z.number().optional(),
  onLimit: z.enum(["pause", "fail"]),
});

export const runViewSchema = z
  .object({
    run: z.string(),
    name: z.string(),
    status: z.enum(RUN_STATUSES),
    outputs: values,
    environment: values,
    steps: z.record(z.string(), stepViewSchema),
    error: runError.optional(),
    pause: pauseSchema.optional(),
    origin: originSchema.optional(),
    spent,
    budget: limitsSchema.optional(),
    startedAt: time,
    endedAt: time.nullable(),
    durationMs: z.number(),
    seq,
  })
  .loose();

export const stepCountsSchema = z
  .object({
    total: z.int(),
    pending: z.int(),
    ready: z.int(),
    running: z.int(),
    done: z.int(),
    failed: z.int(),
  })
  .loose();

/** What a page needs to know of a run before it draws it: no values, no steps. */
export const runHeadSchema = z.object({
  run: z.string(),
  name: z.string(),
  status: z.enum(RUN_STATUSES),
  startedAt: time,
  endedAt: time.nullable(),
  firstSeq: seq,
  seq,
  steps: stepCountsSchema,
  by: z.string().nullable().describe("Who submitted it."),
  goals: z.array(z.string()),
  want: z.array(z.string()),
  inputs: values,
  outputs: values,
  error: runError.optional(),
  pause: pauseSchema.optional().describe("Why it is paused."),
  origin: originSchema.optional().describe("The run that it repeats or goes on from."),
  parent: z
    .object({ run: z.string(), step: z.string() })
    .optional()
    .describe("The step whose nested run this is."),
  spent,
  budget: limitsSchema.optional(),
  /** Steps that wait for somebody outside. */
  waits: z.array(waitSchema.extend({ step: z.string(), n: z.int() })),
  holder: z.string().nullable().describe("The daemon that orchestrates it."),
  epoch: z.int(),
});

export const graphStepSchema = z.object({
  id: z.string(),
  role: z.string(),
  task: z.string(),
  description: z.string().optional(),
  dependsOn: z.array(z.string()),
  outputs: z.array(z.string()),
  when: z.string().optional(),
  join: z.int().optional().describe("Dependencies that are enough, where that is not all."),
  onFailure: z.string().optional(),
  forEach: z.unknown().optional().describe("It fans out over this list; its items are steps `<id>~<index>`."),
  repeat: z.object({ until: z.string(), max: z.int() }).optional(),
  approval: z.boolean().optional(),
  of: z.string().optional().describe("The step that this item was made from."),
});

export const graphSchema = z.object({
  run: z.string(),
  name: z.string(),
  description: z.string().nullable(),
  seq,
  maxParallel: z.int(),
  /** In the document's order, then those that undo others (`<id>~undo`). Empty while there is no workflow. */
  steps: z.array(graphStepSchema),
});

export const transitionSchema = z.object({
  seq,
  ts: time,
  kind: z.enum(["run", "step"]),
  actor: z.string().describe("`run`, or the step's id."),
  from: z.string(),
  to: z.string(),
  event: z.string(),
  n: z.int(),
  attempt: z.int(),
  agent: z.string().nullable(),
  cause: z.string(),
});

export const voidSchema = z.object({
  seq,
  ts: time,
  verdict: z.string(),
  step: z.string().nullable(),
  reason: z.string(),
});

const writer = z.object({ step: z.string().optional(), agent: z.string().optional() });
export const envChangeSchema = z.object({ key: z.string(), revision: seq, ts: time, writer });

export const transitionsSchema = z.object({
  run: z.string(),
  /** The answer holds all that happened up to here. */
  seq,
  graphSeq: seq.describe("Of the last record up to there that changed the workflow; 0: there is none."),
  transitions: z.array(transitionSchema),
  /** Records that changed nothing, and why. */
  voids: z.array(voidSchema),
});

export const recordsSchema = z.object({
  run: z.string(),
  records: z.array(
    z.object({ seq, ts: time, kind: z.string(), role: z.string().optional(), body: z.unknown() }),
  ),
  /** Ask on with `after` set to this; null: the log has no more. */
  next: seq.nullable(),
});

export const environmentSchema = z.object({
  run: z.string(),
  revision: seq,
  values,
  entries: z.array(envChangeSchema),
});

export const environmentHistorySchema = z.object({
  run: z.string(),
  seq,
  /** Oldest first. */
  changes: z.array(envChangeSchema.extend({ value: z.unknown() })),
  next: seq.nullable(),
});

export const environmentVerdictSchema = z.object({
  applied: z.boolean(),
  revision: seq.optional(),
  reason: z.string().optional(),
  conflict: z.object({ revision: seq, writer: z.string() }).optional(),
});

export const planSchema = z.object({
  run: z.string(),
  goals: z.array(z.string()),
  want: z.array(z.string()),
  /** Null: the run was submitted as a workflow, or is still planned. */
  plan: z
    .object({
      cost: z.number(),
      optimal: z.boolean(),
      explored: z.number(),
      reasons: z.record(z.string(), z.string()),
    })
    .nullable(),
  /** The workflow that came of it, as a document; null while there is none. */
  workflow: z.unknown(),
  /** Every plan that the log holds, oldest first, with what it changed against the one before. */
  revisions: z.array(
    z.object({
      seq,
      ts: time,
      cause: z.string(),
      cost: z.number().nullable(),
      optimal: z.boolean().nullable(),
      explored: z.number().nullable(),
      reasons: z.record(z.string(), z.string()),
      counted: z.boolean().describe("False: a decision that was void, or that left the plan as it was."),
      added: z.array(z.string()),
      removed: z.array(z.string()),
      changed: z.array(z.string()),
      alternatives: z
        .array(
          z.object({ role: z.string(), task: z.string(), step: z.string().optional(), reason: z.string() }),
        )
        .describe("Tasks that the plan could have used; `step` is the one whose place each would take."),
    }),
  ),
});

export const dispatchSchema = z.object({
  n: z.int(),
  attempt: z.int(),
  role: z.string(),
  task: z.string(),
  agent: z.string().nullable(),
  readySeq: seq,
  readyAt: time,
  dispatchedAt: time.nullable(),
  startedAt: time.nullable(),
  endedAt: time.nullable(),
  endSeq: seq.nullable(),
  /** What closed it: the event of the step's machine; null while it is open. */
  end: z.string().nullable(),
  inputs: values.nullable(),
  outputs: values.nullable(),
  error: wireError.loose().nullable(),
  handoff: z.object({ role: z.string(), task: z.string(), reason: z.string() }).nullable(),
  child: z.string().nullable().describe("The nested run that does it."),
  usage: usage.nullable(),
});

export const stepDetailSchema = z.object({
  run: z.string(),
  seq,
  id: z.string(),
  role: z.string(),
  task: z.string(),
  state: z.string(),
  outcome: z.string().nullable(),
  n: z.int(),
  attempt: z.int(),
  maxAttempts: z.int(),
  agent: z.string().nullable(),
  iteration: z.int(),
  waiting: waitSchema.nullable(),
  definition: graphStepSchema,
  /** Of a step that fanned out: its items. */
  items: z.array(z.object({ id: z.string(), state: z.string(), outcome: z.string().nullable() })),
  dependents: z.array(z.string()),
  timeoutMs: z.number().nullable(),
  /** A retry waits until then. */
  notBefore: time.nullable(),
  outputs: values.nullable(),
  dispatches: z.array(dispatchSchema),
  failures: z.array(
    z.object({ n: z.int(), attempt: z.int(), agent: z.string().nullable(), error: wireError.loose() }),
  ),
  hops: z.array(z.object({ role: z.string(), task: z.string() })),
  handoffReason: z.string().nullable(),
  tried: z.array(z.object({ role: z.string(), task: z.string() })),
  transitions: z.array(transitionSchema),
  voids: z.array(voidSchema),
  usage: usage.nullable().describe("Summed over its dispatches."),
});

export const agentSchema = z.object({
  id: z.string(),
  roles: z.array(roleCardSchema),
  pid: z.int(),
  host: z.string(),
  version: z.string(),
  startedAt: time,
  running: z.int(),
  done: z.int(),
  failed: z.int(),
  concurrency: z.int(),
});
export const agentsSchema = z.object({ agents: z.array(agentSchema), at: time });

export const roleSchema = z.object({
  role: z.string(),
  encoding: z.enum(["json", "msgpack"]),
  inFlight: z.int(),
  ackWaitMs: z.int(),
  queued: z.int(),
  held: z.int(),
  redelivered: z.int().describe("Of those held, delivered before."),
});
export const rolesSchema = z.object({ roles: z.array(roleSchema) });
export const roleSettingsAnswerSchema = roleSchema.omit({ queued: true, held: true, redelivered: true });

const spread = z.object({ p50: z.number(), p95: z.number(), max: z.number() });
export const taskStatisticsSchema = z.object({
  /** The newest runs that were looked at. */
  runs: z.int(),
  tasks: z.array(
    z.object({
      role: z.string(),
      task: z.string(),
      completed: z.int(),
      failed: z.int(),
      open: z.int(),
      /** Milliseconds from start to end of a dispatch. */
      durationMs: spread.nullable(),
      /** Milliseconds from ready to start. */
      waitMs: spread.nullable(),
    }),
  ),
});

export const machinesSchema = z.object({
  /** Plain XState configurations. */
  step: z.unknown(),
  run: z.unknown(),
  agent: z.unknown(),
});

/** What was done at a request. */
export const rerunReplySchema = z.object({
  run: z.string(),
  origin: z.object({ run: z.string(), seq }),
  kept: z.array(z.string()),
});
export const purgeReportSchema = z.object({ runs: z.int(), messages: z.int(), bytes: z.number() });
export const submittedSchema = z.object({ run: z.string() });
export const controlVerdictSchema = z.object({
  run: z.string(),
  applied: z.boolean(),
  /** Why it does not apply. */
  reason: z.string().optional(),
});
export const sessionSchema = z.object({ ok: z.boolean() });

const ms = z.number().min(0);

/** Why a run took so long, as `datahammer why RUN --json` prints it, with times as text. */
export const runTimeSchema = z.object({
  run: z.string(),
  seq: z.int(),
  totalMs: ms,
  beforeMs: ms.describe("Until the first step of the path could begin."),
  betweenMs: ms.describe("Between steps of the path, where nothing of it waited or ran."),
  afterMs: ms.describe("After the last step of the path."),
  steps: z
    .array(
      z.object({
        step: z.string(),
        role: z.string(),
        readyAt: time,
        endedAt: time,
        readySeq: z.int(),
        endedSeq: z.int().nullable(),
        dispatches: z.int(),
        dependenciesMs: ms.describe("From the start of the run until its dependencies allowed it."),
        outsideMs: ms.describe("For somebody outside."),
        stoodMs: ms.describe("Failed, until it was opened again."),
        backOffMs: ms.describe("Between two attempts."),
        pausedMs: ms.describe("While the run was paused."),
        slotMs: ms.describe("For a place among the steps in parallel."),
        daemonMs: ms.describe("For the daemon to give it out, with nothing in its way."),
        agentMs: ms.describe("For an agent that takes it."),
        runMs: ms.describe("Running."),
      }),
    )
    .describe("The steps that made the run as long as it was, one after the other."),
  whatIf: z.object({
    durationMs: ms.describe("The same steps scheduled again with the room that there was."),
    variants: z
      .array(z.object({ change: z.string(), durationMs: ms, savedMs: ms }))
      .describe("More room that would have saved something, the most first."),
  }),
});

/** The story of one step, as `datahammer why RUN STEP --json` prints it. */
export const reasonsSchema = z.array(
  z.object({ text: z.string(), seq: z.int().nullable().describe("The log sequence that says so.") }),
);

export type Problem = z.infer<typeof problemSchema>;
export type RunPage = z.infer<typeof runPageSchema>;
export type RunLine = z.infer<typeof runSummarySchema>;
export type WaitView = z.infer<typeof waitSchema>;
export type RunHead = z.infer<typeof runHeadSchema>;
export type StepCountsView = z.infer<typeof stepCountsSchema>;
export type GraphStep = z.infer<typeof graphStepSchema>;
export type GraphView = z.infer<typeof graphSchema>;
export type Transition = z.infer<typeof transitionSchema>;
export type VoidView = z.infer<typeof voidSchema>;
export type EnvChange = z.infer<typeof envChangeSchema>;
export type EnvironmentAnswer = z.infer<typeof environmentSchema>;
export type EnvironmentHistory = z.infer<typeof environmentHistorySchema>;
export type PlanAnswer = z.infer<typeof planSchema>;
export type DispatchView = z.infer<typeof dispatchSchema>;
export type StepDetail = z.infer<typeof stepDetailSchema>;
export type RunTime = z.infer<typeof runTimeSchema>;
export type Reasons = z.infer<typeof reasonsSchema>;
export type AgentView = z.infer<typeof agentSchema>;
export type RoleView = z.infer<typeof roleSchema>;
export type TaskStatisticsView = z.infer<typeof taskStatisticsSchema>;
export type MachinesView = z.infer<typeof machinesSchema>;
export type ControlVerdictView = z.infer<typeof controlVerdictSchema>;
