/**
 * When each attempt waited and when it ran, in lanes by agent: read off the transitions as they come.
 *
 * Each agent's lane has as many rows as it ran things at once. A row is taken by the first attempt that finds
 * it free, so that what was drawn stays where it is while the run goes on.
 */
import type { RunHistory } from "../model/run-history.ts";
import { type Look, lookAfter } from "../model/step-look.ts";

export interface Span {
  readonly step: string;
  readonly n: number;
  readonly attempt: number;
  readonly agent: string;
  /** Epoch ms. */
  readonly readyAt: number;
  readonly startedAt: number;
  endedAt: number | undefined;
  /** How it ended; `running` while it has not. */
  look: Look;
  /** The sequence with which it ended. */
  endSeq: number;
  readonly startSeq: number;
  readonly row: number;
}

export interface Lane {
  readonly agent: string;
  readonly spans: Span[];
  /** Epoch ms until which each row is taken. */
  readonly rows: number[];
}

/** A change of how many steps wait or run, for the curve above the lanes. */
export interface Load {
  readonly at: number;
  readonly queued: number;
  readonly running: number;
}

export class Spans {
  readonly lanes: Lane[] = [];
  readonly #byAgent = new Map<string, Lane>();
  readonly #open = new Map<string, Span>();
  readonly #readyAt = new Map<string, number>();
  readonly #waiting = new Set<string>();
  #taken = 0;
  #loads: readonly Load[] | undefined;

  /** Takes what the history has and this has not. */
  update(history: RunHistory): void {
    for (; this.#taken < history.transitions.length; this.#taken++) {
      const transition = history.transitions[this.#taken];
      const at = history.times[this.#taken] ?? 0;
      if (transition === undefined || transition.kind === "run") continue;
      const { actor, from, to, n, attempt, agent, seq } = transition;
      this.#loads = undefined;
      if (from === "running") this.#end(actor, at, seq, lookOfEnd(transition.event, to));
      if (from === "ready") this.#waiting.delete(actor);
      if (to === "ready") {
        this.#readyAt.set(actor, at);
        this.#waiting.add(actor);
      }
      // A step that fanned out runs by its items, with no agent of its own.
      if (to === "running" && agent !== null) {
        const readyAt = this.#readyAt.get(actor) ?? at;
        this.#begin({
          step: actor,
          n,
          attempt,
          agent,
          readyAt,
          startedAt: Math.max(at, readyAt),
          startSeq: seq,
        });
      }
    }
  }

  get rows(): number {
    return this.lanes.reduce((sum, lane) => sum + lane.rows.length, 0);
  }

  /**
   * How many waited and ran at each time. From the attempts and not move by move: a start that was told with
   * its result stands later in the log than it happened.
   */
  get loads(): readonly Load[] {
    this.#loads ??= this.#countLoads();
    return this.#loads;
  }

  #countLoads(): Load[] {
    const moves: { at: number; queued: number; running: number }[] = [];
    for (const { spans } of this.lanes) {
      for (const { readyAt, startedAt, endedAt } of spans) {
        moves.push({ at: readyAt, queued: 1, running: 0 }, { at: startedAt, queued: -1, running: 1 });
        if (endedAt !== undefined) moves.push({ at: endedAt, queued: 0, running: -1 });
      }
    }
    for (const step of this.#waiting) moves.push({ at: this.#readyAt.get(step) ?? 0, queued: 1, running: 0 });
    moves.sort((a, b) => a.at - b.at);
    const loads: Load[] = [];
    let queued = 0;
    let running = 0;
    for (const [index, move] of moves.entries()) {
      queued += move.queued;
      running += move.running;
      if (moves[index + 1]?.at !== move.at) loads.push({ at: move.at, queued, running });
    }
    return loads;
  }

  #begin(span: Omit<Span, "endedAt" | "look" | "row" | "endSeq">): void {
    let lane = this.#byAgent.get(span.agent);
    if (lane === undefined) {
      lane = { agent: span.agent, spans: [], rows: [] };
      this.#byAgent.set(span.agent, lane);
      this.lanes.push(lane);
    }
    let row = lane.rows.findIndex((until) => until <= span.startedAt);
    if (row < 0) row = lane.rows.length;
    lane.rows[row] = Number.POSITIVE_INFINITY;
    const whole: Span = {
      ...span,
      row,
      endedAt: undefined,
      endSeq: Number.POSITIVE_INFINITY,
      look: "running",
    };
    lane.spans.push(whole);
    this.#open.set(span.step, whole);
  }

  #end(step: string, at: number, seq: number, look: Look): void {
    const span = this.#open.get(step);
    if (span === undefined) return;
    this.#open.delete(step);
    span.endedAt = Math.max(at, span.startedAt);
    span.endSeq = seq;
    span.look = look;
    const lane = this.#byAgent.get(span.agent);
    if (lane !== undefined) lane.rows[span.row] = span.endedAt;
  }
}

function lookOfEnd(event: string, to: string): Look {
  if (event === "hand off") return "kept";
  if (event === "fail" || event === "lose") return "failed";
  return lookAfter({
    to: event === "time out" || event === "cancel" ? "failed" : to === "ready" ? "done" : to,
    event,
  });
}
