/**
 * Reading what is stored on a subject filter, in order, to the end that the stream's leader names.
 *
 * Short logs are read message by message from the leader: a consumer costs more than they do. Longer ones go
 * through an ephemeral pull consumer page by page, checked for gaps by its own count and started anew where it
 * broke off.
 *
 *  - Y1 What a connection has asked for and not got is bounded in bytes, over all replays of it (`ReplayWindow`): a
 *    server ends connections that let more than its `max_pending` lie unread.
 */
import type { Msg } from "nats";
import { UnreachableError } from "../../workflow/errors.ts";
import { connectionLost } from "./failure.ts";
import type { NatsLink } from "./link.ts";
import { type PulledMessage, readReceipt } from "./receipt.ts";
import type { ReplayPlace } from "./replay-window.ts";
import { nanos } from "./streams.ts";

export interface ReplayedMessage {
  subject: string;
  seq: number;
  ts: number;
  data: Uint8Array;
}

export interface ReplayRange {
  stream: string;
  filter: string;
  /** First sequence. */
  from: number;
  /** Last sequence, inclusive; default: the end. */
  to?: number | undefined;
}

/** Messages that are read one by one before a consumer is made. */
const ONE_BY_ONE = 3;
/** Messages of a page; its bytes bound it, too. */
const PAGE_MESSAGES = 1_000;
/** After so many messages the process is given to others: whoever folds a long log still answers and renews. */
const SLICE = 100;
/** Silence of the consumer after which it is given up and made anew. */
const STALL_MS = 5_000;
/** The server removes a consumer that nobody asks any more. */
const INACTIVE_MS = 30_000;
const MAX_RESTARTS = 5;

/**
 * All messages of the filter from `from` to `to`, or to the end. The end is where the leader says that
 * nothing follows: a consumer may sit on a replica that lags behind.
 */
export async function* replay(link: NatsLink, range: ReplayRange): AsyncGenerator<ReplayedMessage> {
  const { stream, filter, from, to = Number.POSITIVE_INFINITY } = range;
  let next = from;
  let failures = 0;
  while (next <= to) {
    for (let count = 0; count < ONE_BY_ONE; count++) {
      const message = await readNext(link, stream, filter, next);
      if (message === undefined || message.seq > to) return;
      yield message;
      next = message.seq + 1;
    }
    const consumer = new ReplayConsumer(link, stream, filter, next);
    try {
      for await (const message of consumer.read(to)) {
        yield message;
        next = message.seq + 1;
        failures = 0;
      }
    } catch (error) {
      if (!(error instanceof UnreachableError) || link.status === "closed") throw error;
      if (++failures > MAX_RESTARTS) throw error;
    } finally {
      consumer.close();
    }
  }
}

/** The next message, told by the stream's leader. */
function readNext(
  link: NatsLink,
  stream: string,
  filter: string,
  seq: number,
): Promise<ReplayedMessage | undefined> {
  return link.guard("Reading what is stored", () =>
    link.storedMessage(stream, { next_by_subj: filter, seq: Math.max(1, seq) }),
  );
}

const othersTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Statuses of a request that has got all there was: no messages, or fewer than it asked for. */
const isExhausted = (code: number | undefined): boolean => code === 404 || code === 408;
/** Status of a page that the next message does not fit into. */
const isFull = ({ headers }: Msg): boolean =>
  headers?.code === 409 && /exceeds maxbytes/i.test(headers.description);
/** As the server counts it against a page. The client has it, and its type does not tell. */
const bytesOf = (message: Msg): number => (message as Msg & { size(): number }).size();

/** What is still to come of an open request. */
interface OpenPage {
  readonly place: ReplayPlace;
  messages: number;
  bytes: number;
}

/** One ephemeral consumer. Ends with an error when it falls silent or skips. */
class ReplayConsumer {
  readonly #link: NatsLink;
  readonly #stream: string;
  readonly #filter: string;
  readonly #from: number;
  readonly #inbox: string;
  #name: string | undefined;
  #queue: PulledMessage[] = [];
  #open: OpenPage | undefined;
  /** Requests so far. Statuses of an older one than the last say nothing any more. */
  #requests = 0;
  /** The next message is larger than a page: it comes alone. */
  #oversized = false;
  /** The consumer has said that it has no more. */
  #drained = false;
  #failure: UnreachableError | undefined;
  #wake: (() => void) | undefined;
  #unsubscribe: (() => void) | undefined;

  constructor(link: NatsLink, stream: string, filter: string, from: number) {
    this.#link = link;
    this.#stream = stream;
    this.#filter = filter;
    this.#from = from;
    this.#inbox = link.newInbox();
  }

  async *read(end: number): AsyncGenerator<ReplayedMessage> {
    const pending = await this.#create();
    if (pending === 0) return;
    const subscription = this.#link.nc.subscribe(`${this.#inbox}.*`, {
      callback: (error, message) => this.#arrive(error, message),
    });
    const forget = this.#link.onReconnect(() => this.#fail(connectionLost("a replay")));
    this.#unsubscribe = () => {
      forget();
      subscription.unsubscribe();
    };
    let expectedCount = 1;
    for (;;) {
      if (this.#open === undefined && !this.#drained && this.#failure === undefined) await this.#ask();
      const messages = await this.#take();
      for (const message of messages) {
        if (message.consumerSeq !== expectedCount) throw connectionLost("a replay");
        expectedCount++;
        if (message.streamSeq > end) return;
        yield { subject: message.subject, seq: message.streamSeq, ts: message.ts, data: message.data };
        if (expectedCount % SLICE === 0) await othersTurn();
        if (message.streamSeq >= end || message.pending === 0) return;
      }
      if (this.#drained && this.#queue.length === 0) return;
    }
  }

  close(): void {
    this.#turnOver();
    this.#unsubscribe?.();
    if (this.#name !== undefined)
      this.#link.send(`$JS.API.CONSUMER.DELETE.${this.#stream}.${this.#name}`, "");
  }

  async #create(): Promise<number> {
    const made = await this.#link.guard("Reading what is stored", () =>
      this.#link.api<{ name: string; num_pending: number }>(`CONSUMER.CREATE.${this.#stream}`, {
        stream_name: this.#stream,
        config: {
          filter_subject: this.#filter,
          ...(this.#from > 1
            ? { deliver_policy: "by_start_sequence", opt_start_seq: this.#from }
            : { deliver_policy: "all" }),
          ack_policy: "none",
          replay_policy: "instant",
          max_deliver: 1,
          mem_storage: true,
          num_replicas: 1,
          inactive_threshold: nanos(INACTIVE_MS),
        },
      }),
    );
    this.#name = made.name;
    return made.num_pending;
  }

  /** While there is something to read nobody has to wait for a place. */
  async #ask(): Promise<void> {
    const { replays } = this.#link;
    if (this.#oversized) return this.#request(await replays.whole());
    const place = replays.spare() ?? (this.#queue.length === 0 ? await replays.page() : undefined);
    if (place !== undefined) this.#request(place);
  }

  /** What it has not got it says at once: what it counts as pending may be too much (seen on nats-server 2.9). */
  #request(place: ReplayPlace): void {
    const request = this.#oversized
      ? { batch: 1, no_wait: true }
      : { batch: PAGE_MESSAGES, no_wait: true, max_bytes: place.bytes };
    this.#open = {
      place,
      messages: request.batch,
      bytes: request.max_bytes ?? Number.POSITIVE_INFINITY,
    };
    this.#oversized = false;
    this.#requests += 1;
    this.#link.send(
      `$JS.API.CONSUMER.MSG.NEXT.${this.#stream}.${this.#name}`,
      JSON.stringify(request),
      `${this.#inbox}.${this.#requests}`,
    );
  }

  #arrive(error: Error | null, message: Msg): void {
    if (error !== null) return;
    const pulled = readReceipt(message);
    if (pulled !== undefined) {
      this.#queue.push(pulled);
      this.#count(bytesOf(message));
    } else if (message.subject === `${this.#inbox}.${this.#requests}`) this.#endOf(message);
    this.#wake?.();
  }

  #count(bytes: number): void {
    const open = this.#open;
    if (open === undefined) return;
    open.messages -= 1;
    open.bytes -= bytes;
    // The server tells nobody when the last message fills the page exactly.
    if (open.messages <= 0 || open.bytes <= 0) this.#next();
  }

  #endOf(status: Msg): void {
    if (this.#open === undefined) return;
    if (isExhausted(status.headers?.code)) {
      this.#drained = true;
      this.#turnOver();
    } else if (isFull(status)) {
      this.#oversized = this.#open.messages === PAGE_MESSAGES;
      this.#next();
    } else this.#fail(connectionLost("a replay"));
  }

  /** The next page travels while this one is being read, where the connection has one to spare. */
  #next(): void {
    this.#turnOver();
    const hasRoom = !this.#oversized && this.#queue.length <= PAGE_MESSAGES;
    const place = hasRoom ? this.#link.replays.spare() : undefined;
    if (place !== undefined) this.#request(place);
  }

  #turnOver(): void {
    this.#open?.place.turnOver();
    this.#open = undefined;
  }

  #fail(failure: UnreachableError): void {
    this.#failure ??= failure;
    this.#turnOver();
    this.#wake?.();
  }

  /** What has arrived; nothing when a page ended without a message. @throws when the consumer fell silent */
  async #take(): Promise<PulledMessage[]> {
    while (this.#queue.length === 0 && this.#open !== undefined) {
      if (!(await this.#arrival())) this.#fail(connectionLost("a replay"));
    }
    const messages = this.#queue;
    this.#queue = [];
    if (messages.length === 0 && this.#failure !== undefined) throw this.#failure;
    return messages;
  }

  /** False: nothing came for so long that nothing will. */
  #arrival(): Promise<boolean> {
    return new Promise((resolve) => {
      const done = (came: boolean): void => {
        this.#link.clock.clearTimeout(timer);
        this.#wake = undefined;
        resolve(came);
      };
      const timer = this.#link.clock.setTimeout(() => done(false), STALL_MS);
      this.#wake = () => done(true);
    });
  }
}
