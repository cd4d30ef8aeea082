/**
 * Which steps come before which: many questions at once, without comparing all pairs.
 *
 * Questions are sorted by where they begin in dependency order and answered 32 at a time, as the bits of
 * one integer per step, by a sweep over the part of the order that they span. Questions between neighbours
 * therefore cost what their neighbourhood costs, and q questions of any kind at most q/32 sweeps.
 */
import type { Dependencies } from "./topology.ts";

/** Is each target after at least one of the sources? */
export interface OrderQuestion {
  readonly sources: readonly number[];
  readonly targets: readonly number[];
}

export interface OrderedGraph {
  readonly dependencies: Dependencies;
  /** Strongly connected components in dependency order. */
  readonly components: readonly (readonly number[])[];
  /**
   * How many dependencies each step waits for. Where it is fewer than the step has, no single dependency is
   * sure to come before; that is minded by questions about what is `certain`.
   */
  readonly joinCounts: readonly number[];
}

const BITS = 32;

interface PlacedQuestion extends OrderQuestion {
  readonly number: number;
  readonly first: number;
  readonly last: number;
}

/**
 * @param certain only count an order that holds in every execution, however joins turn out
 * @returns for each question, those of its targets that are not after any of its sources
 */
export function findUnordered(
  graph: OrderedGraph,
  questions: readonly OrderQuestion[],
  certain: boolean,
): number[][] {
  const place = new Int32Array(graph.dependencies.length);
  for (const [index, members] of graph.components.entries()) for (const node of members) place[node] = index;

  const placed = questions.map((question, number): PlacedQuestion => {
    let first = Number.POSITIVE_INFINITY;
    let last = -1;
    for (const source of question.sources) first = Math.min(first, place[source] ?? 0);
    for (const target of question.targets) last = Math.max(last, place[target] ?? 0);
    return { ...question, number, first, last };
  });
  placed.sort((a, b) => a.first - b.first || a.last - b.last);

  const sweep = new Sweep(graph, place, certain);
  const unordered: number[][] = questions.map(() => []);
  for (let from = 0; from < placed.length; from += BITS) {
    const batch = placed.slice(from, from + BITS);
    sweep.run(batch);
    for (const [bit, question] of batch.entries()) {
      unordered[question.number] = question.targets.filter((target) => !sweep.isAfter(target, bit));
    }
  }
  return unordered;
}

class Sweep {
  readonly #graph: OrderedGraph;
  readonly #place: Int32Array;
  readonly #certain: boolean;
  /** Per step, the questions of which it is a source. */
  readonly #own: Int32Array;
  /** Per step, the questions of which a source comes before it. */
  readonly #after: Int32Array;
  #batch: readonly PlacedQuestion[] = [];
  #first = 0;

  constructor(graph: OrderedGraph, place: Int32Array, certain: boolean) {
    this.#graph = graph;
    this.#place = place;
    this.#certain = certain;
    this.#own = new Int32Array(place.length);
    this.#after = new Int32Array(place.length);
  }

  run(batch: readonly PlacedQuestion[]): void {
    for (const { sources } of this.#batch) for (const source of sources) this.#own[source] = 0;
    this.#batch = batch;
    this.#first = Math.min(...batch.map((question) => question.first));
    const last = Math.max(...batch.map((question) => question.last));
    for (const [bit, { sources }] of batch.entries()) {
      for (const source of sources) this.#own[source] = (this.#own[source] ?? 0) | (1 << bit);
    }
    for (let index = this.#first; index <= last; index++) {
      const members = this.#graph.components[index] ?? [];
      // Steps of a cycle are before each other; the cycle itself is reported elsewhere.
      const isCycle = members.length > 1;
      let union = 0;
      for (const node of members) union |= this.#incoming(node) | (isCycle ? (this.#own[node] ?? 0) : 0);
      for (const node of members) this.#after[node] = union;
    }
  }

  isAfter(node: number, bit: number): boolean {
    return this.#inWindow(node) && ((this.#after[node] ?? 0) & (1 << bit)) !== 0;
  }

  #inWindow(node: number): boolean {
    return (this.#place[node] ?? 0) >= this.#first;
  }

  #incoming(node: number): number {
    const dependencies = this.#graph.dependencies[node] ?? [];
    const needed = this.#certain ? dependencies.length - (this.#graph.joinCounts[node] ?? 0) + 1 : 1;
    if (needed > 1) return this.#incomingOfJoin(dependencies, needed);
    let mask = 0;
    for (const dependency of dependencies) mask |= this.#outgoing(dependency);
    return mask;
  }

  /**
   * A step that waits for k of n dependencies is sure to be after something only if that is at or before
   * at least n − k + 1 of them: then any k include one of those.
   */
  #incomingOfJoin(dependencies: readonly number[], needed: number): number {
    const counts = new Int32Array(BITS);
    for (const dependency of dependencies) {
      const mask = this.#outgoing(dependency);
      for (let bit = 0; bit < BITS; bit++) counts[bit] = (counts[bit] ?? 0) + ((mask >>> bit) & 1);
    }
    let mask = 0;
    for (const [bit, count] of counts.entries()) if (count >= needed) mask |= 1 << bit;
    return mask;
  }

  #outgoing(node: number): number {
    // What is outside the window may hold the bits of an earlier batch.
    return this.#inWindow(node) ? (this.#after[node] ?? 0) | (this.#own[node] ?? 0) : 0;
  }
}
