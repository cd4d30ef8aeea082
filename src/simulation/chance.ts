/** Chance from a seed: the same seed gives the same numbers, and every use has a stream of its own. */

export class Chance {
  #state: number;

  /** Streams with different names do not disturb each other: leaving one kind of choice out keeps the rest. */
  constructor(seed: number, stream = "") {
    let state = seed | 0;
    for (let at = 0; at < stream.length; at++) state = mix(state ^ stream.charCodeAt(at));
    this.#state = mix(state ^ 0x9e3779b9);
  }

  /** A stream of its own from here on, which takes nothing from this one. */
  branch(stream: string): Chance {
    return new Chance(this.#state, stream);
  }

  /** In [0, 1). */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    return (mix(this.#state) >>> 0) / 2 ** 32;
  }

  /** A whole number, both ends included. */
  between(least: number, most: number): number {
    return least + Math.floor(this.next() * (most - least + 1));
  }

  happens(probability: number): boolean {
    return this.next() < probability;
  }

  pick<Item>(items: readonly Item[]): Item {
    return items[Math.floor(this.next() * items.length)] as Item;
  }

  /** Each item with the given probability, in order. */
  some<Item>(items: readonly Item[], probability: number): Item[] {
    return items.filter(() => this.happens(probability));
  }
}

function mix(value: number): number {
  let hash = value;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return hash ^ (hash >>> 16);
}
