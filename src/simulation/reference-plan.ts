/**
 * How the plan of a run goes on, said a second time: which facts it has to be weighed against, and what becomes of
 * its steps when another one takes its place.
 *
 * It owns the facts that wait, and the steps that were left out. It does not own the steps of the plan: the
 * reference flow does.
 */
import type { DecisionMessage } from "../bus/decisions.ts";
import type { WorkflowDocument, WorkflowStepDocument } from "../workflow/document.ts";
import { makeStep, needed, type ReferenceStep, standIn } from "./reference-step.ts";

type Revision = DecisionMessage & { type: "revise" };

/** Among what was weighed: keys that somebody outside set. */
const OUTSIDE = "~plan";

export interface PlannedFlow {
  readonly steps: Map<string, ReferenceStep>;
  readonly documentSteps: readonly ReferenceStep[];
  isOpen(step: ReferenceStep): boolean;
  /** Goes by this document from now on; its steps are there. */
  goBy(workflow: WorkflowDocument): void;
  /** @returns the steps that may go on */
  closeWell(step: ReferenceStep): readonly ReferenceStep[];
  release(steps: ReferenceStep[]): void;
  /** It was left out: it is cancelled, and nothing fails for it. */
  leaveOut(step: ReferenceStep): void;
}

export class ReferencePlan {
  /** Steps that had begun when a revision left them out. */
  readonly retired = new Map<string, ReferenceStep>();
  /** Steps that had not: they may come back. */
  readonly #dropped = new Map<string, ReferenceStep>();
  /** Steps that gave facts which the plan was not weighed against yet. */
  readonly #facts = new Set<ReferenceStep>();
  /** Where somebody outside set a key last, and the plan was not weighed against it yet. */
  #outsideAt: number | undefined;
  readonly #flow: PlannedFlow;

  constructor(flow: PlannedFlow) {
    this.#flow = flow;
  }

  /** Whether it has to be weighed. */
  get waits(): boolean {
    return this.#facts.size > 0 || this.#outsideAt !== undefined;
  }

  /** What comes after the step waits until the plan was weighed with what it found. */
  found(step: ReferenceStep): void {
    this.#facts.add(step);
  }

  setOutside(seq: number): void {
    this.#outsideAt = seq;
  }

  /** The plan was weighed: it stands, or another one takes its place. @returns that one, when it fits */
  weigh({ workflow, weighed, upTo = 0 }: Revision): WorkflowDocument | undefined {
    const flow = this.#flow;
    const next = workflow as WorkflowDocument | undefined;
    if (next === undefined) {
      for (const step of this.#take(weighed, upTo)) flow.release([...flow.closeWell(step)]);
      return undefined;
    }
    if (!next.steps.every((doc) => this.#mayBecome(doc))) return undefined;
    const ids = new Set(next.steps.map(({ id }) => id));
    const before = flow.documentSteps;
    for (const step of before) if (!ids.has(step.id)) this.#leaveOut(step);
    this.#take(weighed, upTo);
    const isOver = (step: ReferenceStep) =>
      (step.closedWell || step.state === "done") && !this.#facts.has(step);
    const closed = new Set(before.filter((step) => ids.has(step.id) && isOver(step)));
    for (const doc of next.steps) {
      const step = flow.steps.get(doc.id) ?? this.#dropped.get(doc.id);
      const stands = step === undefined ? makeStep(doc, next.defaults) : standIn(step, doc, next.defaults);
      flow.steps.set(doc.id, Object.assign(stands, { closedWell: false, closedDependencies: 0 }));
    }
    flow.goBy(next);
    const after = flow.documentSteps;
    const free = after.filter(({ doc }) => needed(doc) === 0);
    for (const step of after) if (closed.has(step)) free.push(...flow.closeWell(step));
    flow.release(free.filter(({ state }) => state === "pending"));
    return next;
  }

  /** What is out stays as it was given out; what was left out does not come back. */
  #mayBecome({ id, outputs = [] }: WorkflowStepDocument): boolean {
    if (this.retired.has(id)) return false;
    const step = this.#flow.steps.get(id);
    return (
      step === undefined || !this.#flow.isOpen(step) || (step.doc.outputs ?? []).join() === outputs.join()
    );
  }

  #take(weighed: readonly string[], upTo: number): ReferenceStep[] {
    if (weighed.includes(OUTSIDE) && (this.#outsideAt ?? 0) <= upTo) this.#outsideAt = undefined;
    return weighed.flatMap((id) => {
      const step = this.#flow.steps.get(id);
      return step !== undefined && this.#facts.delete(step) ? [step] : [];
    });
  }

  #leaveOut(step: ReferenceStep): void {
    step.recovering = false;
    this.#facts.delete(step);
    this.#flow.steps.delete(step.id);
    if (step.state === "pending") return void this.#dropped.set(step.id, step);
    this.#flow.leaveOut(step);
    for (const one of [step, ...step.items]) this.retired.set(one.id, one);
  }
}
