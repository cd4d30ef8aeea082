/**
 * The connection to nats-server: requests with an answer or an error in bounded time, the JetStream API,
 * and what happens when the connection breaks.
 *
 * Owns the vendor's connection, its status and the table of open requests. A request that was under way
 * when the connection broke is rejected at once instead of waiting for its time-out: the answer is lost.
 */
import type { Msg, MsgHdrs, NatsConnection } from "nats";
import type { BusStatus, Clock } from "../bus.ts";
import { type Subjects, subjectsOf } from "../subjects.ts";
import { type ConnectionSettings, connectTo, serversOf } from "./connection.ts";
import { ApiRefusal, asBusError, closedBus, connectionLost, noSwarm } from "./failure.ts";
import { OpenRequests } from "./open-requests.ts";
import { ReplayWindow } from "./replay-window.ts";
import { StorageRoom } from "./storage-room.ts";

export interface LinkOptions extends ConnectionSettings {
  swarm: string;
  clock: Clock;
}

/** How long a request waits for its answer when nothing else is said. */
const REQUEST_TIMEOUT_MS = 2_000;
const NO_RESPONDERS = 503;
/** How long and how many messages that are in no hurry wait for others to share a write with (L8). */
const LINGER_MS = 2;
const MAX_LINGERING = 256;

export interface StreamMessage {
  subject: string;
  seq: number;
  data: Uint8Array;
  ts: number;
  headers: string;
}

export class NatsLink {
  readonly subjects: Subjects;
  readonly clock: Clock;
  readonly nc: NatsConnection;
  readonly storage: StorageRoom;
  readonly replays = new ReplayWindow(() => this.maxPayloadBytes);
  /** For a second connection of the same party. */
  readonly settings: ConnectionSettings;
  readonly #inboxPrefix: string;
  readonly #inbox: string;
  readonly #open: OpenRequests;
  /** Waiting for the next write, in the order of sending. */
  #lingering: { subject: string; payload: Uint8Array | string; reply: string | undefined }[] = [];
  #lingerTimer: unknown;
  #status: BusStatus = "connected";
  #connectedAt: number;
  #unreadable = 0;
  readonly #statusListeners = new Set<(status: BusStatus, reason: string) => void>();
  readonly #reconnectListeners = new Set<() => void>();
  readonly #closeListeners = new Set<() => void | Promise<void>>();
  #closing: Promise<void> | undefined;

  private constructor(nc: NatsConnection, options: LinkOptions) {
    this.nc = nc;
    const { url, token, creds, name, inboxPrefix } = options;
    this.settings = { url, token, creds, name, inboxPrefix };
    this.clock = options.clock;
    this.storage = new StorageRoom(this);
    this.#open = new OpenRequests(options.clock);
    this.#connectedAt = options.clock.now();
    this.subjects = subjectsOf(options.swarm);
    this.#inboxPrefix = options.inboxPrefix ?? "_INBOX";
    this.#inbox = `${this.newInbox()}.`;
    nc.subscribe(`${this.#inbox}*`, { callback: (error, message) => this.#answer(error, message) });
    void this.#watchStatus();
  }

  static async open(options: LinkOptions): Promise<NatsLink> {
    subjectsOf(options.swarm);
    try {
      return new NatsLink(await connectTo(options), options);
    } catch (error) {
      throw asBusError(
        error,
        options.swarm,
        `Connecting to ${serversOf(options.url).map(withoutSecret).join(", ")}`,
      );
    }
  }

  get status(): BusStatus {
    return this.#status;
  }
  /** When the connection was made, or made again, by this machine's clock. */
  get connectedAt(): number {
    return this.#connectedAt;
  }
  get unreadable(): number {
    return this.#unreadable;
  }
  countUnreadable(): void {
    this.#unreadable++;
  }
  get maxPayloadBytes(): number {
    return this.nc.info?.max_payload ?? 1024 * 1024;
  }
  /** `2.9.10` as [2, 9, 10]. */
  get serverVersion(): number[] {
    return (this.nc.info?.version ?? "0").split(/[.-]/).slice(0, 3).map(Number);
  }

  newInbox(): string {
    return `${this.#inboxPrefix}.${globalThis.crypto.randomUUID().replaceAll("-", "")}`;
  }

  onStatus(listener: (status: BusStatus, reason: string) => void): () => void {
    this.#statusListeners.add(listener);
    return () => this.#statusListeners.delete(listener);
  }
  /** Called after every reconnect, when subscriptions are in place again. */
  onReconnect(listener: () => void): () => void {
    this.#reconnectListeners.add(listener);
    return () => this.#reconnectListeners.delete(listener);
  }
  /** Called once, before the connection closes. */
  onClose(listener: () => void | Promise<void>): () => void {
    this.#closeListeners.add(listener);
    return () => this.#closeListeners.delete(listener);
  }

  assertOpen(): void {
    if (this.#status === "closed" || this.#closing !== undefined) throw closedBus();
  }

  /** Fire and forget. Silently nothing on a closed connection: what it would have told nobody waits for. */
  send(subject: string, payload: Uint8Array | string, reply?: string): void {
    if (this.nc.isClosed() || this.nc.isDraining()) return;
    this.#sendLingering();
    this.nc.publish(subject, payload, reply === undefined ? undefined : { reply });
  }

  /**
   * The same for what is in no hurry: it goes with the next message, after `LINGER_MS` at the latest, in the
   * order of sending. A write to the socket costs more than all else about a small message.
   */
  sendSoon(subject: string, payload: Uint8Array | string, reply?: string): void {
    if (this.nc.isClosed() || this.nc.isDraining()) return;
    this.#lingering.push({ subject, payload, reply });
    if (this.#lingering.length >= MAX_LINGERING) this.#sendLingering();
    else this.#lingerTimer ??= this.clock.setTimeout(() => this.#sendLingering(), LINGER_MS);
  }

  #sendLingering(): void {
    if (this.#lingerTimer === undefined) return;
    this.clock.clearTimeout(this.#lingerTimer);
    this.#lingerTimer = undefined;
    const messages = this.#lingering;
    this.#lingering = [];
    if (this.nc.isClosed() || this.nc.isDraining()) return;
    for (const { subject, payload, reply } of messages) {
      this.nc.publish(subject, payload, reply === undefined ? undefined : { reply });
    }
  }

  /** @throws UnreachableError after `timeoutMs`, at once when nobody listens or the connection breaks. */
  request(
    subject: string,
    payload: Uint8Array | string,
    timeoutMs: number = REQUEST_TIMEOUT_MS,
    hdrs?: MsgHdrs,
  ): Promise<Msg> {
    if (this.nc.isClosed() || this.nc.isDraining()) return Promise.reject(closedBus());
    const { token, answer } = this.#open.add(subject, timeoutMs);
    const reply = this.#inbox + token;
    this.#sendLingering();
    try {
      this.nc.publish(subject, payload, hdrs === undefined ? { reply } : { reply, headers: hdrs });
    } catch (error) {
      this.#open.take(token)?.reject(error as Error);
    }
    return answer;
  }

  /** A request to all who listen; ends when no answer came for `stallMs`, or after `maxWaitMs`. */
  gather(
    subject: string,
    { maxWaitMs, stallMs }: { maxWaitMs: number; stallMs: number },
    onAnswer: (message: Msg) => void,
  ): Promise<void> {
    return new Promise((resolve) => {
      const inbox = this.newInbox();
      const finish = (): void => {
        this.clock.clearTimeout(deadline);
        this.clock.clearTimeout(stall);
        forget();
        subscription.unsubscribe();
        resolve();
      };
      const subscription = this.nc.subscribe(inbox, {
        callback: (error, message) => {
          if (error !== null || (message.data.length === 0 && message.headers?.code === NO_RESPONDERS)) {
            finish();
            return;
          }
          this.clock.clearTimeout(stall);
          stall = this.clock.setTimeout(finish, stallMs);
          onAnswer(message);
        },
      });
      const deadline = this.clock.setTimeout(finish, maxWaitMs);
      // The first answer may take longer than the gap between two.
      let stall: unknown;
      const forget = this.onClose(finish);
      this.nc.publish(subject, "", { reply: inbox });
    });
  }

  /** A request to the JetStream API. @throws ApiRefusal when the server answers with an error. */
  async api<Answer>(subject: string, body?: unknown, timeoutMs?: number): Promise<Answer> {
    const message = await this.request(
      `$JS.API.${subject}`,
      body === undefined ? "" : JSON.stringify(body),
      timeoutMs,
    );
    const answer = message.json<
      Answer & { error?: { code?: number; err_code?: number; description?: string } }
    >();
    if (answer.error !== undefined) throw new ApiRefusal(subject, answer.error);
    return answer;
  }

  /** One stored message, read from the stream's leader; `undefined` when there is none. */
  async storedMessage(
    stream: string,
    which: { last_by_subj: string } | { next_by_subj: string; seq: number },
  ): Promise<StreamMessage | undefined> {
    try {
      const { message } = await this.api<{
        message: { subject: string; seq: number; data?: string; hdrs?: string; time: string };
      }>(`STREAM.MSG.GET.${stream}`, which);
      return {
        subject: message.subject,
        seq: message.seq,
        data: Buffer.from(message.data ?? "", "base64"),
        ts: Date.parse(message.time),
        headers: Buffer.from(message.hdrs ?? "", "base64").toString("latin1"),
      };
    } catch (error) {
      if (error instanceof ApiRefusal && error.is("messageNotFound")) return undefined;
      throw error;
    }
  }

  /** Runs a call and turns what it throws into an error that callers know. */
  async guard<Value>(what: string, call: () => Promise<Value>): Promise<Value> {
    this.assertOpen();
    try {
      return await call();
    } catch (error) {
      throw asBusError(error, this.subjects.swarm, what);
    }
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    await Promise.allSettled([...this.#closeListeners].map((listener) => listener()));
    this.#closeListeners.clear();
    this.#sendLingering();
    if (this.#status === "connected") await this.#flush();
    this.#open.rejectAll(() => closedBus());
    await this.nc.close();
    this.#setStatus("closed", "closed by its owner");
  }

  /** Lets the server have what was published; a server that does not answer is not waited for. */
  async #flush(): Promise<void> {
    let timer: unknown;
    const tooLong = new Promise<void>((resolve) => {
      timer = this.clock.setTimeout(resolve, 2_000);
    });
    await Promise.race([this.nc.flush().then(undefined, () => undefined), tooLong]);
    this.clock.clearTimeout(timer);
  }

  #answer(error: Error | null, message: Msg): void {
    if (error !== null) return;
    // Answers that come after their time-out find nobody.
    const open = this.#open.take(message.subject.slice(this.#inbox.length));
    if (open === undefined) return;
    if (message.data.length === 0 && message.headers?.code === NO_RESPONDERS) {
      open.reject(noSwarm(this.subjects.swarm, `nobody listens on ${open.subject}`));
    } else {
      open.resolve(message);
    }
  }

  async #watchStatus(): Promise<void> {
    for await (const change of this.nc.status()) {
      if (change.type === "disconnect") {
        this.#setStatus("reconnecting", `lost the connection to ${change.server}`);
        this.#open.rejectAll((subject) => connectionLost(`a request to ${subject}`));
      } else if (change.type === "reconnect") {
        this.#connectedAt = this.clock.now();
        this.#setStatus("connected", `connected again to ${change.server}`);
        for (const listener of [...this.#reconnectListeners]) listener();
      } else if (change.type === "close") {
        this.#open.rejectAll(() => closedBus());
        this.#setStatus("closed", "the connection was closed");
      }
    }
  }

  #setStatus(status: BusStatus, reason: string): void {
    if (this.#status === status || this.#status === "closed") return;
    this.#status = status;
    for (const listener of [...this.#statusListeners]) listener(status, reason);
  }
}

/**
 * Headers of a message to publish, from plain pairs. The client only ever encodes them; its own headers object
 * is made for reading and editing as well, and costs a third of a small append.
 * @param pairs names and values of ours: without line breaks
 */
export function headersOf(pairs: Readonly<Record<string, string>>): MsgHdrs {
  let text = "NATS/1.0\r\n";
  for (const name of Object.keys(pairs)) text += `${name}: ${pairs[name]}\r\n`;
  const bytes = Buffer.from(`${text}\r\n`);
  return { encode: () => bytes } as Partial<EncodableHeaders> as MsgHdrs;
}

/** What the client needs of headers when it publishes; not in its public type. */
interface EncodableHeaders extends MsgHdrs {
  encode(): Uint8Array;
}

function withoutSecret(url: string): string {
  return url.replace(/\/\/[^@/]*@/, "//");
}
