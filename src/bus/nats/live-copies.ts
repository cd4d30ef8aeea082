/**
 * The live copies of log records, in the order of the stream.
 *
 * Owns the subscription and the order. Copies of records by two publishers can swap places on their way
 * (seen on nats-server 2.9: a decision before the result stored just before it), and a log folded in another
 * order is another log (L1). The stream numbers its records without gaps, so a copy that leaves one waits a
 * moment for its elders.
 *
 * A daemon follows many runs: it takes the whole swarm's copies in one subscription, where a gap is seen for
 * what it is. When the elders do not come, a copy of some run was lost, and every follower is told before
 * anything younger is passed on, so that no log is folded with a hole. A client follows one run, where other
 * runs' records look like gaps too and cost the wait; it finds out by the numbering of the subjects.
 */
import type { Msg, MsgHdrs } from "nats";
import type { Clock } from "../bus.ts";
import type { NatsLink } from "./link.ts";

/**
 * How long a copy waits for its elders. In the whole swarm's copies a gap is a swap or a loss, and a swap under
 * load may take a while; in one run's copies nearly every gap is another run's record.
 */
const ELDERS_WAIT_MS = { wide: 50, narrow: 2 };

export interface LiveMessage {
  /** The stored record's subject. */
  subject: string;
  seq: number;
  /** The sequence before this one on the same subject; 0: none. */
  lastOnSubject: number;
  /** Epoch ms of storage; the time of arrival where the server does not tell. */
  ts: number;
  data: Uint8Array;
}

interface Listener {
  onMessage(message: LiveMessage): void;
  /** Called before a copy that follows a lost one. Which run's it was is not known. */
  onLoss(): void;
}

export class LiveCopies {
  readonly #link: NatsLink;
  readonly #wide: boolean;
  readonly #listeners = new Map<string, Set<Listener>>();
  #stop: (() => void) | undefined;

  /** @param wide take the whole swarm's copies in one subscription */
  constructor(link: NatsLink, wide: boolean) {
    this.#link = link;
    this.#wide = wide;
  }

  /** Hands over a run's live copies, the eldest first, until the returned function is called. */
  listen(run: string, listener: Listener): () => void {
    const { subjects } = this.#link;
    if (!this.#wide) {
      const ignore = (): void => undefined;
      return this.#subscribe(subjects.liveRecordsOf(run), { ...listener, onLoss: ignore });
    }
    const prefix = subjects.recordsOf(run).slice(0, -1);
    const listeners = this.#listeners.get(prefix) ?? new Set();
    this.#listeners.set(prefix, listeners.add(listener));
    this.#stop ??= this.#subscribe(subjects.allLiveRecords, {
      onMessage: (message) => this.#route(message),
      onLoss: () => this.#tellLoss(),
    });
    return () => {
      listeners.delete(listener);
      if (listeners.size === 0) this.#listeners.delete(prefix);
      if (this.#listeners.size > 0) return;
      this.#stop?.();
      this.#stop = undefined;
    };
  }

  #route(message: LiveMessage): void {
    const { subject } = message;
    const afterRun = subject.indexOf(".", this.#link.subjects.allRecords.length - 1);
    for (const listener of this.#listeners.get(subject.slice(0, afterRun + 1)) ?? [])
      listener.onMessage(message);
  }

  #tellLoss(): void {
    for (const listeners of this.#listeners.values()) for (const { onLoss } of listeners) onLoss();
  }

  #subscribe(pattern: string, { onMessage, onLoss }: Listener): () => void {
    const { nc, clock, subjects } = this.#link;
    const livePrefix = subjects.allLiveRecords.slice(0, -1);
    const storedPrefix = subjects.allRecords.slice(0, -1);
    const waitMs = ELDERS_WAIT_MS[this.#wide ? "wide" : "narrow"];
    const queue = new ElderFirst({ clock, waitMs, pass: onMessage, onLoss });
    const subscription = nc.subscribe(pattern, {
      callback: (error, message: Msg) => {
        if (error !== null) return;
        const { seq, lastOnSubject, ts } = readStamp(message.headers);
        // Whoever may publish to the live subject is not the stream.
        if (!Number.isSafeInteger(seq)) return this.#link.countUnreadable();
        queue.offer({
          subject: storedPrefix + message.subject.slice(livePrefix.length),
          seq,
          lastOnSubject,
          ts: Number.isFinite(ts) ? ts : clock.now(),
          data: message.data,
        });
      },
    });
    return () => {
      queue.stop();
      subscription.unsubscribe();
    };
  }
}

export interface ElderFirstOptions<Item> {
  clock: Clock;
  waitMs: number;
  pass(item: Item): void;
  /** Called before an item is passed on whose elders did not come. */
  onLoss(): void;
}

/** Passes on what continues the sequence at once; lets what leaves a gap wait, and then pass in order. */
export class ElderFirst<Item extends { seq: number }> {
  readonly #options: ElderFirstOptions<Item>;
  /** By sequence, the eldest first. */
  #waiting: Item[] = [];
  #last: number | undefined;
  #timer: unknown;

  constructor(options: ElderFirstOptions<Item>) {
    this.#options = options;
  }

  offer(item: Item): void {
    const { clock, waitMs } = this.#options;
    if (this.#last !== undefined && item.seq > this.#last + 1) {
      const at = this.#waiting.findLastIndex(({ seq }) => seq < item.seq);
      this.#waiting.splice(at + 1, 0, item);
      this.#timer ??= clock.setTimeout(() => this.#passWaiting(), waitMs);
      return;
    }
    this.#passOn(item);
    while (this.#waiting[0] && this.#waiting[0].seq <= (this.#last as number) + 1) {
      this.#passOn(this.#waiting.shift() as Item);
    }
    if (this.#waiting.length === 0) this.#disarm();
  }

  stop(): void {
    this.#disarm();
    this.#waiting = [];
  }

  #passWaiting(): void {
    this.#timer = undefined;
    for (const item of this.#waiting.splice(0)) {
      if (item.seq > (this.#last ?? 0) + 1) this.#options.onLoss();
      this.#passOn(item);
    }
  }

  #passOn(item: Item): void {
    this.#last = Math.max(this.#last ?? 0, item.seq);
    this.#options.pass(item);
  }

  #disarm(): void {
    if (this.#timer !== undefined) this.#options.clock.clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}

/** What the stream says about a live copy, in one pass: looking headers up by name walks all of them each time. */
function readStamp(headers: MsgHdrs | undefined): { seq: number; lastOnSubject: number; ts: number } {
  const stamp = { seq: Number.NaN, lastOnSubject: 0, ts: Number.NaN };
  for (const [name, [value = ""]] of headers ?? []) {
    if (name === "Nats-Sequence") stamp.seq = value === "" ? Number.NaN : Number(value);
    else if (name === "Nats-Last-Sequence") stamp.lastOnSubject = Number(value);
    else if (name === "Nats-Time-Stamp") stamp.ts = Date.parse(value);
  }
  return stamp;
}
