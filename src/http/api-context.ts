/** What the routes work with: the swarm's client for what it offers, readings of runs for the rest. */
import type { Bus, Clock } from "../bus/bus.ts";
import type { SwarmClient } from "../client/swarm.ts";
import type { Guard } from "./guard.ts";
import { HttpError } from "./problem.ts";
import type { RunLibrary } from "./run-library.ts";
import type { SwarmFeed } from "./swarm-feed.ts";
import type { TaskStatistics } from "./task-statistics.ts";

/** Event streams that a daemon serves at once (L8). */
const MAX_STREAMS = 128;

export interface ApiContext {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly client: SwarmClient;
  readonly library: RunLibrary;
  readonly swarm: SwarmFeed;
  readonly statistics: TaskStatistics;
  readonly guard: Guard;
  readonly slots: StreamSlots;
  readonly daemon: { id: string; version: string };
}

/** Counts the streams that are open. */
export class StreamSlots {
  #taken = 0;

  /** @returns what gives the slot back @throws HttpError 503 */
  take(): () => void {
    if (this.#taken >= MAX_STREAMS) {
      throw new HttpError(
        503,
        "E_STREAMS",
        `${this.#taken} event streams are open, the bound is ${MAX_STREAMS}`,
        {
          remedy: "Close a page that watches, and try again.",
          headers: { "retry-after": "5" },
        },
      );
    }
    this.#taken += 1;
    let given = false;
    return () => {
      if (!given) this.#taken -= 1;
      given = true;
    };
  }
}
