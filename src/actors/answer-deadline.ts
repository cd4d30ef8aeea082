/** The deadline of a wait for somebody outside, and the decision that it calls for. Pure: the hold has the timer. */
import type { RunFold } from "../fold/run-fold.ts";
import { deadlineOf } from "../fold/wait-view.ts";
import type { Proposal } from "./decision-writer.ts";

/** Epoch ms; undefined when the step does not wait, or waits without end. */
export function answerDueAt(fold: RunFold, step: string): number | undefined {
  const wait = fold.waits.get(step);
  const deadline = wait && deadlineOf(fold, wait);
  return wait && deadline ? wait.since + deadline.afterMs : undefined;
}

/** Undefined when somebody answered, or the deadline is of an earlier wait of this step. */
export function defaultAnswer(fold: RunFold, step: string, now: number): Proposal | undefined {
  const wait = fold.waits.get(step);
  const deadline = wait && deadlineOf(fold, wait);
  const dueAt = answerDueAt(fold, step);
  if (!wait || !deadline || dueAt === undefined || now < dueAt) return undefined;
  const { afterMs, answer, value } = deadline;
  const { n } = wait;
  if (answer === undefined) return { type: "timed-out", step, n, code: "E_NO_ANSWER", afterMs };
  return { type: "defaulted", step, n, answer, afterMs, ...(value === undefined ? {} : { value }) };
}
