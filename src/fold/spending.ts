/**
 * What a run has spent: tokens and money that agents reported with their results, or the planning
 * with the plan, and dispatches.
 *
 * It owns counting each of them once. A late result was paid for like any other, so it counts; a foreign one,
 * of a party that never had the dispatch, does not. A result that an agent publishes twice counts once.
 *
 *  - S1 What a run below says that it has spent so far counts at once, and until the result of the dispatch that
 *    it is below of: that says it of all of them.
 */
import type { Draw } from "../bus/budget-draw.ts";
import type { ResultMessage, Usage } from "../bus/messages.ts";
import { ORCHESTRATOR_ROLE } from "../workflow/reserved-roles.ts";

export interface Spent {
  tokens: number;
  usd: number;
  dispatches: number;
}

export class Spending {
  readonly total: Spent = nothing();
  readonly #bySteps = new Map<string, Spent>();
  /** The youngest dispatch of each step that was counted. */
  readonly #dispatched = new Map<string, number>();
  readonly #reported = new Set<string>();
  /** Of the total, what runs below have spent. */
  readonly #below: Spent = nothing();
  /** S1: by dispatch, what each run below it says. */
  readonly #drawn = new Map<string, Map<string, Spent>>();
  /** Dispatches of which a result has said what was spent below them. */
  readonly #settled = new Set<string>();

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

  /** What the run itself has spent, without the runs below it. */
  get own(): Spent {
    return difference(this.total, this.#below);
  }

  /** Adds what an agent says that its dispatch has cost. */
  report({ step, n, agent, usage }: ResultMessage, role?: string): void {
    if (usage === undefined) return;
    const key = `${step}#${n}#${agent}`;
    if (this.#reported.has(key)) return;
    this.#reported.add(key);
    if (role === ORCHESTRATOR_ROLE) return this.#settle(step, n, usage);
    add(this.total, usage);
    add(this.#step(step), usage);
  }

  /** S1. How many dispatches of a run below count so far. */
  drawnBy({ step, n, child }: Pick<Draw, "step" | "n" | "child">): number {
    return this.#drawn.get(`${step}#${n}`)?.get(child)?.dispatches ?? 0;
  }

  /** S1. Notes what a run below has spent; amounts that are older than what is known change nothing. */
  draw({ step, n, child, ...now }: Pick<Draw, "step" | "n" | "child"> & Spent): void {
    const key = `${step}#${n}`;
    if (this.#settled.has(key)) return;
    const drawn = this.#drawn.get(key) ?? new Map<string, Spent>();
    this.#drawn.set(key, drawn);
    const before = drawn.get(child) ?? nothing();
    const after = {
      tokens: Math.max(before.tokens, now.tokens),
      usd: Math.max(before.usd, now.usd),
      dispatches: Math.max(before.dispatches, now.dispatches),
    };
    drawn.set(child, after);
    this.#shift(step, difference(after, before));
  }

  #settle(step: string, n: number, usage: Usage): void {
    const key = `${step}#${n}`;
    const spent = nothing();
    add(spent, usage);
    for (const told of this.#drawn.get(key)?.values() ?? []) this.#shift(step, difference(nothing(), told));
    this.#drawn.delete(key);
    this.#settled.add(key);
    this.#shift(step, spent);
  }

  /** Counts for a step what was spent below it; less than nothing takes back what was counted before. */
  #shift(step: string, by: Spent): void {
    for (const sum of [this.total, this.#step(step), this.#below]) {
      sum.tokens += by.tokens;
      sum.usd += by.usd;
      sum.dispatches += by.dispatches;
    }
  }

  /** Adds what making the plan has cost: the run's, and no step's. */
  reportPlanning(usage: Usage | undefined): void {
    if (usage !== undefined) add(this.total, usage);
  }

  #step(step: string): Spent {
    let spent = this.#bySteps.get(step);
    if (spent === undefined) {
      spent = nothing();
      this.#bySteps.set(step, spent);
    }
    return spent;
  }
}

function nothing(): Spent {
  return { tokens: 0, usd: 0, dispatches: 0 };
}

function difference(one: Spent, other: Spent): Spent {
  return {
    tokens: one.tokens - other.tokens,
    usd: one.usd - other.usd,
    dispatches: one.dispatches - other.dispatches,
  };
}

/** What is negative would give a run money back: nobody can. */
function add(sum: Spent, usage: Usage): void {
  sum.tokens += Math.max(0, usage.tokens ?? 0);
  sum.usd += Math.max(0, usage.usd ?? 0);
  sum.dispatches += Math.max(0, usage.dispatches ?? 0);
}
