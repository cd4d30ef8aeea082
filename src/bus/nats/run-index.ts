/**
 * The list of runs in a NATS key-value bucket: one summary per run, the newest wins.
 *
 * The bucket's stream holds one message per run, in the order of their last change. Whoever wants the newest
 * runs reads it backwards in growing windows: a run that started after the eldest message of a window was put
 * after it too, so it is in the window. The cost follows what is asked for, not what is stored.
 */
import { jetstream } from "@nats-io/jetstream";
import { type KV, Kvm } from "@nats-io/kv";
import { chosenRuns, type RunIndex, type RunQuery } from "../bus.ts";
import { encodeBody, parseBody } from "../codec.ts";
import { type RunSummary, runSummarySchema } from "../messages.ts";
import { noSwarm } from "./failure.ts";
import type { NatsLink } from "./link.ts";
import { removeMessages } from "./remove.ts";
import { replay } from "./replay.ts";
import { ensureReplicas, type StorageOptions } from "./streams.ts";

/** Sequences in the first window, at least; a run is put a few times, so they hold fewer runs. */
const FIRST_WINDOW = 256;
const WINDOW_PER_RUN = 4;
const WINDOW_GROWTH = 4;

/** By daemons only. */
export async function provisionIndex(link: NatsLink, options: StorageOptions): Promise<void> {
  await new Kvm(jetstream(link.nc)).create(link.subjects.indexBucket, {
    history: 1,
    replicas: options.replicas ?? 1,
    storage: options.storage ?? "file",
  });
  await ensureReplicas(link, `KV_${link.subjects.indexBucket}`, options.replicas);
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

  list(query: RunQuery = {}): Promise<RunSummary[]> {
    return this.#link.guard("Reading the list of runs", async () => {
      const { status, limit } = query;
      const { state } = await this.#link.api<{ state: { first_seq: number; last_seq: number } }>(
        `STREAM.INFO.${this.#stream}`,
      );
      // An entry that changes while the windows are read is met twice: the first reading is the newer.
      const found = new Map<string, RunSummary>();
      let span = limit === undefined ? state.last_seq : Math.max(FIRST_WINDOW, limit * WINDOW_PER_RUN);
      for (let to = state.last_seq; to >= state.first_seq && to > 0; ) {
        const from = Math.max(state.first_seq, to - span + 1);
        const { summaries, eldestAt } = await this.#window(from, to);
        for (const summary of summaries) if (!found.has(summary.run)) found.set(summary.run, summary);
        const startedSince = ({ startedAt, status: its }: RunSummary): boolean =>
          Date.parse(startedAt) >= eldestAt && (status === undefined || its === status);
        if (limit !== undefined && [...found.values()].filter(startedSince).length >= limit) break;
        to = from - 1;
        span *= WINDOW_GROWTH;
      }
      return chosenRuns(found.values(), query);
    });
  }

  async #window(from: number, to: number): Promise<{ summaries: RunSummary[]; eldestAt: number }> {
    const newestOf = new Map<string, RunSummary>();
    let eldestAt = Number.POSITIVE_INFINITY;
    const range = { stream: this.#stream, filter: this.#subjectOf(">"), from, to };
    for await (const { ts, data } of replay(this.#link, range)) {
      eldestAt = Math.min(eldestAt, ts);
      // The mark of a deleted entry has no body.
      if (data.length === 0) continue;
      const parsed = parseBody(runSummarySchema, data);
      if (parsed.ok) newestOf.set(parsed.value.run, parsed.value);
      else this.#link.countUnreadable();
    }
    return { summaries: [...newestOf.values()], eldestAt };
  }

  remove({ run, startedAt }: Pick<RunSummary, "run" | "startedAt">): Promise<void> {
    return this.#link.guard(`Removing run ${run} from the list`, async () => {
      this.#link.subjects.recordsOf(run);
      const subject = this.#subjectOf(run);
      const entry = await this.#link.storedMessage(this.#stream, { last_by_subj: subject });
      if (entry === undefined) return;
      const parsed = parseBody(runSummarySchema, entry.data);
      if (parsed.ok && parsed.value.startedAt !== startedAt) return;
      // Not the bucket's own deletion, which leaves a mark for ever; and nothing that was put since.
      await removeMessages(this.#link, this.#stream, subject, { from: entry.seq, to: entry.seq });
    });
  }

  /** As the key-value store names its stream and subjects. */
  get #stream(): string {
    return `KV_${this.#link.subjects.indexBucket}`;
  }
  #subjectOf(key: string): string {
    return `$KV.${this.#link.subjects.indexBucket}.${key}`;
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
