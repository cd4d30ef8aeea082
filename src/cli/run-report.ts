/** A run's outcome in words, and as an exit code. */

import { formatDuration } from "../trace/duration.ts";
import { type Colors, paintOutcome } from "../trace/palette.ts";
import { revisionLines } from "../trace/plan-view.ts";
import { oneLine } from "../trace/text-width.ts";
import { type RunView, spentText } from "../trace/view.ts";
import { WORKFLOW_ISSUE_CODES } from "../workflow/errors.ts";
import { EXIT, type ExitCode } from "./exit-code.ts";

/** Longer values are cut for people; `--json` has them whole. */
const VALUE_MAX = 2_000;
const MAX_NAMED = 5;
const NO_PLAN_CODES = ["E_NO_PLAN", "E_GOAL_UNCLEAR", "E_NOTHING_TO_DO"];

/** 0 done, 1 failed or cancelled, 5 when there never was a workflow to run. */
export function exitCodeOfRun(view: RunView): ExitCode {
  if (view.status === "done") return EXIT.done;
  const code = view.error?.code ?? "";
  const neverBegan = Object.keys(view.steps).length === 0;
  const noWorkflow = NO_PLAN_CODES.includes(code) || WORKFLOW_ISSUE_CODES.some((issue) => issue === code);
  return neverBegan && noWorkflow ? EXIT.noWorkflow : EXIT.failed;
}

/** Status, error and outputs: what remains to be read when the progress has gone by. */
export function runText(view: RunView, colors: Colors): string {
  const { run, status, durationMs, error } = view;
  const lines = [
    `${colors.bold(run)}  ${paintOutcome(status, status, colors)}  ${colors.dim(formatDuration(durationMs))}`,
  ];
  if (error !== undefined) {
    const where = error.step === undefined ? "" : ` in step ${error.step}`;
    lines.push(`${colors.red(error.code)}${where}: ${oneLine(error.message)}`);
  }
  if (view.newer !== undefined) {
    const { seq, version } = view.newer;
    lines.push(
      colors.yellow(
        `record ${seq} has wire version ${version}: a newer DataHammer goes on with this run, and shows all of it`,
      ),
    );
  }
  for (const note of view.plan?.advice ?? []) lines.push(colors.dim(`plan: ${oneLine(note)}`));
  if (view.plan !== undefined) lines.push(...revisionLines(view.plan.revisions, colors));
  if (view.pause !== undefined) {
    lines.push(colors.yellow(`paused: ${oneLine(view.pause.message)}`));
    const { code, above = run, below = [] } = view.pause;
    const others = below.length > MAX_NAMED ? `, and ${below.length - MAX_NAMED} more` : "";
    if (below.length > 0)
      lines.push(
        colors.dim(`nested runs that wait for it: ${below.slice(0, MAX_NAMED).join(", ")}${others}`),
      );
    if (code === "E_BUDGET")
      lines.push(colors.dim(`raise it: datahammer resume ${above} --budget RESOURCE=AMOUNT`));
  }
  if (view.budget !== undefined || view.spent.tokens + view.spent.usd > 0)
    lines.push(colors.dim(`spent ${spentText(view.spent)}`));
  if (Object.keys(view.outputs).length > 0) lines.push("outputs:", ...valueLines(view.outputs, colors));
  return `${lines.join("\n")}\n`;
}

/** `  key: value`, values as JSON, texts as they are. */
export function valueLines(values: Record<string, unknown>, colors: Colors): string[] {
  return Object.entries(values).map(([key, value]) => `  ${colors.cyan(key)}: ${shownValue(value)}`);
}

export function shownValue(value: unknown): string {
  const text = typeof value === "string" ? value : (JSON.stringify(value) ?? "null");
  return text.length <= VALUE_MAX
    ? text
    : `${text.slice(0, VALUE_MAX)}… (${text.length} characters; --json shows all)`;
}
