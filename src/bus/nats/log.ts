/**
 * The run logs on the log stream: appends whose outcome is known, replays told by the leader, live copies by
 * republishing.
 *
 * Owns how an unanswered append is settled (B1): every append carries an id of its own in a header; the last
 * message on the subject, read back from the leader, says whether it is in the log.
 */
import { UnreachableError } from "../../workflow/errors.ts";
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
import { parseSubject } from "../subjects.ts";
import { ApiRefusal } from "./failure.ts";
import { headersOf, type NatsLink, type StreamMessage } from "./link.ts";
import type { LiveCopies } from "./live-copies.ts";
import { PUBLISH_TRIES, publishToStream } from "./publish.ts";
import { removeMessages } from "./remove.ts";
import { replay } from "./replay.ts";
import { storedSubjects } from "./stored-subjects.ts";

/** Names one append, so that its author can recognise it in the log. */
const APPEND_ID = "Dh-Append";
const MESSAGE_ID = "Nats-Msg-Id";
const EXPECT_LAST = "Nats-Expected-Last-Subject-Sequence";
/** Pause before an append that found no stream or no leader is tried again. */
const RETRY_MS = 200;

interface Attempted {
  subject: string;
  bytes: Uint8Array;
  appendId: string;
  entry: LogEntry;
  options: AppendOptions;
}

export class NatsLog implements RunLog {
  readonly #link: NatsLink;
  readonly #live: LiveCopies;
  readonly #appendPrefix = globalThis.crypto.randomUUID().slice(0, 8);
  #appends = 0;

  constructor(link: NatsLink, live: LiveCopies) {
    this.#link = link;
    this.#live = live;
  }

  append(run: string, entry: LogEntry, options: AppendOptions = {}): Promise<AppendOutcome> {
    return this.#link.guard(`Appending ${entry.kind} to run ${run}`, () => {
      const subject = this.#link.subjects.record(run, addressOf(entry));
      const bytes = encodeEntry(entry);
      assertRecordFits(bytes, this.#link.maxPayloadBytes, entry.kind, run);
      const appendId = `${this.#appendPrefix}-${(this.#appends++).toString(36)}`;
      return this.#append({ subject, bytes, appendId, entry, options });
    });
  }

  async #append(attempted: Attempted): Promise<AppendOutcome> {
    const { subject, bytes, options } = attempted;
    // Without an expectation only the broker's window keeps a repeated publish from being stored twice.
    let id: string | undefined =
      options.id ?? (options.expectLast === undefined ? attempted.appendId : undefined);
    for (let attempt = 1; ; attempt++) {
      const unsure = attempt > 1;
      try {
        const answer = await publishToStream(this.#link, subject, bytes, this.#headers(attempted, id));
        if (answer.duplicate !== true || unsure) return { ok: true, seq: answer.seq };
        // Its author tries again what nobody answered, unless what the id stored was another's, or is gone.
        if (await this.#isStoredAt(answer.seq, attempted)) return { ok: true, seq: answer.seq };
        id = undefined;
      } catch (error) {
        if (error instanceof ApiRefusal && isWrongLast(error)) return this.#conflict(attempted);
        if (!(error instanceof UnreachableError) || error.code === "E_CLOSED") throw error;
        const mine = await this.#readBack(attempted, error);
        if (mine !== undefined) return { ok: true, seq: mine };
        if (attempt >= PUBLISH_TRIES || error.code === "E_NO_SWARM") throw error;
      }
    }
  }

  async #isStoredAt(seq: number, attempted: Attempted): Promise<boolean> {
    const { logStream } = this.#link.subjects;
    const found = await this.#link.storedMessage(logStream, { next_by_subj: attempted.subject, seq });
    return found?.seq === seq && isMine(found, attempted);
  }

  #headers({ appendId, options }: Attempted, id: string | undefined) {
    const pairs: Record<string, string> = { [APPEND_ID]: appendId };
    if (id !== undefined) pairs[MESSAGE_ID] = id;
    if (options.expectLast !== undefined) pairs[EXPECT_LAST] = String(options.expectLast);
    return headersOf(pairs);
  }

  /** Somebody wrote first, unless it was this very append, answered twice. */
  async #conflict(attempted: Attempted): Promise<AppendOutcome> {
    const last = await this.#last(attempted.subject);
    if (last !== undefined && isMine(last, attempted)) return { ok: true, seq: last.seq };
    return { ok: false, lastSeq: last?.seq ?? 0 };
  }

  /** The sequence of an append that was not answered, if it is stored. */
  async #readBack(attempted: Attempted, failure: UnreachableError): Promise<number | undefined> {
    await this.#pause();
    try {
      const last = await this.#last(attempted.subject);
      return last !== undefined && isMine(last, attempted) ? last.seq : undefined;
    } catch (error) {
      if (error instanceof ApiRefusal) throw failure;
      throw error;
    }
  }

  #last(subject: string): Promise<StreamMessage | undefined> {
    return this.#link.storedMessage(this.#link.subjects.logStream, { last_by_subj: subject });
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => this.#link.clock.setTimeout(resolve, RETRY_MS));
  }

  async *read(run: string, options: ReadOptions = {}): AsyncIterable<LogRecord> {
    for await (const { record } of this.#stored(run, options)) yield record;
  }

  async *#stored(run: string, { from = 1, to, onBytes }: ReadOptions): AsyncGenerator<StoredRecord> {
    this.#link.assertOpen();
    const { logStream: stream, recordsOf } = this.#link.subjects;
    const start = from > 1 ? from : await this.#startOf(run);
    for await (const message of replay(this.#link, { stream, filter: recordsOf(run), from: start, to })) {
      onBytes?.(message.data.length);
      yield { subject: message.subject, record: this.#decode(run, message) };
    }
  }

  /**
   * Where a run's log begins. For a wildcard an older server looks through the stream from its beginning; exact
   * subjects it finds at once. What stands before the submission and any decision is of no run, and changes none.
   */
  async #startOf(run: string): Promise<number> {
    const { logStream, record } = this.#link.subjects;
    const first = (kind: "submit" | "decision"): Promise<StreamMessage | undefined> =>
      this.#link.guard(`Looking for run ${run}`, () =>
        this.#link.storedMessage(logStream, { next_by_subj: record(run, { kind }), seq: 1 }),
      );
    const found = await Promise.all([first("submit"), first("decision")]);
    const seqs = found.flatMap((message) => (message === undefined ? [] : [message.seq]));
    return seqs.length === 0 ? 1 : Math.min(...seqs);
  }

  #decode(run: string, stored: { subject: string; seq: number; ts: number; data: Uint8Array }): LogRecord {
    const { subject, seq, ts } = stored;
    const record = decodeRecord({ run, subject, seq, ts }, stored.data);
    if (record.kind === "unreadable") this.#link.countUnreadable();
    return record;
  }

  async follow(
    run: string,
    onRecord: (record: LogRecord) => void,
    options: FollowOptions = {},
  ): Promise<LogFollower> {
    this.#link.assertOpen();
    const follower = new RunFollower({
      run,
      onRecord,
      from: options.from ?? 1,
      onDisorder: options.onDisorder,
      clock: this.#link.clock,
      source: {
        read: (id, from) => this.#stored(id, { from }),
      },
      onClose: () => {
        for (const forget of forgets) forget();
      },
    });
    const forgets = [
      this.#live.listen(run, {
        onMessage: (copy) => {
          const { subject, lastOnSubject } = copy;
          follower.offer({ subject, lastOnSubject, record: this.#decode(run, copy) });
        },
        onLoss: () => follower.heal(),
      }),
      this.#link.onReconnect(() => follower.heal()),
      this.#link.onClose(() => follower.close()),
    ];
    return follower;
  }

  exists(run: string): Promise<boolean> {
    return this.#link.guard(`Looking for run ${run}`, async () => {
      // One exact subject: the server finds it without looking through the stream.
      const subject = this.#link.subjects.record(run, { kind: "submit" });
      return (await this.#last(subject)) !== undefined;
    });
  }

  list(): Promise<string[]> {
    return this.#link.guard("Listing runs", async () => {
      const runs = new Set<string>();
      const { logStream, allRecords } = this.#link.subjects;
      for await (const subject of storedSubjects(this.#link, logStream, allRecords)) {
        const parsed = parseSubject(subject);
        if (parsed?.is === "record") runs.add(parsed.run);
      }
      return [...runs];
    });
  }

  async *scan({ from = 1, wants = () => true, onBytes }: ScanOptions = {}): AsyncIterable<LogRecord> {
    this.#link.assertOpen();
    const { logStream: stream, allRecords: filter } = this.#link.subjects;
    for await (const message of replay(this.#link, { stream, filter, from })) {
      const parsed = parseSubject(message.subject);
      if (parsed?.is !== "record" || !wants(parsed.run, message.seq)) continue;
      onBytes?.(message.data.length);
      yield this.#decode(parsed.run, message);
    }
  }

  purge(run: string, range: SeqRange): Promise<number> {
    const { logStream, recordsOf } = this.#link.subjects;
    return this.#link.guard(`Removing run ${run}`, () =>
      removeMessages(this.#link, logStream, recordsOf(run), range),
    );
  }
}

function isWrongLast(refusal: ApiRefusal): boolean {
  return refusal.is("wrongLastSequence") || refusal.is("wrongLastSequenceUnknown");
}

/**
 * Whether a stored message is this append. Decisions name themselves in their body, so for them the same
 * bytes are the same decision, also after the author asked again from above.
 */
function isMine(stored: StreamMessage, { appendId, bytes, entry, options }: Attempted): boolean {
  if (stored.headers.includes(`${APPEND_ID}: ${appendId}\r\n`)) return true;
  if (options.id !== undefined && stored.headers.includes(`${MESSAGE_ID}: ${options.id}\r\n`)) return true;
  return entry.kind === "decision" && Buffer.compare(stored.data, bytes) === 0;
}
