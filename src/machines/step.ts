/**
 * The step machine: the life of one step of a run, in exactly five states.
 *
 *     pending → ready → running → done | failed
 *
 * It owns where a step stands: its state, its dispatch number, its attempts, who does it, how it ended.
 * It does not own when things happen: whoever folds the log sends the events, and the same log gives the
 * same states (L1). No actions with effects, no delays, no clock: `transition` alone drives it.
 *
 *  - M1 `n` grows by one each time the step becomes ready to be given out (first time, retry, handoff,
 *    loss, recovery, iteration); so a dispatch is named by (step, n) and is open while the step is ready or running.
 *  - M2 `attempt` grows only after a failure or time-out that counts against `maxAttempts`; every iteration
 *    begins at 1.
 *  - M3 `outcome` is null exactly while the step is open.
 *  - M4 `failed` is not final: a person's retry, or a recovery, opens the step again.
 */
import { assign, setup } from "xstate";
import { flatLogic } from "./flat-logic.ts";

export const STEP_STATES = ["pending", "ready", "running", "done", "failed"] as const;
export type StepState = (typeof STEP_STATES)[number];

export type StepOutcome = "completed" | "skipped" | "failed" | "timed-out" | "cancelled";

/** Hops that a step may make from role to role (L8). */
export const MAX_HANDOFFS = 8;

/** Why a dispatch failed. */
export interface StepError {
  name: string;
  message: string;
  /** Whether another attempt may help. */
  retryable: boolean;
  code?: string | undefined;
}

/** What went wrong at one dispatch; the history of a step is a list of these. */
export interface StepFailure {
  n: number;
  attempt: number;
  agent: string | null;
  error: StepError;
}

/** A holder that passed the step on. */
export interface StepHop {
  role: string;
  task: string;
  agent: string | null;
  reason: string;
  /** What the agent gave along: what it learnt. */
  notes?: unknown;
  /** What its dispatch spent. */
  usage?: { tokens?: number | undefined; usd?: number | undefined };
}

export interface StepContext {
  id: string;
  /** The role and task that do the step now; a handoff or a recovery changes them. */
  role: string;
  task: string;
  /** Inputs brought by a handoff or recovery, instead of the step's own. */
  inputs: Record<string, unknown> | null;
  maxAttempts: number;
  n: number;
  attempt: number;
  agent: string | null;
  outcome: StepOutcome | null;
  /** From 1; grows only when the step is repeated. */
  iteration: number;
  /** Who held the step before, oldest first, and why each passed it on. */
  hops: StepHop[];
  handoffReason: string | null;
  /** Ways that a recovery left behind. */
  tried: { role: string; task: string }[];
  failures: StepFailure[];
}

export interface StepInput {
  id: string;
  role: string;
  task: string;
  maxAttempts: number;
}

export type StepEvent =
  /** Enough dependencies are done. */
  | { type: "dependencies met" }
  /** The condition says that there is nothing to do. */
  | { type: "skip" }
  /** The step cannot be given out: an expression of it failed. */
  | { type: "refuse"; error: StepError }
  /** The step's work is done by steps of its own: it is never given out itself. */
  | { type: "fan out" }
  /** An agent has begun. */
  | { type: "start"; agent: string }
  /** The step was closed in another run, whose results this run takes over. */
  | { type: "take over"; outcome: StepOutcome; agent: string | null }
  /** The agent's result is in the log. */
  | { type: "complete" }
  /** The agent's result is in the log, and the step is to be done once more. */
  | { type: "repeat" }
  /** The agent reported a failure; tried again if it may help and attempts are left. */
  | { type: "fail"; error: StepError }
  /** No result within the time-out. */
  | { type: "time out"; error: StepError }
  /** The agent gives the step to another role. */
  | {
      type: "hand off";
      role: string;
      task: string;
      inputs: Record<string, unknown>;
      reason: string;
      notes?: unknown;
      usage?: StepHop["usage"] | undefined;
    }
  /** The task is gone without a result (L10). */
  | { type: "lose" }
  /** The run was cancelled, or ended while the step was open. */
  | { type: "cancel"; error?: StepError }
  /** A person's retry, or a recovery that may name another role and task. */
  | {
      type: "reopen";
      role?: string | undefined;
      task?: string | undefined;
      inputs?: Record<string, unknown> | undefined;
      /** Where a repeated step goes on. */
      iteration?: number | undefined;
    };

/** Failures of a step that are kept, the youngest (L8): all of an iteration. */
const KEPT_FAILURES = 100;

const withFailure = (context: StepContext, error: StepError): StepFailure[] => [
  ...context.failures.slice(1 - KEPT_FAILURES),
  failureOf(context, error),
];

const failureOf = (context: StepContext, error: StepError): StepFailure => ({
  n: context.n,
  attempt: context.attempt,
  agent: context.agent,
  error,
});

const hopOf = (context: StepContext, event: StepEvent & { type: "hand off" }): StepHop => ({
  role: context.role,
  task: context.task,
  agent: context.agent,
  reason: event.reason,
  ...(event.notes === undefined ? {} : { notes: event.notes }),
  ...(event.usage === undefined ? {} : { usage: event.usage }),
});

const handoffLimitError = (context: StepContext, to: string): StepError => ({
  name: "HandoffLimitError",
  code: "E_HANDOFF_LIMIT",
  message: `step ${context.id} was handed off more than ${MAX_HANDOFFS} times: ${[
    ...context.hops.map((hop) => hop.role),
    context.role,
    to,
  ].join(" → ")}`,
  retryable: false,
});

const definition = setup({
  types: {
    context: {} as StepContext,
    events: {} as StepEvent,
    input: {} as StepInput,
  },
  guards: {
    mayRetry: ({ context, event }) =>
      "error" in event && event.error.retryable && context.attempt < context.maxAttempts,
    wasDone: ({ event }) =>
      event.type === "take over" && (event.outcome === "completed" || event.outcome === "skipped"),
    mayHandOff: ({ context }) => context.hops.length < MAX_HANDOFFS,
  },
  actions: {
    openDispatch: assign({ n: ({ context }) => context.n + 1, agent: null, outcome: null }),
    countAttempt: assign({
      attempt: ({ context }) => context.attempt + 1,
      failures: ({ context, event }) =>
        "error" in event ? withFailure(context, event.error) : context.failures,
    }),
    noteFailure: assign({
      failures: ({ context, event }) =>
        "error" in event ? withFailure(context, event.error) : context.failures,
    }),
    noteHandoffLimit: assign({
      failures: ({ context, event }) =>
        event.type === "hand off"
          ? withFailure(context, handoffLimitError(context, event.role))
          : context.failures,
    }),
    noteAgent: assign({
      agent: ({ context, event }) => (event.type === "start" ? event.agent : context.agent),
    }),
    changeHands: assign(({ context, event }) =>
      event.type === "hand off"
        ? {
            role: event.role,
            task: event.task,
            inputs: event.inputs,
            hops: [...context.hops, hopOf(context, event)],
            handoffReason: event.reason,
          }
        : {},
    ),
    // Each iteration begins as the first did: with the step's own role, and all attempts.
    beginIteration: assign(({ context }) => {
      const next = { iteration: context.iteration + 1, attempt: 1 };
      const [first] = context.hops;
      if (first === undefined) return next;
      return { ...next, role: first.role, task: first.task, inputs: null, hops: [], handoffReason: null };
    }),
    startOver: assign(({ context, event }) =>
      event.type === "reopen"
        ? {
            attempt: 1,
            iteration: event.iteration ?? context.iteration,
            role: event.role ?? context.role,
            task: event.task ?? context.task,
            inputs: event.inputs ?? context.inputs,
            tried:
              event.role === undefined ? [] : [...context.tried, { role: context.role, task: context.task }],
          }
        : {},
    ),
    endAsBefore: assign(({ event }) =>
      event.type === "take over" ? { outcome: event.outcome, agent: event.agent } : {},
    ),
    endCompleted: assign({ outcome: "completed" }),
    endSkipped: assign({ outcome: "skipped" }),
    endFailed: assign({ outcome: "failed" }),
    endTimedOut: assign({ outcome: "timed-out" }),
    endCancelled: assign({ outcome: "cancelled" }),
  },
});

export const stepMachine = definition.createMachine({
  id: "step",
  context: ({ input }) => ({
    id: input.id,
    role: input.role,
    task: input.task,
    inputs: null,
    maxAttempts: input.maxAttempts,
    n: 0,
    attempt: 1,
    agent: null,
    outcome: null,
    iteration: 1,
    hops: [],
    handoffReason: null,
    tried: [],
    failures: [],
  }),
  initial: "pending",
  states: {
    pending: {
      description: "Waits for the steps that it depends on.",
      on: {
        "dependencies met": {
          target: "ready",
          actions: "openDispatch",
          description: "What it waited for is there: its inputs are fixed and its first dispatch opens.",
        },
        skip: {
          target: "done",
          actions: "endSkipped",
          description: "Its condition is false, or too much of what it depends on was not done.",
        },
        "take over": [
          {
            guard: "wasDone",
            target: "done",
            actions: "endAsBefore",
            description: "A rerun keeps what the earlier run did.",
          },
          {
            target: "failed",
            actions: "endAsBefore",
            description: "A rerun keeps that it had failed where the run may go on without it.",
          },
        ],
        refuse: {
          target: "failed",
          actions: ["noteFailure", "endFailed"],
          description: "Its condition or its inputs cannot be worked out.",
        },
        cancel: {
          target: "failed",
          actions: ["noteFailure", "endCancelled"],
          description: "Somebody stops it, or its run ends before its turn.",
        },
      },
    },
    ready: {
      description: "May be given out: waits for a place, its back-off, an agent, or somebody outside.",
      on: {
        start: { target: "running", actions: "noteAgent", description: "An agent has begun." },
        "fan out": { target: "running", description: "Its items do the work, each a step of its own." },
        // Nobody took it. A new dispatch would stand in the same queue, so it is not tried again.
        "time out": {
          target: "failed",
          actions: ["noteFailure", "endTimedOut"],
          description: "Nobody took it in time. The next dispatch would stand in the same queue.",
        },
        lose: {
          actions: "openDispatch",
          description: "Its task is gone and there is no result: the next dispatch opens.",
        },
        refuse: {
          target: "failed",
          actions: ["noteFailure", "endFailed"],
          description: "Somebody rejects it, what they answer does not fit, or it still lacks its inputs.",
        },
        cancel: {
          target: "failed",
          actions: ["noteFailure", "endCancelled"],
          description: "Somebody stops it, or its run ends; its task is taken back.",
        },
      },
    },
    running: {
      description: "An agent has it, or its items have.",
      on: {
        complete: {
          target: "done",
          actions: "endCompleted",
          description: "The first result of the open dispatch says done, with every output.",
        },
        repeat: {
          target: "ready",
          actions: ["beginIteration", "openDispatch"],
          description: "It is done and its until does not hold yet: the next iteration opens.",
        },
        fail: [
          {
            guard: "mayRetry",
            target: "ready",
            actions: ["countAttempt", "openDispatch"],
            description: "It failed, may be tried again, and has attempts left.",
          },
          {
            target: "failed",
            actions: ["noteFailure", "endFailed"],
            description: "It failed for good.",
          },
        ],
        "time out": [
          {
            guard: "mayRetry",
            target: "ready",
            actions: ["countAttempt", "openDispatch"],
            description: "There was no result in time, and it has attempts left.",
          },
          {
            target: "failed",
            actions: ["noteFailure", "endTimedOut"],
            description: "There was no result in time, at the last attempt.",
          },
        ],
        "hand off": [
          {
            guard: "mayHandOff",
            target: "ready",
            actions: ["changeHands", "openDispatch"],
            description: "Its agent passes it on to another role. The attempt stays the same.",
          },
          {
            target: "failed",
            actions: ["noteHandoffLimit", "endFailed"],
            description: "It was passed on too often.",
          },
        ],
        lose: {
          target: "ready",
          actions: "openDispatch",
          description: "Its task is gone and there is no result. The attempt stays the same.",
        },
        cancel: {
          target: "failed",
          actions: ["noteFailure", "endCancelled"],
          description: "Somebody stops it, or its run ends; its agent is told.",
        },
      },
    },
    done: { type: "final", description: "Completed, or skipped: its outcome says which." },
    failed: {
      description:
        "Failed, timed out or cancelled: its outcome says which. Not the end: it can be opened again.",
      on: {
        reopen: {
          target: "ready",
          actions: ["startOver", "openDispatch"],
          description: "A person's retry, or a recovery that found another way, with all attempts.",
        },
      },
    },
  },
});

/** The step machine as it runs, thousands of times a second: moved by its definition's table. */
export const stepLogic = flatLogic<typeof stepMachine, StepState>(stepMachine);
export type StepSnapshot = ReturnType<typeof stepLogic.initial>;
