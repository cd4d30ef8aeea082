/**
 * Wake-up calls for runs that nobody holds: one message per run beside the runs' queue, given back to the
 * server until it is due (L5). Whatever dies, the message is there.
 *
 *  - T1 A timer is gone only after the run's orchestrator task was pushed for it. A task that was there already
 *    may be on its way out: the timer waits and looks again.
 *  - T2 A timer that fires early does no harm: whoever takes the run finds nothing due, and sets another.
 *
 * Time is the server's, where it tells it (from 2.10 on): daemons' clocks need not agree (L7).
 */
import type { Puller } from "../bus.ts";
import { encodeBody, parseBody } from "../codec.ts";
import { runTimerSchema } from "../messages.ts";
import { parseSubject } from "../subjects.ts";
import { whenReady } from "./leaders.ts";
import type { NatsLink } from "./link.ts";
import { publishOnce } from "./publish.ts";
import { pullFrom, remake } from "./pull.ts";
import { ACK, nak, type PulledMessage, TERM } from "./receipt.ts";
import { removeOneByOne } from "./remove.ts";
import { ensureConsumer } from "./roles.ts";
import { nanos } from "./streams.ts";

/** Timers that may be set at once (L8): all of them are in progress for as long as they run. */
const MAX_TIMERS = 1_000_000;
const TIMER_ACK_WAIT_MS = 30_000;
/** Timers that one daemon looks at at the same time. */
const TIMERS_AT_ONCE = 256;
/** A timer is looked at again after this, at the latest: so far a server that forgot a delay can be late. */
const LONGEST_NAP_MS = 600_000;
const RETRY_MS = 1_000;
/** The run's task was there: what held it may be about to let go (T1). */
const HELD_AGAIN_MS = 10_000;

export class NatsRunTimers {
  readonly #link: NatsLink;
  readonly #push: (run: string) => Promise<"queued" | "present">;
  /** What the server's clock is ahead of this machine's. */
  #aheadMs = 0;

  constructor(link: NatsLink, push: (run: string) => Promise<"queued" | "present">) {
    this.#link = link;
    this.#push = push;
  }

  /** Replaces the run's timer. Its holder dies between the two: the run's task is there, and the next one sets it. */
  async set(run: string, delayMs: number): Promise<void> {
    const { subjects } = this.#link;
    await this.#link.guard(`Setting the timer of run ${run}`, async () => {
      await removeOneByOne(this.#link, subjects.orchestrateStream, subjects.timer(run));
      const body = encodeBody({ v: 1, delayMs: Math.max(1, Math.round(delayMs)) });
      await publishOnce(this.#link, subjects.timer(run), body);
    });
  }

  async clear(run: string): Promise<void> {
    const { subjects } = this.#link;
    await this.#link.guard(`Clearing the timer of run ${run}`, async () => {
      await removeOneByOne(this.#link, subjects.orchestrateStream, subjects.timer(run));
    });
  }

  async serve(): Promise<Puller> {
    const { orchestrateStream, timerConsumer, allTimers } = this.#link.subjects;
    const make = () =>
      ensureConsumer(this.#link, orchestrateStream, {
        durable_name: timerConsumer,
        filter_subject: allTimers,
        ack_wait: nanos(TIMER_ACK_WAIT_MS),
        max_ack_pending: MAX_TIMERS,
      });
    await this.#link.guard("Listening for timers", async () => {
      await whenReady(this.#link.clock, async () => {
        await make();
        const asked = `CONSUMER.INFO.${orchestrateStream}.${timerConsumer}`;
        const info = await this.#link.api<{ ts?: string }>(asked);
        if (info.ts !== undefined) this.#aheadMs = Date.parse(info.ts) - this.#link.clock.now();
      });
    });
    let busy = 0;
    const puller = pullFrom(this.#link, {
      stream: orchestrateStream,
      consumer: timerConsumer,
      slots: () => TIMERS_AT_ONCE - busy,
      onMissing: remake(make),
      onMessage: (message) => {
        busy++;
        void this.#look(message).finally(() => {
          busy--;
          puller.wake();
        });
      },
    });
    return puller;
  }

  async #look(message: PulledMessage): Promise<void> {
    const { receipt, subject, data, ts, deliveryCount } = message;
    const parsed = parseSubject(subject);
    const body = parseBody(runTimerSchema, data);
    if (parsed?.is !== "timer" || !body.ok) {
      this.#link.send(receipt, TERM);
      this.#link.countUnreadable();
      return;
    }
    const { delayMs } = body.value;
    // A fresh one needs no clock. That also keeps a clock that is ahead from waking a run without end.
    const left = deliveryCount > 1 ? ts + delayMs - (this.#link.clock.now() + this.#aheadMs) : delayMs;
    if (left > 0) return this.#link.send(receipt, nak(Math.min(left, LONGEST_NAP_MS)));
    try {
      const outcome = await this.#push(parsed.run);
      this.#link.send(receipt, outcome === "queued" ? ACK : nak(HELD_AGAIN_MS)); // T1
    } catch {
      // The queue cannot be reached: the timer comes again, to this daemon or another.
      this.#link.send(receipt, nak(RETRY_MS));
    }
  }
}
