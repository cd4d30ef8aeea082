/**
 * Disjunctive landmarks: sets of operators of which every plan has one at least.
 *
 * Which operators a plan misses is told by what it cannot reach: for a goal that the chosen operators do not
 * reach, as many others as possible are added without reaching it. Those that are left out each reach it, so
 * every plan has one of them (Bonet and Helmert, "Strengthening Landmark Heuristics via Hitting Sets", ECAI
 * 2010; Haslum, Slaney and Thiébaux, "Minimal Landmarks for Optimal Delete-Free Planning", ICAPS 2012). Since
 * each would reach it, the set is minimal: nothing in it can be spared.
 */
import type { SearchBudget } from "./budget.ts";
import type { Hypergraph, Incidence, Operator } from "./hypergraph.ts";

export class LandmarkMaker {
  readonly #graph: Hypergraph;
  readonly #incidence: Incidence;
  readonly #budget: SearchBudget;
  /** Needs that are not reached yet, by operator. */
  readonly #open: Int32Array;
  readonly #reached: Uint8Array;
  readonly #member: Uint8Array;
  /** Facts in the order in which they were reached, to be undone from the end. */
  readonly #trail: number[] = [];

  constructor(graph: Hypergraph, incidence: Incidence, budget: SearchBudget) {
    this.#graph = graph;
    this.#incidence = incidence;
    this.#budget = budget;
    this.#open = Int32Array.from(graph.operators, ({ needs }) => needs.length);
    this.#reached = new Uint8Array(graph.factCount);
    this.#member = new Uint8Array(graph.operators.length);
  }

  /** Goals among `goals` that the chosen operators do not reach. */
  unreached(goals: readonly number[], chosen: Uint8Array): number[] {
    this.#clear();
    this.#addAll(chosen);
    return goals.filter((goal) => this.#reached[goal] === 0);
  }

  /**
   * A landmark that the chosen operators do not have, for a goal that they do not reach.
   * @param order all operators; those that come late are the ones that the landmark is made of
   */
  unhit(goal: number, chosen: Uint8Array, order: readonly number[]): number[] {
    this.#clear();
    this.#addAll(chosen);
    const landmark: number[] = [];
    for (const operator of order) {
      if (chosen[operator] === 1) continue;
      if (!this.#tryAdd(operator, goal)) landmark.push(operator);
    }
    this.#budget.spendWork(order.length);
    return landmark;
  }

  #clear(): void {
    this.#undoTo(0);
    this.#member.fill(0);
  }

  #addAll(chosen: Uint8Array): void {
    for (let operator = 0; operator < chosen.length; operator++) {
      if (chosen[operator] === 1) this.#tryAdd(operator, -1);
    }
  }

  /** Adds an operator, unless that reaches the goal. */
  #tryAdd(operator: number, goal: number): boolean {
    this.#member[operator] = 1;
    if (this.#open[operator] !== 0) return true;
    const mark = this.#trail.length;
    if (this.#run(operator, goal)) return true;
    this.#undoTo(mark);
    this.#member[operator] = 0;
    return false;
  }

  /** Runs an operator and every member that can run then. @returns false when the goal was reached */
  #run(operator: number, goal: number): boolean {
    const trail = this.#trail;
    let next = trail.length;
    this.#give(operator);
    for (; next < trail.length; next++) {
      const fact = trail[next] as number;
      const needers = this.#incidence.needers[fact] as readonly number[];
      this.#budget.spendWork(1 + needers.length);
      for (const needer of needers) {
        const left = (this.#open[needer] as number) - 1;
        this.#open[needer] = left;
        if (left === 0 && this.#member[needer] === 1) this.#give(needer);
      }
    }
    return goal === -1 || this.#reached[goal] === 0;
  }

  #give(operator: number): void {
    for (const fact of (this.#graph.operators[operator] as Operator).gives) {
      if (this.#reached[fact] === 1) continue;
      this.#reached[fact] = 1;
      this.#trail.push(fact);
    }
  }

  #undoTo(length: number): void {
    while (this.#trail.length > length) {
      const fact = this.#trail.pop() as number;
      this.#reached[fact] = 0;
      for (const needer of this.#incidence.needers[fact] as readonly number[]) {
        this.#open[needer] = (this.#open[needer] as number) + 1;
      }
    }
  }
}
