/** The list of runs of the memory bus: a view, one summary per run. */
import { chosenRuns, type RunIndex, type RunQuery } from "../bus.ts";
import { encodeBody, parseBody } from "../codec.ts";
import { type RunSummary, runSummarySchema } from "../messages.ts";
import type { MemoryConnection } from "./connection.ts";

const NOTHING = new Uint8Array(0);

export class MemoryRunIndex implements RunIndex {
  readonly #connection: MemoryConnection;

  constructor(connection: MemoryConnection) {
    this.#connection = connection;
  }

  async put(summary: RunSummary): Promise<void> {
    this.#connection.open().store.index.set(summary.run, encodeBody(summary));
  }

  async list(query?: RunQuery): Promise<RunSummary[]> {
    const found: RunSummary[] = [];
    for (const bytes of this.#connection.open().store.index.values()) {
      const parsed = parseBody(runSummarySchema, bytes);
      if (parsed.ok) found.push(parsed.value);
      else this.#connection.countUnreadable();
    }
    return chosenRuns(found, query);
  }

  async remove({ run, startedAt }: Pick<RunSummary, "run" | "startedAt">): Promise<void> {
    const { index } = this.#connection.open().store;
    const parsed = parseBody(runSummarySchema, index.get(run) ?? NOTHING);
    if (!parsed.ok || parsed.value.startedAt === startedAt) index.delete(run);
  }
}
