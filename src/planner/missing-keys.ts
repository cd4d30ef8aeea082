/**
 * What is missing for a goal that cannot be reached: the smallest set of keys that would make it reachable.
 *
 * It is a planning problem itself: tasks cost nothing, and any key may be put into the environment for 1. The
 * cheapest plan puts in as few as possible. Among sets of one size, those at the bottom are preferred: keys
 * that no task gives before keys that some task gives, and both before a goal itself.
 */
import { SearchBudget } from "./budget.ts";
import type { Hypergraph, Operator } from "./hypergraph.ts";
import { COST_EPSILON } from "./lm-cut.ts";
import { compareText, type PlanningProblem } from "./problem.ts";
import { prune } from "./relevance.ts";
import { cheapestPlan } from "./search.ts";

const NODE_LIMIT = 2_000;
const WORK_LIMIT = 10_000_000;
/** What keys that are not at the bottom cost more; too little to outweigh a key, for thousands of them. */
const PREFERENCE = 1 / 16_384;

export interface MissingKeys {
  readonly keys: readonly string[];
  /** Whether it is proven that no smaller set would do. */
  readonly proven: boolean;
}

export function smallestMissing(problem: PlanningProblem): MissingKeys {
  const { graph, keys } = problem;
  const given = new Set(graph.operators.flatMap(({ gives }) => gives));
  const goals = new Set(graph.goals);
  const first = graph.operators.length;
  const gifts = keys.map((_, fact): Operator => {
    const above = goals.has(fact) ? 2 : given.has(fact) ? 1 : 0;
    return { needs: [], gives: [fact], cost: 1 + above * PREFERENCE, origin: first + fact };
  });
  const free = graph.operators.map((operator, origin): Operator => ({ ...operator, cost: 0, origin }));
  const relaxed: Hypergraph = { ...graph, operators: [...free, ...gifts] };
  const budget = new SearchBudget(NODE_LIMIT, WORK_LIMIT);
  const pruned = prune(relaxed);
  const found = pruned && cheapestPlan(pruned, budget);
  if (found === undefined) return { keys: graph.goals.map((goal) => keys[goal] as string), proven: false };
  const missing = found.origins
    .filter((origin) => origin >= first)
    .map((origin) => keys[origin - first] as string);
  return {
    keys: missing.sort(compareText),
    // The bound may fall short of a preference, but not of a key.
    proven: found.bound > found.cost - 1 + COST_EPSILON,
  };
}
