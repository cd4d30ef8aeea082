/** Waiting for a cluster that has no leader yet. */
import type { Clock } from "../bus.ts";
import { isLeaderless } from "./failure.ts";

/** How long a daemon waits at its start: several elections, each of which takes up to ten seconds. */
const READY_WITHIN_MS = 60_000;
const READY_RETRY_MS = 500;

/** Sets something up that may be set up twice; while a cluster elects its leaders it is tried again. */
export async function whenReady<Value>(clock: Clock, setUp: () => Promise<Value>): Promise<Value> {
  const giveUpAt = clock.monotonic() + READY_WITHIN_MS;
  for (;;) {
    try {
      return await setUp();
    } catch (error) {
      if (!isLeaderless(error) || clock.monotonic() > giveUpAt) throw error;
      await new Promise<void>((resolve) => void clock.setTimeout(resolve, READY_RETRY_MS));
    }
  }
}
