/**
 * Care for the queues of a swarm in a cluster, at a calm rhythm.
 *
 * Owns when to look, the line in the log when a queue has healed or cannot be healed, and what to say about it
 * meanwhile. What to look at and how to help is the bus's matter. Nothing is decided from it.
 */
import type { Logger } from "pino";
import type { Bus, Clock, QueueTrouble } from "../bus/bus.ts";

export interface QueueCareOptions {
  bus: Pick<Bus, "tendQueues">;
  clock: Clock;
  log: Logger;
}

export interface QueueCare {
  /** Which queue gives nothing out; undefined: none that is known of. */
  readonly problem: string | undefined;
  stop(): void;
}

/** Between two looks: one question for each queue. */
const LOOK_MS = 5_000;
/** A queue that was helped so often in vain is a person's matter. */
const IN_VAIN = 3;

export function careForQueues({ bus, clock, log }: QueueCareOptions): QueueCare {
  let troubles = new Map<string, QueueTrouble>();
  let timer: unknown;
  let stopped = false;

  const look = async (): Promise<void> => {
    try {
      const found = new Map((await bus.tendQueues?.())?.map((trouble) => [trouble.queue, trouble]));
      if (stopped) return;
      for (const before of troubles.values()) {
        const { queue, kind: was, helped } = before;
        if (!found.has(queue)) log.info({ queue, was, helped }, "queue healed");
      }
      for (const trouble of found.values()) tell(trouble, troubles.get(trouble.queue));
      troubles = found;
    } catch (error) {
      // Nobody to ask: what was found last stands until there is.
      log.debug({ err: error }, "the queues could not be looked at");
    }
    if (!stopped) timer = clock.setTimeout(() => void look(), LOOK_MS);
  };

  const tell = ({ queue, kind, reason, helped }: QueueTrouble, before: QueueTrouble | undefined): void => {
    const inVain = helped >= IN_VAIN && (before?.helped ?? 0) < IN_VAIN;
    if (inVain) log.warn({ queue, helped, problem: reason }, "queue does not heal");
    else if (kind === "stalled" && before?.kind !== "stalled")
      log.warn({ queue, problem: reason }, "queue stalled");
  };

  void look();
  return {
    get problem() {
      for (const { kind, reason } of troubles.values()) if (kind === "stalled") return reason;
      return undefined;
    },
    stop() {
      stopped = true;
      clock.clearTimeout(timer);
    },
  };
}
