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

/** Between two sweeps. */
const SWEEP_MS = 60_000;
/** Tasks looked at in one sweep (L8). */
const TASKS_AT_ONCE = 512;
/** Logs of runs that are not held here, read in one sweep (L8). */
const LOGS_AT_ONCE = 8;

/** The state of a task's run; `gone`: it has no log. */
type Standing = RunFold | "gone";

export interface TaskSweepOptions {
  bus: Bus;
  clock: Clock;
  log: Logger;
  /** The state of a run that is held here. */
  held(run: string): RunFold | undefined;
}

export class TaskSweep {
  readonly #options: TaskSweepOptions;
  /** Where in the queues the part begins that is looked at now. */
  #from = 0;
  /** Runs of that part whose logs were read: with many runs it takes several sweeps (S2). */
  readonly #seen = new Set<string>();
  #timer: unknown;
  #stopped = false;

  constructor(options: TaskSweepOptions) {
    this.#options = options;
  }

  /** The first sweep comes after the first pause: at once there is more important work. */
  start(): void {
    this.#timer = this.#options.clock.setTimeout(() => void this.#round(), SWEEP_MS);
  }

  stop(): void {
    this.#stopped = true;
    this.#options.clock.clearTimeout(this.#timer);
  }

  async #round(): Promise<void> {
    const { log } = this.#options;
    try {
      const removed = await this.#sweep();
      if (removed > 0) log.info({ removed }, "tasks of closed dispatches removed");
    } catch (error) {
      log.debug({ err: error }, "the queues could not be swept");
    }
    if (!this.#stopped) this.start();
  }

  /** @returns how many tasks were removed */
  async #sweep(): Promise<number> {
    const { bus, held } = this.#options;
    const { tasks, next } = await bus.tasks.stored(this.#from, TASKS_AT_ONCE);
    const standings = new Map<string, Standing>();
    let logs = 0;
    let isWhole = true;
    let removed = 0;
    for (const ref of tasks) {
      if (this.#stopped) return removed;
      const { run } = ref;
      let standing = standings.get(run) ?? held(run);
      if (standing === undefined) {
        if (this.#seen.has(run)) continue;
        isWhole = logs < LOGS_AT_ONCE;
        if (!isWhole) break;
        logs += 1;
        this.#seen.add(run);
        standing = await this.#read(run);
      }
      standings.set(run, standing);
      if (isUseless(standing, ref) && (await bus.tasks.remove(ref))) removed += 1;
    }
    if (isWhole) {
      this.#from = next ?? 0;
      this.#seen.clear();
    }
    return removed;
  }

  async #read(run: string): Promise<Standing> {
    const fold = new RunFold(run);
    let isEmpty = true;
    for await (const record of this.#options.bus.log.read(run)) {
      isEmpty = false;
      fold.apply(record);
    }
    return isEmpty ? "gone" : fold;
  }
}

/** S1. */
function isUseless(standing: Standing, ref: DispatchRef): boolean {
  return standing === "gone" || (standing.knows(ref) && !standing.isOpen(ref));
}
