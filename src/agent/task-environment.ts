/**
 * The run's environment as a running task sees it: reads ask the daemon, which has it folded; writes go
 * into the run's log, and the fold's verdict is asked for afterwards. Nothing is cached here (L1). How it is watched
 * stands beside it.
 */
import type { Bus, Clock } from "../bus/bus.ts";
import { checkIn, redeem } from "../bus/claim-check.ts";
import type { Answer, Question, TaskMessage } from "../bus/messages.ts";
import { InvalidInputError, UnreachableError } from "../workflow/errors.ts";
import type { EnvVerdict, EnvWatchListener, TaskEnvironment } from "./define.ts";
import { EnvironmentWatch } from "./environment-watch.ts";
import { wait } from "./waiting.ts";

/** How long one question may take, and how often it is asked before the task is told (L8). */
const QUESTION_TIMEOUT_MS = 2_000;
const QUESTION_TRIES = 5;
const QUESTION_PAUSE_MS = 200;

export interface TaskEnvironmentOptions {
  bus: Bus;
  clock: Clock;
  task: TaskMessage;
  agent: string;
  signal: AbortSignal;
}

/** @returns the task's view, and the way to end its watches once the task has ended. */
export function taskEnvironment(options: TaskEnvironmentOptions): { env: TaskEnvironment; close(): void } {
  const { bus, task, agent, signal } = options;
  const { run, step, n } = task;
  const watches = new Set<() => void>();
  const ports = {
    bus,
    clock: options.clock,
    run,
    ask: (question: Question) => ask(options, question),
  };
  let closed = false;

  async function get(key?: string): Promise<unknown> {
    const answer = await ask(options, key === undefined ? { q: "env" } : { q: "env", key });
    const values = (await redeem(bus.artifacts, answer.values ?? {})) as Record<string, unknown>;
    return key === undefined ? values : values[key];
  }

  async function read(key: string): Promise<{ value: unknown; revision: number }> {
    const { values, revision = 0 } = await ask(options, { q: "env", key });
    const { [key]: value } = (await redeem(bus.artifacts, values ?? {})) as Record<string, unknown>;
    return { value, revision };
  }

  async function set(key: string, value: unknown, conditions?: { ifRevision?: number }): Promise<EnvVerdict> {
    if (!task.outputs.includes(key)) {
      throw new InvalidInputError(
        "E_UNDECLARED_KEY",
        `step "${step}" sets "${key}", which it does not declare`,
        {
          remedy: `Add "${key}" to the step's outputs in the workflow.`,
          data: { key, declared: task.outputs },
        },
      );
    }
    const checked = await checkIn(bus.artifacts, run, { [key]: value });
    const ifRevision = conditions?.ifRevision;
    const stored = await bus.log.append(run, {
      kind: "env",
      body: {
        v: 1,
        key,
        value: checked[key],
        step,
        n,
        by: agent,
        ...(ifRevision === undefined ? {} : { ifRevision }),
      },
    });
    if (!stored.ok) throw new Error(`environment update "${key}" was refused though it expected no sequence`);
    const answer = await ask(options, { q: "verdict", seq: stored.seq });
    if (answer.applied === false) {
      return { applied: false, conflict: answer.conflict ?? { revision: 0, writer: "unknown" } };
    }
    return { applied: true, revision: answer.revision ?? stored.seq };
  }

  function watch(listener: EnvWatchListener, { after }: { after?: number } = {}): () => void {
    if (signal.aborted || closed) return () => undefined;
    const watching = new EnvironmentWatch(ports, listener, after);
    const stop = () => {
      watches.delete(stop);
      signal.removeEventListener("abort", stop);
      watching.close();
    };
    watches.add(stop);
    signal.addEventListener("abort", stop, { once: true });
    return stop;
  }

  return {
    env: { get: get as TaskEnvironment["get"], read, set, watch },
    close() {
      closed = true;
      for (const stop of [...watches]) stop();
    },
  };
}

/** @throws UnreachableError when no daemon answered, InvalidInputError when one refused. */
async function ask(options: TaskEnvironmentOptions, question: Question): Promise<Answer> {
  const { bus, clock, task, signal } = options;
  for (let tries = 1; tries <= QUESTION_TRIES; tries++) {
    signal.throwIfAborted();
    const answer = await bus.live.ask(task, question, QUESTION_TIMEOUT_MS);
    if (answer?.error !== undefined) {
      throw new InvalidInputError(
        "E_QUESTION",
        `the daemon refused "${question.q}" for ${task.run}/${task.step}`,
        {
          cause: answer.error,
          remedy: answer.error,
        },
      );
    }
    if (answer !== undefined) return answer;
    await wait(clock, QUESTION_PAUSE_MS * tries);
  }
  throw new UnreachableError(
    "E_NO_DAEMON",
    `no daemon answered "${question.q}" within ${QUESTION_TRIES} tries`,
    {
      remedy: "Check that a daemon of this swarm runs: datahammer doctor.",
      data: { tries: QUESTION_TRIES, timeoutMs: QUESTION_TIMEOUT_MS },
    },
  );
}
