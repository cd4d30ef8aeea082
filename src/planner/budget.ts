/**
 * How much a search may do (L8). Counted in nodes and in operators looked at, never in time, so that the
 * same request gives the same plan on every machine (L7).
 */
export const DEFAULT_NODE_LIMIT = 20_000;
/** Operators and facts looked at by bounds and heuristics; some seconds of work on a small machine. */
export const DEFAULT_WORK_LIMIT = 10_000_000;

export class SearchBudget {
  readonly nodeLimit: number;
  readonly workLimit: number;
  #nodes = 0;
  #work = 0;
  #cutShort = false;

  constructor(nodeLimit: number, workLimit: number) {
    this.nodeLimit = nodeLimit;
    this.workLimit = workLimit;
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
  }

  /** Counts a node. @returns false when it may not be expanded: the search has to do with what it has. */
  spendNode(): boolean {
    this.#nodes++;
    if (this.#nodes <= this.nodeLimit && this.#work <= this.workLimit) return true;
    this.#cutShort = true;
    return false;
  }
}
