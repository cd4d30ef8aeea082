/**
 * Makes a delete-free problem smaller without losing its cheapest plan, and splits what is left into parts
 * that have nothing to do with each other.
 *
 * - forward: what costs nothing and can run, runs; what can never run is dropped;
 * - backward: what no goal depends on is dropped;
 * - dominance: what needs no less, gives no more and costs no less than another operator is dropped (and
 *   cannot shorten the critical path either);
 * - force: the only giver of a goal is in every plan, so it is paid for and its needs become goals.
 */
import {
  type Hypergraph,
  type Incidence,
  incidenceOf,
  levelsOf,
  type Operator,
  relevantOperators,
} from "./hypergraph.ts";

export interface Reduction {
  /** Problems that share no fact; each has at least one goal. Solve them one by one. */
  readonly parts: readonly Hypergraph[];
  /** Origins of operators that are in the plan now: forced ones, and free ones that run at once. */
  readonly taken: readonly number[];
  /** What the forced ones cost. */
  readonly cost: number;
}

/** @returns undefined when some goal cannot be reached. */
export function reduce(graph: Hypergraph): Reduction | undefined {
  const taken: number[] = [];
  let cost = 0;
  let current = graph;
  for (;;) {
    const advanced = runFree(current);
    taken.push(...advanced.ran);
    const pruned = prune(advanced.graph);
    if (pruned === undefined) return undefined;
    if (pruned.goals.length === 0) return { parts: [], taken, cost };
    const forced = force(pruned);
    taken.push(...forced.taken);
    cost += forced.cost;
    current = forced.graph;
    if (!forced.changed) return { parts: split(current), taken, cost };
  }
}

/** Drops what cannot run, what no goal depends on, and what another operator does as well for no more. */
export function prune(graph: Hypergraph): Hypergraph | undefined {
  const incidence = incidenceOf(graph);
  const levels = levelsOf(graph, incidence);
  if (graph.goals.some((goal) => levels.fact[goal] === 0)) return undefined;
  const reachable = keep(graph, (index) => levels.operator[index] !== 0);
  const reachableIncidence = incidenceOf(reachable);
  const relevant = relevantOperators(reachable, reachableIncidence);
  return dropDominated(keep(reachable, (index) => relevant[index] === 1));
}

export function keep(graph: Hypergraph, wanted: (index: number) => boolean): Hypergraph {
  return { ...graph, operators: graph.operators.filter((_, index) => wanted(index)) };
}

/** Runs the operators of cost zero as far as they go; the facts that they give leave the problem. */
function runFree(graph: Hypergraph): { graph: Hypergraph; ran: number[] } {
  const incidence = incidenceOf(graph);
  const levels = levelsOf(graph, incidence, (index) => graph.operators[index]?.cost === 0);
  const holds = (fact: number): boolean => levels.fact[fact] !== 0;
  const ran: number[] = [];
  const operators: Operator[] = [];
  graph.operators.forEach((operator, index) => {
    if (levels.operator[index] !== 0) {
      ran.push(operator.origin);
      return;
    }
    const gives = operator.gives.filter((fact) => !holds(fact));
    if (gives.length === 0) return;
    operators.push({ ...operator, needs: operator.needs.filter((fact) => !holds(fact)), gives });
  });
  const goals = graph.goals.filter((goal) => !holds(goal));
  return { graph: { factCount: graph.factCount, operators, goals }, ran };
}

/**
 * Takes the only giver of each goal, and the only givers of what those need, and so on; their needs become
 * goals.
 */
function force(graph: Hypergraph): { graph: Hypergraph; taken: number[]; cost: number; changed: boolean } {
  const incidence = incidenceOf(graph);
  const forced = new Uint8Array(graph.operators.length);
  const goals = new Set(graph.goals);
  const pending = [...graph.goals];
  const taken: number[] = [];
  let cost = 0;
  for (let goal = pending.pop(); goal !== undefined; goal = pending.pop()) {
    const [only, another] = incidence.givers[goal] as readonly number[];
    if (only === undefined || another !== undefined || forced[only] === 1) continue;
    const operator = graph.operators[only] as Operator;
    forced[only] = 1;
    taken.push(operator.origin);
    cost += operator.cost;
    for (const need of operator.needs) {
      if (goals.has(need)) continue;
      goals.add(need);
      pending.push(need);
    }
  }
  const operators = graph.operators.map((operator, index) =>
    forced[index] === 1 ? { ...operator, cost: 0 } : operator,
  );
  const left = withoutEnds(graph, incidence, forced, goals);
  const changed = cost > 0 || left.size !== graph.goals.length || graph.goals.some((goal) => !left.has(goal));
  return { graph: { factCount: graph.factCount, operators, goals: [...left] }, taken, cost, changed };
}

/**
 * Goals that a forced operator gives and nobody else needs: since what that operator needs is a goal, they
 * are reached anyway. Only such ends may go, and those before them once these are gone: a goal that another
 * operator needs may be the one that a circle of forced operators has to be entered by.
 */
function withoutEnds(
  graph: Hypergraph,
  incidence: Incidence,
  forced: Uint8Array,
  goals: ReadonlySet<number>,
): Set<number> {
  const left = new Set(goals);
  const needers = incidence.needers.map((list) => list.length);
  const retired = new Uint8Array(graph.operators.length);
  const pending = [...goals];
  for (let goal = pending.pop(); goal !== undefined; goal = pending.pop()) {
    if (needers[goal] !== 0) continue;
    for (const giver of incidence.givers[goal] as readonly number[]) {
      if (forced[giver] !== 1) continue;
      left.delete(goal);
      const operator = graph.operators[giver] as Operator;
      if (retired[giver] === 1 || operator.gives.some((fact) => needers[fact] !== 0)) continue;
      retired[giver] = 1;
      for (const need of operator.needs) {
        needers[need] = (needers[need] as number) - 1;
        if (needers[need] === 0) pending.push(need);
      }
    }
  }
  return left;
}

/** Pairs compared before dominance is given up: it only saves work, it is not needed to be right. */
const DOMINANCE_PAIRS = 200_000;

function dropDominated(graph: Hypergraph): Hypergraph {
  const { givers, needers } = incidenceOf(graph);
  const useful = new Uint8Array(graph.factCount);
  for (const goal of graph.goals) useful[goal] = 1;
  needers.forEach((list, fact) => {
    if (list.length > 0) useful[fact] = 1;
  });
  const dropped = new Uint8Array(graph.operators.length);
  let pairs = 0;
  graph.operators.forEach((operator, index) => {
    const gives = operator.gives.filter((fact) => useful[fact] === 1);
    let rivals: readonly number[] | undefined;
    for (const fact of gives) {
      const list = givers[fact] as readonly number[];
      if (rivals === undefined || list.length < rivals.length) rivals = list;
    }
    for (const rival of rivals ?? []) {
      if (rival === index || dropped[rival] === 1) continue;
      if (++pairs > DOMINANCE_PAIRS) return;
      const other = graph.operators[rival] as Operator;
      if (other.cost > operator.cost) continue;
      if (!contains(operator.needs, other.needs) || !contains(other.gives, gives)) continue;
      dropped[index] = 1;
      return;
    }
  });
  return keep(graph, (index) => dropped[index] === 0);
}

function contains(whole: readonly number[], part: readonly number[]): boolean {
  return part.every((item) => whole.includes(item));
}

/** Splits at facts: operators that share none, directly or through others, fall into different parts. */
function split(graph: Hypergraph): Hypergraph[] {
  const parent = Int32Array.from({ length: graph.factCount }, (_, fact) => fact);
  const find = (fact: number): number => {
    let root = fact;
    while (parent[root] !== root) root = parent[root] as number;
    for (let at = fact; at !== root; ) {
      const next = parent[at] as number;
      parent[at] = root;
      at = next;
    }
    return root;
  };
  for (const operator of graph.operators) {
    const first = find(operator.gives[0] as number);
    for (const fact of operator.gives) parent[find(fact)] = first;
    for (const fact of operator.needs) parent[find(fact)] = first;
  }
  const parts = new Map<number, { operators: Operator[]; goals: number[] }>();
  for (const goal of graph.goals) {
    const root = find(goal);
    const part = parts.get(root) ?? { operators: [], goals: [] };
    part.goals.push(goal);
    parts.set(root, part);
  }
  for (const operator of graph.operators) {
    parts.get(find(operator.gives[0] as number))?.operators.push(operator);
  }
  return [...parts.values()].map((part) => renumber(part.operators, part.goals));
}

/** Gives the facts of a part small numbers, so that walks over it cost what the part is worth. */
function renumber(operators: readonly Operator[], goals: readonly number[]): Hypergraph {
  const numbers = new Map<number, number>();
  const number = (fact: number): number => {
    const known = numbers.get(fact);
    if (known !== undefined) return known;
    numbers.set(fact, numbers.size);
    return numbers.size - 1;
  };
  const renumbered = operators.map((operator) => ({
    ...operator,
    needs: operator.needs.map(number),
    gives: operator.gives.map(number),
  }));
  const newGoals = goals.map(number);
  return { factCount: numbers.size, operators: renumbered, goals: newGoals };
}
