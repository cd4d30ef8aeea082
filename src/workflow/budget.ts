/**
 * What a run may spend: tokens and money as its agents report them, time since its submission, dispatches.
 *
 * It owns how budgets are written and compared. What was spent is folded from the log (`fold/spending.ts`).
 */
import { z } from "zod";
import { durationSchema, parseDuration } from "./names.ts";

/** What can be limited, in the order in which an excess is looked for. */
export const BUDGET_RESOURCES = ["tokens", "usd", "wall", "dispatches"] as const;
export type BudgetResource = (typeof BUDGET_RESOURCES)[number];

/** What a run does that wants to spend what it may not. */
export const onLimitSchema = z.enum(["pause", "fail"]);
export type OnLimit = z.infer<typeof onLimitSchema>;

export const budgetSchema = z.strictObject({
  tokens: z.int().min(1).optional().describe("Tokens that the agents report."),
  usd: z.number().positive().optional().describe("Money that the agents report."),
  wall: durationSchema.optional().describe("Time since the submission, pauses included."),
  dispatches: z.int().min(1).optional().describe("Times that a step is given to an agent, retries included."),
  onLimit: onLimitSchema
    .optional()
    .describe("At a limit the run pauses, to be resumed with a raised budget, or fails. Default pause."),
});
export type BudgetDocument = z.infer<typeof budgetSchema>;

/** A limit that is reached. */
export const budgetExcessSchema = z.object({
  resource: z.enum(BUDGET_RESOURCES),
  bound: z.number(),
  actual: z.number(),
});
export type BudgetExcess = z.infer<typeof budgetExcessSchema>;

/** A bound for each resource that has one; `wall` in milliseconds. */
export type BudgetLimits = Readonly<Partial<Record<BudgetResource, number>>>;

export function budgetLimits(document: BudgetDocument | undefined): BudgetLimits {
  const { tokens, usd, wall, dispatches } = document ?? {};
  const wallMs = wall === undefined ? undefined : parseDuration(wall);
  return withoutGaps({ tokens, usd, wall: wallMs, dispatches });
}

/** The narrower bound of each resource. */
export function narrowest(first: BudgetLimits, second: BudgetLimits): BudgetLimits {
  const limits: Partial<Record<BudgetResource, number>> = { ...first };
  for (const resource of BUDGET_RESOURCES) {
    const other = second[resource];
    if (other !== undefined) limits[resource] = Math.min(other, limits[resource] ?? other);
  }
  return limits;
}

/** `5200 tokens`, `0.5 USD`, `90000 ms`, `3 dispatches`. */
export function amountOf(resource: BudgetResource, amount: number): string {
  const unit = { tokens: "tokens", usd: "USD", wall: "ms", dispatches: "dispatches" }[resource];
  return `${paidSum(amount)} ${unit}`;
}

/** A sum as people add it up, 0.1 and 0.2 being 0.3: sums of money pick up digits that nobody paid. */
export function paidSum(sum: number): number {
  return Number(sum.toPrecision(12));
}

function withoutGaps(limits: Record<BudgetResource, number | undefined>): BudgetLimits {
  const known: Partial<Record<BudgetResource, number>> = {};
  for (const resource of BUDGET_RESOURCES) {
    const bound = limits[resource];
    if (bound !== undefined) known[resource] = bound;
  }
  return known;
}
