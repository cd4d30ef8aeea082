/**
 * Agent processes: one operating-system process per agent file, supervised by this one.
 *
 * Owns their starting, restarting and ending. They are told their broker by environment variables, so that
 * no secret stands in the process list, and hold an IPC channel to this process: when it dies, however hard,
 * the channel closes and they end by themselves.
 *
 *  - A1 `stop` returns only when every process has ended; one that ignores SIGTERM is killed.
 *  - A2 A process that ends unasked is started again after a growing delay, at most `RESTART_LIMIT` times within
 *    `RESTART_WINDOW_MS` (L8). One that was killed does not count: what is wrong with a task is found by how often
 *    that was delivered. One that never became ready is not: it would fail again in the same way.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { basename } from "node:path";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { z } from "zod";
import { wait } from "../agent/waiting.ts";
import { DataHammerError, InvalidInputError, UnreachableError } from "../workflow/errors.ts";
import type { Endpoint } from "./connection.ts";
import type { Invocation } from "./invocation.ts";
import type { LogLevel } from "./settings.ts";

/** Restarts of one file's process within `RESTART_WINDOW_MS` (L8). */
const RESTART_LIMIT = 10;
const RESTART_WINDOW_MS = 600_000;
const RESTART_MIN_MS = 200;
const RESTART_MAX_MS = 10_000;
/** Longest delay after a kill. */
const KILLED_MAX_MS = 1_000;
/** From start to ready: loading a large library from a cold disk takes its time. */
const READY_TIMEOUT_MS = 60_000;
/** From SIGTERM to SIGKILL. */
const STOP_TIMEOUT_MS = 8_000;

const SIGNAL = "signal ";
const KILLED = `${SIGNAL}SIGKILL`;

/** Environment variable that marks an agent process which another process started and looks after. */
export const SUPERVISED = "DATAHAMMER_SUPERVISED";

/** Why an agent process is interrupted when the process that looked after it has died. */
export const PARENT_GONE = "parent gone";

/** What an agent process tells its parent over the channel. */
const childMessageSchema = z.discriminatedUnion("event", [
  z.object({
    event: z.literal("ready"),
    agents: z.array(z.object({ role: z.string(), id: z.string() })),
    pid: z.int(),
  }),
  z.object({
    event: z.literal("error"),
    error: z.object({ code: z.string(), message: z.string(), remedy: z.string().optional() }),
  }),
]);
export type AgentProcessMessage = z.infer<typeof childMessageSchema>;

export interface ServedRole {
  role: string;
  pid: number;
}

interface AgentProcess {
  readonly file: string;
  child: ChildProcess;
  ended: Promise<string>;
  served: ServedRole[];
  /** Its unasked ends within the window; `at` in monotonic ms. */
  ends: { at: number; killed: boolean }[];
}

export interface AgentProcessOptions {
  files: readonly string[];
  endpoint: Endpoint;
  concurrency?: number | undefined;
  /** What they log, unless the user says so; default `warn`. */
  logLevel?: LogLevel;
}

export class AgentProcesses {
  readonly #call: Invocation;
  readonly #options: AgentProcessOptions;
  readonly #processes: AgentProcess[] = [];
  readonly #stopping = new AbortController();
  readonly #killAll = (): void => {
    for (const { child } of this.#processes) child.kill("SIGKILL");
  };

  private constructor(call: Invocation, options: AgentProcessOptions) {
    this.#call = call;
    this.#options = options;
  }

  /**
   * Starts all of them at once and resolves when every one serves its roles.
   * @throws the error of the first one that cannot, after ending the others
   */
  static async start(call: Invocation, options: AgentProcessOptions): Promise<AgentProcesses> {
    const processes = new AgentProcesses(call, options);
    call.shell.lastActs.add(processes.#killAll);
    const started = await Promise.allSettled(options.files.map((file) => processes.#begin(file)));
    const failure = started.find((outcome) => outcome.status === "rejected");
    if (failure === undefined) return processes;
    await processes.stop();
    throw failure.reason;
  }

  /** Which process serves which role now. */
  get served(): ServedRole[] {
    return this.#processes.flatMap(({ served }) => served);
  }

  /** Asks every process to drain, and waits until all have ended (A1). Idempotent. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    const { clock, lastActs } = this.#call.shell;
    await Promise.all(
      this.#processes.map(async ({ child, ended, served }) => {
        // One that is still loading has nothing to drain, and may be deaf until it has loaded.
        child.kill(served.length === 0 ? "SIGKILL" : "SIGTERM");
        const timer = clock.setTimeout(() => child.kill("SIGKILL"), STOP_TIMEOUT_MS);
        await ended;
        clock.clearTimeout(timer);
      }),
    );
    lastActs.delete(this.#killAll);
  }

  async #begin(file: string): Promise<void> {
    const entry: AgentProcess = { file, ...this.#spawn(file), served: [], ends: [] };
    this.#processes.push(entry);
    await this.#ready(entry);
    void this.#supervise(entry);
  }

  #spawn(file: string): { child: ChildProcess; ended: Promise<string> } {
    const { shell, settings, output } = this.#call;
    const { endpoint, concurrency, logLevel = "warn" } = this.#options;
    const [command = process.execPath, ...args] = shell.self;
    const child = spawn(
      command,
      [...args, "agent", file, ...(concurrency === undefined ? [] : ["--concurrency", String(concurrency)])],
      {
        cwd: shell.cwd,
        env: {
          ...shell.env,
          [SUPERVISED]: "1",
          DATAHAMMER_NATS: endpoint.url,
          DATAHAMMER_TOKEN: endpoint.token ?? "",
          DATAHAMMER_CREDS: settings.credsFile ?? "",
          DATAHAMMER_SWARM: settings.swarm,
          DATAHAMMER_LOG_LEVEL: settings.logLevel ?? logLevel,
        },
        stdio: ["ignore", "pipe", "pipe", "ipc"],
      },
    );
    const label = output.noticeColors.dim(
      `[${basename(file).replace(/\.[cm]?[jt]s$/, "")} ${child.pid ?? "?"}]`,
    );
    for (const stream of [child.stdout, child.stderr]) this.#relay(stream, label);
    const ended = new Promise<string>((resolve) => {
      child.once("error", (error) => resolve(`it could not be started: ${error.message}`));
      child.once("exit", (code, signal) =>
        resolve(signal === null ? `exit code ${code}` : `${SIGNAL}${signal}`),
      );
    });
    return { child, ended };
  }

  /** What an agent prints is no data of this command. */
  #relay(stream: Readable | null, label: string): void {
    if (stream === null) return;
    createInterface({ input: stream }).on("line", (line) => {
      if (line !== "") this.#call.output.notice(`${label} ${line}`);
    });
  }

  /** Resolves when the process serves its roles. */
  async #ready(entry: AgentProcess): Promise<void> {
    const { clock, interrupted } = this.#call.shell;
    const { child, ended, file } = entry;
    let timer: unknown;
    let onInterrupt = (): void => {};
    const message = new Promise<AgentProcessMessage>((resolve, reject) => {
      child.on("message", (raw) => {
        const parsed = childMessageSchema.safeParse(raw);
        if (parsed.success) resolve(parsed.data);
      });
      timer = clock.setTimeout(() => reject(notReady(file)), READY_TIMEOUT_MS);
      onInterrupt = () =>
        reject(new DataHammerError("E_INTERRUPTED", "interrupted while agents were starting"));
      interrupted.addEventListener("abort", onInterrupt, { once: true });
      if (interrupted.aborted) onInterrupt();
    });
    try {
      const first = await Promise.race([message, ended]);
      // The channel may be read after the exit was noticed; what it said explains the exit.
      const told = typeof first === "string" ? await Promise.race([message, soon()]) : first;
      if (told === undefined) throw endedEarly(file, String(first));
      if (told.event === "error") throw childError(file, told.error);
      entry.served = told.agents.map(({ role }) => ({ role, pid: told.pid }));
    } finally {
      clock.clearTimeout(timer);
      interrupted.removeEventListener("abort", onInterrupt);
    }
  }

  /** Starts the process again whenever it ends unasked (A2). Never rejects. */
  async #supervise(entry: AgentProcess): Promise<void> {
    const { output, shell } = this.#call;
    const { signal } = this.#stopping;
    const name = basename(entry.file);
    for (;;) {
      const why = await entry.ended;
      if (signal.aborted) return;
      const now = shell.clock.monotonic();
      const killed = why === KILLED;
      entry.ends = [...entry.ends.filter(({ at }) => now - at < RESTART_WINDOW_MS), { at: now, killed }];
      if (entry.ends.filter((end) => !end.killed).length > RESTART_LIMIT) {
        const often = `${RESTART_LIMIT} times within ${RESTART_WINDOW_MS / 60_000} minutes`;
        output.notice(`agent ${name} ended (${why}) and is not started again: it was ${often}`);
        return;
      }
      const longest = killed ? KILLED_MAX_MS : RESTART_MAX_MS;
      const delayMs = Math.min(RESTART_MIN_MS * 2 ** (entry.ends.length - 1), longest);
      output.notice(`agent ${name} (process ${entry.child.pid}) ended: ${why}; starting it again`);
      await wait(shell.clock, delayMs, signal);
      if (signal.aborted) return;
      Object.assign(entry, this.#spawn(entry.file), { served: [] });
      try {
        await this.#ready(entry);
        output.notice(`agent ${name} is back as process ${entry.child.pid}`);
      } catch (error) {
        if (signal.aborted) return;
        output.notice(
          `agent ${name} did not come back: ${error instanceof Error ? error.message : String(error)}`,
        );
      }
    }
  }
}

const soon = (): Promise<undefined> =>
  new Promise((resolve) => setImmediate(() => setImmediate(() => resolve(undefined))));

function notReady(file: string): UnreachableError {
  return new UnreachableError(
    "E_AGENT_NOT_READY",
    `agent ${file} was not ready within ${READY_TIMEOUT_MS} ms`,
    {
      remedy: "Run `datahammer agent` on it by itself to see what it waits for.",
      data: { file, boundMs: READY_TIMEOUT_MS },
    },
  );
}

function endedEarly(file: string, why: string): DataHammerError {
  return new DataHammerError("E_AGENT_ENDED", `agent ${file} ended before it was ready: ${why}`, {
    remedy: "See what it printed above, or run `datahammer agent` on it by itself.",
    data: { file },
  });
}

/** The child's own error, as the class that has its exit code here. */
function childError(
  file: string,
  error: { code: string; message: string; remedy?: string | undefined },
): DataHammerError {
  const details = { data: { file }, ...(error.remedy === undefined ? {} : { remedy: error.remedy }) };
  if (error.code === "E_UNREACHABLE" || error.code.startsWith("E_NO_DAEMON")) {
    return new UnreachableError(error.code, error.message, details);
  }
  return new InvalidInputError(error.code, error.message, details);
}
