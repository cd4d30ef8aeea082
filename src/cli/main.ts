#!/usr/bin/env node
/**
 * The process of the command `datahammer`: it alone touches the real streams, signals and exit code.
 *
 *  - The first Ctrl-C, SIGTERM or SIGHUP asks the command to stop in order; the second ends it at once.
 *  - A reader of stdout that goes away (`| head`) is no error: the command stops in order.
 *  - An agent process that a command started ends when that command dies, and leaves Ctrl-C to it.
 */
import { randomInt } from "node:crypto";
import { createInterface } from "node:readline/promises";
import { systemClock } from "../bus/system-clock.ts";
import { PARENT_GONE, SUPERVISED } from "./agent-processes.ts";
import { EXIT } from "./exit-code.ts";
import { Output } from "./output.ts";
import { runProgram } from "./program.ts";
import type { Shell, Sink } from "./shell.ts";

const DEFAULT_COLUMNS = 100;
const DEFAULT_ROWS = 24;
const ORPHAN_EXIT_MS = 2_500;
const RANDOM_STEPS = 2 ** 32;

const interruption = new AbortController();
const lastActs = new Set<() => void>();
const supervised = process.env[SUPERVISED] !== undefined && process.send !== undefined;

function interrupt(reason: string): void {
  if (!interruption.signal.aborted) {
    interruption.abort(reason);
    return;
  }
  if (reason === "EPIPE" || reason === PARENT_GONE) return;
  for (const act of lastActs) act();
  process.exit(EXIT.interrupted);
}

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  // The terminal sends Ctrl-C to the whole group: the parent decides when its agents stop.
  process.on(signal, () => {
    if (!(supervised && signal === "SIGINT")) interrupt(signal === "SIGHUP" ? "SIGTERM" : signal);
  });
}
if (supervised) {
  process.once("disconnect", () => {
    interrupt(PARENT_GONE);
    // Its broker has most likely gone the same way: farewells to it would only run into their time-outs.
    setTimeout(() => process.exit(EXIT.failed), ORPHAN_EXIT_MS).unref();
  });
  process.channel?.unref();
}

for (const event of ["uncaughtException", "unhandledRejection"] as const) {
  // A fault of ours, or of an agent's code: told like any error, and nothing that was started survives it.
  process.on(event, (error: unknown) => {
    // While agents are served their host logs what a task left behind; the other tasks go on.
    if (event === "unhandledRejection" && process.listenerCount(event) > 1) return;
    new Output(shell, process.argv.includes("--json")).error(error);
    if (error instanceof Error) shell.stderr.write(`${error.stack}\n`);
    for (const act of lastActs) act();
    process.exit(EXIT.failed);
  });
}

function sinkOf(stream: NodeJS.WriteStream, onGone: () => void): Sink {
  let gone = false;
  stream.on("error", (error: NodeJS.ErrnoException) => {
    gone = true;
    if (error.code === "EPIPE") onGone();
  });
  return {
    write: (text) => {
      if (!gone) stream.write(text);
    },
    get isTTY() {
      return stream.isTTY === true;
    },
    get columns() {
      return stream.columns || DEFAULT_COLUMNS;
    },
    get rows() {
      return stream.rows || DEFAULT_ROWS;
    },
  };
}

async function confirm(question: string): Promise<boolean> {
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const answer = await lines.question(`${question} [y/N] `, { signal: interruption.signal });
    return /^y(es)?$/i.test(answer.trim());
  } finally {
    lines.close();
  }
}

const shell: Shell = {
  env: process.env,
  cwd: process.cwd(),
  stdout: sinkOf(process.stdout, () => interrupt("EPIPE")),
  stderr: sinkOf(process.stderr, () => {}),
  clock: systemClock,
  zoneOffsetMs: (epochMs) => new Date(epochMs).getTimezoneOffset() * -60_000,
  random: () => randomInt(RANDOM_STEPS) / RANDOM_STEPS,
  confirm: process.stdin.isTTY === true && process.stderr.isTTY === true ? confirm : undefined,
  interrupted: interruption.signal,
  lastActs,
  tellParent: supervised ? (message) => process.send?.(message) : undefined,
  self: [process.execPath, ...process.execArgv, process.argv[1] ?? ""],
};

const exitCode = await runProgram(process.argv.slice(2), shell);
// A handle that somebody forgot must not keep the command alive; what was written is flushed first.
process.stdout.write("", () => process.stderr.write("", () => process.exit(exitCode)));
