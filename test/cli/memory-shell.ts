/**
 * A shell in memory: what a command says is kept, what it may know is given. Commands that only talk to a daemon are
 * run in it, inside the test's own process: a process for each costs half a second of start and shows nothing more.
 */
import { systemClock } from "../../src/bus/system-clock.ts";
import { runProgram } from "../../src/cli/program.ts";
import type { Shell } from "../../src/cli/shell.ts";
import { type CliResult, withBound } from "../support/cli.ts";

export interface MemoryShell extends Shell {
  out(): string;
  err(): string;
}

export function memoryShell(
  given: {
    env?: Readonly<Record<string, string | undefined>>;
    cwd?: string;
    isTTY?: boolean;
    confirm?: (question: string) => Promise<boolean>;
    random?: () => number;
  } = {},
): MemoryShell {
  const text = { out: "", err: "" };
  const sink = (name: "out" | "err") => ({
    write: (more: string) => {
      text[name] += more;
    },
    isTTY: given.isTTY ?? false,
    columns: 90,
    rows: 24,
  });
  return {
    env: given.env ?? {},
    cwd: given.cwd ?? "/",
    stdout: sink("out"),
    stderr: sink("err"),
    clock: systemClock,
    zoneOffsetMs: () => 0,
    random: given.random ?? (() => 0.5),
    confirm: given.confirm,
    interrupted: new AbortController().signal,
    lastActs: new Set(),
    tellParent: undefined,
    self: [],
    out: () => text.out,
    err: () => text.err,
  };
}

const TIMEOUT_MS = 100_000;

/** Runs a command to its end in this process, as `main.ts` would. A failing exit code is a result, not an error. */
export async function runInShell(
  args: readonly string[],
  given: { cwd: string; env: Readonly<Record<string, string | undefined>> },
): Promise<CliResult> {
  const shell = memoryShell({ ...given, random: Math.random });
  const told = () => `${args.join(" ")} took longer than ${TIMEOUT_MS} ms\n${shell.out()}\n${shell.err()}`;
  const code = await withBound(runProgram(args, shell), TIMEOUT_MS, told);
  return { code, signal: null, stdout: shell.out(), stderr: shell.err() };
}
