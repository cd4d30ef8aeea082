/**
 * LM-cut: an admissible estimate of what a delete-free problem costs at least, with the landmarks that
 * prove it (Helmert and Domshlak, "Landmarks, Critical Paths and Abstractions", ICAPS 2009).
 *
 * Every round finds a cut: a set of operators of which each plan has to take at least one. The least cost
 * in it is added to the bound and taken off all of them, until the goals cost nothing. Since no cost is
 * counted twice, the bound never exceeds the cost of the cheapest plan; and an operator whose remaining cost
 * lifts the bound over a known plan can be in no better one (search.ts uses that to drop operators).
 */
import type { SearchBudget } from "./budget.ts";
import { FactQueue } from "./fact-queue.ts";
import type { Hypergraph, Incidence, Operator } from "./hypergraph.ts";

/** Costs that differ by less are one cost: sums of fractions are not exact. */
export const COST_EPSILON = 1e-9;

export interface LandmarkBound {
  /** No plan costs less. Infinity when no plan exists. */
  readonly bound: number;
  /** Each a set of operators, of which every plan has one; in ascending order. */
  readonly cuts: readonly (readonly number[])[];
  /** What is left of each operator's cost. */
  readonly rest: Float64Array;
}

export function lmCut(graph: Hypergraph, incidence: Incidence, budget: SearchBudget): LandmarkBound {
  const rest = Float64Array.from(graph.operators, (operator) => operator.cost);
  const cuts: number[][] = [];
  const supports = new CheapestSupports(graph, incidence, rest, budget);
  let bound = 0;
  for (;;) {
    const { value, goal } = supports.dearestGoal();
    if (value === Number.POSITIVE_INFINITY) return { bound: value, cuts, rest };
    if (goal === -1 || value <= COST_EPSILON) return { bound, cuts, rest };
    const cut = supports.cut(goal);
    let least = Number.POSITIVE_INFINITY;
    for (const operator of cut) least = Math.min(least, rest[operator] as number);
    for (const operator of cut) {
      const left = (rest[operator] as number) - least;
      rest[operator] = left <= COST_EPSILON ? 0 : left;
    }
    supports.cheapen(cut);
    bound += least;
    cuts.push(cut);
  }
}

const ALWAYS = -1;
const UNREACHED = -2;

/**
 * h_max under the remaining costs, with the dearest need of each operator as its only support. Costs only
 * ever fall, so after a cut only what became cheaper is computed again.
 */
class CheapestSupports {
  readonly #graph: Hypergraph;
  readonly #incidence: Incidence;
  readonly #rest: Float64Array;
  readonly #budget: SearchBudget;
  readonly #value: Float64Array;
  /** The dearest need, `ALWAYS` without needs, `UNREACHED` when it cannot run. */
  readonly #support: Int32Array;
  readonly #initial: readonly number[];
  readonly #queue = new FactQueue();
  /** Marks of facts, by the number of the walk that set them: no clearing between walks. */
  readonly #zoneMark: Int32Array;
  readonly #reachedMark: Int32Array;
  #walk = 0;

  constructor(graph: Hypergraph, incidence: Incidence, rest: Float64Array, budget: SearchBudget) {
    this.#graph = graph;
    this.#incidence = incidence;
    this.#rest = rest;
    this.#budget = budget;
    this.#value = new Float64Array(graph.factCount).fill(Number.POSITIVE_INFINITY);
    this.#support = new Int32Array(graph.operators.length).fill(UNREACHED);
    this.#zoneMark = new Int32Array(graph.factCount);
    this.#reachedMark = new Int32Array(graph.factCount);
    this.#initial = graph.operators.flatMap((operator, index) =>
      operator.needs.length === 0 ? [index] : [],
    );
    this.#settleAll();
  }

  #settleAll(): void {
    const open = Int32Array.from(this.#graph.operators, (operator) => operator.needs.length);
    const settled = new Uint8Array(this.#graph.factCount);
    for (const operator of this.#initial) this.#offer(operator, ALWAYS, 0);
    for (let fact = this.#queue.pop(); fact !== undefined; fact = this.#queue.pop()) {
      if (settled[fact] === 1) continue;
      settled[fact] = 1;
      const value = this.#value[fact] as number;
      const needers = this.#incidence.needers[fact] as readonly number[];
      this.#budget.spendWork(1 + needers.length);
      for (const needer of needers) {
        const left = (open[needer] as number) - 1;
        open[needer] = left;
        // Facts settle in ascending order: the last need is the dearest.
        if (left === 0) this.#offer(needer, fact, value);
      }
    }
  }

  #offer(operator: number, support: number, at: number): void {
    this.#support[operator] = support;
    const value = at + (this.#rest[operator] as number);
    for (const fact of (this.#graph.operators[operator] as Operator).gives) {
      if (value >= (this.#value[fact] as number)) continue;
      this.#value[fact] = value;
      this.#queue.push(fact, value);
    }
  }

  /** To be called after the remaining costs of these operators fell. */
  cheapen(operators: readonly number[]): void {
    for (const operator of operators) {
      const support = this.#support[operator] as number;
      this.#offer(operator, support, support === ALWAYS ? 0 : (this.#value[support] as number));
    }
    for (let fact = this.#queue.pop(); fact !== undefined; fact = this.#queue.pop()) {
      const needers = this.#incidence.needers[fact] as readonly number[];
      this.#budget.spendWork(1 + needers.length);
      for (const needer of needers) {
        // Only the dearest need says what an operator costs.
        if (this.#support[needer] !== fact) continue;
        const support = this.#dearestNeed(needer, fact);
        this.#offer(needer, support, this.#value[support] as number);
      }
    }
  }

  #dearestNeed(operator: number, current: number): number {
    let dearest = current;
    for (const need of (this.#graph.operators[operator] as Operator).needs) {
      if ((this.#value[need] as number) > (this.#value[dearest] as number)) dearest = need;
    }
    return dearest;
  }

  /** The dearest goal and its value; goal -1 when there are no goals. */
  dearestGoal(): { value: number; goal: number } {
    let value = 0;
    let dearest = -1;
    for (const goal of this.#graph.goals) {
      const own = this.#value[goal] as number;
      if (dearest !== -1 && own <= value) continue;
      value = own;
      dearest = goal;
    }
    return { value, goal: dearest };
  }

  /**
   * The operators that lead from what is reached without the goal's zone into that zone: the facts from
   * which the goal costs nothing more.
   */
  cut(goal: number): number[] {
    const walk = ++this.#walk;
    this.#markZone(goal, walk);
    const cut: number[] = [];
    const forwards: number[] = [];
    const cross = (operator: number): void => {
      let enters = false;
      for (const fact of (this.#graph.operators[operator] as Operator).gives) {
        if (this.#zoneMark[fact] === walk) {
          enters = true;
        } else if (this.#reachedMark[fact] !== walk) {
          this.#reachedMark[fact] = walk;
          forwards.push(fact);
        }
      }
      if (enters) cut.push(operator);
    };
    for (const operator of this.#initial) cross(operator);
    for (let fact = forwards.pop(); fact !== undefined; fact = forwards.pop()) {
      const needers = this.#incidence.needers[fact] as readonly number[];
      this.#budget.spendWork(1 + needers.length);
      for (const needer of needers) if (this.#support[needer] === fact) cross(needer);
    }
    return cut.sort((a, b) => a - b);
  }

  #markZone(goal: number, walk: number): void {
    this.#zoneMark[goal] = walk;
    const backwards = [goal];
    for (let fact = backwards.pop(); fact !== undefined; fact = backwards.pop()) {
      for (const giver of this.#incidence.givers[fact] as readonly number[]) {
        const support = this.#support[giver] as number;
        if (this.#rest[giver] !== 0 || support < 0 || this.#zoneMark[support] === walk) continue;
        this.#zoneMark[support] = walk;
        backwards.push(support);
      }
    }
  }
}
