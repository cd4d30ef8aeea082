/**
 * Which steps made the run as long as it was, and what the time of each was spent on.
 *
 * The path is walked backwards from what ended last: each step was let go by the one of its dependencies that
 * ended last before it began. What is not on it could have been slower without anybody noticing.
 */
import type { RunFold } from "../fold/run-fold.ts";
import { type Dispatch, type DispatchTime, dispatchTime, type Halts } from "./dispatches.ts";
import { groupBy } from "./grouping.ts";
import { endOf, type Trace } from "./replay.ts";

/** One step with the time of all its dispatches together, in ms. */
export interface StepTime extends DispatchTime {
  readonly step: string;
  readonly role: string;
  /** From the start of the run until its dependencies allowed it. */
  readonly dependenciesMs: number;
  /** Failed, until it was opened again. */
  readonly stoodMs: number;
  /** Epoch ms. */
  readonly readyAt: number;
  readonly endedAt: number;
  readonly dispatches: number;
  /** Its items did all of its work, and the time is theirs. */
  readonly fannedOut: boolean;
  /** Log sequence that made it ready, and the one that ended it. */
  readonly readySeq: number;
  readonly endedSeq: number | undefined;
}

export interface CriticalPath {
  /** Oldest first. */
  readonly steps: readonly StepTime[];
  /** From the start of the run to the first step: planning and validating. */
  readonly beforeMs: number;
  /** Between steps of the path, where nothing of it waited or ran. */
  readonly betweenMs: number;
  /** From the last step to the end of the run. */
  readonly afterMs: number;
  readonly totalMs: number;
}

/** The times of every step that was ever ready. */
export function stepTimes(trace: Trace, now = endOf(trace)): Map<string, StepTime> {
  const startedAt = trace.fold.startedAt ?? 0;
  const times = new Map<string, StepTime>();
  for (const [step, spans] of groupBy(trace.dispatches, (span) => span.step)) {
    times.set(step, stepTime(step, spans, startedAt, now, trace.halts));
  }
  return times;
}

function stepTime(
  step: string,
  spans: readonly Dispatch[],
  startedAt: number,
  now: number,
  halts: Halts,
): StepTime {
  const [first] = spans;
  const last = spans.at(-1);
  const sum: DispatchTime = {
    outsideMs: 0,
    backOffMs: 0,
    pausedMs: 0,
    slotMs: 0,
    daemonMs: 0,
    agentMs: 0,
    runMs: 0,
  };
  for (const span of spans) {
    if (span.fannedOut) continue;
    const time = dispatchTime(span, now, halts);
    sum.outsideMs += time.outsideMs;
    sum.backOffMs += time.backOffMs;
    sum.pausedMs += time.pausedMs;
    sum.slotMs += time.slotMs;
    sum.daemonMs += time.daemonMs;
    sum.agentMs += time.agentMs;
    sum.runMs += time.runMs;
  }
  let stoodMs = 0;
  for (const [index, { readyAt }] of spans.slice(1).entries())
    stoodMs += Math.max(0, readyAt - (spans[index]?.endedAt ?? readyAt));
  const readyAt = first?.readyAt ?? now;
  return {
    step,
    role: last?.role ?? "",
    ...sum,
    stoodMs,
    dependenciesMs: Math.max(0, readyAt - startedAt),
    readyAt,
    endedAt: Math.max(readyAt, last?.endedAt ?? now),
    dispatches: spans.length,
    fannedOut: spans.every(({ fannedOut }) => fannedOut),
    readySeq: first?.readySeq ?? 0,
    endedSeq: last?.endedSeq,
  };
}

/** @param now epoch ms: until when an open run is looked at */
export function criticalPath(trace: Trace, now = endOf(trace)): CriticalPath {
  const { fold } = trace;
  const times = stepTimes(trace, now);
  const startedAt = fold.startedAt ?? now;
  const endedAt = fold.ended ? (fold.endedAt ?? now) : now;
  const path: StepTime[] = [];
  const seen = new Set<string>();
  let current = lastOf(times.values());
  while (current !== undefined && !seen.has(current.step)) {
    seen.add(current.step);
    if (!current.fannedOut) path.unshift(current);
    const before: StepTime[] = waitedFor(trace, current.step, times).flatMap((id) => times.get(id) ?? []);
    const { fannedOut, readySeq } = current;
    // Of a join, those that ended after the step had begun held nobody up.
    const inTime = before.filter(
      ({ endedSeq = Number.POSITIVE_INFINITY }) => fannedOut || endedSeq <= readySeq,
    );
    current = lastOf(inTime.length > 0 ? inTime : before);
  }
  let betweenMs = 0;
  for (const [index, step] of path.slice(1).entries()) {
    betweenMs += Math.max(0, step.readyAt - (path[index]?.endedAt ?? step.readyAt));
  }
  return {
    steps: path,
    beforeMs: Math.max(0, (path[0]?.readyAt ?? endedAt) - startedAt),
    betweenMs,
    afterMs: Math.max(0, endedAt - (path.at(-1)?.endedAt ?? endedAt)),
    totalMs: Math.max(0, endedAt - startedAt),
  };
}

/** The steps whose end lets a step begin. An item waits for what its origin waits for, undoing goes one by one. */
export function letGoBy(fold: RunFold, step: string): readonly string[] {
  const definition = fold.steps?.has(step) ? fold.steps.step(step) : fold.retired.get(step);
  const origin = definition?.origin;
  if (origin?.kind !== "undo")
    return origin === undefined ? (definition?.dependsOn ?? []) : letGoBy(fold, origin.of);
  const before = fold.compensations[fold.compensations.findIndex(({ id }) => id === step) - 1];
  const reason = before?.id ?? fold.error?.step;
  return reason === undefined ? [] : [reason];
}

/**
 * The steps with a time of their own that a step waited for: what let it go, or for one that fans out its items.
 * A step that was skipped or taken over took no time; what it waited for is looked at in its place.
 */
export function waitedFor(trace: Trace, step: string, times: ReadonlyMap<string, StepTime>): string[] {
  const found = new Set<string>();
  const seen = new Set([step]);
  const items = times.get(step)?.fannedOut === true ? itemsOf(trace.fold, step) : [];
  const toLookAt = items.length > 0 ? items : [...letGoBy(trace.fold, step)];
  for (const id of toLookAt) {
    if (seen.has(id)) continue;
    seen.add(id);
    if (times.has(id)) found.add(id);
    else toLookAt.push(...letGoBy(trace.fold, id));
  }
  return [...found];
}

export function itemsOf({ steps }: RunFold, step: string): string[] {
  return (steps?.madeFrom(step) ?? []).flatMap(({ id, origin }) => (origin.kind === "item" ? [id] : []));
}

function lastOf(times: Iterable<StepTime>): StepTime | undefined {
  let last: StepTime | undefined;
  for (const time of times) if (last === undefined || time.endedAt > last.endedAt) last = time;
  return last;
}
