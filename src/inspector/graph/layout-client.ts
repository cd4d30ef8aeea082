/** Asking the worker for a layout; a newer request makes an older one void. */
import type { BlockGraph } from "./blocks.ts";
import type { LayoutAnswer, LayoutRequest } from "./layout.ts";

/** What was asked to be laid out. */
export interface Asked {
  readonly graph: BlockGraph;
  readonly direction: LayoutRequest["direction"];
}

export class LayoutClient {
  readonly #worker = new Worker("/assets/layout-worker.js", { type: "module" });
  readonly #onLayout: (answer: LayoutAnswer, asked: Asked) => void;
  #requests = 0;
  #asked: Asked | undefined;

  constructor(onLayout: (answer: LayoutAnswer, asked: Asked) => void) {
    this.#onLayout = onLayout;
    this.#worker.onmessage = ({ data }: MessageEvent<LayoutAnswer>) => {
      if (data.id === this.#requests && this.#asked !== undefined) this.#onLayout(data, this.#asked);
    };
  }

  ask(graph: BlockGraph, direction: LayoutRequest["direction"], aspect: number): void {
    this.#requests += 1;
    this.#asked = { graph, direction };
    const sizes = graph.blocks.map(({ width, height }) => [width, height] as const);
    this.#worker.postMessage({
      id: this.#requests,
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
