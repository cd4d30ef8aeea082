/**
 * What it costs at least to take one operator of every landmark: the Lagrangian bound of the hitting set
 * problem, by subgradient steps (Beasley, "A Lagrangian heuristic for set-covering problems", 1990).
 *
 * Every row (a landmark) has a price; an operator's reduced cost is its cost less the prices of its rows.
 * Prices are never wrong, only more or less good: whatever they are, their sum plus the negative reduced
 * costs is a bound. They are kept between calls, so that a bound starts where the last one ended.
 */
import type { SearchBudget } from "./budget.ts";

export const FREE = 0;
export const IN = 1;
export const OUT = 2;

/** How far a step goes, as a share of what is missing; halved after some steps that bring next to nothing. */
const FIRST_PACE = 1.6;
const LAST_PACE = 0.02;
const STALE_STEPS = 5;
const STALE_SHARE = 0.001;
const SMALLEST_GAP = 0.01;

export class HittingBound {
  readonly costs: Float64Array;
  readonly rows: Int32Array[] = [];
  readonly #price: number[] = [];
  readonly #budget: SearchBudget;
  /** Reduced costs after the last call of `bound`, at its best prices. */
  readonly reduced: Float64Array;

  constructor(costs: Float64Array, budget: SearchBudget) {
    this.costs = costs;
    this.#budget = budget;
    this.reduced = Float64Array.from(costs);
  }

  addRow(row: readonly number[]): void {
    this.rows.push(Int32Array.from(row));
    // As in LM-cut: what is left of the cheapest operator's cost is the row's.
    let least = Number.POSITIVE_INFINITY;
    for (const operator of row) least = Math.min(least, this.reduced[operator] as number);
    const price = Math.max(0, least);
    this.#price.push(price);
    for (const operator of row) this.reduced[operator] = (this.reduced[operator] as number) - price;
  }

  /**
   * A lower bound of hitting the given rows with free operators, beside what is in.
   * @param active rows that nothing hits yet
   * @param upper what a bound has to reach to be of use; steps are made towards it
   */
  bound(active: readonly number[], status: Uint8Array, upper: number, steps: number): number {
    const { costs, reduced } = this;
    const rows = active.map((row) => this.rows[row] as Int32Array);
    const price = Float64Array.from(active, (row) => this.#price[row] as number);
    const bestPrice = price.slice();
    const slope = new Float64Array(active.length);
    /** Free operators that pay for themselves at the present prices. */
    const low = new Uint8Array(costs.length);
    const work = 2 * rows.reduce((sum, row) => sum + row.length, 0) + costs.length;
    let best = Number.NEGATIVE_INFINITY;
    let pace = FIRST_PACE;
    let stale = 0;
    for (let step = 0; ; step++) {
      this.#budget.spendWork(work);
      let value = this.#reduce(rows, price);
      for (let operator = 0; operator < costs.length; operator++) {
        const left = reduced[operator] as number;
        low[operator] = 0;
        if (left > 0 || status[operator] !== FREE) continue;
        low[operator] = 1;
        value += left;
      }
      if (value > best + STALE_SHARE * Math.max(1, Math.abs(best))) stale = 0;
      else if (++stale >= STALE_STEPS) {
        pace /= 2;
        stale = 0;
      }
      if (value > best) {
        best = value;
        bestPrice.set(price);
      }
      if (best >= upper || pace < LAST_PACE || step >= steps || this.#budget.cutShort) break;
      for (let index = 0; index < rows.length; index++) {
        const row = rows[index] as Int32Array;
        let hits = 0;
        for (let at = 0; at < row.length; at++) hits += low[row[at] as number] as number;
        slope[index] = 1 - hits;
      }
      if (!moved(price, slope, pace * Math.max(upper - value, SMALLEST_GAP))) break;
    }
    this.#reduce(rows, bestPrice);
    active.forEach((row, index) => {
      this.#price[row] = bestPrice[index] as number;
    });
    return best;
  }

  /** Computes the reduced costs at these prices. @returns the sum of the prices */
  #reduce(rows: readonly Int32Array[], price: Float64Array): number {
    const { reduced } = this;
    reduced.set(this.costs);
    let sum = 0;
    for (let index = 0; index < rows.length; index++) {
      const own = price[index] as number;
      if (own === 0) continue;
      sum += own;
      const row = rows[index] as Int32Array;
      for (let at = 0; at < row.length; at++) {
        const operator = row[at] as number;
        reduced[operator] = (reduced[operator] as number) - own;
      }
    }
    return sum;
  }
}

/** One step along the slopes. @returns whether there was any */
function moved(price: Float64Array, slope: Float64Array, length: number): boolean {
  let norm = 0;
  for (let index = 0; index < price.length; index++) {
    const along = slope[index] as number;
    // A price cannot fall below nothing.
    if (along > 0 || (price[index] as number) > 0) norm += along * along;
  }
  if (norm === 0) return false;
  const scale = length / norm;
  for (let index = 0; index < price.length; index++) {
    price[index] = Math.max(0, (price[index] as number) + scale * (slope[index] as number));
  }
  return true;
}
