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
  const supports = new CheapestSupports(graph, incidence, rest);
  let bound = 0;
  for (;;) {
    budget.spendWork(graph.operators.length + graph.factCount);
    const { value, goal } = supports.compute();
    if (value === Number.POSITIVE_INFINITY) return { bound: value, cuts, rest };
    if (goal === -1 || value <= COST_EPSILON) return { bound, cuts, rest };
    const cut = supports.cut(goal);
    let least = Number.POSITIVE_INFINITY;
    for (const operator of cut) least = Math.min(least, rest[operator] as number);
    for (const operator of cut) {
      const left = (rest[operator] as number) - least;
      rest[operator] = left <= COST_EPSILON ? 0 : left;
    }
    bound += least;
    cuts.push(cut);
  }
}

const ALWAYS = -1;
const UNREACHED = -2;

/** h_max under the remaining costs, with the dearest need of each operator as its only support. */
class CheapestSupports {
  readonly #graph: Hypergraph;
  readonly #incidence: Incidence;
  readonly #rest: Float64Array;
  readonly #value: Float64Array;
  /** The need that became true last, `ALWAYS` without needs, `UNREACHED` when it cannot run. */
  readonly #support: Int32Array;
  readonly #open: Int32Array;
  readonly #settled: Uint8Array;
  readonly #initial: readonly number[];

  constructor(graph: Hypergraph, incidence: Incidence, rest: Float64Array) {
    this.#graph = graph;
    this.#incidence = incidence;
    this.#rest = rest;
    this.#value = new Float64Array(graph.factCount);
    this.#support = new Int32Array(graph.operators.length);
    this.#open = new Int32Array(graph.operators.length);
    this.#settled = new Uint8Array(graph.factCount);
    this.#initial = graph.operators.flatMap((operator, index) =>
      operator.needs.length === 0 ? [index] : [],
    );
  }

  /** The dearest goal and its value; goal -1 when there are no goals. */
  compute(): { value: number; goal: number } {
    const queue = new FactQueue();
    this.#value.fill(Number.POSITIVE_INFINITY);
    this.#support.fill(UNREACHED);
    this.#settled.fill(0);
    this.#graph.operators.forEach((operator, index) => {
      this.#open[index] = operator.needs.length;
    });
    for (const operator of this.#initial) this.#run(operator, ALWAYS, 0, queue);
    for (let entry = queue.pop(); entry !== undefined; entry = queue.pop()) {
      const { fact, value } = entry;
      if (this.#settled[fact] === 1) continue;
      this.#settled[fact] = 1;
      for (const needer of this.#incidence.needers[fact] as readonly number[]) {
        this.#open[needer] = (this.#open[needer] as number) - 1;
        if (this.#open[needer] === 0) this.#run(needer, fact, value, queue);
      }
    }
    let dearest = { value: 0, goal: -1 };
    for (const goal of this.#graph.goals) {
      const value = this.#value[goal] as number;
      if (dearest.goal === -1 || value > dearest.value) dearest = { value, goal };
    }
    return dearest;
  }

  #run(operator: number, support: number, at: number, queue: FactQueue): void {
    this.#support[operator] = support;
    const value = at + (this.#rest[operator] as number);
    for (const fact of (this.#graph.operators[operator] as Operator).gives) {
      if (value >= (this.#value[fact] as number)) continue;
      this.#value[fact] = value;
      queue.push(fact, value);
    }
  }

  /**
   * The operators that lead from what is reached without the goal's zone into that zone: the facts from
   * which the goal costs nothing more.
   */
  cut(goal: number): number[] {
    const zone = new Uint8Array(this.#graph.factCount);
    zone[goal] = 1;
    const backwards = [goal];
    for (let fact = backwards.pop(); fact !== undefined; fact = backwards.pop()) {
      for (const giver of this.#incidence.givers[fact] as readonly number[]) {
        const support = this.#support[giver] as number;
        if (this.#rest[giver] !== 0 || support < 0 || zone[support] === 1) continue;
        zone[support] = 1;
        backwards.push(support);
      }
    }
    const cut: number[] = [];
    const reached = new Uint8Array(this.#graph.factCount);
    const forwards: number[] = [];
    const cross = (operator: number): void => {
      const gives = (this.#graph.operators[operator] as Operator).gives;
      if (gives.some((fact) => zone[fact] === 1)) cut.push(operator);
      for (const fact of gives) {
        if (zone[fact] === 1 || reached[fact] === 1) continue;
        reached[fact] = 1;
        forwards.push(fact);
      }
    };
    for (const operator of this.#initial) cross(operator);
    for (let fact = forwards.pop(); fact !== undefined; fact = forwards.pop()) {
      for (const needer of this.#incidence.needers[fact] as readonly number[]) {
        if (this.#support[needer] === fact) cross(needer);
      }
    }
    return cut.sort((a, b) => a - b);
  }
}
