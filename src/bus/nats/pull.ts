/**
 * Pulling from a durable consumer: never more requested than there are free slots, and no request lost for
 * long.
 *
 * Owns the count of what is requested and not delivered. Several requests are open at once, and a message
 * does not say which of them it answers, so messages are counted against the oldest; only the sum has to be
 * right, and what the server says when a request ends (how much of it was left) corrects the shares.
 *
 * A request ends when its batch is full, when the server says so (404, 408, 409), when the connection
 * breaks, when it is older than its expiry, or when neither message nor heartbeat came for two heartbeats.
 *
 * A request for a consumer that does not exist is answered by nobody, not even with "no responders". So
 * the first request of a connection is a short one, repeated until the server has shown that it hears.
 */
import type { Msg, Subscription } from "nats";
import type { Puller } from "../bus.ts";
import { ApiRefusal } from "./failure.ts";
import type { NatsLink } from "./link.ts";
import { nak, type PulledMessage, readReceipt } from "./receipt.ts";
import { nanos } from "./streams.ts";

export interface PullTarget {
  stream: string;
  consumer: string;
  /** How long a request stays open at the server. Default `EXPIRES_MS`. */
  expiresMs?: number;
  slots(): number;
  onMessage(message: PulledMessage): void;
  /** The server has no such consumer. Called at every look that finds none, a second apart at the most. */
  onMissing?: (() => void) | undefined;
}

/**
 * The server gives messages to open requests of a process that hangs, too, for as long as its connection stands:
 * a request lives no longer than such a message has to wait for its ack-wait.
 */
const EXPIRES_MS = 10_000;
const HEARTBEAT_MS = 5_000;
/** A request whose expiry nobody told is given up this much after it. */
const EXPIRY_SLACK_MS = 2_000;
const SILENCE_SLACK_MS = 500;
/** Requests open at once; slots that become free beyond it wait until one ends. The server has a bound, too. */
const MAX_OPEN_REQUESTS = 16;
const RETRY_MIN_MS = 50;
const RETRY_MAX_MS = 1_000;
const IDLE_HEARTBEAT = 100;
const TIMED_OUT = 408;
const NO_RESPONDERS = 503;

interface PullRequest {
  /** Share of what is requested and not delivered. */
  remaining: number;
  expiry: unknown;
}

export function pullFrom(link: NatsLink, target: PullTarget): Puller {
  return new NatsPuller(link, target);
}

/** For a daemon's own consumers: makes the one that is missing. Where that fails, the next look finds none either. */
export function remake(make: () => Promise<void>): () => void {
  return () => void make().then(undefined, () => undefined);
}

class NatsPuller implements Puller {
  readonly #link: NatsLink;
  readonly #target: PullTarget;
  readonly #api: string;
  readonly #inbox: string;
  readonly #expiresMs: number;
  readonly #heartbeatMs: number;
  readonly #silenceMs: number;
  readonly #subscription: Subscription;
  /** Oldest first. */
  readonly #requests = new Map<string, PullRequest>();
  #requested = 0;
  #nextToken = 0;
  #scheduled = false;
  #stopped: Promise<void> | undefined;
  /** The consumer was seen. A pull from one that does not exist is answered by nobody. */
  #ready = false;
  /** When this connection was made, or the consumer if that is later, by the server's clock. */
  #since = 0;
  #retryMs = RETRY_MIN_MS;
  #retry: unknown;
  #looking = false;
  #lastSign = 0;
  #silence: unknown;
  readonly #forget: (() => void)[];

  constructor(link: NatsLink, target: PullTarget) {
    this.#link = link;
    this.#target = target;
    this.#api = `$JS.API.CONSUMER.MSG.NEXT.${target.stream}.${target.consumer}`;
    this.#inbox = `${link.newInbox()}.`;
    this.#expiresMs = target.expiresMs ?? EXPIRES_MS;
    // The server takes no heartbeat longer than half of the expiry.
    this.#heartbeatMs = Math.min(HEARTBEAT_MS, this.#expiresMs / 2);
    this.#silenceMs = 2 * this.#heartbeatMs + SILENCE_SLACK_MS;
    this.#subscription = link.nc.subscribe(`${this.#inbox}*`, {
      callback: (error, message) => {
        if (error === null) this.#arrive(message);
      },
    });
    this.#forget = [
      link.onReconnect(() => {
        // The server has forgotten the requests of the old connection.
        this.#dropAll();
        this.#ready = false;
        this.#retryMs = RETRY_MIN_MS;
        void this.#look();
      }),
      link.onClose(() => this.stop()),
    ];
    void this.#look();
  }

  /** Slots that become free in one turn of the event loop are requested together. */
  wake(): void {
    if (this.#scheduled || this.#stopped !== undefined) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      this.#ask();
    });
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #stop(): Promise<void> {
    for (const forget of this.#forget) forget();
    this.#link.clock.clearTimeout(this.#retry);
    this.#dropAll();
    if (this.#link.status !== "connected") {
      this.#subscription.unsubscribe();
      return;
    }
    // Draining keeps the callback until the server has confirmed: what it sent meanwhile is given back.
    await this.#subscription.drain().then(undefined, () => undefined);
  }

  #ask(): void {
    if (this.#stopped !== undefined || !this.#ready || this.#link.status !== "connected") return;
    if (this.#requests.size >= MAX_OPEN_REQUESTS) return;
    const batch = this.#target.slots() - this.#requested;
    if (batch <= 0) return;
    const token = (this.#nextToken++).toString(36);
    const expiry = this.#link.clock.setTimeout(() => {
      this.#end(token);
      this.wake();
    }, this.#expiresMs + EXPIRY_SLACK_MS);
    // While as many again are requested already, more are in no hurry.
    const isTopUp = this.#requested >= batch;
    this.#requests.set(token, { remaining: batch, expiry });
    this.#requested += batch;
    this.#watchSilence();
    const terms = { batch, expires: nanos(this.#expiresMs), idle_heartbeat: nanos(this.#heartbeatMs) };
    const send = isTopUp ? "sendSoon" : "send";
    this.#link[send](this.#api, JSON.stringify(terms), this.#inbox + token);
  }

  #arrive(message: Msg): void {
    this.#lastSign = this.#link.clock.monotonic();
    const pulled = readReceipt(message);
    if (pulled === undefined) {
      const code = message.headers?.code ?? 0;
      if (code !== 0 && code !== IDLE_HEARTBEAT) this.#ended(message, code);
      return;
    }
    this.#retryMs = RETRY_MIN_MS;
    if (this.#stopped !== undefined) {
      this.#link.send(pulled.receipt, nak(1));
      return;
    }
    this.#charge(1);
    // A server that was killed has forgotten how often it delivered what it had, and so has a consumer that was made
    // anew. So what is older counts as delivered before: its receiver asks whether it is still open.
    const { deliveryCount, ts } = pulled;
    this.#target.onMessage(
      ts < this.#since ? { ...pulled, deliveryCount: Math.max(2, deliveryCount) } : pulled,
    );
    if (this.#requests.size < MAX_OPEN_REQUESTS) this.wake();
  }

  /** The server ended a request: it expired, or cannot be served now. */
  #ended(message: Msg, code: number): void {
    const token = message.subject.slice(this.#inbox.length);
    const told = Number(message.headers?.get("Nats-Pending-Messages") || Number.NaN);
    const share = this.#requests.get(token)?.remaining ?? 0;
    const left = Number.isFinite(told) ? told : share;
    this.#end(token);
    // The sum must fall by what was really left of it; the difference was counted against others.
    if (left > share) this.#charge(left - share);
    else if (left < share) this.#credit(share - left);
    if (code === TIMED_OUT) {
      this.wake();
      return;
    }
    // The consumer is gone, has moved, or has too many requests waiting.
    if (code === NO_RESPONDERS) this.#dropAll();
    this.#ready = false;
    this.#lookLater();
  }

  /** Takes `count` off the oldest requests. */
  #charge(count: number): void {
    let rest = count;
    for (const [token, request] of this.#requests) {
      const taken = Math.min(rest, request.remaining);
      request.remaining -= taken;
      this.#requested -= taken;
      rest -= taken;
      if (request.remaining === 0) this.#end(token);
      if (rest === 0) return;
    }
  }

  #credit(count: number): void {
    const [oldest] = this.#requests.values();
    if (oldest === undefined) return;
    oldest.remaining += count;
    this.#requested += count;
  }

  #end(token: string): void {
    const request = this.#requests.get(token);
    if (request === undefined) return;
    this.#link.clock.clearTimeout(request.expiry);
    this.#requests.delete(token);
    this.#requested -= request.remaining;
    if (this.#requests.size > 0) return;
    this.#link.clock.clearTimeout(this.#silence);
    this.#silence = undefined;
  }

  #dropAll(): void {
    for (const token of [...this.#requests.keys()]) this.#end(token);
  }

  /** Looks for the consumer until it is there, then pulls. */
  async #look(): Promise<void> {
    this.#link.clock.clearTimeout(this.#retry);
    this.#retry = undefined;
    if (this.#looking || this.#stopped !== undefined) return;
    this.#looking = true;
    try {
      const info = await this.#link.api<{ ts?: string; created: string }>(
        `CONSUMER.INFO.${this.#target.stream}.${this.#target.consumer}`,
      );
      // The server's clock stamps the messages; servers before 2.10 do not tell what it shows.
      const ahead = info.ts === undefined ? 0 : Date.parse(info.ts) - this.#link.clock.now();
      this.#since = Math.max(this.#link.connectedAt + ahead, Date.parse(info.created));
      this.#ready = true;
      this.wake();
    } catch (error) {
      // Not there yet, lost by a cluster whose servers were killed, or nobody to ask: somebody will make it, or the
      // connection will come back.
      if (error instanceof ApiRefusal && error.is("consumerNotFound")) this.#target.onMissing?.();
      if (this.#link.status !== "closed") this.#lookLater();
    } finally {
      this.#looking = false;
    }
  }

  #lookLater(): void {
    if (this.#retry !== undefined || this.#stopped !== undefined) return;
    this.#retry = this.#link.clock.setTimeout(() => void this.#look(), this.#retryMs);
    this.#retryMs = Math.min(this.#retryMs * 2, RETRY_MAX_MS);
  }

  /** One timer for all requests, since their server-side fate is one. */
  #watchSilence(): void {
    if (this.#silence !== undefined) return;
    this.#lastSign = this.#link.clock.monotonic();
    const check = (): void => {
      const silentMs = this.#link.clock.monotonic() - this.#lastSign;
      if (silentMs < this.#silenceMs) {
        this.#silence = this.#link.clock.setTimeout(check, this.#silenceMs - silentMs);
        return;
      }
      this.#silence = undefined;
      this.#dropAll();
      this.#ready = false;
      void this.#look();
    };
    this.#silence = this.#link.clock.setTimeout(check, this.#silenceMs);
  }
}
