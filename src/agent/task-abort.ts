/**
 * How a task is told to stop. Owns the reason and who hears of it.
 *
 * The AbortSignal is made when the task's code first asks for it: most code never does, and making one costs
 * more than everything else about a small dispatch.
 */

/** Why a task's signal fired. */
export type AbortCause = "cancelled" | "deadline" | "timeout" | "drain";

/** The reason that `ctx.signal` carries. */
export class TaskAbortedError extends Error {
  readonly why: AbortCause;
  constructor(why: AbortCause, message: string) {
    super(message);
    // The name that fetch and timers use, so that authors can treat all aborts alike.
    this.name = "AbortError";
    this.why = why;
  }
}

export class TaskAbort {
  #reason: TaskAbortedError | undefined;
  #controller: AbortController | undefined;
  #listener: (() => void) | undefined;

  /** Undefined: it goes on. */
  get reason(): TaskAbortedError | undefined {
    return this.#reason;
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#reason !== undefined) this.#controller.abort(this.#reason);
    }
    return this.#controller.signal;
  }

  /** The first cause stays. */
  fire(why: AbortCause, message: string): void {
    if (this.#reason !== undefined) return;
    this.#reason = new TaskAbortedError(why, message);
    this.#controller?.abort(this.#reason);
    this.#listener?.();
  }

  /** Called once, when it fires; at once when it has. One listener: the dispatch itself. */
  onFire(listener: () => void): void {
    if (this.#reason === undefined) this.#listener = listener;
    else listener();
  }

  /** @throws TaskAbortedError when it has fired */
  throwIfFired(): void {
    if (this.#reason !== undefined) throw this.#reason;
  }
}
