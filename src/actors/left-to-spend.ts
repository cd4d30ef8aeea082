/** What a run may still spend on advice: before it has a workflow, of the budget that it was submitted with. */
import type { RunFold } from "../fold/run-fold.ts";
import { budgetLimits } from "../workflow/budget.ts";

export function leftToSpend(fold: RunFold): { tokensLeft?: number; usdLeft?: number } {
  const { total } = fold.spending;
  const { tokens, usd } = fold.budget?.limits ?? budgetLimits(fold.submission?.budget);
  return {
    ...(tokens !== undefined && { tokensLeft: tokens - total.tokens }),
    ...(usd !== undefined && { usdLeft: usd - total.usd }),
  };
}
