/**
 * Which steps made the run as long as it was, and what the time of each was spent on.
 *
 * The path is walked backwards from what ended last: each step was let go by the one of its dependencies that
 * ended last. What is not on it could have been slower without anybody noticing.
 */
import { type DispatchSpan, type DispatchTime, dispatchTime } from "./dispatches.ts";
import { groupBy } from "./grouping.ts";
import { endOf, type Trace } from "./replay.ts";

/** One step with the time of all its dispatches together, in ms. */
export interface StepTime extends DispatchTime {
  readonly step: string;
  readonly role: string;
  /** From the start of the run until its dependencies allowed it. */
  readonly dependenciesMs: number;
  /** Epoch ms. */
  readonly readyAt: number;
  readonly endedAt: number;
  readonly dispatches: number;
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
    times.set(step, stepTime(step, spans, startedAt, now));
  }
  return times;
}

function stepTime(step: string, spans: readonly DispatchSpan[], startedAt: number, now: number): StepTime {
  const [first] = spans;
  const last = spans.at(-1);
  const sum: DispatchTime = { backOffMs: 0, slotMs: 0, agentMs: 0, runMs: 0 };
  for (const span of spans) {
    const time = dispatchTime(span, now);
    sum.backOffMs += time.backOffMs;
    sum.slotMs += time.slotMs;
    sum.agentMs += time.agentMs;
    sum.runMs += time.runMs;
  }
  const readyAt = first?.readyAt ?? now;
  return {
    step,
    role: last?.role ?? "",
    ...sum,
    dependenciesMs: Math.max(0, readyAt - startedAt),
    readyAt,
    endedAt: Math.max(readyAt, last?.endedAt ?? now),
    dispatches: spans.length,
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
    if (!fansOut(trace, current.step)) path.unshift(current);
    current = lastOf(waitsFor(trace, current.step).flatMap((id) => times.get(id) ?? []));
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

/** Whether the step is done by its items: it waits for them and takes no time of its own. */
export function fansOut({ fold }: Trace, step: string): boolean {
  return fold.steps?.has(step) === true && itemsOf(fold, step).length > 0;
}

/** What lets a step go, or for one that fans out: what ends it. An item waits for what its origin waits for. */
export function waitsFor({ fold }: Trace, step: string): readonly string[] {
  const { steps } = fold;
  if (!steps?.has(step)) return [];
  const items = itemsOf(fold, step);
  if (items.length > 0) return items;
  const { origin, dependsOn } = steps.step(step);
  return origin === undefined ? dependsOn : steps.step(origin.of).dependsOn;
}

function itemsOf({ steps }: Trace["fold"], step: string): string[] {
  return (steps?.madeFrom(step) ?? []).flatMap(({ id, origin }) => (origin.kind === "item" ? [id] : []));
}

function lastOf(times: Iterable<StepTime>): StepTime | undefined {
  let last: StepTime | undefined;
  for (const time of times) if (last === undefined || time.endedAt > last.endedAt) last = time;
  return last;
}
