/**
 * The sweep: stored tasks whose dispatch is closed are removed.
 *
 * It owns how far it got. An acked task can come back from a broker that was killed; on nats-server 2.9 some come back
 * as ghosts, which are never delivered and yet block their subject. A task of a closed dispatch is of no use to
 * anybody, and what is closed never opens again (a new try is a new dispatch), so removing it needs no decision.
 *
 *  - S1 A task goes only if the log, as far as it was read, has opened its dispatch and closed it, or if its run has
 *    no log at all.
 *  - S2 A sweep looks at a bounded part of the queue and reads a bounded number of logs; the next one goes on there.
 */
import type { Logger } from "pino";
import type { Bus, Clock } from "../bus/bus.ts";
import type { DispatchRef } from "../bus/messages.ts";
import { RunFold } from "../fold/run-fold.ts";

/** How often, and after every reconnect: that is when tasks come back. */
const SWEEP_MS = 60_000;
/** Tasks looked at in one sweep (L8). */
const TASKS_AT_ONCE = 512;
/** Logs of runs that are not held here, read in one sweep (L8). */
const LOGS_AT_ONCE = 8;

export interface TaskSweepOptions {
  bus: Bus;
  clock: Clock;
  log: Logger;
  /** The state of a run that is held here. */
  held(run: string): RunFold | undefined;
}

export class TaskSweep {
  readonly #options: TaskSweepOptions;
  #next = 0;
  #timer: unknown;
  #sweeping = false;
  #stopped = false;

  constructor(options: TaskSweepOptions) {
    this.#options = options;
  }

  /** The first sweep comes after the first pause: at once there is more important work. */
  start(): void {
    this.#arm();
  }

  stop(): void {
    this.#stopped = true;
    this.#options.clock.clearTimeout(this.#timer);
  }

  /** @returns how many tasks were removed */
  async sweep(): Promise<number> {
    const { bus, log } = this.#options;
    const { tasks, next } = await bus.tasks.stored(this.#next, TASKS_AT_ONCE);
    const standings = new Map<string, RunFold | "gone" | "unread">();
    let logs = 0;
    let removed = 0;
    for (const ref of tasks) {
      if (this.#stopped) return removed;
      let standing = standings.get(ref.run);
      if (standing === undefined) {
        const held = this.#options.held(ref.run);
        if (held === undefined) logs++;
        standing = held ?? (logs > LOGS_AT_ONCE ? "unread" : await this.#read(ref.run));
        standings.set(ref.run, standing);
      }
      if (standing === "unread" || !isUseless(standing, ref)) continue;
      if (await bus.tasks.remove(ref)) removed++;
    }
    // Only what was looked at is behind us; beyond the bound of logs it is met again in the next round.
    this.#next = next ?? 0;
    if (removed > 0) log.info({ removed }, "tasks of closed dispatches removed");
    return removed;
  }

  async #read(run: string): Promise<RunFold | "gone"> {
    const { bus } = this.#options;
    const fold = new RunFold(run);
    let isEmpty = true;
    for await (const record of bus.log.read(run)) {
      isEmpty = false;
      fold.apply(record);
    }
    return isEmpty ? "gone" : fold;
  }

  #arm(): void {
    this.#timer = this.#options.clock.setTimeout(() => void this.#round(), SWEEP_MS);
  }

  async #round(): Promise<void> {
    if (this.#sweeping) return;
    this.#sweeping = true;
    try {
      await this.sweep();
    } catch (error) {
      this.#options.log.debug({ err: error }, "the queues could not be swept");
    }
    this.#sweeping = false;
    if (!this.#stopped) this.#arm();
  }
}

/** S1. */
function isUseless(standing: RunFold | "gone", ref: DispatchRef): boolean {
  return standing === "gone" || (standing.knows(ref) && !standing.isOpen(ref));
}
