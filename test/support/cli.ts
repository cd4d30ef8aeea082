/** The real command, `node dist/src/cli/main.js`, as a person or a script runs it. Needs a build. */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { resolve } from "node:path";

const CLI_PATH = resolve(import.meta.dirname, "../../dist/src/cli/main.js");

export interface CliOptions {
  cwd?: string;
  /** Added to the environment; undefined removes a variable. */
  env?: Record<string, string | undefined>;
  stdin?: string;
  /** A command that takes longer is killed and fails the test. Default 60 s. */
  timeoutMs?: number;
}

export interface CliResult {
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}

export interface RunningCli {
  readonly pid: number;
  readonly child: ChildProcess;
  readonly exited: Promise<CliResult>;
  stdout(): string;
  stderr(): string;
  /** The first line of `stream` (default stdout), past or future, that matches. Rejects when the command ends first. */
  waitForLine(
    predicate: (line: string) => boolean,
    options?: { stream?: "stdout" | "stderr"; timeoutMs?: number },
  ): Promise<string>;
  /** Sends a signal and waits for the end. Default SIGINT. */
  kill(signal?: NodeJS.Signals): Promise<CliResult>;
}

const DEFAULT_TIMEOUT_MS = 60_000;
const running = new Set<ChildProcess>();
// A test that fails half way must not leave its commands behind.
process.once("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});

/** Runs a command to its end. A failing exit code is a result, not an error. */
export async function runCli(args: readonly string[], options: CliOptions = {}): Promise<CliResult> {
  const cli = startCli(args, options);
  cli.child.stdin?.end(options.stdin ?? "");
  const timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
  return withBound(cli.exited, timeoutMs, () => {
    cli.child.kill("SIGKILL");
    return describe(args, cli, `took longer than ${timeoutMs} ms`);
  });
}

/** Starts a command that goes on until it is told to stop. */
export function startCli(args: readonly string[], options: CliOptions = {}): RunningCli {
  if (!existsSync(CLI_PATH)) throw new Error(`${CLI_PATH} is missing: run npm run build first`);
  return startNode([CLI_PATH, ...args], options);
}

/** Starts any Node program with the same handles as a command. */
export function startNode(argv: readonly string[], options: CliOptions = {}): RunningCli {
  const env = Object.fromEntries(
    Object.entries({ ...process.env, ...options.env }).filter(([, value]) => value !== undefined),
  );
  const child = spawn(process.execPath, argv, {
    env,
    stdio: "pipe",
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  });
  running.add(child);
  const output = { stdout: "", stderr: "" };
  const wakeUps = new Set<() => void>();
  for (const stream of ["stdout", "stderr"] as const) {
    child[stream].setEncoding("utf8").on("data", (text: string) => {
      output[stream] += text;
      for (const wake of wakeUps) wake();
    });
  }
  child.stdin.on("error", () => undefined); // It ended without reading all that it was given.
  const exited = new Promise<CliResult>((settle, reject) => {
    child.once("error", reject);
    child.once("close", (code, signal) => {
      running.delete(child);
      settle({ code, signal, ...output });
    });
  });
  exited.catch(() => undefined); // Whoever waits for it is told; nobody may be waiting yet.

  const cli: RunningCli = {
    pid: child.pid ?? -1,
    child,
    exited,
    stdout: () => output.stdout,
    stderr: () => output.stderr,
    waitForLine: async (predicate, { stream = "stdout", timeoutMs = DEFAULT_TIMEOUT_MS } = {}) => {
      const find = () => output[stream].split("\n").slice(0, -1).find(predicate);
      let wake: () => void = () => undefined;
      const line = new Promise<string>((settle, reject) => {
        wake = () => {
          const found = find();
          if (found !== undefined) settle(found);
        };
        wakeUps.add(wake);
        wake();
        exited.then(() => {
          wake(); // The line may be in what came last; a promise that is settled stays so.
          reject(new Error(describe(argv, cli, "ended before the line came")));
        }, reject);
      });
      try {
        return await withBound(line, timeoutMs, () =>
          describe(argv, cli, `did not say the line within ${timeoutMs} ms`),
        );
      } finally {
        wakeUps.delete(wake);
      }
    },
    kill: async (signal = "SIGINT") => {
      child.kill(signal);
      return withBound(exited, DEFAULT_TIMEOUT_MS, () => {
        child.kill("SIGKILL");
        return describe(argv, cli, `did not end within ${DEFAULT_TIMEOUT_MS} ms of ${signal}`);
      });
    },
  };
  return cli;
}

/** A process below another one, at any depth. Linux only, as are the tests that count processes. */
export interface DescendantProcess {
  pid: number;
  command: string;
}

/**
 * Every living process whose ancestors include `pid`. One whose parent has died is not among them: to prove
 * that nothing is left behind, list them before the end and check each with `isRunning` after it.
 */
export async function processesUnder(pid: number): Promise<DescendantProcess[]> {
  const parents = new Map<number, { parent: number; state: string }>();
  for (const entry of await readdir("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    const stat = await readFile(`/proc/${entry}/stat`, "utf8").catch(() => undefined);
    if (stat === undefined) continue; // It has just ended.
    const [state = "", parent = "0"] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    parents.set(Number(entry), { parent: Number(parent), state });
  }
  const found: DescendantProcess[] = [];
  for (const [candidate, { state }] of parents) {
    if (state === "Z") continue;
    for (let at = parents.get(candidate)?.parent; at; at = parents.get(at)?.parent) {
      if (at !== pid) continue;
      const line = await readFile(`/proc/${candidate}/cmdline`, "utf8").catch(() => "");
      found.push({ pid: candidate, command: line.split("\0").join(" ").trim() });
      break;
    }
  }
  return found;
}

/** Whether a process runs; one that has ended but was not collected by its parent does not. */
export async function isRunning(pid: number): Promise<boolean> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => undefined);
  return stat !== undefined && !/^[ZX]/.test(stat.slice(stat.lastIndexOf(")") + 2));
}

function describe(args: readonly string[], cli: RunningCli, what: string): string {
  return `${args.join(" ")} ${what}\n--- stdout\n${cli.stdout()}\n--- stderr\n${cli.stderr()}`;
}

/** What a promise gives, unless it takes longer: then an error with the message. */
export async function withBound<T>(promise: Promise<T>, boundMs: number, message: () => string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const bound = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(message())), boundMs);
  });
  try {
    return await Promise.race([promise, bound]);
  } finally {
    clearTimeout(timer);
  }
}
