/**
 * Promises that a task started and nobody awaits. Node ends the process when one of them rejects, and with it
 * every other task that runs there; so while agents are served such a rejection is logged instead.
 *
 * The result of the task that started it may be wrong or right; nothing here can tell. An exception that is
 * thrown outside any promise (in a timer, an event listener) still ends the process, loudly: what it left
 * behind cannot be trusted, and its tasks are given to others.
 */
import type { Logger } from "pino";

/** @returns the way to stop. With several hosts in one process, each logs. */
export function logStrayRejections(log: Logger): () => void {
  const onRejection = (reason: unknown) => {
    log.error(
      { err: reason },
      "a promise that no task awaits was rejected; its task may have gone wrong unseen",
    );
  };
  process.on("unhandledRejection", onRejection);
  return () => process.off("unhandledRejection", onRejection);
}
