/**
 * Whether a run may go on spending: its limits against what its log says was spent.
 *
 * It owns the limits, which a person may raise, and which of them is reached. It owns no clock: that the time
 * is up is a decision in the log (L3, L7).
 *
 *  - G1 At a limit nothing more is given out; what is out may end, and only that can exceed the limit.
 *  - G2 A dispatch of a run with a budget counts only once the log has it (`grants`), so that two holders
 *    together never give out more than is allowed.
 *  - G3 What runs below spend counts as it is told (`draws.ts`): a nested run that reached a limit above it has
 *    that in its own log, as a decision (L3).
 */
import { z } from "zod";
import {
  amountOf,
  BUDGET_RESOURCES,
  type BudgetDocument,
  type BudgetExcess,
  type BudgetLimits,
  type BudgetResource,
  budgetLimits,
  budgetSchema,
  narrowest,
} from "../workflow/budget.ts";
import type { Spending } from "./spending.ts";

export class RunBudget {
  readonly onLimit: "pause" | "fail";
  readonly #spending: Spending;
  #limits: BudgetLimits;
  #lifted = false;
  /** Ms that the run had taken when it was decided that its time is up. */
  #wallMs = 0;
  /** G3. */
  #above: (BudgetExcess & { run: string }) | undefined;

  private constructor(limits: BudgetLimits, onLimit: "pause" | "fail", spending: Spending) {
    this.#limits = limits;
    this.onLimit = onLimit;
    this.#spending = spending;
  }

  /** The workflow's budget, narrowed by the submission's. Undefined when nothing is limited. */
  static of(
    document: BudgetDocument | undefined,
    submitted: BudgetDocument | undefined,
    spending: Spending,
  ): RunBudget | undefined {
    const limits = narrowest(budgetLimits(document), budgetLimits(submitted));
    if (Object.keys(limits).length === 0) return undefined;
    return new RunBudget(limits, submitted?.onLimit ?? document?.onLimit ?? "pause", spending);
  }

  get limits(): BudgetLimits {
    return this.#limits;
  }

  /** The first limit that is reached; undefined: the run may spend. */
  get excess(): (BudgetExcess & { run?: string }) | undefined {
    return this.excessUnder(this.#limits) ?? (this.#lifted ? undefined : this.#above);
  }

  /** The first limit that is reached if these replace the standing ones. */
  excessUnder(limits: BudgetLimits): BudgetExcess | undefined {
    if (this.#lifted) return undefined;
    for (const resource of BUDGET_RESOURCES) {
      const bound = limits[resource] ?? this.#limits[resource];
      const actual = this.#actual(resource);
      if (bound !== undefined && actual >= bound) return { resource, bound, actual };
    }
    return undefined;
  }

  /** How many more dispatches are allowed. */
  get dispatchesLeft(): number {
    const { dispatches } = this.#limits;
    return dispatches === undefined || this.#lifted
      ? Number.POSITIVE_INFINITY
      : dispatches - this.#spending.total.dispatches;
  }

  /** Whether it is already decided that the time is up. */
  get isTimeUp(): boolean {
    return this.#limits.wall !== undefined && this.#wallMs >= this.#limits.wall;
  }

  /** From now on nothing is limited: what a run did must be undone, whatever it costs. */
  lift(): void {
    this.#lifted = true;
  }

  get isLifted(): boolean {
    return this.#lifted;
  }

  noteTime(elapsedMs: number): void {
    this.#wallMs = Math.max(this.#wallMs, elapsedMs);
  }

  /** G3. The budget of a run above is spent. */
  noteAbove(run: string, excess: BudgetExcess): void {
    this.#above = { ...excess, run };
  }

  /** Sets new bounds for some resources; the others keep theirs. Whether there is more above is asked anew. */
  raise(limits: BudgetLimits): void {
    this.#limits = { ...this.#limits, ...limits };
    this.#above = undefined;
  }

  /** What is left of every limit, for a part of the run that gets its own budget. */
  left(elapsedMs: number): BudgetLimits {
    const left: Partial<Record<BudgetResource, number>> = {};
    for (const resource of BUDGET_RESOURCES) {
      const bound = this.#limits[resource];
      const actual = resource === "wall" ? elapsedMs : this.#actual(resource);
      if (bound !== undefined) left[resource] = Math.max(0, bound - actual);
    }
    return left;
  }

  #actual(resource: BudgetResource): number {
    return resource === "wall" ? this.#wallMs : this.#spending.total[resource];
  }
}

/** What a resume or a retry may carry. */
const raiseSchema = z.object({ budget: budgetSchema.optional() });

/**
 * Takes the new limits that a resume or retry carries.
 * @returns why the run may not go on nevertheless; then nothing has changed
 */
export function raiseBudget(budget: RunBudget | undefined, value: unknown): string | undefined {
  const given = raiseSchema.safeParse(value ?? {});
  if (!given.success) return `its value is no budget: ${z.prettifyError(given.error)}`;
  if (!budget) return given.data.budget && "the run has no budget that could be raised";
  const limits = budgetLimits(given.data.budget);
  const excess = budget.excessUnder(limits);
  if (excess) return `${excessText(excess)}; it needs a higher one`;
  budget.raise(limits);
  return undefined;
}

/** `the budget of 5000 tokens is spent: 5200 tokens`; of another run: `… of 5000 tokens of run trip …`. */
export function excessText({ resource, bound, actual, run }: BudgetExcess & { run?: string }): string {
  const whose = run === undefined ? "" : ` of run ${run}`;
  return `the budget of ${amountOf(resource, bound)}${whose} is spent: ${amountOf(resource, actual)}`;
}
