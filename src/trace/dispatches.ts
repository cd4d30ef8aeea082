/**
 * Every dispatch of a run: what it was about, its times, who had it, and how it ended.
 *
 * One account for all who ask, kept while the log is folded (L1): the trace and its exports, the stories, and
 * the API's view of a step. A dispatch opens when the step's machine counts it, closes by the transition that
 * takes the step away from it, and is followed by the next one where it was lost before anybody began. Values
 * are held by reference, as the fold holds them.
 */
import type { LogRecord } from "../bus/bus.ts";
import type { ResultMessage, Usage, WireError } from "../bus/messages.ts";
import type { Effect } from "../fold/effect.ts";
import type { RunFold } from "../fold/run-fold.ts";
import type { DispatchOpening, FoldObserver, TransitionRecord } from "../fold/transition-record.ts";
import type { WaitKind } from "../fold/waits.ts";

/** What an agent gave back. */
export interface DispatchReport {
  readonly outputs: Record<string, unknown> | undefined;
  readonly error: WireError | undefined;
  readonly handoff: { readonly role: string; readonly task: string; readonly reason: string } | undefined;
  readonly usage: Usage | undefined;
}

export interface Dispatch {
  readonly step: string;
  readonly n: number;
  readonly attempt: number;
  readonly role: string;
  readonly task: string;
  /** Undefined only while the record that opened it is folded. */
  inputs: Record<string, unknown> | undefined;
  /** Who ran it; null while nobody did. */
  agent: string | null;
  /** Epoch ms, like all times here: the step became ready for it. */
  readonly readyAt: number;
  /** Until when it waited for its back-off; not after `readyAt` otherwise. */
  notBefore: number;
  /** What somebody outside had to say first, if anything, and when they did. */
  waitsFor: WaitKind | undefined;
  answeredAt: number | undefined;
  /** Undefined: never, or the note of it was lost. */
  dispatchedAt: number | undefined;
  startedAt: number | undefined;
  /** Undefined: it is still out. */
  endedAt: number | undefined;
  /** The event of the step's machine that closed it. */
  end: string | undefined;
  /** Its work was given to items of its own, and to no agent. */
  fannedOut: boolean;
  /** Why it ended, in words; while it is open, why it began. */
  cause: string;
  /** Undefined: no agent said how it went. */
  report: DispatchReport | undefined;
  /** Log sequences of what made and what ended it. */
  readonly readySeq: number;
  endedSeq: number | undefined;
}

/** A stretch of time, in epoch ms. */
export interface Stretch {
  readonly from: number;
  /** Undefined: it still goes on. */
  to: number | undefined;
}

/** When a run gave nothing out, whatever was ready. */
export interface Halts {
  readonly paused: readonly Stretch[];
  /** As many dispatches were out as its `maxParallel` allows. */
  readonly full: readonly Stretch[];
}

const NONE: readonly Dispatch[] = [];

/** Collects the dispatches of one run: an observer of its fold, told of each record after that was folded. */
export class Dispatches implements FoldObserver {
  /** In the order in which they were opened. */
  readonly all: Dispatch[] = [];
  readonly #paused: Stretch[] = [];
  readonly #bySteps = new Map<string, Dispatch[]>();
  /** Opened by the record that is being folded. */
  #fresh: Dispatch[] = [];

  /** Oldest first. */
  of(step: string): readonly Dispatch[] {
    return this.#bySteps.get(step) ?? NONE;
  }

  onTransition({ kind, actor, seq, ts, from, to, event, agent, cause }: TransitionRecord): void {
    if (kind === "run") return this.#pause(from === "paused", to === "paused", ts);
    const open = this.#openOf(actor);
    if (open === undefined) return;
    if (from === to) {
      if (event === "approve") open.answeredAt = Math.max(open.readyAt, ts);
    } else if (to === "running") {
      open.startedAt = Math.max(open.readyAt, ts);
      open.agent = agent;
      open.fannedOut = event === "fan out";
      // Who answers a question has done the step with it.
      if (open.waitsFor !== undefined) open.answeredAt ??= open.startedAt;
    } else close(open, { end: event, at: ts, seq, cause });
  }

  onDispatch({ step, n, attempt, role, task, seq, ts, cause }: DispatchOpening): void {
    const before = this.#openOf(step);
    // Lost while nobody had begun: the step stands where it stood, so that no transition tells of it.
    if (before !== undefined) close(before, { end: "lose", at: ts, seq, cause });
    const opened: Dispatch = {
      step,
      n,
      attempt,
      role,
      task,
      inputs: undefined,
      agent: null,
      readyAt: ts,
      notBefore: ts,
      waitsFor: undefined,
      answeredAt: undefined,
      dispatchedAt: undefined,
      startedAt: undefined,
      endedAt: undefined,
      end: undefined,
      fannedOut: false,
      cause,
      report: undefined,
      readySeq: seq,
      endedSeq: undefined,
    };
    const own = this.#bySteps.get(step);
    if (own) own.push(opened);
    else this.#bySteps.set(step, [opened]);
    this.all.push(opened);
    this.#fresh.push(opened);
  }

  /** Takes a record after it was folded, with what followed from it. */
  note(record: LogRecord, effects: readonly Effect[], fold: RunFold): void {
    if (this.#fresh.length > 0) {
      for (const opened of this.#fresh) {
        opened.inputs = fold.inputsOf(opened.step);
        opened.notBefore = Math.max(opened.readyAt, fold.notBefore(opened.step));
      }
      this.#fresh = [];
    }
    for (const effect of effects) {
      if (effect.type !== "wait") continue;
      const open = this.#openOf(effect.step);
      if (open !== undefined) open.waitsFor = fold.waits.get(effect.step)?.kind;
    }
    if (record.kind === "observed") {
      for (const { step, n, at } of record.body.dispatched) {
        const span = this.#openOf(step);
        if (span?.n === n) span.dispatchedAt ??= Math.max(span.readyAt, at);
      }
    } else if (record.kind === "result") this.#reported(record.role, record.body, record.seq, fold);
  }

  /** A result counts for a dispatch that it closed, or whose end only waits for a look into large values (L4). */
  #reported(role: string, result: ResultMessage, seq: number, fold: RunFold): void {
    const { run, step, n, agent, outputs, error, handoff, usage } = result;
    const span = this.of(step).findLast((one) => one.n === n);
    if (span === undefined || span.role !== role || span.report !== undefined) return;
    const isCounted =
      span.endedSeq === undefined ? !fold.isOpen({ run, step, n, role }) : span.endedSeq === seq;
    if (!isCounted) return;
    span.agent ??= agent;
    const to = handoff && { role: handoff.role, task: handoff.task, reason: handoff.reason };
    span.report = { outputs, error, handoff: to, usage };
  }

  #openOf(step: string): Dispatch | undefined {
    const last = this.#bySteps.get(step)?.at(-1);
    return last?.endedAt === undefined ? last : undefined;
  }

  /** @param maxParallel of the run */
  halts(maxParallel: number): Halts {
    return { paused: this.#paused, full: fullTimes(this.all, maxParallel) };
  }

  #pause(was: boolean, is: boolean, ts: number): void {
    const last = this.#paused.at(-1);
    if (was && last !== undefined) last.to ??= Math.max(last.from, ts);
    if (is) this.#paused.push({ from: ts, to: undefined });
  }
}

function close(
  open: Dispatch,
  { end, at, seq, cause }: { end: string; at: number; seq: number; cause: string },
): void {
  open.endedAt = Math.max(open.startedAt ?? open.readyAt, at);
  open.end = end;
  open.endedSeq = seq;
  open.cause = cause;
}

function fullTimes(dispatches: readonly Dispatch[], maxParallel: number): Stretch[] {
  const changes = dispatches.flatMap(({ dispatchedAt, startedAt, endedAt, fannedOut }) => {
    const from = dispatchedAt ?? startedAt;
    if (from === undefined || fannedOut) return [];
    return [{ at: from, by: 1 }, ...(endedAt === undefined ? [] : [{ at: endedAt, by: -1 }])];
  });
  changes.sort((a, b) => a.at - b.at || a.by - b.by);
  const full: Stretch[] = [];
  let out = 0;
  for (const { at, by } of changes) {
    out += by;
    const last = full.at(-1);
    if (last !== undefined && last.to === undefined && out < maxParallel) last.to = at;
    else if (by > 0 && out === maxParallel) full.push({ from: at, to: undefined });
  }
  return full;
}

/** Where the time of a dispatch went, in ms; parts that did not happen are 0. In this order: */
export interface DispatchTime {
  /** Ready, and somebody outside had not said yet what it waits for. */
  outsideMs: number;
  backOffMs: number;
  /** It could have been given out, and the run was paused. */
  pausedMs: number;
  /** It could have been given out, and the run had no slot free. */
  slotMs: number;
  /** Nothing stood in the way, and the daemon had not given it out: a take-over, or enough tasks of its role were. */
  daemonMs: number;
  /** Given out, and no agent had begun. */
  agentMs: number;
  runMs: number;
}

/**
 * @param now epoch ms: when what is still open ends for this reckoning
 * @param halts of the run
 */
export function dispatchTime(span: Dispatch, now: number, halts: Halts): DispatchTime {
  const end = Math.max(span.readyAt, span.endedAt ?? now);
  const startedAt = Math.min(end, span.startedAt ?? end);
  const upTo = (time: number, after: number) => Math.min(startedAt, Math.max(after, time));
  const askedUntil = upTo(
    span.waitsFor !== undefined ? (span.answeredAt ?? end) : span.readyAt,
    span.readyAt,
  );
  const mayGoAt = upTo(span.notBefore, askedUntil);
  // Without a note of it, the dispatch went out when it could; if nobody began, it may not have gone out at all.
  const isOut = span.startedAt !== undefined || span.dispatchedAt !== undefined;
  const dispatchedAt = upTo(span.dispatchedAt ?? (isOut ? mayGoAt : end), mayGoAt);
  const pausedMs = overlapMs(halts.paused, mayGoAt, dispatchedAt);
  const slotMs = Math.min(overlapMs(halts.full, mayGoAt, dispatchedAt), dispatchedAt - mayGoAt - pausedMs);
  return {
    outsideMs: askedUntil - span.readyAt,
    backOffMs: mayGoAt - askedUntil,
    pausedMs,
    slotMs,
    daemonMs: dispatchedAt - mayGoAt - pausedMs - slotMs,
    agentMs: startedAt - dispatchedAt,
    runMs: end - startedAt,
  };
}

/** How much of the time from `begin` to `end` lies in the stretches, which are in order and apart. */
function overlapMs(stretches: readonly Stretch[], begin: number, end: number): number {
  let total = 0;
  // Most waits are short and there may be many stretches: the first one that matters is looked up.
  let low = 0;
  let high = stretches.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((stretches[middle]?.to ?? Number.POSITIVE_INFINITY) <= begin) low = middle + 1;
    else high = middle;
  }
  for (let place = low; place < stretches.length; place += 1) {
    const { from = end, to = end } = stretches[place] ?? {};
    if (from >= end) break;
    total += Math.max(0, Math.min(end, to) - Math.max(begin, from));
  }
  return total;
}
