/** What an agent is to its author: a role, its tasks, and what a task may do while it runs. */
import type { Logger } from "pino";
import type { z } from "zod";
import type { Usage } from "../bus/messages.ts";

/** The verdict of the run's log on an environment update. */
export type EnvVerdict =
  | { applied: true; revision: number }
  | {
      applied: false;
      /** Whose revision stands; `message` names both writers. */
      conflict: { revision: number; writer: string; message?: string | undefined };
    };

export type EnvWatchListener = (change: { key: string; value: unknown; revision: number }) => void;

export interface TaskEnvironment {
  /**
   * The run's environment as the daemon has folded it, or one key of it (undefined: not set).
   * @throws UnreachableError when no daemon answers within some seconds
   */
  get(key: string): Promise<unknown>;
  get(): Promise<Record<string, unknown>>;
  /**
   * One key with its revision: what `set` with `ifRevision` wants to know. Both are of the same moment.
   * @returns revision 0 and value undefined for a key that is not set
   * @throws UnreachableError when no daemon answers within some seconds
   */
  read(key: string): Promise<{ value: unknown; revision: number }>;
  /**
   * Writes a declared output key before the step ends. Durable once it resolves; a task that runs twice writes twice.
   * @param options.ifRevision apply only when the key still has this revision (0: not set yet)
   * @throws InvalidInputError `E_UNDECLARED_KEY`; UnreachableError when the broker or every daemon is away
   */
  set(key: string, value: unknown, options?: { ifRevision?: number }): Promise<EnvVerdict>;
  /**
   * Every change of the run's environment from now on, in order, each once, whatever live messages are lost. Stops
   * when the task ends or its signal fires.
   * @param options.after from this revision on instead
   */
  watch(listener: EnvWatchListener, options?: { after?: number }): () => void;
}

export interface TaskContext {
  readonly run: string;
  readonly step: string;
  /** Dispatch number: raised by retries, handoffs and redispatches of a lost task. */
  readonly n: number;
  /** Attempt: raised by retries only. */
  readonly attempt: number;
  /** Of a step that is repeated: from 1; otherwise 1. */
  readonly iteration: number;
  /** Who held the step before and handed it on, oldest first; empty for its first holder. */
  readonly hops: readonly HandoffHop[];
  /** The same over retries and redeliveries of one step: pass it to systems that deduplicate. */
  readonly idempotencyKey: string;
  /** Fires on cancellation, on the dispatch's deadline and when the process drains for too long. */
  readonly signal: AbortSignal;
  readonly env: TaskEnvironment;
  /** A line carries run, step and dispatch by itself. */
  readonly log: Logger;
  /** Bytes beside the environment, kept until the run is purged: pass the reference on in outputs. */
  readonly artifacts: {
    /** Durable once it resolves. A task that runs twice stores two. */
    put(bytes: Uint8Array): Promise<{ $artifact: { name: string; bytes: number } }>;
    /** @throws NotFoundError when its run was purged */
    get(ref: { $artifact: { name: string; bytes: number } }): Promise<Uint8Array>;
  };
  /** Live only. `fraction` is 0 to 1. */
  progress(fraction: number, message?: string): void;
  /** Says that the task goes on, for a step with a heartbeat time-out. So do `progress` and `emit`. Live only. */
  heartbeat(): void;
  /** Partial output, live only. */
  emit(chunk: unknown): void;
  /** Adds to what this dispatch spent; travels with the result. */
  usage(spent: Usage): void;
  /**
   * Ends this dispatch by giving the step to another role: `return ctx.handoff(…)`.
   * @param notes what the next holder should know beside its inputs; it finds them in `ctx.hops`. At most
   *   16 KiB: larger things belong into the inputs
   */
  handoff(
    role: string,
    task: string,
    inputs: Record<string, unknown>,
    reason: string,
    notes?: unknown,
  ): Handoff;
}

/** A holder that handed the step on. */
export interface HandoffHop {
  readonly role: string;
  readonly task: string;
  readonly agent: string | null;
  readonly reason: string;
  /** What it learnt, as far as it said so. */
  readonly notes?: unknown;
  /** What its dispatch spent. */
  readonly usage?: Usage | undefined;
}

/** Returned by `ctx.handoff`; a task returns it to hand its step over. */
export class Handoff {
  readonly role: string;
  readonly task: string;
  readonly inputs: Record<string, unknown>;
  readonly reason: string;
  readonly notes: unknown;

  constructor(role: string, task: string, inputs: Record<string, unknown>, reason: string, notes?: unknown) {
    this.role = role;
    this.task = task;
    this.inputs = inputs;
    this.reason = reason;
    this.notes = notes;
  }
}

/** One thing that an agent can do. Executed at least once for each dispatch: see `TaskContext.idempotencyKey`. */
export interface TaskDefinition<Inputs extends z.ZodType = z.ZodType, Outputs extends z.ZodType = z.ZodType> {
  description?: string;
  /** Checked before `run`; a mismatch fails the dispatch, not retryable. */
  inputs?: Inputs;
  /** Checked after `run`; a mismatch fails the dispatch, not retryable. */
  outputs?: Outputs;
  /** Environment keys that must be there for the planner to use this task. */
  needs?: readonly string[];
  /** Environment keys that it takes when the plan or the environment has them; never required. */
  uses?: readonly string[];
  /** Environment keys that its result writes. */
  gives?: readonly string[];
  /** CEL over `env` and `inputs`: whether the planner may use this task on this data. */
  when?: string;
  /** A number, or CEL over `env` and `inputs`. Default 1. */
  cost?: number | string;
  /** Stands in for a cost expression that reads a key which a step of the plan has yet to write. */
  estimate?: number;
  /** Keys among `gives` that inform: once they are there, the rest of the plan is weighed again. */
  observes?: readonly string[];
  /** Values for keys among `gives` to go on with when nothing can make them any more. */
  fallback?: Readonly<Record<string, unknown>>;
  /** Words of a free-text goal that mean this task. */
  synonyms?: readonly string[];
  /** Told to people and programs with the agent's card; decides nothing. */
  idempotent?: boolean;
  /**
   * A duration, such as `30s`, that one execution may take: then its signal fires, and it fails as `E_TASK_TIMEOUT`,
   * which may be retried. Default: none but the step's own.
   */
  timeout?: string;
  /** What it throws fails the dispatch and may be retried; a `NonRetryableError` is not. */
  run(
    inputs: z.output<Inputs>,
    ctx: TaskContext,
  ): Promise<z.input<Outputs> | Handoff> | z.input<Outputs> | Handoff;
}

/** A role and its tasks, as `defineAgent` gives it back. */
export interface AgentDefinition {
  /** The name under which interchangeable agents pull work. */
  readonly role: string;
  readonly description?: string;
  // biome-ignore lint/suspicious/noExplicitAny: a task's types are checked where it is defined.
  readonly tasks: Readonly<Record<string, TaskDefinition<any, any>>>;
}
