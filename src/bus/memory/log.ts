/** The run logs of the memory bus: stored bytes in, parsed records out. Follows through `RunFollower`. */
import type {
  AppendOptions,
  AppendOutcome,
  FollowOptions,
  LogEntry,
  LogFollower,
  LogRecord,
  ReadOptions,
  RunLog,
  ScanOptions,
  SeqRange,
} from "../bus.ts";
import { assertRecordFits } from "../codec.ts";
import { RunFollower, type StoredRecord } from "../follower.ts";
import { addressOf, decodeRecord, encodeEntry } from "../record.ts";
import type { MemoryConnection } from "./connection.ts";
import type { LogSubscriber, StoredMessage } from "./store.ts";

export class MemoryLog implements RunLog {
  readonly #connection: MemoryConnection;

  constructor(connection: MemoryConnection) {
    this.#connection = connection;
  }

  async append(run: string, entry: LogEntry, options: AppendOptions = {}): Promise<AppendOutcome> {
    const { store } = this.#connection.open();
    const subject = store.subjects.record(run, addressOf(entry));
    const bytes = encodeEntry(entry);
    assertRecordFits(bytes, store.maxPayloadBytes, entry.kind, run);
    const stored = store.append(run, subject, bytes, options.expectLast);
    if (!stored.ok) return { ok: false, lastSeq: stored.seq };
    return { ok: true, seq: stored.seq };
  }

  async *read(run: string, options: ReadOptions = {}): AsyncIterable<LogRecord> {
    for await (const { record } of this.#stored(run, options)) yield record;
  }

  async follow(
    run: string,
    onRecord: (record: LogRecord) => void,
    options: FollowOptions = {},
  ): Promise<LogFollower> {
    const { store } = this.#connection.attach();
    store.subjects.recordsOf(run);
    const subscriber: LogSubscriber = {
      run,
      party: this.#connection.party,
      offer: (message, last) => {
        if (this.#connection.reachable) follower.offer({ ...this.#decode(message), ...last });
      },
    };
    const follower = new RunFollower({
      run,
      onRecord,
      from: options.from ?? 1,
      onDisorder: options.onDisorder,
      clock: this.#connection.clock,
      source: {
        read: (id, from) => this.#stored(id, { from }),
      },
      onClose: () => {
        store.logSubscribers.delete(subscriber);
        forget();
        release();
      },
    });
    store.logSubscribers.add(subscriber);
    const release = this.#connection.onClose(() => follower.close());
    const forget = this.#connection.onRestore(() => follower.heal());
    return follower;
  }

  async exists(run: string): Promise<boolean> {
    const { store } = this.#connection.open();
    const subject = store.subjects.record(run, { kind: "submit" });
    return store.records(run).some((stored) => stored.subject === subject);
  }

  async list(): Promise<string[]> {
    return this.#connection.open().store.runIds();
  }

  async *scan({ from = 1, wants = () => true, onBytes }: ScanOptions = {}): AsyncIterable<LogRecord> {
    const { store } = this.#connection.open();
    const stored = store.runIds().flatMap((run) => store.records(run));
    for (const message of stored.sort((a, b) => a.seq - b.seq)) {
      if (message.seq < from || !wants(message.run, message.seq)) continue;
      onBytes?.(message.bytes.length);
      yield this.#decode(message).record;
    }
  }

  async purge(run: string, range: SeqRange): Promise<number> {
    return this.#connection.open().store.purge(run, range);
  }

  async *#stored(
    run: string,
    { from = 1, to = Number.POSITIVE_INFINITY, onBytes }: ReadOptions,
  ): AsyncGenerator<StoredRecord> {
    const { store } = this.#connection.open();
    // What is stored now: later records are the live stream's.
    for (const message of [...store.records(run)]) {
      if (message.seq < from || message.seq > to) continue;
      onBytes?.(message.bytes.length);
      yield this.#decode(message);
    }
  }

  #decode(message: StoredMessage): StoredRecord {
    const record = decodeRecord(message, message.bytes);
    if (record.kind === "unreadable") this.#connection.countUnreadable();
    return { subject: message.subject, record };
  }
}
