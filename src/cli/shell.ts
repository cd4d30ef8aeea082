/** What a command may touch of the process that it runs in; tests hand in their own. */
import type { Clock } from "../bus/bus.ts";
import type { ZoneOffset } from "./wall-clock.ts";

export interface Sink {
  write(text: string): void;
  readonly isTTY: boolean;
  readonly columns: number;
  readonly rows: number;
}

export interface Shell {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  /** Data only. */
  readonly stdout: Sink;
  /** Progress, notices, logs and errors. */
  readonly stderr: Sink;
  readonly clock: Clock;
  /** How far the terminal's zone is east of UTC at a time, in ms. */
  readonly zoneOffsetMs: ZoneOffset;
  /** A number in [0, 1). */
  readonly random: () => number;
  /** Asks the person at the terminal a yes-or-no question; undefined: nobody is there to answer. */
  readonly confirm: ((question: string) => Promise<boolean>) | undefined;
  /** Fires at the first Ctrl-C or SIGTERM: stop in order. */
  readonly interrupted: AbortSignal;
  /** What to do at once when the second Ctrl-C ends the process without order, such as killing children. */
  readonly lastActs: Set<() => void>;
  /** Tells the process that started this one and looks after it; undefined: a person started it. */
  readonly tellParent: ((message: unknown) => void) | undefined;
  /** The command and arguments that start this program again. */
  readonly self: readonly string[];
}

/** Whether to colour, by the rules of NO_COLOR and FORCE_COLOR. */
export function usesColor(shell: Shell, sink: Sink): boolean {
  if (shell.env.NO_COLOR) return false;
  if (shell.env.FORCE_COLOR && shell.env.FORCE_COLOR !== "0") return true;
  return sink.isTTY && shell.env.TERM !== "dumb";
}
