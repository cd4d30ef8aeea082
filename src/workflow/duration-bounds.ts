/** The bounds of time-outs and deadlines, reported in an author's words. */
import type { IssueList, IssuePath } from "./issues.ts";
import { parseDuration } from "./names.ts";

/** The longest time-out or deadline: one year (L8). */
export const MAX_TIMEOUT_MS = 31_536_000_000;

/** Reports a duration that is nothing (`E_SCHEMA`) or longer than a year (`E_LIMIT`). */
export function checkTimeout(
  text: string | undefined,
  path: IssuePath,
  step: string | undefined,
  issues: IssueList,
): void {
  if (text === undefined) return;
  const milliseconds = parseDuration(text) ?? 0;
  const what = { after: "deadline", wall: "wall time" }[String(path.at(-1))] ?? "timeout";
  if (milliseconds < 1) issues.add("E_SCHEMA", path, `The ${what} must be at least 1ms, is ${text}.`, step);
  if (milliseconds > MAX_TIMEOUT_MS) {
    const days = MAX_TIMEOUT_MS / 86_400_000;
    issues.add("E_LIMIT", path, `The ${what} is ${text}, more than the ${days}d allowed.`, step);
  }
}
