/**
 * The processes that a benchmark measures: this one tells them what to do over IPC and is idle meanwhile.
 *
 * Owns starting and ending them. A child ends by itself when its parent is gone, however that ended.
 */
import { type ChildProcess, fork } from "node:child_process";
import { readFileSync } from "node:fs";

interface Request {
  id: number;
  method: string;
  argument: unknown;
}
interface Reply {
  id: number;
  value?: unknown;
  error?: string;
}

/** CPU time of a process since its start, user and system. */
export interface CpuTime {
  micros: number;
}

const STOP_TIMEOUT_MS = 10_000;

export class BenchProcess {
  readonly #child: ChildProcess;
  readonly #name: string;
  readonly #waiting = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>();
  readonly #ended: Promise<void>;
  #nextId = 0;

  /** @param name the program's file beside this one, without extension */
  constructor(name: string, profile?: string) {
    this.#name = name;
    // Built or from source, a program's siblings are of its own kind.
    const extension = import.meta.url.endsWith(".ts") ? "ts" : "js";
    const profiling = profile === undefined ? [] : ["--cpu-prof", `--cpu-prof-dir=${profile}`];
    this.#child = fork(new URL(`./${name}.${extension}`, import.meta.url), {
      execArgv: [...process.execArgv, ...profiling],
      stdio: ["ignore", "inherit", "inherit", "ipc"],
    });
    this.#child.on("message", (reply: Reply) => this.#settle(reply));
    this.#ended = new Promise((resolve) => {
      this.#child.once("exit", (code, signal) => {
        for (const { reject } of this.#waiting.values()) {
          reject(new Error(`${name} ended with ${signal ?? `exit code ${code}`}`));
        }
        this.#waiting.clear();
        resolve();
      });
    });
  }

  call<Value = void>(method: string, argument?: unknown): Promise<Value> {
    return new Promise((resolve, reject) => {
      const id = this.#nextId++;
      this.#waiting.set(id, { resolve: resolve as (value: unknown) => void, reject });
      this.#child.send({ id, method, argument } satisfies Request, (error) => {
        if (error === null || !this.#waiting.delete(id)) return;
        reject(new Error(`${this.#name} cannot be reached: ${error.message}`, { cause: error }));
      });
    });
  }

  cpu(): Promise<CpuTime> {
    return this.call("cpu");
  }

  /** What the process has resident now. NaN where the system does not tell. */
  residentBytes(): number {
    return memoryBytes(this.#child.pid ?? 0, "VmRSS");
  }

  /** Ends it as a power failure would. */
  kill(): void {
    this.#child.kill("SIGKILL");
  }

  /** The most memory that the process ever had resident. */
  peakMemoryBytes(): number {
    return peakMemoryBytes(this.#child.pid ?? 0);
  }

  /** Lets the child finish what it has to; one that does not is killed. */
  async stop(): Promise<void> {
    if (this.#child.connected) this.#child.disconnect();
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), STOP_TIMEOUT_MS);
    await this.#ended;
    clearTimeout(timer);
  }

  #settle({ id, value, error }: Reply): void {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (error === undefined) waiting?.resolve(value);
    else waiting?.reject(new Error(`${this.#name}: ${error}`));
  }
}

/** NaN where the system does not tell. */
export function peakMemoryBytes(pid: number): number {
  return memoryBytes(pid, "VmHWM");
}

/** NaN where the system does not tell. */
export function memoryBytes(pid: number, field: "VmHWM" | "VmRSS"): number {
  try {
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    const kilobytes = new RegExp(`^${field}:\\s+(\\d+) kB$`, "m").exec(status)?.[1];
    return Number(kilobytes ?? Number.NaN) * 1024;
  } catch {
    return Number.NaN;
  }
}

/**
 * Does what the parent asks, until the parent lets go.
 * @param stop what has to be ended then
 */
export function serveParent(
  methods: Record<string, (argument: never) => unknown>,
  stop: () => Promise<void>,
): void {
  const known: Record<string, (argument: never) => unknown> = {
    cpu: (): CpuTime => {
      const { user, system } = process.cpuUsage();
      return { micros: user + system };
    },
    ...methods,
  };
  process.on("message", async ({ id, method, argument }: Request) => {
    const reply: Reply = { id };
    try {
      reply.value = await known[method]?.(argument as never);
    } catch (error) {
      reply.error = error instanceof Error ? (error.stack ?? error.message) : String(error);
    }
    if (process.connected) process.send?.(reply);
  });
  // Ctrl-C reaches the whole process group; the parent decides the order of ending.
  process.on("SIGINT", () => undefined);
  process.once("disconnect", () => void stop().finally(() => process.exit()));
}
