/** The queue of runs that wait for an orchestrator, and the way in for submissions and controls. */
import { ARRIVAL_AGAIN_MS, type Puller, type PullOptions, type RunDelivery, type RunQueue } from "../bus.ts";
import { parseSubject } from "../subjects.ts";
import type { MemoryConnection } from "./connection.ts";
import type { QueueItem, Taker } from "./queue.ts";
import { MemoryRunTimers } from "./run-timers.ts";
import type { SwarmStore } from "./store.ts";

const EMPTY = new Uint8Array(0);

export class MemoryRuns implements RunQueue {
  readonly #connection: MemoryConnection;
  readonly #timers: MemoryRunTimers;

  constructor(connection: MemoryConnection) {
    this.#connection = connection;
    this.#timers = new MemoryRunTimers(connection);
  }

  get ackWaitMs(): number {
    return this.#connection.attach().store.orchestrate.settings.ackWaitMs;
  }

  async reclaim(): Promise<void> {
    this.#connection.open().store.orchestrate.offerAnew();
  }

  async push(run: string): Promise<"queued" | "present"> {
    const { store } = this.#connection.open();
    return store.orchestrate.push(store.subjects.orchestrate(run), EMPTY);
  }

  async remove(run: string): Promise<boolean> {
    const { store } = this.#connection.open();
    return store.orchestrate.remove(store.subjects.orchestrate(run));
  }

  async count(): Promise<number> {
    const { orchestrate, arrivals } = this.#connection.open().store;
    return orchestrate.queued + orchestrate.held + arrivals.queued;
  }

  pull(options: PullOptions<RunDelivery>): Puller {
    const { store } = this.#connection.attach();
    const queue = store.orchestrate;
    const taker: Taker = {
      party: this.#connection.party,
      inTransit: 0,
      slots: () => (!this.#connection.reachable ? 0 : options.slots()),
      take: (item) => {
        if (!this.#connection.reachable) return;
        const parsed = parseSubject(item.subject);
        if (parsed?.is === "orchestrate") options.onDelivery(this.#delivery(parsed.run, item, store));
      },
    };
    queue.join(taker);
    const release = this.#connection.onClose(() => queue.leave(taker));
    const forget = this.#connection.onRestore(() => queue.pump());
    return {
      wake: () => queue.pump(),
      stop: async () => {
        release();
        forget();
        queue.leave(taker);
      },
    };
  }

  #delivery(run: string, item: QueueItem, { orchestrate }: SwarmStore): RunDelivery {
    const whileOpen = (act: () => void): void => {
      if (this.#connection.reachable) act();
    };
    return {
      run,
      deliveryCount: item.deliveries,
      ack: async () => whileOpen(() => orchestrate.ack(item)),
      nak: (delayMs) => whileOpen(() => orchestrate.nak(item, delayMs)),
      working: () => whileOpen(() => orchestrate.working(item)),
    };
  }

  setTimer(run: string, delayMs: number): Promise<void> {
    return this.#timers.set(run, delayMs);
  }

  clearTimer(run: string): Promise<void> {
    return this.#timers.clear(run);
  }

  async serveArrivals(): Promise<{ stop(): Promise<void> }> {
    const { store } = this.#connection.attach();
    const taker: Taker = {
      party: this.#connection.party,
      inTransit: 0,
      slots: () => (!this.#connection.reachable ? 0 : 1),
      take: (item) => {
        if (!this.#connection.reachable) return;
        const parsed = parseSubject(item.subject.slice(0, item.subject.lastIndexOf(".")));
        const outcome =
          parsed?.is === "record"
            ? store.orchestrate.push(store.subjects.orchestrate(parsed.run), EMPTY)
            : "queued";
        const againMs = outcome === "present" ? ARRIVAL_AGAIN_MS[item.deliveries - 1] : undefined;
        if (againMs === undefined) store.arrivals.ack(item);
        else store.arrivals.nak(item, againMs);
      },
    };
    const services = [
      { queue: store.arrivals, taker },
      { queue: store.timers, taker: this.#timers.taker() },
    ];
    const leave = () => {
      for (const service of services) service.queue.leave(service.taker);
    };
    for (const service of services) service.queue.join(service.taker);
    const release = this.#connection.onClose(leave);
    const forget = this.#connection.onRestore(() => {
      for (const { queue } of services) queue.pump();
    });
    return {
      stop: async () => {
        release();
        forget();
        leave();
      },
    };
  }
}
