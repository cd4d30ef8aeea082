/** A binary heap of facts by value, for Dijkstra over a hypergraph. Stale entries are the caller's to skip. */
export class FactQueue {
  readonly #facts: number[] = [];
  readonly #values: number[] = [];

  push(fact: number, value: number): void {
    const facts = this.#facts;
    const values = this.#values;
    let at = facts.length;
    facts.push(fact);
    values.push(value);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if ((values[parent] as number) <= value) break;
      facts[at] = facts[parent] as number;
      values[at] = values[parent] as number;
      at = parent;
    }
    facts[at] = fact;
    values[at] = value;
  }

  /** The fact of least value, or undefined when there is none. */
  pop(): number | undefined {
    const facts = this.#facts;
    const fact = facts[0];
    if (fact === undefined) return undefined;
    const lastFact = facts.pop() as number;
    const lastValue = this.#values.pop() as number;
    if (facts.length > 0) this.#sink(lastFact, lastValue);
    return fact;
  }

  #sink(fact: number, value: number): void {
    const facts = this.#facts;
    const values = this.#values;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= facts.length) break;
      if (child + 1 < facts.length && (values[child + 1] as number) < (values[child] as number)) child++;
      if ((values[child] as number) >= value) break;
      facts[at] = facts[child] as number;
      values[at] = values[child] as number;
      at = child;
    }
    facts[at] = fact;
    values[at] = value;
  }
}
