/**
 * Whether the broker stores what it is given, as far as this connection can tell: from the answers to what was
 * published last, and by asking JetStream whether it is there.
 */
import type { NatsLink } from "./link.ts";

/** What is refused is tried again within seconds: a refusal older than this was not repeated. */
const REFUSAL_FRESH_MS = 15_000;

export class StorageRoom {
  readonly #link: NatsLink;
  #refusal: { reason: string; at: number } | undefined;

  constructor(link: NatsLink) {
    this.#link = link;
  }

  /** A message was refused for want of room. */
  refused(reason: string): void {
    this.#refusal = { reason, at: this.#link.clock.monotonic() };
  }

  /** A message was stored. */
  stored(): void {
    if (this.#refusal !== undefined) this.#refusal = undefined;
  }

  /** Why nothing is stored; undefined: it is. Asks the broker. */
  async problem(): Promise<string | undefined> {
    const { clock, status } = this.#link;
    if (status !== "connected") return `broker ${status}`;
    const refusal = this.#refusal;
    if (refusal !== undefined && clock.monotonic() - refusal.at < REFUSAL_FRESH_MS) {
      return `the broker has no room: ${refusal.reason}`;
    }
    try {
      await this.#link.api("INFO");
      return undefined;
    } catch (error) {
      return `JetStream does not answer: ${error instanceof Error ? error.message : error}`;
    }
  }
}
