/**
 * A trace for the Perfetto UI, in the JSON trace event format that it opens.
 *
 * One process per role with a track per agent (several where an agent runs several tasks at once), one for
 * the run itself; arrows along dependencies and handoffs; counters of what is queued and running per role.
 * Source: the Trace Event Format document of the Chromium project.
 */
import { stepLabel } from "../workflow/derived-step.ts";
import { type Dispatch, dispatchTime } from "./dispatches.ts";
import { groupBy } from "./grouping.ts";
import { lanesOf } from "./lanes.ts";
import type { Trace } from "./replay.ts";
import { isoTime, nameOf } from "./view.ts";

/** One trace event; times in µs since the run began. */
interface TraceEvent {
  ph: "X" | "M" | "C" | "i" | "s" | "f" | "b" | "e";
  name: string;
  pid: number;
  tid?: number;
  ts?: number;
  dur?: number;
  cat?: string;
  id?: string;
  bp?: "e";
  s?: "p" | "t";
  args?: Record<string, unknown>;
}

const RUN_PID = 1;
const FIRST_ROLE_PID = 2;
const FAN_OUT_TID = 3;

/** @param now epoch ms: until when open spans are drawn */
export function renderPerfetto(trace: Trace, now: number): string {
  return `${JSON.stringify(new PerfettoTrace(trace, now).document())}\n`;
}

interface Placed {
  span: Dispatch;
  pid: number;
  tid: number;
  from: number;
  to: number;
}

class PerfettoTrace {
  readonly #trace: Trace;
  readonly #now: number;
  readonly #origin: number;
  readonly #events: TraceEvent[] = [];
  /** By step: only dispatches that an agent began. */
  readonly #placed = new Map<string, Placed[]>();

  constructor(trace: Trace, now: number) {
    this.#trace = trace;
    this.#now = now;
    this.#origin = trace.fold.startedAt ?? trace.transitions[0]?.ts ?? 0;
  }

  document(): object {
    const { fold } = this.#trace;
    this.#run();
    this.#fanOuts();
    const roles = groupBy(
      this.#trace.dispatches.filter(({ fannedOut }) => !fannedOut),
      ({ role }) => role,
    );
    let pid = FIRST_ROLE_PID;
    for (const [role, spans] of roles) this.#role(role, pid++, spans);
    this.#arrows();
    return {
      displayTimeUnit: "ms",
      otherData: {
        run: fold.run,
        workflow: nameOf(fold),
        status: fold.status,
        startedAt: isoTime(this.#origin),
      },
      traceEvents: this.#events,
    };
  }

  #micros(epochMs: number): number {
    return Math.max(0, Math.round((epochMs - this.#origin) * 1_000));
  }

  #name(pid: number, what: "process_name" | "thread_name", name: string, tid = 0): void {
    this.#events.push({ ph: "M", name: what, pid, tid, args: { name } });
  }

  #run(): void {
    const { fold, transitions, voids } = this.#trace;
    this.#name(RUN_PID, "process_name", `run ${fold.run}`);
    this.#name(RUN_PID, "thread_name", "status", 1);
    const moves = transitions.filter(({ kind }) => kind === "run");
    let from = this.#origin;
    let state: string = moves[0]?.from ?? fold.status;
    for (const move of [...moves, undefined]) {
      const to = move?.ts ?? (fold.ended ? (fold.endedAt ?? from) : this.#now);
      const ts = this.#micros(from);
      if (to > from) {
        this.#events.push({
          ph: "X",
          name: state,
          cat: "run",
          pid: RUN_PID,
          tid: 1,
          ts,
          dur: this.#micros(to) - ts,
        });
      }
      if (move === undefined) break;
      from = move.ts;
      state = move.to;
    }
    this.#name(RUN_PID, "thread_name", "changed nothing", 2);
    for (const { seq, ts, verdict, step, reason } of voids) {
      const args = { seq, reason, ...(step === null ? {} : { step: stepLabel(step) }) };
      this.#events.push({
        ph: "i",
        s: "t",
        name: verdict,
        cat: "void",
        pid: RUN_PID,
        tid: 2,
        ts: this.#micros(ts),
        args,
      });
    }
  }

  /** Steps whose work is done by items: no agent has them, and they may be out at once. */
  #fanOuts(): void {
    const spans = this.#trace.dispatches.filter(({ fannedOut }) => fannedOut);
    const lanes = lanesOf(spans.map((span) => ({ from: startOf(span), to: this.#endOf(span) })));
    for (const [index, span] of spans.entries())
      this.#slice(span, RUN_PID, FAN_OUT_TID + (lanes[index] ?? 0));
    for (const lane of new Set(lanes)) this.#name(RUN_PID, "thread_name", "fan-outs", FAN_OUT_TID + lane);
  }

  #role(role: string, pid: number, spans: readonly Dispatch[]): void {
    this.#name(pid, "process_name", `role ${role}`);
    this.#events.push({ ph: "M", name: "process_sort_index", pid, args: { sort_index: pid } });
    const byAgent = groupBy(
      spans.filter((span) => span.startedAt !== undefined).sort((a, b) => startOf(a) - startOf(b)),
      ({ agent }) => agent ?? "no agent",
    );
    let tid = 1;
    for (const [agent, own] of byAgent) {
      const lanes = lanesOf(own.map((span) => ({ from: startOf(span), to: this.#endOf(span) })));
      for (const [index, span] of own.entries()) this.#slice(span, pid, tid + (lanes[index] ?? 0));
      const count = Math.max(0, ...lanes) + 1;
      for (let lane = 0; lane < count; lane++) {
        this.#name(pid, "thread_name", count === 1 ? agent : `${agent} (${lane + 1})`, tid + lane);
      }
      tid += count;
    }
    for (const span of spans) this.#queued(span, pid);
    this.#counters(role, pid, spans);
  }

  #endOf(span: Dispatch): number {
    return Math.max(startOf(span), span.endedAt ?? this.#now);
  }

  #slice(span: Dispatch, pid: number, tid: number): void {
    const [from, to] = [this.#micros(startOf(span)), this.#micros(this.#endOf(span))];
    const { task, n, attempt, end, cause, readySeq, endedSeq } = span;
    const name = stepLabel(span.step);
    const waited = dispatchTime(span, this.#now, this.#trace.halts);
    const args = {
      task,
      dispatch: n,
      attempt,
      end: end ?? "open",
      cause,
      readySeq,
      endedSeq,
      outsideMs: waited.outsideMs,
      backOffMs: waited.backOffMs,
      pausedMs: waited.pausedMs,
      slotMs: waited.slotMs,
      daemonMs: waited.daemonMs,
      agentMs: waited.agentMs,
    };
    this.#events.push({ ph: "X", name, cat: "dispatch", pid, tid, ts: from, dur: to - from, args });
    const placed = { span, pid, tid, from, to };
    const others = this.#placed.get(span.step);
    if (others) others.push(placed);
    else this.#placed.set(span.step, [placed]);
  }

  /** Waiting is drawn beside the agents: many wait at once, so as asynchronous slices. */
  #queued(span: Dispatch, pid: number): void {
    const end = span.startedAt ?? span.endedAt ?? this.#now;
    if (end <= span.readyAt) return;
    const mark = { name: stepLabel(span.step), cat: "waiting", pid, tid: 0, id: `${span.step}.${span.n}` };
    this.#events.push(
      { ph: "b", ...mark, ts: this.#micros(span.readyAt) },
      { ph: "e", ...mark, ts: this.#micros(end) },
    );
  }

  #counters(role: string, pid: number, spans: readonly Dispatch[]): void {
    const changes: { at: number; waiting: number; running: number }[] = [];
    for (const span of spans) {
      const left = span.startedAt ?? span.endedAt;
      changes.push({ at: span.readyAt, waiting: 1, running: 0 });
      if (left !== undefined)
        changes.push({ at: left, waiting: -1, running: span.startedAt === undefined ? 0 : 1 });
      if (span.startedAt !== undefined && span.endedAt !== undefined) {
        changes.push({ at: this.#endOf(span), waiting: 0, running: -1 });
      }
    }
    changes.sort((a, b) => a.at - b.at);
    const level = { waiting: 0, running: 0 };
    for (const [index, { at, waiting, running }] of changes.entries()) {
      level.waiting += waiting;
      level.running += running;
      if (changes[index + 1]?.at === at) continue;
      this.#events.push({ ph: "C", name: role, pid, ts: this.#micros(at), args: { ...level } });
    }
  }

  /** From the last dispatch of what was before to the first of what came after; from hop to hop within a step. */
  #arrows(): void {
    const { fold } = this.#trace;
    // Slices were placed role by role: a step that was handed on has some of several.
    for (const own of this.#placed.values()) own.sort((a, b) => a.span.n - b.span.n);
    for (const [step, own] of this.#placed) {
      const [first] = own;
      if (first === undefined) continue;
      const { dependsOn } = fold.steps?.has(step) ? fold.steps.step(step) : { dependsOn: [] };
      for (const source of dependsOn) this.#arrow("dependency", this.#placed.get(source)?.at(-1), first);
      for (const [index, hop] of own.slice(1).entries()) {
        const before = own[index];
        if (before) this.#arrow(before.span.end === "hand off" ? "handoff" : "again", before, hop);
      }
    }
  }

  #arrow(name: string, from: Placed | undefined, to: Placed): void {
    if (from === undefined) return;
    const id = `${from.span.step}.${from.span.n}-${to.span.step}.${to.span.n}`;
    const common = { name, cat: name, id };
    // An arrow is tied to the slices that enclose its ends.
    const leaves = Math.max(from.from, from.to - 1);
    this.#events.push(
      { ph: "s", ...common, pid: from.pid, tid: from.tid, ts: leaves },
      { ph: "f", bp: "e", ...common, pid: to.pid, tid: to.tid, ts: Math.max(leaves, to.from) },
    );
  }
}

const startOf = (span: Dispatch): number => span.startedAt ?? span.readyAt;
