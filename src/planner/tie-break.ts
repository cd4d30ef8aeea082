/**
 * Among plans of one cost, one with a short critical path: the run takes as long as its longest chain.
 *
 * The same branching over LM-cut's cuts as the search, but a branch lives while it can still match the cost,
 * and is cut off when its critical path cannot get shorter than the best known. Bounded by its own, smaller
 * budget: it never makes the difference between a plan and no plan, nor between proven and unproven cost.
 */
import type { BoundedPlan } from "./branch-and-cut.ts";
import type { SearchBudget } from "./budget.ts";
import { depthOf, type Hypergraph, incidenceOf, levelsOf, type Operator } from "./hypergraph.ts";
import { COST_EPSILON, lmCut } from "./lm-cut.ts";
import { relaxedPlan, withoutSpare } from "./relaxed-plan.ts";
import { keep, prune } from "./relevance.ts";

const TIE_NODE_LIMIT = 300;
const TIE_WORK_LIMIT = 1_000_000;

interface Best {
  origins: readonly number[];
  depth: number;
}

/**
 * @param graph whose operators are numbered by their origins; spare ones may be among those of the plan
 * @returns a plan that costs no more, with no spare operators, in ascending order
 */
export function shortestOfEqualCost(
  graph: Hypergraph,
  { origins, ruledOut }: Pick<BoundedPlan, "origins" | "ruledOut">,
  search: SearchBudget,
): readonly number[] {
  const budget = search.aside(TIE_NODE_LIMIT, TIE_WORK_LIMIT);
  const first = tidy(graph, new Set(origins), budget);
  const best: Best = { origins: first.origins, depth: first.depth };
  const out = new Set(ruledOut);
  const pruned = prune(keep(graph, (index) => !out.has(index)));
  if (pruned !== undefined) improve(pruned, graph, first.cost, best, budget);
  return best.origins;
}

/** Leaves out what the goals can do without, never at the price of a longer critical path. */
function tidy(graph: Hypergraph, origins: ReadonlySet<number>, budget: SearchBudget) {
  const chosen = keep(graph, (index) => origins.has((graph.operators[index] as Operator).origin));
  const depth = depthOf(chosen, levelsOf(chosen, incidenceOf(chosen))) ?? Number.POSITIVE_INFINITY;
  const lean = withoutSpare(chosen, budget, depth);
  return {
    origins: lean.operators.map((operator) => operator.origin),
    cost: lean.operators.reduce((sum, operator) => sum + operator.cost, 0),
    depth,
  };
}

function improve(
  node: Hypergraph,
  whole: Hypergraph,
  limit: number,
  best: Best,
  budget: SearchBudget,
  taken: readonly number[] = [],
): void {
  if (!budget.spendNode()) return;
  const incidence = incidenceOf(node);
  const least = depthOf(node, levelsOf(node, incidence));
  if (least === undefined || least >= best.depth) return;
  const { bound, cuts, rest } = lmCut(node, incidence, budget);
  if (bound > limit + COST_EPSILON) return;

  const offer = (origins: readonly number[]): void => {
    const plan = tidy(whole, new Set([...taken, ...origins]), budget);
    if (plan.depth < best.depth) Object.assign(best, { origins: plan.origins, depth: plan.depth });
  };
  const free = node.operators.flatMap((operator) => (operator.cost === 0 ? [operator.origin] : []));
  if (cuts.length === 0) {
    // Nothing is left to pay for: what is free reaches the goals, and nothing dearer is affordable.
    offer(free);
    if (limit <= COST_EPSILON) return;
  }
  const relaxed = relaxedPlan(node, incidence, budget);
  if (relaxed !== undefined && relaxed.cost <= limit + COST_EPSILON) offer([...free, ...relaxed.origins]);

  const affordable = (index: number): boolean => bound + (rest[index] as number) <= limit + COST_EPSILON;
  let cut: readonly number[] | undefined;
  for (const each of cuts) {
    const left = each.filter(affordable);
    if (cut === undefined || left.length < cut.length) cut = left;
  }
  for (const [position, index] of (cut ?? []).entries()) {
    const refused = new Set((cut ?? []).slice(0, position));
    const operator = node.operators[index] as Operator;
    const operators = node.operators.flatMap((other, at) => {
      if (refused.has(at) || !affordable(at)) return [];
      return [at === index ? { ...other, cost: 0 } : other];
    });
    const goals = [...new Set([...node.goals, ...operator.needs])];
    improve({ factCount: node.factCount, operators, goals }, whole, limit - operator.cost, best, budget, [
      ...taken,
      operator.origin,
    ]);
  }
}
