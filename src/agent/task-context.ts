/**
 * What a task's code is given beside its inputs.
 *
 * It owns the environment view, made when first used, and what the task says that it spent. It does not own
 * the dispatch: when it ends, and what becomes of it, is the dispatch's matter.
 *
 * A class, not an object literal with getters: V8 makes a hidden class for every such literal, which cost
 * more than the rest of a small dispatch. Its functions are fields, so that authors may take them apart.
 */
import type { Logger } from "pino";
import type { Bus, Clock } from "../bus/bus.ts";
import type { TaskMessage, Usage } from "../bus/messages.ts";
import { Handoff, type TaskContext, type TaskEnvironment } from "./define.ts";
import type { LiveFeed } from "./live-feed.ts";
import type { TaskAbort } from "./task-abort.ts";
import { taskEnvironment } from "./task-environment.ts";

/** What a context needs of its dispatch. */
export interface ContextSource {
  readonly bus: Bus;
  readonly clock: Clock;
  /** The agent's id. */
  readonly id: string;
  readonly task: TaskMessage;
  readonly abort: TaskAbort;
  readonly feed: LiveFeed;
  /** Called when the task first logs. */
  log(): Logger;
}

export class DispatchContext implements TaskContext {
  readonly run: string;
  readonly step: string;
  readonly n: number;
  readonly attempt: number;
  readonly iteration: number;
  readonly idempotencyKey: string;
  readonly #source: ContextSource;
  #environment: ReturnType<typeof taskEnvironment> | undefined;
  #spent: Usage | undefined;

  constructor(source: ContextSource) {
    const { run, step, n, attempt, iteration = 1, idempotencyKey } = source.task;
    this.run = run;
    this.step = step;
    this.n = n;
    this.attempt = attempt;
    this.iteration = iteration;
    this.idempotencyKey = idempotencyKey;
    this.#source = source;
  }

  get hops(): TaskContext["hops"] {
    return this.#source.task.handoff?.hops ?? [];
  }

  get signal(): AbortSignal {
    return this.#source.abort.signal;
  }

  get env(): TaskEnvironment {
    const { bus, clock, task, id, abort } = this.#source;
    this.#environment ??= taskEnvironment({ bus, clock, task, agent: id, signal: abort.signal });
    return this.#environment.env;
  }

  get log(): Logger {
    return this.#source.log();
  }

  get artifacts(): TaskContext["artifacts"] {
    const { artifacts } = this.#source.bus;
    return { put: (bytes) => artifacts.put(this.run, bytes), get: (ref) => artifacts.get(ref) };
  }

  readonly progress: TaskContext["progress"] = (fraction, message) =>
    this.#source.feed.progress(fraction, message);

  get heartbeat(): TaskContext["heartbeat"] {
    return () => this.#source.feed.heartbeat();
  }

  readonly emit: TaskContext["emit"] = (chunk) => this.#source.feed.chunk(chunk);

  readonly usage: TaskContext["usage"] = ({ tokens = 0, usd = 0 }) => {
    this.#spent = { tokens: (this.#spent?.tokens ?? 0) + tokens, usd: (this.#spent?.usd ?? 0) + usd };
  };

  readonly handoff: TaskContext["handoff"] = (role, task, inputs, reason, notes) =>
    new Handoff(role, task, inputs, reason, notes);

  /** Undefined: the task said nothing of it. */
  get spent(): Usage | undefined {
    return this.#spent;
  }

  /** The task has ended: its watches of the environment end with it. */
  close(): void {
    this.#environment?.close();
  }
}
