/**
 * The dispatches of a run, said a second time: which are open, which wait for somebody outside, and where in
 * the log each was opened, freed and closed.
 *
 * It owns that history. What opens and closes a dispatch is the reference flow's matter.
 */
import type { Opening, ReferenceStep } from "./reference-step.ts";

export class ReferenceOpenings {
  readonly byName = new Map<string, Opening>();
  /** Dispatches that the log has as given out. */
  readonly dispatched = new Set<string>();
  /** Steps that wait for somebody outside. */
  waiting: ReferenceStep[] = [];
  #seq = 0;
  #ts = 0;

  /** Begins the next record. */
  at(seq: number, ts: number): void {
    this.#seq = seq;
    this.#ts = ts;
  }

  isDispatched(step: ReferenceStep): boolean {
    return this.dispatched.has(nameOf(step));
  }

  open(step: ReferenceStep, waitMs: number): void {
    step.state = "ready";
    step.outcome = null;
    step.n += 1;
    step.exhausted = false;
    step.givenByPeople = false;
    const { id, n, role, attempt, own, brought } = step;
    this.#beginWait(step);
    const free = step.waits === undefined ? this.#seq : Number.POSITIVE_INFINITY;
    this.byName.set(nameOf(step), {
      step: id,
      n,
      role,
      attempt,
      inputs: brought ?? own,
      openSeq: this.#seq,
      openTs: this.#ts,
      waitMs,
      freeSeq: free,
      closeSeq: Number.POSITIVE_INFINITY,
      closedBy: "",
    });
  }

  shut(step: ReferenceStep, by: string): void {
    this.dispatched.delete(nameOf(step));
    this.endWait(step);
    const opening = this.byName.get(nameOf(step));
    if (!opening || opening.closeSeq !== Number.POSITIVE_INFINITY) return;
    opening.closeSeq = this.#seq;
    opening.closedBy = by;
  }

  #beginWait(step: ReferenceStep): void {
    const { role, doc, approved, asked, unwanted } = step;
    const answered = role === "human" || role === "signal" ? role : undefined;
    const waits = answered ?? (doc.approval === true && !approved ? "approval" : undefined);
    // Nobody is asked about a step that is about to be stopped.
    step.waits = unwanted ? undefined : asked ? "failure" : waits;
    if (step.waits !== undefined) this.waiting.push(step);
  }

  /** Nobody outside is waited for any more. */
  endWait(step: ReferenceStep): void {
    step.waits = undefined;
    this.waiting = this.waiting.filter((one) => one !== step);
  }

  /** Somebody outside allows it: from here on it may be given out. */
  free(step: ReferenceStep): void {
    this.endWait(step);
    step.approved = true;
    this.#beginWait(step);
    const opening = this.byName.get(nameOf(step));
    if (opening && step.waits === undefined) opening.freeSeq = this.#seq;
  }
}

function nameOf({ id, n }: ReferenceStep): string {
  return `${id}#${n}`;
}
