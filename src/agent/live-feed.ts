/**
 * What a running task tells the world as it goes: started, progress, partial output. Live only: lost when
 * nobody listens, and nothing depends on it.
 *
 * Progress is bounded (L8): at most one message per `PROGRESS_INTERVAL_MS` and dispatch, always the newest,
 * so that a task which reports in a tight loop does not flood the broker.
 */
import type { Logger } from "pino";
import type { Clock, LiveChannel } from "../bus/bus.ts";
import type { LiveMessage, TaskMessage } from "../bus/messages.ts";
import { InvalidInputError } from "../workflow/errors.ts";

const PROGRESS_INTERVAL_MS = 100;
/** A task that ends within this need not be announced. */
export const QUICK_MS = 5;

export class LiveFeed {
  readonly #live: LiveChannel;
  readonly #clock: Clock;
  readonly #agent: string;
  readonly #task: TaskMessage;
  readonly #log: () => Logger;
  #lastBeatAt = Number.NEGATIVE_INFINITY;
  #lastProgressAt = Number.NEGATIVE_INFINITY;
  #waiting: { fraction: number; message: string | undefined } | undefined;
  #timer: unknown;
  #announcement: unknown;

  /** @param log called only when there is something to say */
  constructor(
    { bus, clock, id }: { bus: { live: LiveChannel }; clock: Clock; id: string },
    task: TaskMessage,
    log: () => Logger,
  ) {
    this.#live = bus.live;
    this.#clock = clock;
    this.#agent = id;
    this.#task = task;
    this.#log = log;
  }

  /**
   * @param quick the task is likely to end in a moment: said only if it has not ended by then. Its result says
   *   when it started.
   */
  started(quick: boolean): void {
    if (!quick) return this.#publish({ type: "started" });
    this.#announcement = this.#clock.setTimeout(() => {
      this.#announcement = undefined;
      this.#publish({ type: "started" });
    }, QUICK_MS);
  }

  progress(fraction: number, message: string | undefined): void {
    // A task's arithmetic may leave the range, or divide by zero; a listener should not have to care.
    this.#waiting = { fraction: Math.min(1, Math.max(0, Number(fraction) || 0)), message };
    if (this.#timer !== undefined) return;
    const waitMs = this.#lastProgressAt + PROGRESS_INTERVAL_MS - this.#clock.monotonic();
    if (waitMs <= 0) this.#sendProgress();
    else {
      this.#timer = this.#clock.setTimeout(() => {
        this.#timer = undefined;
        this.#sendProgress();
      }, waitMs);
    }
  }

  /** At most one per interval, however often the task says so. */
  heartbeat(): void {
    const now = this.#clock.monotonic();
    if (now - this.#lastBeatAt < PROGRESS_INTERVAL_MS) return;
    this.#lastBeatAt = now;
    this.#publish({ type: "heartbeat" });
  }

  chunk(data: unknown): void {
    this.#publish({ type: "chunk", data });
  }

  /** The task has ended: sends the progress that still waits. */
  close(): void {
    if (this.#announcement !== undefined) this.#clock.clearTimeout(this.#announcement);
    this.#announcement = undefined;
    if (this.#timer !== undefined) this.#clock.clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#sendProgress();
  }

  #sendProgress(): void {
    if (this.#waiting === undefined) return;
    const { fraction, message } = this.#waiting;
    this.#waiting = undefined;
    this.#lastProgressAt = this.#clock.monotonic();
    this.#publish({ type: "progress", fraction, ...(message === undefined ? {} : { message }) });
  }

  #publish(part: Pick<LiveMessage, "type"> & Partial<LiveMessage>): void {
    const { run, step, n, role } = this.#task;
    try {
      this.#live.publish({ ...part, run, step, n, role, agent: this.#agent, at: this.#clock.now() });
    } catch (error) {
      // What cannot be encoded is the author's to hear of; a lost connection must not fail the task.
      if (error instanceof InvalidInputError) throw error;
      this.#log().debug({ err: error, type: part.type }, "live message not sent");
    }
  }
}
