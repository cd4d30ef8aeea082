/**
 * What a run has spent: tokens and money that agents reported with their results, or the planning
 * with the plan, and dispatches.
 *
 * It owns counting each of them once. A late result was paid for like any other, so it counts; a foreign one,
 * of a party that never had the dispatch, does not. A result that an agent publishes twice counts once.
 */
import type { ResultMessage, Usage } from "../bus/messages.ts";

export interface Spent {
  tokens: number;
  usd: number;
  dispatches: number;
}

export class Spending {
  readonly total: Spent = { tokens: 0, usd: 0, dispatches: 0 };
  readonly #bySteps = new Map<string, Spent>();
  /** The youngest dispatch of each step that was counted. */
  readonly #dispatched = new Map<string, number>();
  readonly #reported = new Set<string>();

  /** Undefined while the step was never given out. */
  of(step: string): Readonly<Spent> | undefined {
    return this.#bySteps.get(step);
  }

  /** Notes that a dispatch was given out; the log may say so several times, in several ways. */
  countDispatch(step: string, n: number): void {
    if ((this.#dispatched.get(step) ?? 0) >= n) return;
    this.#dispatched.set(step, n);
    this.total.dispatches += 1;
    this.#step(step).dispatches += 1;
  }

  /** Adds what an agent says that its dispatch has cost. */
  report({ step, n, agent, usage }: ResultMessage): void {
    if (usage === undefined) return;
    const key = `${step}#${n}#${agent}`;
    if (this.#reported.has(key)) return;
    this.#reported.add(key);
    add(this.total, usage);
    add(this.#step(step), usage);
  }

  /** Adds what making the plan has cost: the run's, and no step's. */
  reportPlanning(usage: Usage | undefined): void {
    if (usage !== undefined) add(this.total, usage);
  }

  #step(step: string): Spent {
    let spent = this.#bySteps.get(step);
    if (spent === undefined) {
      spent = { tokens: 0, usd: 0, dispatches: 0 };
      this.#bySteps.set(step, spent);
    }
    return spent;
  }
}

/** What is negative would give a run money back: nobody can. */
function add(sum: Spent, usage: Usage): void {
  sum.tokens += Math.max(0, usage.tokens ?? 0);
  sum.usd += Math.max(0, usage.usd ?? 0);
  sum.dispatches += Math.max(0, usage.dispatches ?? 0);
}
