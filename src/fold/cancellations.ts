/**
 * Cancellations in a run: which steps somebody wants stopped, and how each that was out was stopped.
 *
 * A step that is out is not closed at once: its task is taken back or its agent told to stop first, and a
 * decision says what came of it. A result that comes before that decision counts like any other, and one that
 * says that the agent was stopped closes the step as cancelled.
 */

/** What became of a dispatch that was out. */
export type Stopped =
  /** Its task was taken out of the queue; nobody had begun. */
  | "removed"
  /** Its agent said that the work has stopped, or its result was there. */
  | "stopped"
  /** Its agent did not answer within the bound: it is fenced, and its result will be late. */
  | "given-up";

/** What an agent reports of a task that it was told to stop. */
export const CANCELLED_CODE = "E_CANCELLED";

export class Cancellations {
  readonly #wanted = new Map<string, string>();
  readonly #stopped = new Map<string, Stopped>();

  /** Steps that are to be stopped, each with who wants it and why. */
  get wanted(): ReadonlyMap<string, string> {
    return this.#wanted;
  }

  /** How the steps that were out at their cancellation were stopped. */
  get stopped(): ReadonlyMap<string, Stopped> {
    return this.#stopped;
  }

  want(step: string, cause: string): void {
    this.#wanted.set(step, cause);
  }

  /** The step is closed, or goes on with a new chance. */
  forget(step: string): void {
    this.#wanted.delete(step);
  }

  note(step: string, how: Stopped): void {
    this.#stopped.set(step, how);
  }
}

/** How a step was stopped, in words for its trace. */
export function stoppedText(how: Stopped | undefined): string {
  if (how === undefined) return "";
  return { removed: ": was queued", stopped: ": its agent stopped", "given-up": ": its agent was given up" }[
    how
  ];
}
