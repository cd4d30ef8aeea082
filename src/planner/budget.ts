/**
 * How much a search may do (L8). Counted in nodes and in operators looked at, so that the same request gives
 * the same plan on every machine (L7); and, where a caller hands in a clock, in time.
 */
export const DEFAULT_NODE_LIMIT = 20_000;
/** Operators and facts looked at by bounds and heuristics; some seconds of work on a small machine. */
export const DEFAULT_WORK_LIMIT = 100_000_000;

/** Work between two looks at the clock. */
const CLOCK_EVERY = 20_000;

/** A clock that is handed in, and how long the search may take by it. */
export interface TimeLimit {
  readonly limitMs: number;
  /** Monotonic ms. */
  readonly now: () => number;
}

export class SearchBudget {
  readonly nodeLimit: number;
  readonly workLimit: number;
  readonly #time: TimeLimit | undefined;
  readonly #endsAt: number;
  #nextLook = CLOCK_EVERY;
  #nodes = 0;
  #work = 0;
  #cutShort = false;

  constructor(nodeLimit: number, workLimit: number, time?: TimeLimit) {
    this.nodeLimit = nodeLimit;
    this.workLimit = workLimit;
    this.#time = time;
    this.#endsAt = time === undefined ? Number.POSITIVE_INFINITY : time.now() + time.limitMs;
  }

  /** A budget of its own that ends no later than this one. */
  aside(nodeLimit: number, workLimit: number): SearchBudget {
    const time = this.#time;
    return new SearchBudget(
      nodeLimit,
      workLimit,
      time && { limitMs: Math.max(0, this.#endsAt - time.now()), now: time.now },
    );
  }

  get nodes(): number {
    return this.#nodes;
  }

  /** Whether some part of the search space was left unseen: what was found is not proven best. */
  get cutShort(): boolean {
    return this.#cutShort;
  }

  spendWork(amount: number): void {
    this.#work += amount;
    if (this.#work > this.workLimit) this.#cutShort = true;
    if (this.#time === undefined || this.#work < this.#nextLook) return;
    this.#nextLook = this.#work + CLOCK_EVERY;
    if (this.#time.now() >= this.#endsAt) this.#cutShort = true;
  }

  /** Counts a node. @returns false when it may not be expanded: the search has to do with what it has. */
  spendNode(): boolean {
    this.#nodes++;
    if (this.#nodes > this.nodeLimit) this.#cutShort = true;
    return !this.#cutShort;
  }
}
