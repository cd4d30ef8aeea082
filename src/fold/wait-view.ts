/** What a run waits for from outside, for people and programs, and how it is answered. */
import { stepLabel } from "../workflow/derived-step.ts";
import type { AnswerDeadline } from "../workflow/waiting.ts";
import type { RunFold } from "./run-fold.ts";
import type { Wait, WaitKind } from "./waits.ts";

/** What a waiting step waits for, as `show --json` prints it with the step. */
export interface WaitView {
  for: WaitKind;
  /** The question, the signal's name, or the task that wants approval. */
  task: string;
  inputs: Record<string, unknown>;
  since: string;
  /** Until when; absent: for as long as it takes. */
  deadline?: string;
  /** What counts as answered at the deadline; absent: the step times out. */
  default?: "approve" | "reject";
  /** Why the step failed that people shall decide about. */
  error?: string;
}

/** Undefined when the step waits for nobody. */
export function waitViewOf(fold: RunFold, step: string): WaitView | undefined {
  const wait = fold.waits.get(step);
  if (!wait) return undefined;
  const { kind, task, since } = wait;
  const deadline = deadlineOf(fold, wait);
  const error = kind === "failure" ? fold.step(step).context.failures.at(-1)?.error.message : undefined;
  return {
    for: kind,
    task,
    inputs: fold.inputsOf(step),
    since: new Date(since).toISOString(),
    ...(deadline ? { deadline: new Date(since + deadline.afterMs).toISOString() } : {}),
    ...(deadline?.answer ? { default: deadline.answer } : {}),
    ...(error === undefined ? {} : { error }),
  };
}

/** How long somebody may take to answer; undefined: as long as it takes. */
export function deadlineOf(fold: RunFold, { step, kind }: Wait): AnswerDeadline | undefined {
  const definition = fold.steps?.step(step);
  return kind === "failure" ? definition?.ask : definition?.deadline;
}

/** `approval of deploy`, `an answer to choose`, `the signal paid`. */
export function waitText(step: string, { for: kind, task }: Pick<WaitView, "for" | "task">): string {
  if (kind === "approval") return `approval of ${stepLabel(step)}`;
  if (kind === "failure") return `a decision about ${stepLabel(step)}, which failed`;
  return kind === "human" ? `an answer to ${task}` : `the signal ${task}`;
}

/** The command that answers it. */
export function answerCommand(run: string, step: string, { for: kind, task }: WaitView): string {
  if (kind === "signal") return `datahammer signal ${run} ${task} [JSON]`;
  const label = stepLabel(step);
  // Shells look for files whose names fit brackets.
  const named = label === step ? step : `"${label}"`;
  return `datahammer approve ${run} ${named}${kind === "approval" ? "" : " [JSON]"}`;
}
