/** The list of runs in a NATS key-value bucket: one summary per run, the newest wins. */
import { jetstream } from "@nats-io/jetstream";
import { type KV, Kvm } from "@nats-io/kv";
import type { RunIndex } from "../bus.ts";
import { encodeBody, parseBody } from "../codec.ts";
import { type RunSummary, runSummarySchema } from "../messages.ts";
import { noSwarm } from "./failure.ts";
import type { NatsLink } from "./link.ts";
import type { StorageOptions } from "./streams.ts";

/** By daemons only. */
export async function provisionIndex(link: NatsLink, options: StorageOptions): Promise<void> {
  await new Kvm(jetstream(link.nc)).create(link.subjects.indexBucket, {
    history: 1,
    replicas: options.replicas ?? 1,
    storage: options.storage ?? "file",
  });
}

export class NatsRunIndex implements RunIndex {
  readonly #link: NatsLink;
  #bucket: Promise<KV> | undefined;

  constructor(link: NatsLink) {
    this.#link = link;
  }

  put(summary: RunSummary): Promise<void> {
    return this.#link.guard(`Listing run ${summary.run}`, async () => {
      this.#link.subjects.recordsOf(summary.run);
      const bucket = await this.#open();
      await bucket.put(summary.run, encodeBody(summary));
    });
  }

  list(): Promise<RunSummary[]> {
    return this.#link.guard("Reading the list of runs", async () => {
      const bucket = await this.#open();
      const found: RunSummary[] = [];
      const { values } = (await bucket.status()) satisfies { values: number };
      // Watching an empty bucket would wait for its first value.
      if (values === 0) return found;
      const watch = await bucket.watch({ ignoreDeletes: false });
      for await (const entry of watch) {
        if (entry.operation === "PUT") {
          const parsed = parseBody(runSummarySchema, entry.value);
          if (parsed.ok) found.push(parsed.value);
          else this.#link.countUnreadable();
        }
        if (entry.delta === 0) break;
      }
      return found;
    });
  }

  remove(run: string): Promise<void> {
    return this.#link.guard(`Removing run ${run} from the list`, async () => {
      const bucket = await this.#open();
      await bucket.purge(run);
    });
  }

  #open(): Promise<KV> {
    this.#bucket ??= this.#openBucket();
    return this.#bucket;
  }

  async #openBucket(): Promise<KV> {
    try {
      return await new Kvm(jetstream(this.#link.nc)).open(this.#link.subjects.indexBucket);
    } catch (error) {
      this.#bucket = undefined;
      throw noSwarm(this.#link.subjects.swarm, "it has no list of runs", error);
    }
  }
}
