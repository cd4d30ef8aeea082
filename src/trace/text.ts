/**
 * A trace as text for a terminal: the tree of steps beside a time axis, then what went wrong, then the
 * records that changed nothing. For one step: its transitions, line by line.
 */
import pc from "picocolors";
import type { RunFold } from "../fold/run-fold.ts";
import type { TransitionRecord, VoidRecord } from "../fold/transition-record.ts";
import { stepLabel } from "../workflow/derived-step.ts";
import { formatDuration } from "./duration.ts";
import { type Colors, GLYPHS, paintOutcome } from "./palette.ts";
import { revisionLines } from "./plan-view.ts";
import { endOf, type Trace } from "./replay.ts";
import { stepTree } from "./step-tree.ts";
import { fill, oneLine } from "./text-width.ts";
import { runningMs, type Span, timelinesOf } from "./timeline.ts";
import { isoTime, itemsText, nameOf, spentText } from "./view.ts";

export interface TextOptions {
  /** Columns of the terminal. Default 100; never less than 60. */
  width?: number;
  color?: boolean;
  /** Only this step, in detail. */
  step?: string;
  /** Epoch ms, for what is still open. Default: when the last transition was. */
  now?: number;
  /** It was asked for as of a moment: says which one it is, and what happened last before it. */
  moment?: boolean;
  /** How times are written. Default: in UTC. */
  timeText?: (epochMs: number) => string;
}

const MIN_WIDTH = 60;
const LABEL_MAX = 32;
const AGENT_MAX = 32;
const DURATION_WIDTH = 7;
const GAP = "  ";
/** Failures of items beyond these are counted. */
const FAILURES_SHOWN = 20;
/** Transitions that are told as the last ones before a moment. */
const LAST_SHOWN = 10;

/** The whole text, lines separated by newlines, with one at the end. */
export function renderText(trace: Trace, options: TextOptions = {}): string {
  const colors = pc.createColors(options.color ?? false);
  const width = Math.max(MIN_WIDTH, options.width ?? 100);
  const now = options.now ?? endOf(trace);
  const timeText = options.timeText ?? isoTime;
  const asOf = options.moment ? timeText(trace.asOf) : undefined;
  const lines =
    options.step === undefined
      ? [
          ...headline(trace, { now, asOf, timeText }, colors),
          "",
          ...chart(trace, width, now, colors),
          ...handoffs(trace, colors),
          ...failures(trace, colors),
          ...(asOf === undefined ? [] : lastBefore(asOf, trace, colors)),
        ]
      : transitionLines(trace, colors);
  return `${[...lines, ...voidLines(trace.voids, colors)].join("\n")}\n`;
}

function headline(
  { fold }: Trace,
  { now, asOf, timeText }: { now: number; asOf: string | undefined; timeText: (epochMs: number) => string },
  colors: Colors,
): string[] {
  const { total, done, failed } = fold.counts;
  const took = formatDuration((fold.endedAt ?? now) - (fold.startedAt ?? now));
  const name = nameOf(fold) === fold.run ? "" : ` (${nameOf(fold)})`;
  const head = `${colors.bold(fold.run)}${name}  ${paintState(fold.status, colors)}  ${took}`;
  const steps = `${done} of ${total} steps done${failed > 0 ? `, ${failed} failed` : ""}`;
  const lines = [
    `${head}  ${colors.dim(steps)}`,
    colors.dim(
      `started ${timeText(fold.startedAt ?? 0)}, ${asOf === undefined ? "" : `as it was at ${asOf}, `}log up to ${fold.lastSeq}`,
    ),
  ];
  const { origin } = fold.submission ?? {};
  if (origin !== undefined) {
    const kept = origin.steps.length === 0 ? "" : `, ${origin.steps.length} steps taken over`;
    lines.push(colors.dim(`from run ${origin.run} at ${origin.seq}${kept}`));
  }
  const { total: spent } = fold.spending;
  if (fold.budget !== undefined || spent.tokens + spent.usd > 0)
    lines.push(colors.dim(`spent ${spentText(spent)}`));
  lines.push(...revisionLines(fold.revisions, colors));
  if (fold.pause !== undefined) lines.push(colors.yellow(`paused: ${oneLine(fold.pause.message)}`));
  return lines;
}

// ── the chart ────────────────────────────────────────────────────────────────────────────────────────

function chart(trace: Trace, width: number, now: number, colors: Colors): string[] {
  const { fold } = trace;
  const undoing = fold.compensations.map(({ id, origin }) => ({ id, dependsOn: [origin.of] }));
  const tree = stepTree([...(fold.graph?.steps() ?? []), ...undoing]);
  if (tree.length === 0) return [colors.dim("no workflow yet")];
  const timelines = timelinesOf(trace.transitions);
  const from = fold.startedAt ?? trace.transitions[0]?.ts ?? now;
  const spanMs = Math.max(1, now - from);
  const labelWidth = Math.min(
    LABEL_MAX,
    Math.max(...tree.map((line) => line.prefix.length + line.id.length + 2)),
  );
  const agentWidth = Math.min(AGENT_MAX, Math.max(5, ...tree.map(({ id }) => doerOf(fold, id).length)));
  const barWidth = Math.max(10, width - labelWidth - agentWidth - DURATION_WIDTH - 3 * GAP.length);
  const left = " ".repeat(labelWidth + agentWidth + DURATION_WIDTH + 3 * GAP.length);
  const lines = [colors.dim(`${left}${axis(spanMs, barWidth)}`.trimEnd())];
  for (const { id, prefix } of tree) {
    const { state, context } = fold.step(id);
    const spans = timelines.of(id);
    const glyph = GLYPHS[context.outcome ?? state] ?? " ";
    const label = fill(`${prefix}${glyph} ${id}`, labelWidth);
    const ran = spans.length === 0 ? "" : formatDuration(runningMs(spans, now));
    const cells = [
      paintOutcome(label, context.outcome ?? state, colors),
      colors.dim(fill(doerOf(fold, id), agentWidth)),
      ran.padStart(DURATION_WIDTH),
      bar(spans, { from, spanMs, now, width: barWidth, failed: state === "failed" }, colors),
    ];
    lines.push(cells.join(GAP).trimEnd());
  }
  return lines;
}

/** Who does or did the step: an agent, or its items. */
function doerOf(fold: RunFold, id: string): string {
  const { context } = fold.step(id);
  const items = fold.fanOutOf(id);
  if (items !== undefined) return itemsText(items);
  return context.agent ?? (context.outcome === "skipped" ? "skipped" : "");
}

const paintState = (state: string, colors: Colors): string => colors.bold(paintOutcome(state, state, colors));

interface Scale {
  from: number;
  spanMs: number;
  now: number;
  width: number;
  failed: boolean;
}

/** `░` waiting, `█` running; a step too short for a column still gets one. */
function bar(spans: readonly Span[], scale: Scale, colors: Colors): string {
  if (spans.length === 0) return "";
  const columnOf = (ts: number): number =>
    Math.min(scale.width - 1, Math.max(0, Math.floor(((ts - scale.from) / scale.spanMs) * scale.width)));
  const cells: string[] = new Array(scale.width).fill(" ");
  for (const state of ["ready", "running"] as const) {
    for (const span of spans) {
      if (span.state !== state) continue;
      const first = columnOf(span.from);
      const last = Math.max(first, columnOf((span.to ?? scale.now) - 1));
      cells.fill(state === "running" ? "█" : "░", first, last + 1);
    }
  }
  const text = cells.join("").trimEnd();
  return scale.failed ? colors.red(text) : colors.cyan(text);
}

/** Times at round distances, each written from the column that it means. */
function axis(spanMs: number, width: number): string {
  const wanted = Math.max(1, Math.floor(width / 12));
  const step = roundStep(spanMs / wanted);
  const cells: string[] = new Array(width).fill(" ");
  for (let at = 0; at < spanMs; at += step) {
    const text = at === 0 ? "0" : formatDuration(at);
    const column = Math.floor((at / spanMs) * width);
    if (column + text.length + 1 > width) break;
    cells[column] = "│";
    for (const [index, letter] of [...text].entries()) cells[column + 1 + index] = letter;
  }
  return cells.join("").trimEnd();
}

function roundStep(atLeastMs: number): number {
  const rounds = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 15_000, 30_000, 60_000];
  for (const step of rounds) if (step >= atLeastMs) return step;
  let step = 120_000;
  while (step < atLeastMs) step *= 2;
  return step;
}

// ── handoffs, failures, one step, and records that changed nothing ─────────────────────────────────────────────

/** Every hop of every step that was handed on: from whom to whom, and why. */
function handoffs({ fold }: Trace, colors: Colors): string[] {
  const lines: string[] = [];
  for (const { id } of fold.steps?.all() ?? []) {
    const { hops, role } = fold.step(id).context;
    for (const [index, hop] of hops.entries()) {
      const to = hops[index + 1]?.role ?? role;
      const who = hop.agent === null ? "" : colors.dim(` (${hop.agent})`);
      lines.push(`${colors.yellow("⇢")} ${stepLabel(id)}: ${hop.role}${who} → ${to}: ${oneLine(hop.reason)}`);
    }
  }
  return lines.length === 0 ? [] : ["", ...lines];
}

function failures({ fold }: Trace, colors: Colors): string[] {
  const lines: string[] = [];
  let more = 0;
  for (const { id, origin } of fold.steps?.all() ?? []) {
    for (const { attempt, agent, error } of fold.step(id).context.failures) {
      if (origin !== undefined && lines.length >= FAILURES_SHOWN) {
        more += 1;
        continue;
      }
      const by = agent === null ? "" : ` by ${agent}`;
      lines.push(`${colors.red("✖")} ${stepLabel(id)}, attempt ${attempt}${by}: ${oneLine(error.message)}`);
    }
  }
  if (more > 0) lines.push(colors.dim(`… and ${more} more failures of items`));
  if (fold.error !== undefined && fold.status !== "done") {
    lines.push(`${colors.red("✖")} run: ${oneLine(fold.error.message)} (${fold.error.code})`);
  }
  return lines.length === 0 ? [] : ["", ...lines];
}

/** Whoever asks about a moment wants to know what happened then. */
function lastBefore(asOf: string, trace: Trace, colors: Colors): string[] {
  const last = trace.transitions.slice(-LAST_SHOWN);
  if (last.length === 0) return [];
  return [
    "",
    colors.dim(`Last before ${asOf}:`),
    ...transitionLines({ ...trace, transitions: last }, colors),
  ];
}

function transitionLines({ transitions, fold }: Trace, colors: Colors): string[] {
  const from = fold.startedAt ?? transitions[0]?.ts ?? 0;
  return transitions.map((transition) => transitionLine(transition, from, colors));
}

/**
 * One transition as a line: when, what moved where, in which attempt, and why.
 * @param from epoch ms: when the run began
 */
export function transitionLine(transition: TransitionRecord, from: number, colors: Colors): string {
  const { ts, actor, to, attempt, cause, seq } = transition;
  const at = `+${formatDuration(ts - from)}`.padStart(8);
  const arrow = `${transition.from} → ${paintOutcome(to, to, colors)}`;
  const tried = attempt > 1 ? `, attempt ${attempt}` : "";
  return `${colors.dim(`${String(seq).padStart(6)} ${at}`)}  ${colors.bold(stepLabel(actor))}  ${arrow}${tried}  ${colors.dim(oneLine(cause))}`;
}

function voidLines(voids: readonly VoidRecord[], colors: Colors): string[] {
  if (voids.length === 0) return [];
  const lines = voids.map(({ seq, verdict, step, reason }) => {
    const where = step === null ? "" : ` ${stepLabel(step)}`;
    return `${colors.dim(String(seq).padStart(6))} ${colors.yellow(verdict)}${where}  ${colors.dim(oneLine(reason))}`;
  });
  return ["", colors.dim("Records that changed nothing:"), ...lines];
}
