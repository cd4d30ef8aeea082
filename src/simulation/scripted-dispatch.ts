/** A dispatch whose course is known beforehand, and an agent's code that plays it. */
import type { Handoff, TaskContext } from "../agent/define.ts";
import type { ResultMessage, WireError } from "../bus/messages.ts";
import { InvalidInputError } from "../workflow/errors.ts";
import type { Party } from "./world.ts";

/** How a scripted dispatch ends. */
export type ScriptedEnd =
  | { status: "done"; outputs: Record<string, unknown> }
  | { status: "failed"; error: Partial<WireError> & { message: string } }
  | { status: "handoff"; handoff: NonNullable<ResultMessage["handoff"]> }
  /** Not at all: until its signal fires. */
  | { status: "silent" };

export interface ScriptedDispatch {
  /** How long it takes, in virtual ms. */
  ms: number;
  end: ScriptedEnd;
  /** Keys that it sets on the way, each after so many ms. */
  sets?: readonly { afterMs: number; key: string; value: unknown }[];
  usage?: ResultMessage["usage"];
}

/** No task stays silent for longer, so that one whose cancelling was lost ends some day. */
const MOST_SILENCE_MS = 3_600_000;
/** Sent while it works, for those who time silences out. */
const PROGRESS_EVERY_MS = 1_000;
const MOST_PROGRESS = 500;

/** @param slower factor on every duration */
export async function play(
  { ms, end, sets = [], usage }: ScriptedDispatch,
  party: Party,
  ctx: TaskContext,
  slower: number,
): Promise<Record<string, unknown> | Handoff> {
  if (usage !== undefined) ctx.usage(usage);
  let passed = 0;
  const waitUntil = async (at: number): Promise<void> => {
    await pause(party, ctx, Math.max(0, at - passed) * slower, end.status !== "silent");
    passed = Math.max(passed, at);
  };
  for (const { afterMs, key, value } of sets) {
    await waitUntil(Math.min(afterMs, ms));
    await ctx.env.set(key, value);
  }
  await waitUntil(end.status === "silent" ? MOST_SILENCE_MS / slower : ms);
  switch (end.status) {
    case "done":
      return end.outputs;
    case "handoff": {
      const { role, task, inputs, reason } = end.handoff;
      return ctx.handoff(role, task, inputs, reason);
    }
    case "failed":
      throw errorOf(end.error);
    case "silent":
      throw new Error("nobody asked for its end");
  }
}

/** Goes on after a while, with signs of life; ends at once when the task's signal fires. */
function pause(party: Party, ctx: TaskContext, forMs: number, alive: boolean): Promise<void> {
  const { clock } = party;
  return new Promise((resolve, reject) => {
    const beatMs = Math.max(PROGRESS_EVERY_MS, forMs / MOST_PROGRESS);
    let beating: unknown;
    const beat = (): void => {
      ctx.progress(0);
      beating = clock.setTimeout(beat, beatMs);
    };
    if (alive && forMs > beatMs) beating = clock.setTimeout(beat, beatMs);
    const finish = (act: () => void): void => {
      clock.clearTimeout(timer);
      clock.clearTimeout(beating);
      act();
    };
    const timer = clock.setTimeout(() => finish(resolve), forMs);
    const stop = (): void => finish(() => reject(ctx.signal.reason as Error));
    if (ctx.signal.aborted) stop();
    else ctx.signal.addEventListener("abort", stop, { once: true });
  });
}

/** An error that the host reports with the same name, code and retryability. */
function errorOf({
  name = "Error",
  message,
  code,
  retryable = true,
}: Partial<WireError> & { message: string }) {
  const error = retryable ? new Error(message) : new InvalidInputError(code ?? "E_FAILED", message);
  return Object.assign(error, { name }, code === undefined ? {} : { code });
}
