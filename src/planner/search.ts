/**
 * The cheapest plan of a delete-free problem: branch and bound over which operators are in the plan.
 *
 * Each node is a smaller problem: what was taken costs nothing any more, what was refused is gone. Reductions
 * come first (relevance.ts), parts that share nothing are solved apart, LM-cut bounds each part from below
 * and a relaxed plan from above. Where they do not meet, one of LM-cut's cuts is branched on: every plan has
 * an operator of it, so the branches "the first; the second but not the first; …" miss no plan and meet
 * none twice.
 *
 * Anytime: when the budget ends, every open part answers with its relaxed plan, and the budget says that
 * the search was cut short. Decides nothing by time or chance (L7).
 */
import type { SearchBudget } from "./budget.ts";
import { type Hypergraph, incidenceOf, type Operator } from "./hypergraph.ts";
import { COST_EPSILON, type LandmarkBound, lmCut } from "./lm-cut.ts";
import { type Candidate, relaxedPlan } from "./relaxed-plan.ts";
import { reduce } from "./relevance.ts";

/**
 * @param upper only plans below this cost are of interest
 * @returns undefined when there is none below `upper` (or none was found before the budget ended)
 */
export function cheapestPlan(
  graph: Hypergraph,
  budget: SearchBudget,
  upper = Number.POSITIVE_INFINITY,
): Candidate | undefined {
  const reduction = reduce(graph);
  budget.spendWork(graph.operators.length);
  if (reduction === undefined || reduction.cost >= upper - COST_EPSILON) return undefined;
  const solved = solveParts(reduction.parts, budget, upper - reduction.cost);
  if (solved === undefined) return undefined;
  return { origins: [...reduction.taken, ...solved.origins], cost: reduction.cost + solved.cost };
}

function solveParts(
  parts: readonly Hypergraph[],
  budget: SearchBudget,
  upper: number,
): Candidate | undefined {
  const bounds = parts.map((part) => lmCut(part, incidenceOf(part), budget));
  let total = bounds.reduce((sum, { bound }) => sum + bound, 0);
  if (total >= upper - COST_EPSILON) return undefined;
  const origins: number[] = [];
  let cost = 0;
  for (const [index, part] of parts.entries()) {
    const bound = bounds[index] as LandmarkBound;
    const solved = solvePart(part, bound, budget, upper - (total - bound.bound));
    if (solved === undefined) return undefined;
    total += solved.cost - bound.bound;
    cost += solved.cost;
    origins.push(...solved.origins);
  }
  return { origins, cost };
}

function solvePart(
  graph: Hypergraph,
  known: LandmarkBound,
  budget: SearchBudget,
  limit: number,
): Candidate | undefined {
  const open = budget.spendNode();
  let best: Candidate | undefined;
  let upper = limit;
  const improve = (candidate: Candidate | undefined): void => {
    if (candidate === undefined || candidate.cost >= upper - COST_EPSILON) return;
    best = candidate;
    upper = candidate.cost;
  };
  improve(relaxedPlan(graph, incidenceOf(graph), budget));
  if (!open || known.bound >= upper - COST_EPSILON) return best;

  // In no plan below `upper`: the bound leaves that much of its cost uncounted.
  const hopeless = (index: number): boolean =>
    known.bound + (known.rest[index] as number) >= upper - COST_EPSILON;
  const cuts = known.cuts.map((cut) => cut.filter((index) => !hopeless(index)));
  if (cuts.some((cut) => cut.length === 0)) return best;

  const mandatory = new Set(cuts.flatMap((cut) => (cut.length === 1 ? cut : [])));
  const refused = new Set(graph.operators.flatMap((_, index) => (hopeless(index) ? [index] : [])));
  if (mandatory.size > 0 || refused.size > 0) {
    improve(child(graph, mandatory, refused, budget, upper));
    return best;
  }

  const cut = smallest(cuts);
  const preferred = byPromise(graph, cut, best);
  for (const [position, index] of preferred.entries()) {
    const earlier = new Set(preferred.slice(0, position));
    improve(child(graph, new Set([index]), earlier, budget, upper));
    if (known.bound >= upper - COST_EPSILON) break;
  }
  return best;
}

function child(
  graph: Hypergraph,
  taken: ReadonlySet<number>,
  refused: ReadonlySet<number>,
  budget: SearchBudget,
  upper: number,
): Candidate | undefined {
  let cost = 0;
  const origins: number[] = [];
  const goals = new Set(graph.goals);
  const operators = graph.operators.flatMap((operator, index) => {
    if (refused.has(index)) return [];
    if (!taken.has(index)) return [operator];
    cost += operator.cost;
    origins.push(operator.origin);
    // Taking an operator means running it: what it needs has to be reached.
    for (const need of operator.needs) goals.add(need);
    return [{ ...operator, cost: 0 }];
  });
  const solved = cheapestPlan(
    { factCount: graph.factCount, operators, goals: [...goals] },
    budget,
    upper - cost,
  );
  if (solved === undefined) return undefined;
  return { origins: [...origins, ...solved.origins], cost: cost + solved.cost };
}

function smallest(cuts: readonly (readonly number[])[]): readonly number[] {
  let least: readonly number[] = cuts[0] ?? [];
  for (const cut of cuts) if (cut.length < least.length) least = cut;
  return least;
}

/** Those of the best plan so far first, then the cheaper ones: a good plan found early prunes the rest. */
function byPromise(graph: Hypergraph, cut: readonly number[], best: Candidate | undefined): number[] {
  const inBest = new Set(best?.origins);
  const rank = (index: number): number => (inBest.has((graph.operators[index] as Operator).origin) ? 0 : 1);
  const cost = (index: number): number => (graph.operators[index] as Operator).cost;
  return [...cut].sort((a, b) => rank(a) - rank(b) || cost(a) - cost(b) || a - b);
}
