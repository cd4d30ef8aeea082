/**
 * A work queue in memory with the broker's rules: one item per subject, held until acked, delivered again
 * when its holder is silent for the ack-wait (B3, B4).
 *
 * Owns the items and who holds them. An ack counts whoever sends it, as with the real broker: the queue
 * knows deliveries, not people.
 */
import type { Clock } from "../bus.ts";
import type { Deliver } from "./network.ts";

export interface QueueItem {
  readonly subject: string;
  readonly bytes: Uint8Array;
  deliveries: number;
  state: "queued" | "held";
  timer: unknown;
}

/** Somebody who takes items. */
export interface Taker {
  readonly party: string;
  slots(): number;
  take(item: QueueItem): void;
  /** Deliveries on their way to this taker. */
  inTransit: number;
}

export interface QueueSettings {
  /** Items held at once over all takers. */
  inFlight: number;
  ackWaitMs: number;
}

export class WorkQueue {
  settings: QueueSettings;
  readonly #clock: Clock;
  readonly #deliver: Deliver;
  readonly #items = new Map<string, QueueItem>();
  /** Subjects to deliver, oldest first; those that come back go first, as with the real broker. */
  #ready: string[] = [];
  #again: string[] = [];
  readonly #takers: Taker[] = [];
  #turn = 0;
  #held = 0;

  constructor(clock: Clock, deliver: Deliver, settings: QueueSettings) {
    this.#clock = clock;
    this.#deliver = deliver;
    this.settings = settings;
  }

  get held(): number {
    return this.#held;
  }
  get redelivered(): number {
    return [...this.#items.values()].filter(({ state, deliveries }) => state === "held" && deliveries > 1)
      .length;
  }
  get queued(): number {
    return this.#items.size - this.#held;
  }
  subjects(): Iterable<string> {
    return this.#items.keys();
  }
  has(subject: string): boolean {
    return this.#items.has(subject);
  }

  /** Whether the item was handed to somebody, or is gone. */
  isTaken(subject: string): boolean {
    return this.#items.get(subject)?.deliveries !== 0;
  }

  push(subject: string, bytes: Uint8Array): "queued" | "present" {
    if (this.#items.has(subject)) return "present";
    this.#items.set(subject, { subject, bytes, deliveries: 0, state: "queued", timer: undefined });
    this.#ready.push(subject);
    this.pump();
    return "queued";
  }

  /** Takes the item out, whoever holds it. */
  remove(subject: string): boolean {
    const item = this.#items.get(subject);
    if (item === undefined) return false;
    this.#release(item);
    this.#items.delete(subject);
    this.pump();
    return true;
  }

  working(item: QueueItem): void {
    if (item.state === "held" && this.#items.get(item.subject) === item)
      this.#arm(item, this.settings.ackWaitMs);
  }

  nak(item: QueueItem, delayMs: number): void {
    if (item.state === "held" && this.#items.get(item.subject) === item) this.#arm(item, delayMs);
  }

  ack(item: QueueItem): boolean {
    return this.#items.get(item.subject) === item && this.remove(item.subject);
  }

  /** Takes every held item back from its holder. */
  offerAnew(): void {
    for (const item of this.#items.values()) {
      if (item.state !== "held") continue;
      this.#release(item);
      this.#again.push(item.subject);
    }
    this.pump();
  }

  join(taker: Taker): void {
    this.#takers.push(taker);
    this.pump();
  }

  leave(taker: Taker): void {
    const at = this.#takers.indexOf(taker);
    if (at >= 0) this.#takers.splice(at, 1);
  }

  /** Hands out what can be handed out. Takers take turns. */
  pump(): void {
    while (this.#held < this.settings.inFlight) {
      const taker = this.#nextTaker();
      if (taker === undefined) return;
      const item = this.#nextItem();
      if (item === undefined) return;
      this.#hand(item, taker);
    }
  }

  #nextTaker(): Taker | undefined {
    for (let tried = 0; tried < this.#takers.length; tried++) {
      const taker = this.#takers[this.#turn++ % this.#takers.length];
      if (taker !== undefined && taker.slots() - taker.inTransit > 0) return taker;
    }
    return undefined;
  }

  #nextItem(): QueueItem | undefined {
    for (;;) {
      const subject = this.#again.length > 0 ? this.#again.shift() : this.#shiftReady();
      if (subject === undefined) return undefined;
      const item = this.#items.get(subject);
      // Removed, or removed and pushed again and already handed out.
      if (item?.state === "queued") return item;
    }
  }

  #head = 0;
  /** `Array.shift` copies the whole array when it is long; this moves a head instead. */
  #shiftReady(): string | undefined {
    const subject = this.#ready[this.#head];
    if (subject === undefined) return undefined;
    this.#head++;
    if (this.#head > 1_024 && this.#head * 2 > this.#ready.length) {
      this.#ready = this.#ready.slice(this.#head);
      this.#head = 0;
    }
    return subject;
  }

  #hand(item: QueueItem, taker: Taker): void {
    item.state = "held";
    item.deliveries++;
    this.#held++;
    this.#arm(item, this.settings.ackWaitMs);
    taker.inTransit++;
    let arrived = false;
    this.#deliver({ kind: "task", subject: item.subject, to: taker.party }, () => {
      if (!arrived) taker.inTransit--;
      arrived = true;
      if (this.#takers.includes(taker)) taker.take(item);
      // The taker may have room for more; and a lost delivery must not block the others.
      this.pump();
    });
  }

  #arm(item: QueueItem, delayMs: number): void {
    this.#clock.clearTimeout(item.timer);
    item.timer = this.#clock.setTimeout(() => {
      if (item.state !== "held") return;
      this.#release(item);
      this.#again.push(item.subject);
      this.pump();
    }, delayMs);
  }

  #release(item: QueueItem): void {
    this.#clock.clearTimeout(item.timer);
    item.timer = undefined;
    if (item.state !== "held") return;
    item.state = "queued";
    this.#held--;
  }
}
