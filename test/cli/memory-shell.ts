/** A shell in memory: what a command says is kept, what it may know is given. */
import { systemClock } from "../../src/bus/system-clock.ts";
import type { Shell } from "../../src/cli/shell.ts";

export interface MemoryShell extends Shell {
  out(): string;
  err(): string;
}

export function memoryShell(
  given: {
    env?: Record<string, string>;
    cwd?: string;
    isTTY?: boolean;
    confirm?: (question: string) => Promise<boolean>;
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
    random: () => 0.5,
    confirm: given.confirm,
    interrupted: new AbortController().signal,
    lastActs: new Set(),
    tellParent: undefined,
    self: [],
    out: () => text.out,
    err: () => text.err,
  };
}
