/** Wake-up calls for runs that nobody holds, kept by the broker in memory as the real one keeps them. */
import { z } from "zod";
import { encodeBody, parseBody } from "../codec.ts";
import { runTimerSchema } from "../messages.ts";
import { parseSubject } from "../subjects.ts";
import type { MemoryConnection } from "./connection.ts";
import type { QueueItem, Taker } from "./queue.ts";
import type { SwarmStore } from "./store.ts";

/** The run's task was there: what held it may be about to let go. */
const HELD_AGAIN_MS = 10_000;
/** Longer than the longest timer that Node takes would be none at all. */
const LONGEST_NAP_MS = 600_000;
/** The real broker stamps what it stores; this one is told by its own clock. */
const timerSchema = runTimerSchema.extend({ dueAt: z.number() });
const NOTHING = new Uint8Array(0);

export class MemoryRunTimers {
  readonly #connection: MemoryConnection;

  constructor(connection: MemoryConnection) {
    this.#connection = connection;
  }

  async set(run: string, delayMs: number): Promise<void> {
    const { store } = this.#connection.open();
    store.timers.remove(store.subjects.timer(run));
    const dueAt = store.clock.now() + Math.max(1, delayMs);
    store.timers.push(store.subjects.timer(run), encodeBody({ v: 1, delayMs, dueAt }));
  }

  async clear(run: string): Promise<void> {
    const { store } = this.#connection.open();
    store.timers.remove(store.subjects.timer(run));
  }

  taker(): Taker {
    const { store } = this.#connection.attach();
    return {
      party: this.#connection.party,
      inTransit: 0,
      slots: () => (this.#connection.reachable ? 1 : 0),
      take: (item) => {
        if (this.#connection.reachable) this.#look(item, store);
      },
    };
  }

  #look(item: QueueItem, store: SwarmStore): void {
    const parsed = parseSubject(item.subject);
    const body = parseBody(timerSchema, item.bytes);
    if (parsed?.is !== "timer" || !body.ok) return void store.timers.ack(item);
    const left = body.value.dueAt - store.clock.now();
    if (left > 0) return store.timers.nak(item, Math.min(left, LONGEST_NAP_MS));
    const outcome = store.orchestrate.push(store.subjects.orchestrate(parsed.run), NOTHING);
    if (outcome === "queued") store.timers.ack(item);
    else store.timers.nak(item, HELD_AGAIN_MS);
  }
}
