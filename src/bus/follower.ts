/**
 * Following one run's log: replay, then live copies, stitched into one gapless sequence (B2).
 *
 * Owns the order of delivery. Owns no connection: it is offered live copies, and reads the stored log
 * through a `LogSource`. Every adapter follows through this class, so they heal alike.
 *
 *  - Live copies say which sequence was the previous one on their subject, and in the run where the adapter
 *    can tell. A copy whose predecessor has not been delivered reveals a loss; the log is then read again from
 *    the last place that was verified. An adapter that sees a loss which may be this run's calls `heal`.
 *  - Copies that arrive during a read wait in a bounded buffer; when it overflows it is dropped, and the
 *    log is read once more instead (L8).
 *  - A read that fails is tried again with a growing delay until it works or the follower is closed.
 */
import { UnreachableError } from "../workflow/errors.ts";
import type { Clock, LogFollower, LogRecord } from "./bus.ts";

/** A stored record with the subject that it is stored under. */
export interface StoredRecord {
  subject: string;
  record: LogRecord;
}

/** The live copy of a record; `subject` is that of the stored record. */
export interface LiveCopy extends StoredRecord {
  /** The sequence before this one on the same subject; 0: none. */
  lastOnSubject: number;
  /** The sequence before this one in the run's log, where the adapter can tell; 0: none. */
  lastInRun?: number;
}

export interface LogSource {
  /** All records from `from` to the end that the stream's leader names. */
  read(run: string, from: number): AsyncIterable<StoredRecord>;
}

export interface FollowerOptions {
  source: LogSource;
  clock: Clock;
  run: string;
  from: number;
  onRecord: (record: LogRecord) => void;
  /** Called when an older record turned up after a younger one was delivered; the follower is closed. */
  onDisorder?: ((missedSeq: number) => void) | undefined;
  /** Called once when the follower closes, to end its subscription. */
  onClose: () => void;
}

/** Live copies that wait while the log is read. */
const MAX_WAITING_COPIES = 10_000;
const RETRY_MIN_MS = 100;
const RETRY_MAX_MS = 5_000;

export class RunFollower implements LogFollower {
  readonly caughtUp: Promise<number>;
  readonly #options: FollowerOptions;
  /** Sequence of the last delivered record: all of the run up to it was delivered. */
  #delivered: number;
  /** The stored log was read without a gap up to here; what follows came as live copies. */
  #verified: number;
  readonly #lastOnSubject = new Map<string, number>();
  #waiting: LiveCopy[] = [];
  #overflowed = false;
  /** The read in progress; live copies wait meanwhile. */
  #reading: Promise<void> | undefined;
  /** Where the next read must begin, when a loss was seen. */
  #missingFrom: number | undefined;
  #closed = false;
  #retry: { timer: unknown; go: () => void } | undefined;
  #settle: { resolve: (seq: number) => void; reject: (error: Error) => void } | undefined;

  constructor(options: FollowerOptions) {
    this.#options = options;
    this.#delivered = options.from - 1;
    this.#verified = options.from - 1;
    this.caughtUp = new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
    });
    // Whoever does not wait for it must not be ended by its rejection.
    this.caughtUp.then(undefined, () => undefined);
    this.heal();
  }

  /** Takes a live copy, in the order in which copies arrive. */
  offer(copy: LiveCopy): void {
    if (this.#closed) return;
    if (this.#reading === undefined) {
      this.#take(copy);
    } else if (this.#waiting.length < MAX_WAITING_COPIES) {
      this.#waiting.push(copy);
    } else {
      this.#waiting = [];
      this.#overflowed = true;
    }
  }

  /**
   * Reads what is stored. Called at the start, after every reconnect and when a copy was lost. From the last place that was verified
   * on, not from the last delivered record: a copy lost before the connection broke leaves no trace behind it
   * when what followed on its subject is read instead of heard.
   */
  heal(): void {
    this.#missingFrom = Math.min(this.#missingFrom ?? Number.POSITIVE_INFINITY, this.#verified + 1);
    this.#retry?.go();
    void this.#drain();
  }

  /**
   * Reads again what came live since the last read, so that a copy which was lost without a trace is found
   * before anything is decided from its absence (L10). Resolves with the place up to which that is certain,
   * which is not the last delivered record: live copies came while the read was on its way.
   */
  async sync(): Promise<number> {
    this.#missingFrom = Math.min(this.#missingFrom ?? Number.POSITIVE_INFINITY, this.#verified + 1);
    this.#retry?.go();
    // A read that is under way may be past the place: it goes round once more.
    await this.#drain();
    if (this.#closed) throw closedError(this.#options.run);
    return this.#verified;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#waiting = [];
    this.#retry?.go();
    this.#settle?.reject(closedError(this.#options.run));
    this.#options.onClose();
  }

  /** Reads until nothing is known to be missing; one at a time. */
  #drain(): Promise<void> {
    this.#reading ??= this.#readMissing();
    return this.#reading;
  }

  async #readMissing(): Promise<void> {
    // `#reading` is set before the first line below runs, and cleared in the same turn in which the last
    // copy was taken: no copy can fall between the read and the live stream.
    await undefined;
    let delayMs = RETRY_MIN_MS;
    while (this.#missingFrom !== undefined && !this.#closed) {
      const from = this.#missingFrom;
      this.#missingFrom = undefined;
      try {
        for await (const stored of this.#options.source.read(this.#options.run, from)) {
          if (this.#closed) break;
          this.#deliver(stored);
        }
        delayMs = RETRY_MIN_MS;
        // Live copies have waited meanwhile, so what was delivered is what was read.
        if (from <= this.#verified + 1) this.#verified = this.#delivered;
      } catch {
        // The broker is away: what it has kept is still there when it comes back.
        this.#missingFrom = Math.min(from, this.#delivered + 1);
        await this.#pause(delayMs);
        delayMs = Math.min(delayMs * 2, RETRY_MAX_MS);
        continue;
      }
      this.#takeWaiting();
    }
    this.#reading = undefined;
    this.#settle?.resolve(this.#verified);
    this.#settle = undefined;
  }

  #takeWaiting(): void {
    const copies = this.#waiting;
    this.#waiting = [];
    for (const copy of copies) this.#take(copy);
    if (this.#overflowed) {
      this.#overflowed = false;
      this.#missingFrom ??= this.#verified + 1;
    }
  }

  #take(copy: LiveCopy): void {
    if (this.#closed) return;
    const known = this.#lastOnSubject.get(copy.subject) ?? this.#options.from - 1;
    if (copy.lastOnSubject > known || (copy.lastInRun ?? 0) > this.#delivered) {
      // A predecessor was lost on the way: this copy will be met again when the log is read. What is read tells
      // nothing of its predecessors, so the read begins where the last one ended, not at this gap: another
      // subject may have one of which nothing was heard yet.
      this.#missingFrom = Math.min(this.#missingFrom ?? Number.POSITIVE_INFINITY, this.#verified + 1);
      void this.#drain();
      return;
    }
    this.#deliver(copy);
  }

  #deliver({ subject, record }: StoredRecord): void {
    const known = this.#lastOnSubject.get(subject) ?? this.#options.from - 1;
    if (record.seq <= known) return;
    if (record.seq <= this.#delivered && this.#options.onDisorder !== undefined) {
      this.close();
      this.#options.onDisorder(record.seq);
      return;
    }
    this.#lastOnSubject.set(subject, record.seq);
    this.#delivered = Math.max(this.#delivered, record.seq);
    this.#options.onRecord(record);
  }

  #pause(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      const go = (): void => {
        this.#options.clock.clearTimeout(timer);
        this.#retry = undefined;
        resolve();
      };
      const timer = this.#options.clock.setTimeout(go, delayMs);
      this.#retry = { timer, go };
    });
  }
}

function closedError(run: string): UnreachableError {
  return new UnreachableError("E_CLOSED", `The follower of run ${run} was closed`, {
    remedy: "Follow the run again over an open connection.",
    data: { run },
  });
}
