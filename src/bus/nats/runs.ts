/**
 * Runs that wait for an orchestrator, on a work queue of their own, and the way in: submissions and controls
 * in the log become orchestrator tasks (L5).
 */
import { ARRIVAL_AGAIN_MS, type Puller, type PullOptions, type RunDelivery, type RunQueue } from "../bus.ts";
import { parseSubject } from "../subjects.ts";
import { ApiRefusal } from "./failure.ts";
import { whenReady } from "./leaders.ts";
import type { NatsLink } from "./link.ts";
import { publishOnce } from "./publish.ts";
import { pullFrom, remake } from "./pull.ts";
import { ACK, nak, type PulledMessage, TERM, WORKING } from "./receipt.ts";
import { removeOneByOne } from "./remove.ts";
import { ensureConsumer } from "./roles.ts";
import { NatsRunTimers } from "./run-timers.ts";
import { nanos } from "./streams.ts";

/** Runs held at once by all orchestrators. The broker's own default would stop at 1,000. */
const RUNS_IN_FLIGHT = 20_000;
/** A run whose orchestrator is silent for this long goes to another. */
const RUN_ACK_WAIT_MS = 10_000;
const ARRIVAL_ACK_WAIT_MS = 10_000;
/** Arrivals that one daemon turns into tasks at the same time. */
const ARRIVALS_AT_ONCE = 64;
const ARRIVAL_RETRY_MS = 1_000;
const RECLAIM_TRIES = 5;
const RECLAIM_AGAIN_MS = 200;
const EMPTY = new Uint8Array(0);
const NO_BACKLOG = { num_pending: 0, num_ack_pending: 0 };

/**
 * By daemons only: the consumer from which orchestrators pull. An ack-wait that is not given stays as it is.
 * @returns the ack-wait that is in force
 */
export async function provisionRuns(link: NatsLink, wantedMs?: number): Promise<number> {
  const ackWaitMs = wantedMs ?? (await storedAckWaitMs(link)) ?? RUN_ACK_WAIT_MS;
  await ensureOrchestrators(link, ackWaitMs);
  return ackWaitMs;
}

async function storedAckWaitMs(link: NatsLink): Promise<number | undefined> {
  const { orchestrateStream, orchestrateConsumer } = link.subjects;
  try {
    const { config } = await link.api<{ config: { ack_wait?: number } }>(
      `CONSUMER.INFO.${orchestrateStream}.${orchestrateConsumer}`,
    );
    return config.ack_wait === undefined ? undefined : config.ack_wait / nanos(1);
  } catch (error) {
    if (error instanceof ApiRefusal && error.is("consumerNotFound")) return undefined;
    throw error;
  }
}

async function ensureOrchestrators(link: NatsLink, ackWaitMs: number): Promise<void> {
  const { subjects } = link;
  await ensureConsumer(link, subjects.orchestrateStream, {
    durable_name: subjects.orchestrateConsumer,
    filter_subject: subjects.allOrchestrate,
    ack_wait: nanos(ackWaitMs),
    max_ack_pending: RUNS_IN_FLIGHT,
  });
}

export class NatsRuns implements RunQueue {
  readonly ackWaitMs: number;
  readonly #link: NatsLink;
  readonly #timers: NatsRunTimers;

  constructor(link: NatsLink, ackWaitMs = RUN_ACK_WAIT_MS) {
    this.#link = link;
    this.#timers = new NatsRunTimers(link, (run) => this.push(run));
    this.ackWaitMs = ackWaitMs;
  }

  /** A consumer that is made anew has forgotten who held what; its queue has not. */
  reclaim(): Promise<void> {
    return this.#link.guard("Reclaiming runs", async () => {
      for (let attempt = 1; ; attempt++) {
        try {
          return await whenReady(this.#link.clock, () => this.#makeAnew());
        } catch (error) {
          // Another daemon that starts at the same moment is deleting and making it, too.
          if (!(error instanceof ApiRefusal) || attempt >= RECLAIM_TRIES) throw error;
        }
        await new Promise<void>((resolve) => this.#link.clock.setTimeout(resolve, RECLAIM_AGAIN_MS));
      }
    });
  }

  async #makeAnew(): Promise<void> {
    const { orchestrateStream, orchestrateConsumer } = this.#link.subjects;
    try {
      await this.#link.api(`CONSUMER.DELETE.${orchestrateStream}.${orchestrateConsumer}`);
    } catch (error) {
      if (!(error instanceof ApiRefusal && error.is("consumerNotFound"))) throw error;
    }
    await ensureOrchestrators(this.#link, this.ackWaitMs);
  }

  push(run: string): Promise<"queued" | "present"> {
    return this.#link.guard(`Queueing run ${run}`, () =>
      publishOnce(this.#link, this.#link.subjects.orchestrate(run), EMPTY),
    );
  }

  remove(run: string): Promise<boolean> {
    const { orchestrateStream, orchestrate } = this.#link.subjects;
    return this.#link.guard(`Removing the task of run ${run}`, async () => {
      return (await removeOneByOne(this.#link, orchestrateStream, orchestrate(run))) > 0;
    });
  }

  count(): Promise<number> {
    return this.#link.guard("Counting open runs", async () => {
      const { orchestrateStream, orchestrateConsumer, logStream, submitConsumer } = this.#link.subjects;
      const [open, arriving] = await Promise.all([
        this.#backlog(orchestrateStream, orchestrateConsumer),
        // In a program that serves no arrivals there is none.
        this.#backlog(logStream, submitConsumer).catch((error: unknown) => {
          if (error instanceof ApiRefusal && error.is("consumerNotFound")) return NO_BACKLOG;
          throw error;
        }),
      ]);
      return open.num_pending + open.num_ack_pending + arriving.num_pending;
    });
  }

  #backlog(stream: string, consumer: string): Promise<typeof NO_BACKLOG> {
    return this.#link.api(`CONSUMER.INFO.${stream}.${consumer}`, {});
  }

  pull(options: PullOptions<RunDelivery>): Puller {
    this.#link.assertOpen();
    const { subjects } = this.#link;
    return pullFrom(this.#link, {
      stream: subjects.orchestrateStream,
      consumer: subjects.orchestrateConsumer,
      // Gone before the runs of a daemon that hangs are offered again: they must not be offered to it.
      expiresMs: this.ackWaitMs / 2,
      slots: options.slots,
      onMissing: remake(() => ensureOrchestrators(this.#link, this.ackWaitMs)),
      onMessage: ({ subject, receipt, deliveryCount }) => {
        const parsed = parseSubject(subject);
        if (parsed?.is !== "orchestrate") {
          this.#link.send(receipt, TERM);
          this.#link.countUnreadable();
          options.onUnreadable?.({ subject, problem: "not the subject of a run" });
          return;
        }
        options.onDelivery({
          run: parsed.run,
          deliveryCount,
          // Answered: whoever parks a run wants to know that the next control finds no task of it.
          ack: () =>
            this.#link.guard(`Releasing run ${parsed.run}`, async () => {
              await this.#link.request(receipt, ACK);
            }),
          nak: (delayMs) => this.#link.send(receipt, nak(delayMs)),
          working: () => this.#link.send(receipt, WORKING),
        });
      },
    });
  }

  setTimer(run: string, delayMs: number): Promise<void> {
    return this.#timers.set(run, delayMs);
  }

  clearTimer(run: string): Promise<void> {
    return this.#timers.clear(run);
  }

  async serveArrivals(): Promise<{ stop(): Promise<void> }> {
    const { subjects } = this.#link;
    const terms = { ack_wait: nanos(ARRIVAL_ACK_WAIT_MS), max_ack_pending: 1_000 };
    const sources = [
      { durable_name: subjects.submitConsumer, filter_subject: subjects.everySubmit, ...terms },
      { durable_name: subjects.controlConsumer, filter_subject: subjects.everyControl, ...terms },
    ].map(({ durable_name: name, ...wanted }) => ({
      name,
      make: () => ensureConsumer(this.#link, subjects.logStream, { durable_name: name, ...wanted }),
    }));
    await this.#link.guard("Listening for submissions", async () => {
      for (const { make } of sources) await whenReady(this.#link.clock, make);
    });
    const timers = await this.#timers.serve();
    const pullers = [timers, ...sources.map(({ name, make }) => this.#serve(name, make))];
    return { stop: async () => void (await Promise.all(pullers.map((puller) => puller.stop()))) };
  }

  #serve(consumer: string, make: () => Promise<void>): Puller {
    let busy = 0;
    const arrived = async (message: PulledMessage): Promise<void> => {
      const parsed = parseSubject(message.subject);
      try {
        const outcome = parsed?.is === "record" ? await this.push(parsed.run) : "queued";
        const againMs = outcome === "present" ? ARRIVAL_AGAIN_MS[message.deliveryCount - 1] : undefined;
        this.#link.send(message.receipt, againMs === undefined ? ACK : nak(againMs));
      } catch {
        // The queue cannot be reached: the message comes again, to this daemon or another.
        this.#link.send(message.receipt, nak(ARRIVAL_RETRY_MS));
      }
      busy--;
      puller.wake();
    };
    const puller = pullFrom(this.#link, {
      stream: this.#link.subjects.logStream,
      consumer,
      slots: () => ARRIVALS_AT_ONCE - busy,
      onMissing: remake(make),
      onMessage: (message) => {
        busy++;
        void arrived(message);
      },
    });
    return puller;
  }
}
