/**
 * The cheapest plan of one part of a problem, as an implicit hitting set: operators are chosen so that every
 * landmark known so far has one, at least cost. When what was chosen is no plan, it misses landmarks that were
 * not known: they are added, and the search goes on (Haslum, Slaney and Thiébaux, ICAPS 2012). A set that
 * hits them all and is a plan costs the least, since every plan hits every landmark.
 *
 * One tree for both: each node bounds its hitting sets from below (hitting-bound.ts), settles the operators
 * whose reduced cost leaves no doubt, and branches on one that it does not. Landmarks found anywhere hold
 * everywhere. Decides nothing by time or chance (L7); when the budget ends, the best plan so far is the answer,
 * with the least bound of what was left unseen.
 */
import type { SearchBudget } from "./budget.ts";
import { FREE, HittingBound, IN, OUT } from "./hitting-bound.ts";
import { type Hypergraph, type Incidence, incidenceOf, type Operator } from "./hypergraph.ts";
import { LandmarkMaker } from "./landmarks.ts";
import { COST_EPSILON, type LandmarkBound } from "./lm-cut.ts";
import { type Candidate, relaxedPlan } from "./relaxed-plan.ts";

/** Steps towards a better bound, at the root and at each node below it. */
const ROOT_STEPS = 300;
const NODE_STEPS = 40;
/** Rounds of adding landmarks before a node is branched on. */
const ROOT_ROUNDS = 60;
const NODE_ROUNDS = 3;
/** Goals for which a landmark is made in one round. */
const GOALS_A_ROUND = 12;

/** Costs that differ by no more may be one cost, after all the sums. */
const TIE_EPSILON = 1e-6;

export interface BoundedPlan extends Candidate {
  /** No plan costs less; the cost itself when that is proven. */
  readonly bound: number;
  /** Origins of operators that are in no plan of this cost. */
  readonly ruledOut: readonly number[];
}

export class BranchAndCut {
  readonly #graph: Hypergraph;
  readonly #incidence: Incidence;
  readonly #budget: SearchBudget;
  readonly #maker: LandmarkMaker;
  readonly #hitting: HittingBound;
  readonly #status: Uint8Array;
  readonly #trail: number[] = [];
  /** Costs are multiples of it; 0: of nothing in particular. */
  readonly #grain: number;
  #goals: readonly number[];
  #best: Candidate;
  /** The least bound of what the budget left unseen. */
  #unseen = Number.POSITIVE_INFINITY;

  constructor(graph: Hypergraph, first: Candidate, known: LandmarkBound, budget: SearchBudget) {
    this.#graph = graph;
    this.#incidence = incidenceOf(graph);
    this.#budget = budget;
    this.#goals = graph.goals;
    this.#best = first;
    this.#maker = new LandmarkMaker(graph, this.#incidence, budget);
    this.#status = new Uint8Array(graph.operators.length);
    const costs = Float64Array.from(graph.operators, ({ cost }) => cost);
    this.#grain = grainOf(costs);
    this.#hitting = new HittingBound(costs, budget);
    for (const cut of known.cuts) this.#hitting.addRow(cut);
    // What costs nothing is never in the way of a cheapest plan; what of it is spare is left out afterwards.
    graph.operators.forEach(({ cost }, operator) => {
      if (cost === 0) this.#status[operator] = IN;
    });
  }

  solve(lower: number): BoundedPlan {
    this.#node(0, lower);
    const bound = Math.min(this.#best.cost, Math.max(lower, this.#unseen));
    return { ...this.#best, bound, ruledOut: this.#ruledOut() };
  }

  /** With every landmark that is known now, what would raise the bound over the best plan's cost. */
  #ruledOut(): number[] {
    if (this.#budget.cutShort) return [];
    const active = this.#propagate();
    if (active === undefined || active.length === 0) return [];
    const paid = this.#paid();
    const lower = paid + this.#hitting.bound(active, this.#status, this.#best.cost - paid, ROOT_STEPS);
    const { reduced } = this.#hitting;
    return this.#graph.operators.flatMap(({ origin }, operator) => {
      if (this.#status[operator] !== FREE) return [];
      return this.#coarse(lower + (reduced[operator] as number)) > this.#best.cost + TIE_EPSILON
        ? [origin]
        : [];
    });
  }

  #node(depth: number, inherited: number): void {
    if (!this.#budget.spendNode()) {
      this.#unseen = Math.min(this.#unseen, inherited);
      return;
    }
    const mark = this.#trail.length;
    let lower = inherited;
    const rounds = depth === 0 ? ROOT_ROUNDS : NODE_ROUNDS;
    for (let round = 0; ; round++) {
      const active = this.#propagate();
      if (active === undefined) break;
      const paid = this.#paid();
      if (this.#isHopeless(paid)) break;
      const steps = depth === 0 ? ROOT_STEPS : NODE_STEPS;
      const free =
        active.length === 0 ? 0 : this.#hitting.bound(active, this.#status, this.#best.cost - paid, steps);
      lower = Math.max(lower, paid + Math.max(0, free));
      if (this.#isHopeless(lower)) break;
      if (this.#budget.cutShort) {
        this.#unseen = Math.min(this.#unseen, this.#coarse(lower));
        break;
      }
      if (this.#settle(active, paid + free, depth)) continue;
      const chosen = this.#hittingSet(active);
      const missed = this.#maker.unreached(this.#goals, chosen);
      if (missed.length === 0) {
        this.#offer(chosen);
        if (active.length === 0 || this.#isHopeless(lower)) break;
      } else {
        this.#complete(chosen);
        if (this.#isHopeless(lower)) break;
        const added = this.#addLandmarks(missed, chosen);
        if (active.length === 0 || round < rounds) {
          if (added > 0) continue;
        }
      }
      this.#branch(active, depth, this.#coarse(lower));
      break;
    }
    this.#undoTo(mark);
  }

  /** Takes the only operator left of a landmark. @returns rows that nothing hits; undefined: one cannot be hit */
  #propagate(): number[] | undefined {
    const { rows } = this.#hitting;
    const status = this.#status;
    for (;;) {
      const active: number[] = [];
      let forced = false;
      for (let row = 0; row < rows.length; row++) {
        let left = -1;
        let free = 0;
        let isHit = false;
        for (const operator of rows[row] as Int32Array) {
          if (status[operator] === IN) {
            isHit = true;
            break;
          }
          if (status[operator] === FREE) {
            free++;
            left = operator;
          }
        }
        if (isHit) continue;
        if (free === 0) return undefined;
        if (free === 1) {
          this.#set(left, IN);
          forced = true;
        } else active.push(row);
      }
      this.#budget.spendWork(rows.length * 4);
      if (!forced) return active;
    }
  }

  /** Settles the operators whose reduced cost decides: in no better plan, or in every better plan. */
  #settle(active: readonly number[], lower: number, depth: number): boolean {
    const { reduced, rows } = this.#hitting;
    const slack = this.#best.cost - lower;
    let settled = false;
    const seen = new Set<number>();
    for (const row of active) {
      for (const operator of rows[row] as Int32Array) {
        if (this.#status[operator] !== FREE || seen.has(operator)) continue;
        seen.add(operator);
        const left = reduced[operator] as number;
        if (left > 0 && this.#atLeast(left, slack, lower)) this.#set(operator, OUT);
        else if (left < 0 && this.#atLeast(-left, slack, lower)) this.#set(operator, IN);
        else continue;
        settled = true;
      }
    }
    if (settled && depth === 0) this.#widenGoals();
    return settled;
  }

  /** Whether a bound that is higher by so much leaves no room for a better plan. */
  #atLeast(more: number, slack: number, lower: number): boolean {
    return more >= slack - COST_EPSILON || this.#isHopeless(lower + more);
  }

  /** What is in every better plan has to run, so what it needs is a goal. */
  #widenGoals(): void {
    const goals = new Set(this.#goals);
    this.#graph.operators.forEach(({ needs, cost }, operator) => {
      if (cost === 0 || this.#status[operator] !== IN) return;
      for (const need of needs) goals.add(need);
    });
    this.#goals = [...goals];
  }

  #branch(active: readonly number[], depth: number, lower: number): void {
    const operator = this.#decisive(active);
    if (operator === -1) return;
    for (const choice of [IN, OUT] as const) {
      const mark = this.#trail.length;
      this.#set(operator, choice);
      this.#node(depth + 1, lower);
      this.#undoTo(mark);
    }
  }

  /** Of a landmark with few operators left, the one that is worth the most: settled either way, it decides much. */
  #decisive(active: readonly number[]): number {
    const { rows, reduced, costs } = this.#hitting;
    const frequency = new Map<number, number>();
    for (const row of active) {
      let free = 0;
      for (const operator of rows[row] as Int32Array) if (this.#status[operator] === FREE) free++;
      const weight = 1 / (free * free);
      for (const operator of rows[row] as Int32Array) {
        if (this.#status[operator] !== FREE) continue;
        frequency.set(operator, (frequency.get(operator) ?? 0) + weight);
      }
    }
    let best = -1;
    let most = Number.NEGATIVE_INFINITY;
    for (const [operator, weight] of frequency) {
      // An operator near the edge of being worth it, in many narrow landmarks.
      const doubt = 1 + Math.abs(reduced[operator] as number) / ((costs[operator] as number) + 0.01);
      const score = weight / doubt;
      if (score <= most) continue;
      most = score;
      best = operator;
    }
    return best;
  }

  /** A cheap set that hits every row: what is in, and greedily by reduced cost; spare ones taken out again. */
  #hittingSet(active: readonly number[]): Uint8Array {
    const { rows, reduced, costs } = this.#hitting;
    const chosen = new Uint8Array(this.#status.length);
    for (let operator = 0; operator < chosen.length; operator++) {
      if (this.#status[operator] === IN) chosen[operator] = 1;
    }
    const uncovered = new Set(active);
    const rowsOf = new Map<number, number[]>();
    for (const row of active) {
      for (const operator of rows[row] as Int32Array) {
        if (this.#status[operator] !== FREE) continue;
        const list = rowsOf.get(operator);
        if (list) list.push(row);
        else rowsOf.set(operator, [row]);
      }
    }
    const taken: number[] = [];
    const take = (operator: number): void => {
      chosen[operator] = 1;
      taken.push(operator);
      for (const row of rowsOf.get(operator) ?? []) uncovered.delete(row);
    };
    const order = [...rowsOf.keys()].sort((a, b) => (reduced[a] as number) - (reduced[b] as number) || a - b);
    for (const operator of order) {
      if (uncovered.size === 0 || (reduced[operator] as number) > 0) break;
      if ((rowsOf.get(operator) as number[]).some((row) => uncovered.has(row))) take(operator);
    }
    for (const row of active) {
      if (!uncovered.has(row)) continue;
      let best = -1;
      let least = Number.POSITIVE_INFINITY;
      for (const operator of rows[row] as Int32Array) {
        if (this.#status[operator] !== FREE) continue;
        const covers = (rowsOf.get(operator) as number[]).filter((other) => uncovered.has(other)).length;
        const price = Math.max(0.001, reduced[operator] as number) / covers;
        if (price >= least) continue;
        least = price;
        best = operator;
      }
      if (best !== -1) take(best);
    }
    taken.sort((a, b) => (costs[b] as number) - (costs[a] as number) || b - a);
    for (const operator of taken) {
      const spare = (rowsOf.get(operator) as number[]).every((row) =>
        (rows[row] as Int32Array).some((other) => other !== operator && chosen[other] === 1),
      );
      if (spare) chosen[operator] = 0;
    }
    return chosen;
  }

  /** For what the chosen operators miss: landmarks of operators that the bound does not pay for yet. */
  #addLandmarks(missed: readonly number[], chosen: Uint8Array): number {
    const { reduced, rows } = this.#hitting;
    const last = (operator: number): number => (this.#status[operator] === OUT ? 1 : 0);
    const order = this.#graph.operators
      .map((_, operator) => operator)
      .sort((a, b) => last(a) - last(b) || (reduced[a] as number) - (reduced[b] as number) || a - b);
    const before = rows.length;
    const names = new Set<string>();
    const shift = before % Math.max(1, missed.length);
    for (let index = 0; index < Math.min(missed.length, GOALS_A_ROUND); index++) {
      const goal = missed[(index + shift) % missed.length] as number;
      const landmark = this.#maker.unhit(goal, chosen, order).sort((a, b) => a - b);
      const name = landmark.join();
      if (landmark.length === 0 || names.has(name)) continue;
      names.add(name);
      this.#hitting.addRow(landmark);
      if (this.#budget.cutShort) break;
    }
    return rows.length - before;
  }

  /** A plan out of a set that is none: what was chosen is paid for, the rest is the cheapest that comes to it. */
  #complete(chosen: Uint8Array): void {
    const { reduced } = this.#hitting;
    for (const price of [undefined, reduced]) {
      const operators = this.#graph.operators.map((operator, index): Operator => {
        if (chosen[index] === 1) return { ...operator, cost: 0 };
        return price === undefined
          ? operator
          : { ...operator, cost: Math.max(0.001, price[index] as number) };
      });
      const found = relaxedPlan({ ...this.#graph, operators }, this.#incidence, this.#budget);
      if (found !== undefined) this.#offerOrigins(found.origins);
    }
  }

  #offer(chosen: Uint8Array): void {
    const operators = this.#graph.operators.filter((_, index) => chosen[index] === 1);
    this.#offerOrigins(operators.map(({ origin }) => origin));
  }

  #offerOrigins(origins: readonly number[]): void {
    const wanted = new Set(origins);
    let cost = 0;
    for (const operator of this.#graph.operators) if (wanted.has(operator.origin)) cost += operator.cost;
    if (cost < this.#best.cost - COST_EPSILON) this.#best = { origins: [...origins], cost };
  }

  #paid(): number {
    let paid = 0;
    for (let operator = 0; operator < this.#status.length; operator++) {
      if (this.#status[operator] === IN) paid += this.#hitting.costs[operator] as number;
    }
    return paid;
  }

  #isHopeless(lower: number): boolean {
    return this.#coarse(lower) >= this.#best.cost - COST_EPSILON;
  }

  /** The least cost that a plan of at least this cost can have, when costs come in grains. */
  #coarse(lower: number): number {
    if (this.#grain === 0) return lower;
    return Math.ceil(lower / this.#grain - 1e-6) * this.#grain;
  }

  #set(operator: number, status: number): void {
    this.#status[operator] = status;
    this.#trail.push(operator);
  }

  #undoTo(length: number): void {
    while (this.#trail.length > length) this.#status[this.#trail.pop() as number] = FREE;
  }
}

/** The greatest number of which all costs are multiples, looked for down to thousandths; 0 when there is none. */
function grainOf(costs: Float64Array): number {
  const isWhole = (value: number): boolean => Math.abs(value - Math.round(value)) < 1e-9;
  for (const scale of [1, 10, 100, 1000]) {
    if (!costs.every((cost) => cost * scale < 1e9 && isWhole(cost * scale))) continue;
    let common = 0;
    for (const cost of costs) common = greatestDivisor(common, Math.round(cost * scale));
    return common / scale;
  }
  return 0;
}

function greatestDivisor(a: number, b: number): number {
  let [left, right] = [a, b];
  while (right !== 0) [left, right] = [right, left % right];
  return left;
}
