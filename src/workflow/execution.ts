/**
 * The ready frontier of one execution of a graph.
 *
 * Owns which steps are closed and how many of each step's dependencies are. Does not own why a step was
 * closed nor when a ready step is dispatched: that is the orchestrator's. Closing a step costs as much as
 * it has dependents, so that a whole run costs steps plus edges, however wide the graph is.
 */
import { NotFoundError } from "./errors.ts";

/** What an execution needs to know of its graph: positions, edges, and how many dependencies each awaits. */
export interface ExecutableGraph {
  readonly ids: readonly string[];
  readonly positions: ReadonlyMap<string, number>;
  readonly dependents: readonly (readonly number[])[];
  readonly joinCounts: readonly number[];
}

export class GraphExecution {
  readonly #graph: ExecutableGraph;
  /** Closed dependencies still missing before a step is ready; 0: it is, or was. */
  readonly #awaited: Int32Array;
  readonly #closed: Uint8Array;
  #closedCount = 0;

  constructor(graph: ExecutableGraph) {
    this.#graph = graph;
    this.#awaited = Int32Array.from(graph.joinCounts);
    this.#closed = new Uint8Array(graph.ids.length);
  }

  get closedCount(): number {
    return this.#closedCount;
  }

  get size(): number {
    return this.#graph.ids.length;
  }

  /** @throws NotFoundError */
  isClosed(id: string): boolean {
    return this.#closed[this.#position(id)] === 1;
  }

  /** The steps that wait for nothing, in document order. Does not change the state. */
  start(): string[] {
    return this.#graph.ids.filter(
      (_, position) => this.#graph.joinCounts[position] === 0 && this.#closed[position] === 0,
    );
  }

  /**
   * Says that a step's dependents need not wait for it any more: it completed, was skipped, or failed where
   * failure is allowed. Closing a step again changes nothing.
   * @returns the steps that became ready by it, in document order; each step is returned once in an execution
   * @throws NotFoundError
   */
  close(id: string): string[] {
    const position = this.#position(id);
    if (this.#closed[position] === 1) return [];
    this.#closed[position] = 1;
    this.#closedCount++;
    const ready: string[] = [];
    for (const dependent of this.#graph.dependents[position] ?? []) {
      const awaited = this.#awaited[dependent] ?? 0;
      if (awaited === 0) continue;
      this.#awaited[dependent] = awaited - 1;
      const dependentId = this.#graph.ids[dependent];
      if (awaited === 1 && this.#closed[dependent] === 0 && dependentId !== undefined)
        ready.push(dependentId);
    }
    return ready;
  }

  #position(id: string): number {
    const position = this.#graph.positions.get(id);
    if (position !== undefined) return position;
    throw new NotFoundError("E_NO_STEP", `There is no step "${id}" in this workflow.`, {
      data: { step: id },
    });
  }
}
