/**
 * Whether the broker stores what it is given, as far as this connection can tell: from the answers to what was
 * published last, and by asking JetStream whether it is there.
 */
import type { StorageProblem } from "../bus.ts";
import type { NatsLink } from "./link.ts";

/** What is refused is tried again within seconds: a refusal older than this was not repeated. */
const REFUSAL_FRESH_MS = 15_000;
/** So many messages in a row without an answer, over so long, and the stream is deaf. */
const UNANSWERED = 3;
const UNANSWERED_FOR_MS = 5_000;

export class StorageRoom {
  readonly #link: NatsLink;
  #refusal: { reason: string; at: number } | undefined;
  #silence: { since: number; last: number; count: number } | undefined;

  constructor(link: NatsLink) {
    this.#link = link;
  }

  /** A message was refused for want of room. Known until one is stored. */
  refused(reason: string): void {
    this.#refusal = { reason, at: this.#link.clock.monotonic() };
  }

  /** A message got no answer: a server whose disk was full may stay like that (seen on 2.15). */
  unanswered(): void {
    const now = this.#link.clock.monotonic();
    const silence = this.#silence ?? { since: now, last: now, count: 0 };
    this.#silence = { ...silence, last: now, count: silence.count + 1 };
  }

  /** A message was stored. */
  stored(): void {
    if (this.#refusal !== undefined) this.#refusal = undefined;
    if (this.#silence !== undefined) this.#silence = undefined;
  }

  /** Why nothing is stored; undefined: it is. Asks the broker. */
  async problem(): Promise<StorageProblem | undefined> {
    const { clock, status } = this.#link;
    if (status !== "connected") return { kind: "away", reason: `broker ${status}` };
    const now = clock.monotonic();
    const refusal = this.#refusal;
    if (refusal !== undefined && now - refusal.at < REFUSAL_FRESH_MS) {
      return { kind: "full", reason: `the broker has no room: ${refusal.reason}` };
    }
    const silence = this.#silence;
    if (silence !== undefined && now - silence.last < REFUSAL_FRESH_MS) {
      const { count, since, last } = silence;
      if (count >= UNANSWERED && last - since >= UNANSWERED_FOR_MS) {
        return this.#silent(`the broker answered none of the last ${count} messages`);
      }
    }
    try {
      await this.#link.api("INFO");
      return undefined;
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      return this.#silent(`JetStream does not answer: ${why}`);
    }
  }

  /** A server that had no room may answer nothing after that: the want of room is the reason, however long ago. */
  #silent(what: string): StorageProblem {
    const full = this.#refusal && `the broker has no room: ${this.#refusal.reason}; since then `;
    return { kind: "silent", reason: `${full ?? ""}${what}` };
  }
}
