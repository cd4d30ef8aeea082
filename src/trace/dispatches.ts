/**
 * Every dispatch of a run with its four times: when its step became ready for it, when it was given out, when
 * an agent began, and how it ended.
 *
 * The first, third and last come from the machines' transitions, the second from the orchestrator's notes in
 * the log. What waiting was spent on, who overlapped whom, and every picture of time is read off these.
 */
import type { LogRecord } from "../bus/bus.ts";
import type { TransitionRecord } from "../fold/transition-record.ts";

/** How a dispatch ended, by the event that closed it. */
export type DispatchEnd = "done" | "failed" | "handed off" | "timed out" | "lost" | "cancelled" | "other";

export interface DispatchSpan {
  readonly step: string;
  readonly n: number;
  readonly attempt: number;
  readonly role: string;
  readonly task: string;
  /** Who ran it; null while nobody did. */
  agent: string | null;
  /** Epoch ms, like all times here: the step became ready. */
  readonly readyAt: number;
  /** Until when it waited for its back-off; not after it otherwise. */
  notBefore: number;
  /** Undefined: never, or the note of it was lost. */
  dispatchedAt: number | undefined;
  startedAt: number | undefined;
  /** Undefined: it is still out. */
  endedAt: number | undefined;
  end: DispatchEnd | undefined;
  /** Why it ended, in words. */
  cause: string;
  /** Log sequences of what made and what ended it. */
  readonly readySeq: number;
  endedSeq: number | undefined;
}

/** Where a dispatch's step stands when it opens. */
export interface DispatchHolder {
  readonly role: string;
  readonly task: string;
}

const ENDS: Readonly<Record<string, DispatchEnd>> = {
  complete: "done",
  repeat: "done",
  skip: "done",
  fail: "failed",
  refuse: "failed",
  "time out": "timed out",
  "hand off": "handed off",
  lose: "lost",
  cancel: "cancelled",
};

/** Collects the dispatches of one run while its log is folded. */
export class Dispatches {
  /** In the order in which they were opened. */
  readonly all: DispatchSpan[] = [];
  readonly #open = new Map<string, DispatchSpan>();
  readonly #holderOf: (step: string) => DispatchHolder;

  /** @param holderOf the role and task that a step is with now */
  constructor(holderOf: (step: string) => DispatchHolder) {
    this.#holderOf = holderOf;
  }

  /** Takes a transition, in the moment in which it happens. */
  move({ kind, actor, seq, ts, from, to, event, n, attempt, agent, cause }: TransitionRecord): void {
    if (kind !== "step") return;
    const open = this.#open.get(actor);
    if (open !== undefined && to === "running") {
      open.startedAt = Math.max(open.readyAt, ts);
      open.agent = agent;
      return;
    }
    if (open !== undefined && (from === "running" || from === "ready")) {
      open.endedAt = Math.max(open.startedAt ?? open.readyAt, ts);
      open.end = ENDS[event] ?? "other";
      open.endedSeq = seq;
      open.cause = cause;
      this.#open.delete(actor);
    }
    if (to !== "ready") return;
    const opened: DispatchSpan = {
      step: actor,
      n,
      attempt,
      ...this.#holderOf(actor),
      agent: null,
      readyAt: ts,
      notBefore: ts,
      dispatchedAt: undefined,
      startedAt: undefined,
      endedAt: undefined,
      end: undefined,
      cause,
      readySeq: seq,
      endedSeq: undefined,
    };
    this.#open.set(actor, opened);
    this.all.push(opened);
  }

  /** Takes a record after it was folded. @param notBefore until when a ready step's back-off lasts */
  note(record: LogRecord, notBefore: (step: string) => number): void {
    if (record.kind === "observed") {
      for (const { step, n, at } of record.body.dispatched) {
        const span = this.#open.get(step);
        if (span?.n === n) span.dispatchedAt ??= Math.max(span.readyAt, at);
      }
    }
    const last = this.all.at(-1);
    if (last?.readySeq === record.seq) last.notBefore = Math.max(last.readyAt, notBefore(last.step));
  }
}

/** Where the time of a dispatch went, in ms; parts that did not happen are 0. */
export interface DispatchTime {
  backOffMs: number;
  /** Ready, and the run had no slot free. */
  slotMs: number;
  /** Given out, and no agent had begun. */
  agentMs: number;
  runMs: number;
}

/** @param now epoch ms: when what is still open ends for this reckoning */
export function dispatchTime(span: DispatchSpan, now: number): DispatchTime {
  const end = Math.max(span.readyAt, span.endedAt ?? now);
  const within = (time: number | undefined, otherwise: number) => Math.min(end, time ?? otherwise);
  const startedAt = within(span.startedAt, end);
  // Without a note of it, the dispatch went out when it could.
  const dispatchedAt = Math.min(startedAt, within(span.dispatchedAt, span.notBefore));
  const eligibleAt = Math.min(dispatchedAt, span.notBefore);
  return {
    backOffMs: eligibleAt - span.readyAt,
    slotMs: dispatchedAt - eligibleAt,
    agentMs: startedAt - dispatchedAt,
    runMs: end - startedAt,
  };
}
