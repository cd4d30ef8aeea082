/** The list of runs of the memory bus: a view, one summary per run. */
import type { RunIndex } from "../bus.ts";
import { encodeBody, parseBody } from "../codec.ts";
import { type RunSummary, runSummarySchema } from "../messages.ts";
import type { MemoryConnection } from "./connection.ts";

export class MemoryRunIndex implements RunIndex {
  readonly #connection: MemoryConnection;

  constructor(connection: MemoryConnection) {
    this.#connection = connection;
  }

  async put(summary: RunSummary): Promise<void> {
    this.#connection.open().store.index.set(summary.run, encodeBody(summary));
  }

  async list(): Promise<RunSummary[]> {
    const found: RunSummary[] = [];
    for (const bytes of this.#connection.open().store.index.values()) {
      const parsed = parseBody(runSummarySchema, bytes);
      if (parsed.ok) found.push(parsed.value);
      else this.#connection.countUnreadable();
    }
    return found;
  }

  async remove(run: string): Promise<void> {
    this.#connection.open().store.index.delete(run);
  }
}
