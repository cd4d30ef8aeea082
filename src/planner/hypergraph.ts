/**
 * A delete-free planning problem as an AND-OR hypergraph: facts, operators that need facts and give facts,
 * and goals. Nothing is ever taken away, so a set of operators is a plan when it can be run in some order
 * from nothing and reaches every goal; its cost does not depend on that order.
 *
 * Owns: the structure and the walks over it that need no costs. Does not own: what a fact or an operator
 * means (problem.ts) or which plan is best (search.ts).
 *
 * Facts that hold from the start are left out before a graph is built: an operator without needs can run at
 * once. Operators keep their relative order through every reduction, so that ties fall the same way however
 * the capabilities were listed.
 */

/** One hyperedge: all of `needs` must hold, all of `gives` hold afterwards. */
export interface Operator {
  readonly needs: readonly number[];
  readonly gives: readonly number[];
  /** Zero once it is paid for, or free by nature. */
  readonly cost: number;
  /** Its number in the ground problem. */
  readonly origin: number;
}

export interface Hypergraph {
  readonly factCount: number;
  readonly operators: readonly Operator[];
  readonly goals: readonly number[];
}

/** Facts and the operators around them, by fact. */
export interface Incidence {
  readonly givers: readonly (readonly number[])[];
  readonly needers: readonly (readonly number[])[];
}

export function incidenceOf(graph: Hypergraph): Incidence {
  const givers: number[][] = Array.from({ length: graph.factCount }, () => []);
  const needers: number[][] = Array.from({ length: graph.factCount }, () => []);
  graph.operators.forEach((operator, index) => {
    for (const fact of operator.gives) givers[fact]?.push(index);
    for (const fact of operator.needs) needers[fact]?.push(index);
  });
  return { givers, needers };
}

/** The earliest wave in which each operator can run and each fact can hold; 0 where it never does. */
export interface Levels {
  readonly operator: Int32Array;
  readonly fact: Int32Array;
}

/**
 * Runs every operator that `allowed` admits as early as its needs permit, wave by wave from 1.
 * A level is the length of the longest chain that leads to it, so the greatest level of the goals is the
 * critical path in steps.
 */
export function levelsOf(
  graph: Hypergraph,
  incidence: Incidence,
  allowed: (operator: number) => boolean = () => true,
): Levels {
  const operatorLevel = new Int32Array(graph.operators.length);
  const factLevel = new Int32Array(graph.factCount);
  const open = new Int32Array(graph.operators.length);
  let wave: number[] = [];
  graph.operators.forEach((operator, index) => {
    open[index] = operator.needs.length;
    if (operator.needs.length === 0 && allowed(index)) wave.push(index);
  });
  for (let level = 1; wave.length > 0; level++) {
    const next: number[] = [];
    for (const index of wave) operatorLevel[index] = level;
    for (const index of wave) {
      for (const fact of (graph.operators[index] as Operator).gives) {
        if (factLevel[fact] !== 0) continue;
        factLevel[fact] = level;
        for (const needer of incidence.needers[fact] as readonly number[]) {
          open[needer] = (open[needer] as number) - 1;
          if (open[needer] === 0 && allowed(needer)) next.push(needer);
        }
      }
    }
    wave = next;
  }
  return { operator: operatorLevel, fact: factLevel };
}

/** The critical path to the goals in steps, or undefined when a goal is out of reach. */
export function depthOf(graph: Hypergraph, levels: Levels): number | undefined {
  let depth = 0;
  for (const goal of graph.goals) {
    const level = levels.fact[goal] as number;
    if (level === 0) return undefined;
    depth = Math.max(depth, level);
  }
  return depth;
}

/** Operators on which some goal depends, through whatever givers. */
export function relevantOperators(graph: Hypergraph, incidence: Incidence): Uint8Array {
  const relevant = new Uint8Array(graph.operators.length);
  const seen = new Uint8Array(graph.factCount);
  const pending = [...graph.goals];
  for (const goal of pending) seen[goal] = 1;
  for (let fact = pending.pop(); fact !== undefined; fact = pending.pop()) {
    for (const giver of incidence.givers[fact] as readonly number[]) {
      if (relevant[giver] === 1) continue;
      relevant[giver] = 1;
      for (const need of (graph.operators[giver] as Operator).needs) {
        if (seen[need] === 1) continue;
        seen[need] = 1;
        pending.push(need);
      }
    }
  }
  return relevant;
}
