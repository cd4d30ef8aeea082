/**
 * A run in progress as lines for a terminal: a head with a bar, and a tree of steps with glyph, agent,
 * duration and what is being done.
 *
 * Pure: the same progress, size and time give the same lines. No line is wider than `width`, and there are
 * never more than `height`: a workflow that does not fit is shown by its failed, running and latest steps.
 */
import type { RunFold } from "../../fold/run-fold.ts";
import { answerCommand, waitViewOf } from "../../fold/wait-view.ts";
import { formatDuration } from "../../trace/duration.ts";
import { type Colors, GLYPHS, paintOutcome } from "../../trace/palette.ts";
import { cut, fill, oneLine, textWidth } from "../../trace/text-width.ts";
import { runningMs } from "../../trace/timeline.ts";
import { itemsText } from "../../trace/view.ts";
import { stepLabel } from "../../workflow/derived-step.ts";
import type { RunProgress } from "./run-progress.ts";

export interface RenderOptions {
  width: number;
  height: number;
  /** Epoch ms. */
  now: number;
  colors: Colors;
  /** Which picture of the spinner. */
  frame: number;
}

const SPINNER = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];
const BAR_MAX = 30;
const LABEL_MAX = 34;
const AGENT_MAX = 24;
const DURATION_WIDTH = 6;
const MINI_BAR = 10;
const HEAD_LINES = 2;
const MIN_WIDTH = 30;

export function renderProgress(progress: RunProgress, options: RenderOptions): string[] {
  const { fold } = progress;
  const width = Math.max(MIN_WIDTH, options.width);
  if (fold === undefined) return [];
  const sized = { ...options, width };
  const lines = [headline(fold, sized), ""];
  const room = Math.max(1, options.height - HEAD_LINES);
  const chosen = chooseLines(progress, fold, room);
  const layout = layoutOf(chosen.lines, fold, width);
  for (const { id, prefix } of chosen.lines) lines.push(stepLine(progress, fold, id, prefix, layout, sized));
  if (chosen.hidden > 0) lines.push(options.colors.dim(cut(summary(fold, chosen.hidden), width)));
  return lines.slice(0, options.height);
}

// ── head ─────────────────────────────────────────────────────────────────────────────────────────────

function headline(fold: RunFold, { width, now, colors, frame }: RenderOptions): string {
  const { done, failed, total } = fold.counts;
  const status = fold.status;
  const glyph = fold.ended
    ? (GLYPHS[status] ?? "·")
    : status === "paused" || status === "waiting"
      ? "‖"
      : spinner(frame);
  const took = formatDuration((fold.ended ? (fold.endedAt ?? now) : now) - (fold.startedAt ?? now));
  const counts = total === 0 ? "" : `${done + failed}/${total}`;
  const tail = `${counts}  ${took}`.trim();
  const barWidth = Math.min(BAR_MAX, width - textWidth(fold.run) - status.length - tail.length - 9);
  const left = `${paintOutcome(glyph, status, colors)} ${colors.bold(cut(fold.run, width - status.length - tail.length - 8))}`;
  const bar = barWidth >= 8 && total > 0 ? `  ${progressBar(done, failed, total, barWidth, colors)}` : "";
  return `${left}  ${paintOutcome(status, status, colors)}${bar}  ${colors.dim(tail)}`;
}

const spinner = (frame: number): string => SPINNER[frame % SPINNER.length] as string;

function progressBar(done: number, failed: number, total: number, width: number, colors: Colors): string {
  const doneCells = Math.floor((done / total) * width);
  const failedCells = failed === 0 ? 0 : Math.max(1, Math.floor((failed / total) * width));
  const restCells = Math.max(0, width - doneCells - failedCells);
  return `${colors.green("━".repeat(doneCells))}${colors.red("━".repeat(failedCells))}${colors.dim("─".repeat(restCells))}`;
}

// ── which steps ──────────────────────────────────────────────────────────────────────────────────────

interface Choice {
  lines: readonly { id: string; prefix: string }[];
  hidden: number;
}

/** The whole tree when it fits; else failed, running and the latest closed steps, without their tree. */
function chooseLines(progress: RunProgress, fold: RunFold, room: number): Choice {
  if ((fold.graph?.size ?? 0) <= room) return { lines: progress.tree(), hidden: 0 };
  const space = Math.max(1, room - 1);
  const chosen = new Set<string>();
  const take = (ids: Iterable<string>, most: number): void => {
    let taken = 0;
    for (const id of ids) {
      if (taken >= most || chosen.size >= space) return;
      if (chosen.has(id)) continue;
      chosen.add(id);
      taken += 1;
    }
  };
  take(progress.failed, Math.ceil(space / 3));
  take(fold.waits.keys(), Math.ceil(space / 3));
  take(progress.running, space);
  const latest = progress.recent.slice(-space).reverse();
  const recent: string[] = [];
  for (const id of latest) if (!chosen.has(id) && recent.length < space - chosen.size) recent.push(id);
  const lines = [...recent.reverse(), ...chosen].map((id) => ({ id, prefix: "" }));
  return { lines, hidden: fold.counts.total - lines.length };
}

function summary(fold: RunFold, hidden: number): string {
  const { pending, ready, running, done, failed } = fold.counts;
  const parts = [
    `${done} done`,
    ...(failed > 0 ? [`${failed} failed`] : []),
    ...(running > 0 ? [`${running} running`] : []),
    ...(ready > 0 ? [`${ready} ready`] : []),
    ...(pending > 0 ? [`${pending} pending`] : []),
  ];
  return `… ${hidden} more steps; in all ${parts.join(", ")}`;
}

// ── one step ─────────────────────────────────────────────────────────────────────────────────────────

interface Layout {
  label: number;
  agent: number;
  rest: number;
}

function layoutOf(lines: Choice["lines"], fold: RunFold, width: number): Layout {
  let label = 8;
  let agent = 6;
  for (const { id, prefix } of lines) {
    label = Math.max(label, textWidth(prefix) + 2 + stepLabel(id).length);
    const { context } = fold.step(id);
    agent = Math.max(agent, (context.agent ?? context.role).length);
  }
  label = Math.min(label, LABEL_MAX, Math.floor(width * 0.45));
  agent = Math.min(agent, AGENT_MAX, Math.max(0, width - label - DURATION_WIDTH - 6));
  return { label, agent, rest: width - label - agent - DURATION_WIDTH - 6 };
}

function stepLine(
  progress: RunProgress,
  fold: RunFold,
  id: string,
  prefix: string,
  layout: Layout,
  { now, colors, frame }: RenderOptions,
): string {
  const { state, context } = fold.step(id);
  const how = context.outcome ?? state;
  const glyph = state === "running" ? spinner(frame) : (GLYPHS[how] ?? "·");
  const name = cut(stepLabel(id), Math.max(1, layout.label - textWidth(prefix) - 2));
  const pad = " ".repeat(Math.max(0, layout.label - textWidth(prefix) - 2 - textWidth(name)));
  const shownName =
    state === "running" ? colors.bold(name) : paintOutcome(name, how === "completed" ? "" : how, colors);
  const label = `${colors.dim(prefix)}${paintOutcome(glyph, how, colors)} ${shownName}${pad}`;
  const spans = progress.timelines.of(id);
  const ran = spans.length === 0 ? "" : runningMs(spans, now);
  const duration = ran === "" || (ran === 0 && state === "ready") ? "" : formatDuration(ran);
  const agent = fill(state === "pending" ? context.role : (context.agent ?? context.role), layout.agent);
  const note = layout.rest > 4 ? noteOf(progress, fold, id, layout.rest, now, colors) : "";
  return `${label}  ${colors.dim(agent)}  ${duration.padStart(DURATION_WIDTH)}  ${note}`.trimEnd();
}

/** What there is to say about a step beside its state. */
function noteOf(
  progress: RunProgress,
  fold: RunFold,
  id: string,
  width: number,
  now: number,
  colors: Colors,
): string {
  const { state, context } = fold.step(id);
  const last = context.failures.at(-1);
  const tries = context.attempt > 1 ? `attempt ${context.attempt} of ${context.maxAttempts}` : "";
  if (context.outcome === "skipped") return colors.dim("skipped");
  if (state === "failed" && last) return colors.red(cut(oneLine(last.error.message), width));
  const items = fold.fanOutOf(id);
  if (items !== undefined) return colors.dim(cut(itemsText(items), width));
  if (state === "running") {
    const live = progress.live(id);
    const bar = live?.fraction === undefined ? "" : miniBar(live.fraction, colors);
    const barWidth = bar === "" ? 0 : MINI_BAR + 6;
    const words = [tries, oneLine(live?.message ?? "")].filter((word) => word !== "").join(", ");
    if (barWidth > width) return cut(words, width);
    return `${bar}${colors.dim(cut(words, width - barWidth))}`;
  }
  if (state === "ready" && fold.waits.has(id)) {
    const wait = waitViewOf(fold, id);
    return wait ? colors.yellow(cut(answerCommand(fold.run, id, wait), width)) : "";
  }
  if (state === "ready") {
    const wait = fold.notBefore(id) - now;
    if (wait > 0) return colors.yellow(cut(`${tries} in ${formatDuration(wait)}`, width));
    return colors.dim(
      cut(tries === "" ? `waits for ${context.role}` : `${tries}, waits for ${context.role}`, width),
    );
  }
  if (state === "done" && tries !== "") return colors.dim(cut(tries, width));
  return "";
}

function miniBar(fraction: number, colors: Colors): string {
  const share = Math.min(1, Math.max(0, fraction));
  const full = Math.round(share * MINI_BAR);
  const percent = `${Math.floor(share * 100)}%`.padStart(4);
  return `${colors.cyan("▰".repeat(full))}${colors.dim("▱".repeat(MINI_BAR - full))}${percent}  `;
}
