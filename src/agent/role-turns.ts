/**
 * Whose turn it is among the roles of one process: what begins next, and who is asked for work first.
 *
 * It owns the tasks that wait for a slot and the order of the roles. It does not own how many slots there are.
 *
 *  - T1 A role whose last task began longest ago comes first, so that a role with a thousand tasks leaves every
 *    other one its turn.
 *  - T2 Tasks of one role begin in the order of their arrival.
 */
export class RoleTurns<Item> {
  /** What waits, by role; in the order of the turns. */
  readonly #waiting: Map<string, Item[]>;
  #size = 0;

  constructor(roles: Iterable<string>) {
    this.#waiting = new Map([...roles].map((role) => [role, []]));
  }

  /** How many wait. */
  get size(): number {
    return this.#size;
  }

  /** The roles, the one whose turn it is first. */
  get roles(): Iterable<string> {
    return this.#waiting.keys();
  }

  add(role: string, item: Item): void {
    this.#waiting.get(role)?.push(item);
    this.#size += 1;
  }

  /** What begins next. */
  take(): Item | undefined {
    for (const items of this.#waiting.values()) {
      const item = items.shift();
      if (item === undefined) continue;
      this.#size -= 1;
      return item;
    }
    return undefined;
  }

  takeAll(): Item[] {
    this.#size = 0;
    return [...this.#waiting.values()].flatMap((items) => items.splice(0));
  }

  /** A task of the role has begun: the others come first now. */
  began(role: string): void {
    const items = this.#waiting.get(role);
    if (items === undefined || this.#waiting.size === 1) return;
    this.#waiting.delete(role);
    this.#waiting.set(role, items);
  }
}
