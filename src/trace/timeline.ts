/**
 * When each step waited and when it ran, read off its transitions: what every picture of time is drawn from.
 */
import type { TransitionRecord } from "../fold/transition-record.ts";

export interface Span {
  /** `ready`: waiting for an agent, or for its back-off; `running`: with an agent. */
  readonly state: "ready" | "running";
  readonly from: number;
  /** Epoch ms; undefined: still so. */
  readonly to: number | undefined;
  readonly agent: string | null;
}

/** The spans of every step that left `pending`, kept up to date transition by transition. */
export class Timelines {
  readonly #spans = new Map<string, Span[]>();

  add({ kind, actor, ts, to, agent }: TransitionRecord): void {
    if (kind !== "step") return;
    let spans = this.#spans.get(actor);
    if (spans === undefined) {
      spans = [];
      this.#spans.set(actor, spans);
    }
    const last = spans.at(-1);
    if (last !== undefined && last.to === undefined)
      spans[spans.length - 1] = { ...last, to: Math.max(last.from, ts) };
    if (to === "ready" || to === "running") spans.push({ state: to, from: ts, to: undefined, agent });
  }

  /** Oldest first; empty for a step that is still pending, or was skipped. */
  of(step: string): readonly Span[] {
    return this.#spans.get(step) ?? [];
  }
}

export function timelinesOf(transitions: Iterable<TransitionRecord>): Timelines {
  const timelines = new Timelines();
  for (const transition of transitions) timelines.add(transition);
  return timelines;
}

/** Time with agents, over all attempts; an open span counts up to `now`. */
export function runningMs(spans: readonly Span[], now: number): number {
  let total = 0;
  for (const span of spans) {
    if (span.state === "running") total += Math.max(0, (span.to ?? now) - span.from);
  }
  return total;
}
