/** Asking the worker for a layout; a newer request makes an older one void. */
import type { BlockGraph } from "./blocks.ts";
import type { LayoutAnswer, LayoutRequest } from "./layout.ts";

export class LayoutClient {
  readonly #worker = new Worker("/assets/layout-worker.js", { type: "module" });
  readonly #onLayout: (answer: LayoutAnswer, graph: BlockGraph) => void;
  #asked = 0;
  #graph: BlockGraph | undefined;

  constructor(onLayout: (answer: LayoutAnswer, graph: BlockGraph) => void) {
    this.#onLayout = onLayout;
    this.#worker.onmessage = ({ data }: MessageEvent<LayoutAnswer>) => {
      if (data.id === this.#asked && this.#graph !== undefined) this.#onLayout(data, this.#graph);
    };
  }

  ask(graph: BlockGraph, direction: LayoutRequest["direction"], aspect: number): void {
    this.#asked += 1;
    this.#graph = graph;
    const sizes = graph.blocks.map(({ width, height }) => [width, height] as const);
    this.#worker.postMessage({
      id: this.#asked,
      sizes,
      edges: graph.edges,
      direction,
      aspect,
    } satisfies LayoutRequest);
  }

  close(): void {
    this.#worker.terminate();
  }
}
