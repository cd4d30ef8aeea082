/** Ready steps in the order in which they are given out: priority, longest remaining path, position. */
import type { WorkflowGraph } from "../workflow/graph.ts";
import { Heap } from "./heap.ts";

interface Offer {
  id: string;
  priority: number;
  depth: number;
  index: number;
}

export class Offers {
  readonly #graph: WorkflowGraph;
  readonly #heap = new Heap<Offer>(
    (a, b) =>
      a.priority > b.priority ||
      (a.priority === b.priority && (a.depth > b.depth || (a.depth === b.depth && a.index < b.index))),
  );

  constructor(graph: WorkflowGraph) {
    this.#graph = graph;
  }

  add(id: string): void {
    const { priority, index } = this.#graph.step(id);
    this.#heap.push({ id, priority, depth: this.#graph.remainingDepth(id), index });
  }

  /** The next step to give out; the caller checks that it still is ready. */
  take(): string | undefined {
    return this.#heap.pop()?.id;
  }
}
