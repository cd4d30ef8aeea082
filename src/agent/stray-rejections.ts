/**
 * Promises that a task started and nobody awaits. Node ends the process when one of them rejects, and with it
 * every other task that runs there; so while agents are served such a rejection is logged instead.
 *
 * The result of the task that started it may be wrong or right; nothing here can tell. An exception that is
 * thrown outside any promise (in a timer, an event listener) still ends the process, loudly: what it left
 * behind cannot be trusted, and its tasks are given to others.
 */
import type { Logger } from "pino";

/** Of the hosts in this process: the rejection is nobody's in particular, so each logs it. */
const logs = new Set<Logger>();

function onRejection(reason: unknown): void {
  for (const log of logs) {
    log.error(
      { err: reason },
      "a promise that no task awaits was rejected; its task may have gone wrong unseen",
    );
  }
}

/** @returns the way to stop */
export function logStrayRejections(log: Logger): () => void {
  if (logs.size === 0) process.on("unhandledRejection", onRejection);
  logs.add(log);
  return () => {
    logs.delete(log);
    if (logs.size === 0) process.off("unhandledRejection", onRejection);
  };
}
