/**
 * The cheapest plan of a delete-free problem.
 *
 * Reductions come first (relevance.ts); parts that share nothing are solved apart. Of each part LM-cut gives a
 * bound from below and its landmarks, a relaxed plan a bound from above; where they do not meet, a search over
 * hitting sets closes the gap (branch-and-cut.ts).
 *
 * Anytime: when the budget ends, every part answers with its best plan so far and with what no plan can be
 * cheaper than.
 */
import { type BoundedPlan, BranchAndCut } from "./branch-and-cut.ts";
import type { SearchBudget } from "./budget.ts";
import { type Hypergraph, incidenceOf } from "./hypergraph.ts";
import { COST_EPSILON, lmCut } from "./lm-cut.ts";
import { relaxedPlan } from "./relaxed-plan.ts";
import { reduce } from "./relevance.ts";

/** @returns undefined when there is no plan */
export function cheapestPlan(graph: Hypergraph, budget: SearchBudget): BoundedPlan | undefined {
  const reduction = reduce(graph);
  budget.spendWork(graph.operators.length);
  if (reduction === undefined) return undefined;
  const origins = [...reduction.taken];
  const ruledOut: number[] = [];
  let { cost } = reduction;
  let bound = reduction.cost;
  for (const part of reduction.parts) {
    const solved = solvePart(part, budget);
    if (solved === undefined) return undefined;
    origins.push(...solved.origins);
    cost += solved.cost;
    bound += solved.bound;
    ruledOut.push(...solved.ruledOut);
  }
  // A forced operator is taken once for its goal and once more because it is free then.
  return { origins: [...new Set(origins)], cost, bound, ruledOut };
}

function solvePart(graph: Hypergraph, budget: SearchBudget): BoundedPlan | undefined {
  const incidence = incidenceOf(graph);
  const first = relaxedPlan(graph, incidence, budget);
  if (first === undefined) return undefined;
  const known = lmCut(graph, incidence, budget);
  if (known.bound >= first.cost - COST_EPSILON) {
    budget.spendNode();
    const ruledOut = graph.operators.flatMap(({ origin }, index) =>
      (known.rest[index] as number) > first.cost - known.bound + COST_EPSILON ? [origin] : [],
    );
    return { ...first, bound: first.cost, ruledOut };
  }
  return new BranchAndCut(graph, first, known, budget).solve(known.bound);
}
