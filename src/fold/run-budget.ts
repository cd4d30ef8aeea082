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
 *    that in its own log, as a decision (L3), and does what the run does whose limit it is. One that waits goes on
 *    once that run says that it was raised: later, by the sequences of its log, than the draw that it refused.
 *  - G4 What a nested run got from above is what was left there at its start. A person may raise that, so it binds
 *    only under holders that do not ask above for each dispatch all the same (L1).
 */
import { z } from "zod";
import type { DecisionMessage } from "../bus/decisions.ts";
import type { SubmitMessage } from "../bus/messages.ts";
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
  type OnLimit,
} from "../workflow/budget.ts";
import type { Spending } from "./spending.ts";

export class RunBudget {
  readonly onLimit: OnLimit;
  readonly #spending: Spending;
  /** The run's own, as its workflow or a person set them. */
  #own: BudgetLimits;
  /** G4: what was left above at the start. */
  #inherited: BudgetLimits;
  /** What binds. */
  #limits: BudgetLimits;
  #heedsRaises = false;
  #lifted = false;
  /** Ms that the run had taken when it was decided that its time is up. */
  #wallMs = 0;
  /** G3. */
  #above: ExcessAbove | undefined;
  /** G3. By run above, the place in its log at which it was last raised, as far as it said so. */
  #raisesAbove: Map<string, number> | undefined;
  #raisedSeq = 0;

  private constructor(own: BudgetLimits, inherited: BudgetLimits, onLimit: OnLimit, spending: Spending) {
    this.#own = own;
    this.#inherited = inherited;
    this.#limits = narrowest(own, inherited);
    this.onLimit = onLimit;
    this.#spending = spending;
  }

  /** The workflow's budget, narrowed by the submission's. Undefined when nothing is limited, here or above. */
  static of(
    document: BudgetDocument | undefined,
    submission: Pick<SubmitMessage, "budget" | "parent"> | undefined,
    spending: Spending,
  ): RunBudget | undefined {
    const submitted = submission?.budget;
    const isBelow = (submission?.parent?.budgets?.length ?? 0) > 0;
    const limits = budgetLimits(submitted);
    const own = isBelow ? budgetLimits(document) : narrowest(budgetLimits(document), limits);
    if (!isBelow && Object.keys(own).length === 0) return undefined;
    const onLimit = submitted?.onLimit ?? document?.onLimit ?? "pause";
    return new RunBudget(own, isBelow ? limits : {}, onLimit, spending);
  }

  get limits(): BudgetLimits {
    return this.#limits;
  }

  /** The first limit that is reached; undefined: the run may spend. */
  get excess(): (BudgetExcess & { run?: string }) | undefined {
    return this.excessUnder(this.#limits) ?? (this.#lifted ? undefined : this.#above);
  }

  /** What the run does that wants to spend more all the same: at a limit of a run above what that does. */
  get atLimit(): OnLimit {
    return this.excessUnder(this.#limits) === undefined
      ? (this.#above?.onLimit ?? this.onLimit)
      : this.onLimit;
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

  /** G4. @param heeds whether the present holder heeds what is raised */
  heedRaises(heeds: boolean): void {
    this.#heedsRaises = heeds;
    this.#limits = heeds ? this.#own : narrowest(this.#own, this.#inherited);
  }

  get heedsRaises(): boolean {
    return this.#heedsRaises;
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

  /** G3. The budget of a run above is spent. Returns why that is not so any more. */
  noteAbove({ excess, run, seq, onLimit = this.onLimit }: SpentAbove): string | undefined {
    if (seq !== undefined && seq < (this.#raisesAbove?.get(run) ?? 0))
      return `the budget of run ${run} was raised since`;
    this.#above = { ...excess, run, onLimit, ...(seq === undefined ? {} : { seq }) };
    return undefined;
  }

  /** G3. A run above says where in its log it was raised last. */
  noteRaiseAbove({ run, seq }: { run: string; seq: number }): void {
    this.#raisesAbove ??= new Map();
    this.#raisesAbove.set(run, Math.max(seq, this.#raisesAbove.get(run) ?? 0));
    if (this.#above?.run === run && (this.#above.seq ?? 0) < seq) this.#above = undefined;
  }

  /** Log sequence at which a person last let the run go on; what was refused before is to be asked for again. */
  get raisedSeq(): number {
    return this.#raisedSeq;
  }

  /**
   * Sets new bounds for some resources; the others keep theirs. Whether there is more above is asked anew.
   * @param seq log sequence of whoever says so
   */
  raise(limits: BudgetLimits, seq: number): void {
    this.#raisedSeq = seq;
    this.#own = { ...this.#own, ...limits };
    const replaced = new Set(Object.keys(limits));
    const kept = Object.entries(this.#inherited).filter(([resource]) => !replaced.has(resource));
    this.#inherited = Object.fromEntries(kept);
    this.heedRaises(this.#heedsRaises);
    this.#above = undefined;
  }

  /** What is left of every limit, for a part of the run that gets its own budget. */
  left(elapsedMs: number): BudgetLimits {
    const left: Partial<Record<BudgetResource, number>> = {};
    const known = narrowest(this.#own, this.#inherited);
    for (const resource of BUDGET_RESOURCES) {
      const bound = known[resource];
      if (bound === undefined) continue;
      const actual = resource === "wall" ? elapsedMs : this.#actual(resource);
      const standing = this.#limits[resource];
      if (actual < bound) left[resource] = bound - actual;
      // G4: where what came from above is used up, only what binds may say that nothing is left.
      else if (standing !== undefined) left[resource] = Math.max(0, standing - actual);
    }
    return left;
  }

  #actual(resource: BudgetResource): number {
    return resource === "wall" ? this.#wallMs : this.#spending.total[resource];
  }
}

type SpentAbove = Pick<DecisionMessage & { type: "spent-above" }, "excess" | "run" | "seq" | "onLimit">;

interface ExcessAbove extends BudgetExcess {
  readonly run: string;
  readonly onLimit: OnLimit;
  /** Of the draw that was refused, in the log of that run. */
  readonly seq?: number;
}

/** What a resume or a retry may carry. */
const raiseSchema = z.object({ budget: budgetSchema.optional() });

/**
 * The new limits that a resume or retry carries; none: the standing ones stay.
 * @returns text: why the run may not go on with them
 */
export function raisedLimits(budget: RunBudget | undefined, value: unknown): BudgetLimits | string {
  const given = raiseSchema.safeParse(value ?? {});
  if (!given.success) return `its value is no budget: ${z.prettifyError(given.error)}`;
  if (!budget) return given.data.budget ? "the run has no budget that could be raised" : {};
  const limits = budgetLimits(given.data.budget);
  const excess = budget.excessUnder(limits);
  return excess ? `${excessText(excess)}; it needs a higher one` : limits;
}

/** `the budget of 5000 tokens is spent: 5200 tokens`; of another run: `… of 5000 tokens of run trip …`. */
export function excessText({ resource, bound, actual, run }: BudgetExcess & { run?: string }): string {
  const whose = run === undefined ? "" : ` of run ${run}`;
  return `the budget of ${amountOf(resource, bound)}${whose} is spent: ${amountOf(resource, actual)}`;
}
