/**
 * The requests of one connection that have no answer yet.
 *
 * Owns their table and their time-outs, all on one timer: a timer of its own for each would cost more than
 * looking the answer up, and nearly every answer comes long before its time is over.
 *
 *  - O1 A time-out means that no answer came. A process that was stopped, or whose loop was blocked, finds its timers
 *    due before it has read what came meanwhile: nothing is given up before that had its turn. A push that is
 *    repeated because its answer lay unread would give out again what others have done by then.
 */
import type { Msg } from "nats";
import type { Clock } from "../bus.ts";
import { timedOut } from "./failure.ts";

/** A timer that fires later than this was held up, and the reading of answers with it. */
const HELD_UP_MS = 50;
/** How long what lies unread after that has its turn. */
const UNREAD_MS = 250;

interface OpenRequest {
  readonly subject: string;
  readonly timeoutMs: number;
  /** Monotonic ms. */
  readonly endsAt: number;
  resolve(message: Msg): void;
  reject(error: Error): void;
}

export class OpenRequests {
  readonly #clock: Clock;
  readonly #open = new Map<string, OpenRequest>();
  #timer: unknown;
  /** When the timer fires, in monotonic ms: never after the first request's time is over. */
  #armedFor = Number.POSITIVE_INFINITY;
  /** Whether what lay unread has just had its turn. */
  #turnGiven = false;
  #nextToken = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** @returns the token that the answer will carry, and the answer */
  add(subject: string, timeoutMs: number): { token: string; answer: Promise<Msg> } {
    const token = (this.#nextToken++).toString(36);
    const endsAt = this.#clock.monotonic() + timeoutMs;
    const answer = new Promise<Msg>((resolve, reject) => {
      this.#open.set(token, { subject, timeoutMs, endsAt, resolve, reject });
    });
    if (endsAt < this.#armedFor) this.#arm(endsAt);
    return { token, answer };
  }

  /** Takes a request out, so that it can be settled. Undefined: its time was over. */
  take(token: string): OpenRequest | undefined {
    const request = this.#open.get(token);
    this.#open.delete(token);
    return request;
  }

  rejectAll(reason: (subject: string) => Error): void {
    const open = [...this.#open.values()];
    this.#open.clear();
    this.#disarm();
    for (const { reject, subject } of open) reject(reason(subject));
  }

  #arm(at: number): void {
    this.#disarm();
    this.#armedFor = at;
    this.#timer = this.#clock.setTimeout(
      () => this.#endOverdue(),
      Math.max(0, Math.ceil(at - this.#clock.monotonic())),
    );
  }

  #disarm(): void {
    this.#clock.clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#armedFor = Number.POSITIVE_INFINITY;
  }

  #endOverdue(): void {
    const now = this.#clock.monotonic();
    this.#turnGiven = !this.#turnGiven && now - this.#armedFor > HELD_UP_MS;
    this.#disarm();
    if (this.#turnGiven && this.#open.size > 0) return this.#arm(now + UNREAD_MS); // O1
    let next = Number.POSITIVE_INFINITY;
    for (const [token, { subject, timeoutMs, endsAt, reject }] of this.#open) {
      if (endsAt > now) next = Math.min(next, endsAt);
      else {
        this.#open.delete(token);
        reject(timedOut(`A request to ${subject}`, timeoutMs));
      }
    }
    if (next < Number.POSITIVE_INFINITY) this.#arm(next);
  }
}
