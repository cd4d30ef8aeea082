/**
 * Runs that this daemon handed back because something went wrong that waiting does not mend: how often in a row,
 * and when each is to be tried again.
 *
 * It owns the counting and the bound. It does not own what ends a run that reached it: its next hold decides that,
 * in the log (L3).
 *
 *  - F1 After `MAX_DEFEATS` holds in a row the run fails as `E_ORCHESTRATION` (L8). Only where the log takes no
 *    decision at all it cannot: then the run is tried at the longest pause for as long as that lasts.
 */
import { DataHammerError } from "../workflow/errors.ts";

/** A hold that was defeated, and why. */
export interface Defeat {
  readonly what: string;
  readonly error: unknown;
}

/** Holds in a row that may be defeated (L8). */
const MAX_DEFEATS = 8;
const PAUSE_MIN_MS = 1_000;
const PAUSE_MAX_MS = 60_000;
/** A hold that went well for so long was none in a row. */
const IN_A_ROW_MS = 120_000;
/** Runs of which is known how often they were defeated (L8). */
const MAX_KNOWN = 1_000;

export class Defeats {
  readonly #known = new Map<string, { times: number; message: string }>();

  /** @returns ms until the run is to be tried again */
  note(run: string, { what, error }: Defeat, heldMs: number): number {
    const before = heldMs > IN_A_ROW_MS ? 0 : (this.#known.get(run)?.times ?? 0);
    this.#known.delete(run);
    if (this.#known.size >= MAX_KNOWN) this.forget([...this.#known.keys()][0] ?? "");
    const times = before + 1;
    this.#known.set(run, { times, message: `${what}: ${textOf(error)}` });
    return Math.min(PAUSE_MIN_MS * 2 ** before, PAUSE_MAX_MS);
  }

  forget(run: string): void {
    this.#known.delete(run);
  }

  /** F1. What a run fails with that was defeated too often; undefined: it may be tried again. */
  verdictOn(run: string): { code: string; message: string } | undefined {
    const { times, message } = this.#known.get(run) ?? { times: 0, message: "" };
    if (times < MAX_DEFEATS) return undefined;
    const remedy = "The daemon's log has where; retry or rerun the run when that is mended.";
    return {
      code: "E_ORCHESTRATION",
      message: `the run could not be orchestrated ${times} times in a row, the bound is ${MAX_DEFEATS}; the last time: ${message}. ${remedy}`,
    };
  }
}

function textOf(error: unknown): string {
  if (error instanceof DataHammerError) return `${error.message} (${error.code})`;
  return error instanceof Error ? error.message : String(error);
}
