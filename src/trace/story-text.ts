/** The stories of a trace as text for a terminal: why a step, why so long, where two runs parted. */
import pc from "picocolors";
import { stepLabel } from "../workflow/derived-step.ts";
import type { CriticalPath, StepTime } from "./critical-path.ts";
import type { StepDifference, TraceDiff } from "./diff.ts";
import { formatDuration } from "./duration.ts";
import { type Colors, paintOutcome } from "./palette.ts";
import { cut, fill, textWidth } from "./text-width.ts";
import type { WhatIfReport } from "./what-if.ts";
import type { Reason } from "./why.ts";

export interface StoryOptions {
  width?: number;
  color?: boolean;
}

const DEFAULT_WIDTH = 100;
const NAME_MAX = 28;
/** Consequences and steps of a path that are listed one by one. */
const LISTED_MAX = 20;

/** The sentences, wrapped, each with its sequence in the margin. */
export function renderWhy(reasons: readonly Reason[], options: StoryOptions = {}): string {
  const colors = pc.createColors(options.color ?? false);
  const width = (options.width ?? DEFAULT_WIDTH) - 10;
  const lines = reasons.flatMap(({ text, seq }) => {
    const margin = seq === null ? " ".repeat(8) : `${`[${seq}]`.padStart(8)}`;
    return wrapped(text, width).map(
      (line, index) => `${colors.dim(index === 0 ? margin : " ".repeat(8))}  ${line}`,
    );
  });
  return `${lines.join("\n")}\n`;
}

/** What the schedule of the same steps leaves unexplained is told from this share of the run on. */
const UNEXPLAINED_SHARE = 0.1;

/** Where a run's time went. */
export function renderPath(path: CriticalPath, whatIf: WhatIfReport, options: StoryOptions = {}): string {
  const colors = pc.createColors(options.color ?? false);
  const { steps, beforeMs, betweenMs, afterMs, totalMs } = path;
  if (steps.length === 0) return `No step has begun in ${formatDuration(totalMs)}.\n`;
  const columns = COLUMNS.filter(
    ([, key, always]) => always === true || steps.some((time) => time[key] >= 1),
  );
  const lines = [
    `It took ${colors.bold(formatDuration(totalMs))}. These steps made it that long, one after the other:`,
    "",
    colors.dim(row("step", [...columns.map(([name]) => name), "share"])),
  ];
  for (const time of longest(steps)) lines.push(pathRow(time, columns, totalMs, colors));
  if (steps.length > LISTED_MAX)
    lines.push(colors.dim(`  … the ${LISTED_MAX} longest of ${steps.length} steps on the path`));
  lines.push("");
  const rest = [
    [beforeMs, "before the first of them could begin"],
    [betweenMs, "between them"],
    [afterMs, "after the last"],
  ] as const;
  for (const [ms, when] of rest) if (ms >= 1) lines.push(`${formatDuration(ms)} went by ${when}.`);
  const unexplainedMs = totalMs - whatIf.durationMs;
  if (unexplainedMs >= totalMs * UNEXPLAINED_SHARE)
    lines.push(
      `Scheduled again with the same room they take ${formatDuration(whatIf.durationMs)}: ${formatDuration(unexplainedMs)} went by on the way to agents, or in the order in which they took work.`,
    );
  if (whatIf.variants.length === 0) {
    lines.push("Neither more steps in parallel nor more agents would have made it shorter.");
  } else {
    lines.push("The same steps, scheduled again with more room:");
    for (const { change, savedMs, durationMs } of whatIf.variants) {
      const share = Math.round((savedMs / whatIf.durationMs) * 100);
      lines.push(
        `  ${change}: ${colors.green(`−${formatDuration(savedMs)}`)} (${share} %, ${formatDuration(durationMs)} instead of ${formatDuration(whatIf.durationMs)})`,
      );
    }
  }
  return `${lines.join("\n")}\n`;
}

/** On a long path only the longest, still in their order. */
function longest(steps: readonly StepTime[]): readonly StepTime[] {
  if (steps.length <= LISTED_MAX) return steps;
  const kept = new Set([...steps].sort((a, b) => spanMs(b) - spanMs(a)).slice(0, LISTED_MAX));
  return steps.filter((time) => kept.has(time));
}

const spanMs = ({ endedAt, readyAt }: StepTime): number => endedAt - readyAt;

type Column = readonly [
  name: string,
  key: "outsideMs" | "stoodMs" | "backOffMs" | "pausedMs" | "slotMs" | "daemonMs" | "agentMs" | "runMs",
  always?: boolean,
];

/** Where time goes, in its order. What is not shown always is shown where some step has it. */
const COLUMNS: readonly Column[] = [
  ["outside", "outsideMs"],
  ["failed", "stoodMs"],
  ["back-off", "backOffMs", true],
  ["paused", "pausedMs"],
  ["slot", "slotMs", true],
  ["daemon", "daemonMs", true],
  ["agent", "agentMs", true],
  ["running", "runMs", true],
];

function pathRow(time: StepTime, columns: readonly Column[], totalMs: number, colors: Colors): string {
  const { step } = time;
  const cells = columns.map(([, key]) => (time[key] < 1 ? "–" : formatDuration(time[key])));
  const share = totalMs === 0 ? 0 : Math.round((spanMs(time) / totalMs) * 100);
  const dots = time.dispatches > 1 ? colors.dim(`  ${time.dispatches} dispatches`) : "";
  return row(stepLabel(step), [...cells, `${share} %`]) + dots;
}

function row(name: string, cells: readonly string[]): string {
  return `  ${fill(name, NAME_MAX)}${cells.map((cell) => cell.padStart(10)).join("")}`;
}

/** Where two runs parted, and what followed from it. */
export function renderDiff(diff: TraceDiff, options: StoryOptions = {}): string {
  const colors = pc.createColors(options.color ?? false);
  const width = options.width ?? DEFAULT_WIDTH;
  const [one, other] = diff.runs;
  const [status, otherStatus] = diff.statuses;
  const lines = [
    `${colors.bold(one)} ${paintOutcome(status, status, colors)}, ${colors.bold(other)} ${paintOutcome(otherStatus, otherStatus, colors)}`,
  ];
  if (diff.inputs.length > 0) lines.push(`Their inputs differ: ${diff.inputs.join(", ")}.`);
  const parted = diff.steps.filter((step) => step.parted);
  const followed = diff.steps.filter((step) => !step.parted);
  if (diff.steps.length === 0) lines.push("Their steps took the same course and gave the same results.");
  if (parted.length > 0) lines.push("", "They went different ways at:");
  for (const step of parted.slice(0, LISTED_MAX)) lines.push(...differenceLines(step, diff, width, colors));
  if (parted.length > LISTED_MAX) lines.push(`  … and ${parted.length - LISTED_MAX} more`);
  if (followed.length > 0) {
    lines.push("", "What differs after that follows from it, or may:");
    for (const step of followed.slice(0, LISTED_MAX))
      lines.push(...differenceLines(step, diff, width, colors));
    if (followed.length > LISTED_MAX) lines.push(`  … and ${followed.length - LISTED_MAX} more`);
  }
  if (diff.times.length > 0) {
    lines.push("", "Steps that took much longer in one of them:");
    for (const { step, oneMs, otherMs } of diff.times)
      lines.push(
        `  ${fill(stepLabel(step), NAME_MAX)} ${formatDuration(oneMs).padStart(7)} ${formatDuration(otherMs).padStart(7)}`,
      );
  }
  return `${lines.join("\n")}\n`;
}

function differenceLines(
  { step, what, one, other, seqs }: StepDifference,
  { runs }: TraceDiff,
  width: number,
  colors: Colors,
): string[] {
  const side = (run: string, text: string, seq: number | null) =>
    `    ${colors.dim(fill(run, NAME_MAX))} ${cut(text, width - NAME_MAX - 14)}${seq === null ? "" : colors.dim(` [${seq}]`)}`;
  return [
    `  ${colors.bold(stepLabel(step))}  ${colors.dim(what)}`,
    side(runs[0], one, seqs[0]),
    side(runs[1], other, seqs[1]),
  ];
}

function wrapped(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && textWidth(line) + 1 + textWidth(word) > width) {
      lines.push(line);
      line = word;
    } else line = line === "" ? word : `${line} ${word}`;
  }
  return [...lines, line];
}
