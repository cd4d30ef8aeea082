/**
 * Looking at a log's end when nothing came of it for a while.
 *
 * A live copy that is lost shows by the next one. The last one before a silence has none behind it: when the server
 * that leads the log dies between storing a record and telling it, no copy is sent at all, no connection breaks, and
 * whoever waits for that record alone would wait for ever.
 */
import type { Clock, LogFollower } from "./bus.ts";

/** Of a silence that goes on, each check comes twice as long after the one before, up to the longest. */
const FIRST_CHECK_MS = 5_000;
const LONGEST_PAUSE_MS = 20_000;

export interface SilenceCheck {
  /** A record came. */
  heard(): void;
  close(): void;
}

export function checkInSilence(follower: LogFollower, clock: Clock): SilenceCheck {
  let heard = false;
  let pauseMs = FIRST_CHECK_MS;
  let timer: unknown;
  const wait = (): void => {
    timer = clock.setTimeout(() => {
      pauseMs = heard ? FIRST_CHECK_MS : Math.min(pauseMs * 2, LONGEST_PAUSE_MS);
      // A broker that is away is waited for elsewhere.
      if (!heard) follower.sync().then(undefined, () => undefined);
      heard = false;
      wait();
    }, pauseMs);
  };
  wait();
  return {
    heard() {
      heard = true;
    },
    close() {
      clock.clearTimeout(timer);
    },
  };
}
