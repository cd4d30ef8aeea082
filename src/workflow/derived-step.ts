/**
 * Steps that are not in the document but made from one that is, while the run goes on: the items of a fan-out,
 * and the steps that undo others.
 *
 * Owns their names: `resize~3` on the wire, where brackets would not fit a subject, and `resize[3]` for
 * people; `reserve~undo`, or `resize~3~undo`, for what undoes them. To the run such a step is a step like any other: its own machine, dispatches, attempts, time-outs.
 * Its `origin` says what it was made from; what its end means is the matter of its kind.
 */
import type { WorkflowStep } from "./document.ts";

/** What a derived step was made from. */
export interface StepOrigin {
  readonly kind: "item" | "undo";
  /** The step of the document. */
  readonly of: string;
  /** Among the steps made from that one; ties in priority are broken by it. */
  readonly place: number;
}

export type DerivedStep = WorkflowStep & { readonly origin: StepOrigin };

export function isDerived(step: WorkflowStep): step is DerivedStep {
  return step.origin !== undefined;
}

/** The wire name of an item. */
export function itemRef(id: string, index: number): string {
  return `${id}~${index}`;
}

/** A step's name for people: `resize[3]` for `resize~3`. */
export function stepLabel(ref: string): string {
  const at = ref.indexOf("~");
  return at < 0 ? ref : ref.replace(/~(\d+)/, "[$1]");
}

/** The wire name of a step that a person named either way. */
export function stepRefOf(label: string): string {
  return label.replace(/\[(\d{1,6})\]/, "~$1");
}
