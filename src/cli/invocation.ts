/** One call of one command: its settings, its ways to speak, and what it may touch. */
import type { Logger } from "pino";
import type { ExitCode } from "./exit-code.ts";
import { makeLog } from "./log.ts";
import { Output } from "./output.ts";
import { type GlobalFlags, type LogLevel, resolveSettings, type Settings } from "./settings.ts";
import type { Shell } from "./shell.ts";

export interface Invocation {
  readonly shell: Shell;
  readonly settings: Settings;
  readonly output: Output;
  /** The log, at the level of the settings or at the command's own default. */
  log(defaultLevel: LogLevel): Logger;
}

/** What every command is: it resolves with the exit code, or rejects with an error that says what to do. */
export type Command<Options = Record<string, never>> = (
  call: Invocation,
  options: Options,
) => Promise<ExitCode>;

/** @throws InvalidInputError when a flag, variable or the configuration file is wrong */
export function invocation(shell: Shell, flags: GlobalFlags): Invocation {
  const settings = resolveSettings(flags, shell.env, shell.cwd);
  const output = new Output(shell, settings.json);
  return {
    shell,
    settings,
    output,
    log: (defaultLevel) => makeLog(shell, output, settings.logLevel ?? defaultLevel),
  };
}
