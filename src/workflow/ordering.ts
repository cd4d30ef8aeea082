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

interface PlacedQuestion {
  readonly number: number;
  /** Places in dependency order. */
  readonly sources: readonly number[];
  readonly targets: readonly number[];
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
  if (questions.length === 0) return [];
  const sweep = new Sweep(graph, certain);
  const placed = questions.map(({ sources, targets }, number): PlacedQuestion => {
    const sourcePlaces = sources.map((source) => sweep.place(source));
    const targetPlaces = targets.map((target) => sweep.place(target));
    return {
      number,
      sources: sourcePlaces,
      targets: targetPlaces,
      first: sourcePlaces.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY),
      last: targetPlaces.reduce((a, b) => Math.max(a, b), -1),
    };
  });
  placed.sort((a, b) => a.first - b.first || a.last - b.last);

  const unordered: number[][] = questions.map(() => []);
  for (let from = 0; from < placed.length; from += BITS) {
    const batch = placed.slice(from, from + BITS);
    sweep.run(batch);
    for (const [bit, { number, targets }] of batch.entries()) {
      const asked = questions[number]?.targets ?? [];
      unordered[number] = asked.filter((_, index) => !sweep.isAfter(targets[index] ?? 0, bit));
    }
  }
  return unordered;
}

/**
 * The graph, renumbered by place in dependency order and flattened, so that a sweep reads memory in order.
 * The members of a cycle have neighbouring places.
 */
class Sweep {
  readonly #placeOf: Int32Array;
  /** The edges of the step at place p are `#edges[#edgesFrom[p]]` up to `#edges[#edgesFrom[p + 1]]`. */
  readonly #edgesFrom: Int32Array;
  readonly #edges: Int32Array;
  /** Of how many of its dependencies a step is sure to need at least one: 1 unless a join lets it skip some. */
  readonly #needed: Int32Array;
  /** The first place after the cycle to which a place belongs; 0: it belongs to none. */
  readonly #cycleEnd: Int32Array;
  /** Per place, the questions of which it is a source. */
  readonly #own: Int32Array;
  /** Per place, the questions of which a source comes before it. */
  readonly #after: Int32Array;
  #batch: readonly PlacedQuestion[] = [];
  #first = 0;

  constructor({ dependencies, components, joinCounts }: OrderedGraph, certain: boolean) {
    const size = dependencies.length;
    this.#placeOf = new Int32Array(size);
    this.#cycleEnd = new Int32Array(size);
    const order = components.flat();
    for (const [place, node] of order.entries()) this.#placeOf[node] = place;
    let end = 0;
    for (const members of components) {
      end += members.length;
      if (members.length > 1) this.#cycleEnd.fill(end, end - members.length, end);
    }

    this.#edgesFrom = new Int32Array(size + 1);
    this.#edges = new Int32Array(dependencies.reduce((sum, edges) => sum + edges.length, 0));
    this.#needed = new Int32Array(size).fill(1);
    let next = 0;
    for (const [place, node] of order.entries()) {
      const before = dependencies[node] ?? [];
      for (const dependency of before) this.#edges[next++] = this.place(dependency);
      this.#edgesFrom[place + 1] = next;
      if (certain) this.#needed[place] = before.length - (joinCounts[node] ?? 0) + 1;
    }
    this.#own = new Int32Array(size);
    this.#after = new Int32Array(size);
  }

  place(node: number): number {
    return this.#placeOf[node] ?? 0;
  }

  run(batch: readonly PlacedQuestion[]): void {
    for (const { sources } of this.#batch) for (const source of sources) this.#own[source] = 0;
    this.#batch = batch;
    this.#first = batch.reduce((first, question) => Math.min(first, question.first), this.#own.length);
    const last = batch.reduce((end, question) => Math.max(end, question.last), -1);
    for (const [bit, { sources }] of batch.entries()) {
      for (const source of sources) this.#own[source] = (this.#own[source] as number) | (1 << bit);
    }
    // A cycle is entered as a whole.
    while (this.#first > 0 && this.#isSameCycle(this.#first - 1, this.#first)) this.#first--;
    for (let place = this.#first; place <= last; ) {
      const cycleEnd = this.#cycleEnd[place] as number;
      if (cycleEnd === 0) this.#after[place] = this.#incoming(place++);
      else place = this.#sweepCycle(place, cycleEnd);
    }
  }

  isAfter(place: number, bit: number): boolean {
    return place >= this.#first && ((this.#after[place] as number) & (1 << bit)) !== 0;
  }

  #isSameCycle(a: number, b: number): boolean {
    return this.#cycleEnd[a] !== 0 && this.#cycleEnd[a] === this.#cycleEnd[b];
  }

  /** Steps of a cycle are before each other; the cycle itself is reported elsewhere. */
  #sweepCycle(start: number, end: number): number {
    this.#after.fill(0, start, end);
    let union = 0;
    for (let place = start; place < end; place++)
      union |= this.#incoming(place) | (this.#own[place] as number);
    this.#after.fill(union, start, end);
    return end;
  }

  #incoming(place: number): number {
    const from = this.#edgesFrom[place] as number;
    const to = this.#edgesFrom[place + 1] as number;
    const needed = this.#needed[place] as number;
    if (needed > 1) return this.#incomingOfJoin(from, to, needed);
    let mask = 0;
    for (let edge = from; edge < to; edge++) mask |= this.#outgoing(this.#edges[edge] as number);
    return mask;
  }

  /**
   * A step that waits for k of n dependencies is sure to be after something only if that is at or before
   * at least n − k + 1 of them: then any k include one of those.
   */
  #incomingOfJoin(from: number, to: number, needed: number): number {
    const counts = new Int32Array(BITS);
    for (let edge = from; edge < to; edge++) {
      const mask = this.#outgoing(this.#edges[edge] as number);
      for (let bit = 0; bit < BITS; bit++) counts[bit] = (counts[bit] as number) + ((mask >>> bit) & 1);
    }
    let mask = 0;
    for (const [bit, count] of counts.entries()) if (count >= needed) mask |= 1 << bit;
    return mask;
  }

  #outgoing(place: number): number {
    // Before the window, places may hold the bits of an earlier batch.
    if (place < this.#first) return 0;
    return (this.#after[place] as number) | (this.#own[place] as number);
  }
}
