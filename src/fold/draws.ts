/**
 * What nested runs draw on the budget of the run above them, judged: how many of the dispatches that each wants to
 * give out are granted.
 *
 * It owns the verdicts. It does not own what is spent (`spending.ts`), nor the limits (`run-budget.ts`).
 *
 *  - W1 A dispatch below counts before it is given out, so that all runs below together keep the limit exactly.
 *  - W2 Amounts are those of the whole nested run: whoever draws again after a crash draws no more than before.
 */
import type { Draw } from "../bus/budget-draw.ts";
import type { BudgetExcess } from "../workflow/budget.ts";
import type { RunBudget } from "./run-budget.ts";
import type { Spending } from "./spending.ts";

export interface DrawVerdict {
  /** Whether anybody waits for the nested run. */
  readonly open: boolean;
  readonly granted: number;
  /** The limit that allows no more. */
  readonly excess?: BudgetExcess;
}

export class Draws {
  readonly #spending: Spending;
  /** The last draw of each nested run. */
  readonly #verdicts = new Map<string, { seq: number; verdict: DrawVerdict }>();

  constructor(spending: Spending) {
    this.#spending = spending;
  }

  /** What became of the draw at this log sequence, or of a later one of the same run. */
  verdict(child: string, seq: number): DrawVerdict | undefined {
    const last = this.#verdicts.get(child);
    return last !== undefined && last.seq >= seq ? last.verdict : undefined;
  }

  /** @param open whether the dispatch that the nested run is below of waits for a result */
  apply(draw: Draw, seq: number, open: boolean, budget: RunBudget | undefined): void {
    const { wants, ...spent } = draw;
    this.#spending.draw(spent);
    if (wants === 0) return;
    const verdict = open ? this.#grant(draw, budget) : { open, granted: 0 };
    this.#verdicts.set(draw.child, { seq, verdict });
  }

  #grant({ wants, ...spent }: Draw, budget: RunBudget | undefined): DrawVerdict {
    const counted = this.#spending.drawnBy(spent);
    const asked = spent.dispatches + wants;
    // W2: what counts already was granted before.
    const more = Math.max(0, asked - counted);
    const left = Math.max(0, budget?.dispatchesLeft ?? Number.POSITIVE_INFINITY);
    const excess = budget?.excessUnder(budget.limits);
    const spentOtherwise = excess !== undefined && excess.resource !== "dispatches";
    const granted = spentOtherwise ? 0 : wants - Math.max(0, more - left);
    // W1
    if (granted > 0) this.#spending.draw({ ...spent, dispatches: spent.dispatches + granted });
    return { open: true, granted, ...(granted < wants && excess !== undefined && { excess }) };
  }
}
