/**
 * A first plan, quickly: every fact takes the giver that looks cheapest when the costs of its needs are
 * simply added (h_add), and what the result can do without is taken out again. Not the best plan, but an
 * upper bound for the search and the answer when the search is cut short.
 */
import type { SearchBudget } from "./budget.ts";
import { FactQueue } from "./fact-queue.ts";
import { type Hypergraph, type Incidence, incidenceOf, levelsOf, type Operator } from "./hypergraph.ts";
import { keep } from "./relevance.ts";

export interface Candidate {
  /** In ascending order of origin. */
  readonly origins: readonly number[];
  readonly cost: number;
}

/** @returns undefined when some goal cannot be reached. */
export function relaxedPlan(
  graph: Hypergraph,
  incidence: Incidence,
  budget: SearchBudget,
): Candidate | undefined {
  budget.spendWork(graph.operators.length + graph.factCount);
  const giver = cheapestGivers(graph, incidence);
  const chosen = new Set<number>();
  const seen = new Set<number>(graph.goals);
  const pending = [...graph.goals];
  for (let fact = pending.pop(); fact !== undefined; fact = pending.pop()) {
    const operator = giver[fact] as number;
    if (operator === NOBODY) return undefined;
    chosen.add(operator);
    for (const need of (graph.operators[operator] as Operator).needs) {
      if (seen.has(need)) continue;
      seen.add(need);
      pending.push(need);
    }
  }
  return candidateOf(
    withoutSpare(
      keep(graph, (index) => chosen.has(index)),
      budget,
    ),
  );
}

function candidateOf(graph: Hypergraph): Candidate {
  return {
    origins: graph.operators.map((operator) => operator.origin),
    cost: graph.operators.reduce((sum, operator) => sum + operator.cost, 0),
  };
}

const NOBODY = -1;

function cheapestGivers(graph: Hypergraph, incidence: Incidence): Int32Array {
  const value = new Float64Array(graph.factCount).fill(Number.POSITIVE_INFINITY);
  const giver = new Int32Array(graph.factCount).fill(NOBODY);
  const settled = new Uint8Array(graph.factCount);
  const sum = new Float64Array(graph.operators.length);
  const open = new Int32Array(graph.operators.length);
  const queue = new FactQueue();
  const run = (index: number): void => {
    const operator = graph.operators[index] as Operator;
    const total = (sum[index] as number) + operator.cost;
    for (const fact of operator.gives) {
      if (settled[fact] === 1 || total >= (value[fact] as number)) continue;
      value[fact] = total;
      giver[fact] = index;
      queue.push(fact, total);
    }
  };
  graph.operators.forEach((operator, index) => {
    open[index] = operator.needs.length;
    if (operator.needs.length === 0) run(index);
  });
  for (let fact = queue.pop(); fact !== undefined; fact = queue.pop()) {
    if (settled[fact] === 1) continue;
    settled[fact] = 1;
    for (const needer of incidence.needers[fact] as readonly number[]) {
      sum[needer] = (sum[needer] as number) + (value[fact] as number);
      open[needer] = (open[needer] as number) - 1;
      if (open[needer] === 0) run(needer);
    }
  }
  return giver;
}

/**
 * Takes out, dearest first, what the goals can be reached without. `maxDepth` keeps the critical path from
 * growing by it.
 */
export function withoutSpare(
  graph: Hypergraph,
  budget: SearchBudget,
  maxDepth = Number.POSITIVE_INFINITY,
): Hypergraph {
  const incidence = incidenceOf(graph);
  const gone = new Uint8Array(graph.operators.length);
  const givers = incidence.givers.map((list) => list.length);
  const needers = incidence.needers.map((list) => list.length);
  // A goal is needed by whoever set it.
  for (const goal of graph.goals) needers[goal] = (needers[goal] as number) + 1;
  const order = graph.operators
    .map((_, index) => index)
    .sort((a, b) => (graph.operators[b] as Operator).cost - (graph.operators[a] as Operator).cost || b - a);
  // What one operator gave may have been needed by another that went after it: once more, until nothing goes.
  for (let before = -1, taken = 0; before !== taken; ) {
    before = taken;
    for (const index of order) {
      const { gives } = graph.operators[index] as Operator;
      if (gone[index] === 1) continue;
      // The only giver of something needed stays; most are, and for the others it has to be tried.
      if (gives.some((fact) => givers[fact] === 1 && needers[fact] !== 0)) continue;
      budget.spendWork(graph.operators.length + graph.factCount);
      gone[index] = 1;
      const levels = levelsOf(graph, incidence, (other) => gone[other] === 0);
      const stands = graph.goals.every((goal) => {
        const level = levels.fact[goal] as number;
        return level !== 0 && level <= maxDepth;
      });
      gone[index] = 0;
      if (!stands) continue;
      // It goes, and what cannot run without it: in a circle they would hold each other as the only givers.
      for (const other of order) {
        if (gone[other] === 1 || levels.operator[other] !== 0) continue;
        gone[other] = 1;
        taken += 1;
        const { gives, needs } = graph.operators[other] as Operator;
        for (const fact of gives) givers[fact] = (givers[fact] as number) - 1;
        for (const fact of needs) needers[fact] = (needers[fact] as number) - 1;
      }
    }
  }
  return keep(graph, (index) => gone[index] === 0);
}
