/**
 * What nested runs draw on the budget of the run above them, judged: how many of the dispatches that each wants to
 * give out are granted.
 *
 * It owns the verdicts. It does not own what is spent (`spending.ts`), nor the limits (`run-budget.ts`).
 *
 *  - W1 A dispatch below counts before it is given out, so that all runs below together keep the limit exactly.
 *  - W2 Amounts are those of the whole nested run: whoever draws again after a crash draws no more than before.
 *  - W3 A nested run that is granted nothing waits from that draw on until this run's budget is raised, where this
 *    run pauses at its limits. It draws again once it is told so, which is said until it does.
 */
import type { Draw } from "../bus/budget-draw.ts";
import type { BudgetExcess, OnLimit } from "../workflow/budget.ts";
import type { RunBudget } from "./run-budget.ts";
import type { Spending } from "./spending.ts";

export interface DrawVerdict {
  /** Whether anybody waits for the nested run. */
  readonly open: boolean;
  readonly granted: number;
  /** The limit that allows no more, and what the run does at it. */
  readonly excess?: BudgetExcess;
  readonly onLimit?: OnLimit;
}

/** W3 */
export interface WaitBelow extends Pick<Draw, "child" | "step" | "n"> {
  /** Log sequence of the draw that was granted nothing. */
  readonly seq: number;
}

const NOBODY: readonly WaitBelow[] = [];

export class Draws {
  readonly #spending: Spending;
  /** The last draw of each nested run. */
  readonly #verdicts = new Map<string, { seq: number; verdict: DrawVerdict }>();
  /** W3, by nested run. */
  readonly #waits = new Map<string, WaitBelow>();

  constructor(spending: Spending) {
    this.#spending = spending;
  }

  /** What became of the draw at this log sequence, or of a later one of the same run. */
  verdict(child: string, seq: number): DrawVerdict | undefined {
    const last = this.#verdicts.get(child);
    return last !== undefined && last.seq >= seq ? last.verdict : undefined;
  }

  /** W3. Those that wait, and those that are not known to go on since. @param isOpen whether a dispatch is */
  waits(isOpen: (dispatch: Pick<Draw, "step" | "n">) => boolean): readonly WaitBelow[] {
    if (this.#waits.size === 0) return NOBODY;
    for (const wait of this.#waits.values()) if (!isOpen(wait)) this.#waits.delete(wait.child);
    return [...this.#waits.values()];
  }

  /** @param open whether the dispatch that the nested run is below of waits for a result */
  apply(draw: Draw, seq: number, open: boolean, budget: RunBudget | undefined): void {
    const { wants, pauses, ...spent } = draw;
    this.#spending.draw(spent);
    if (wants === 0) return;
    const verdict: DrawVerdict = open ? this.#grant(draw, budget) : { open, granted: 0 };
    const { child, step, n } = draw;
    this.#verdicts.set(child, { seq, verdict });
    if (pauses && verdict.granted === 0 && verdict.onLimit === "pause")
      this.#waits.set(child, { child, step, n, seq });
    else this.#waits.delete(child);
  }

  #grant({ wants, pauses, ...spent }: Draw, budget: RunBudget | undefined): DrawVerdict {
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
    if (granted === wants || budget === undefined || excess === undefined) return { open: true, granted };
    return { open: true, granted, excess, onLimit: budget.onLimit };
  }
}
