/**
 * What became of each dispatch of a run: given out when, to whom, with which inputs, and how it ended.
 *
 * Read off the records and the fold beside them (L1). Values are held by reference, as the fold holds them.
 */
import type { LogRecord } from "../bus/bus.ts";
import type { Usage, WireError } from "../bus/messages.ts";
import type { Effect } from "../fold/effect.ts";
import type { RunFold } from "../fold/run-fold.ts";
import type { TransitionRecord } from "../fold/transition-record.ts";

export interface DispatchEntry {
  readonly n: number;
  readonly attempt: number;
  readonly role: string;
  readonly task: string;
  readonly readySeq: number;
  readonly readyTs: number;
  readonly inputs: Record<string, unknown> | null;
  agent: string | null;
  dispatchedAt: number | null;
  startedAt: number | null;
  endedAt: number | null;
  endSeq: number | null;
  /** The event that closed it. */
  end: string | null;
  outputs: Record<string, unknown> | null;
  error: WireError | null;
  handoff: { role: string; task: string; reason: string } | null;
  usage: Usage | null;
}

const NONE: readonly DispatchEntry[] = [];

export class DispatchBook {
  readonly #bySteps = new Map<string, DispatchEntry[]>();

  /** Oldest first. */
  of(step: string): readonly DispatchEntry[] {
    return this.#bySteps.get(step) ?? NONE;
  }

  entries(): IterableIterator<[string, DispatchEntry[]]> {
    return this.#bySteps.entries();
  }

  /** Takes one folded record: call it after the fold has taken it. */
  note(
    record: LogRecord,
    moved: readonly TransitionRecord[],
    effects: readonly Effect[],
    fold: RunFold,
  ): void {
    for (const transition of moved) {
      if (transition.kind === "step") this.#noteMove(transition, record);
    }
    for (const effect of effects) {
      if (effect.type === "offer" || effect.type === "wait") this.#open(effect.step, record, fold);
    }
    if (record.kind === "observed") {
      for (const { step, n, at } of record.body.dispatched) {
        const entry = this.#entry(step, n);
        if (entry !== undefined && entry.dispatchedAt === null) entry.dispatchedAt = at;
      }
    }
  }

  #open(step: string, record: LogRecord, fold: RunFold): void {
    const { context } = fold.step(step);
    if (this.#entry(step, context.n) !== undefined) return;
    let entries = this.#bySteps.get(step);
    if (entries === undefined) {
      entries = [];
      this.#bySteps.set(step, entries);
    }
    const last = entries.at(-1);
    // A lost dispatch makes no transition where the step was ready: its successor tells.
    if (last !== undefined && last.endedAt === null) close(last, "lose", record);
    entries.push({
      n: context.n,
      attempt: context.attempt,
      role: context.role,
      task: context.task,
      readySeq: record.seq,
      readyTs: record.ts,
      inputs: fold.inputsOf(step),
      agent: null,
      dispatchedAt: null,
      startedAt: null,
      endedAt: null,
      endSeq: null,
      end: null,
      outputs: null,
      error: null,
      handoff: null,
      usage: null,
    });
  }

  #noteMove({ actor, to, from, event, ts, agent, n }: TransitionRecord, record: LogRecord): void {
    // A move to ready opens the next dispatch: what it closes is the one before.
    const entry = to === "ready" ? this.#bySteps.get(actor)?.at(-1) : this.#entry(actor, n);
    if (entry === undefined) return;
    if (to === "running") {
      entry.agent = agent;
      entry.startedAt = ts;
      return;
    }
    if ((from !== "ready" && from !== "running") || entry.endedAt !== null) return;
    close(entry, event, record);
    if (record.kind === "result" && record.body.step === actor && record.body.n === entry.n) {
      const { outputs, error, handoff, usage, agent: by } = record.body;
      entry.agent ??= by;
      entry.outputs = outputs ?? null;
      entry.error = error ?? null;
      entry.usage = usage ?? null;
      entry.handoff =
        handoff === undefined ? null : { role: handoff.role, task: handoff.task, reason: handoff.reason };
    }
  }

  #entry(step: string, n: number): DispatchEntry | undefined {
    const entries = this.#bySteps.get(step);
    // Numbers grow by one from one, so that the place is nearly always n - 1.
    const guess = entries?.[n - 1];
    return guess?.n === n ? guess : entries?.find((entry) => entry.n === n);
  }
}

function close(entry: DispatchEntry, end: string, record: LogRecord): void {
  entry.endedAt = record.ts;
  entry.endSeq = record.seq;
  entry.end = end;
}
