/**
 * The steps of a run: those of its document, and those that were made from them since (items of a fan-out).
 *
 * It owns looking a step up by its wire name, in constant time, and nothing of where it stands. Whoever wants
 * to read, give out, close or time out a step asks here and not the graph, which knows the document only.
 */
import type { DerivedStep } from "../workflow/derived-step.ts";
import type { WorkflowStep } from "../workflow/document.ts";
import { NotFoundError } from "../workflow/errors.ts";
import type { WorkflowGraph } from "../workflow/graph.ts";

const NONE: readonly DerivedStep[] = [];

export class RunSteps {
  #graph: WorkflowGraph;
  readonly #derived = new Map<string, DerivedStep>();
  readonly #byOrigin = new Map<string, DerivedStep[]>();

  constructor(graph: WorkflowGraph) {
    this.#graph = graph;
  }

  /** Steps of the document and derived ones. */
  get size(): number {
    return this.#graph.size + this.#derived.size;
  }

  has(ref: string): boolean {
    return this.#graph.has(ref) || this.#derived.has(ref);
  }

  /** @throws NotFoundError */
  step(ref: string): WorkflowStep {
    return (this.#derived.size > 0 && this.#derived.get(ref)) || this.#graph.step(ref);
  }

  /** Every step of the document, each followed by those made from it. */
  *all(): Iterable<WorkflowStep> {
    if (this.#derived.size === 0) return yield* this.#graph.steps();
    for (const step of this.#graph.steps()) {
      yield step;
      yield* this.madeFrom(step.id);
    }
  }

  /** The steps made from one of the document, in the order in which they were made. */
  madeFrom(id: string): readonly DerivedStep[] {
    return this.#byOrigin.get(id) ?? NONE;
  }

  /** Steps on the longest path from this step to an end; a derived step is on the paths of its origin. */
  remainingDepth(ref: string): number {
    return this.#graph.remainingDepth(this.step(ref).origin?.of ?? ref);
  }

  /** The document's steps are those of another graph from now on; what was made from others is gone. */
  revise(graph: WorkflowGraph): void {
    for (const [id, made] of this.#byOrigin) {
      if (graph.has(id)) continue;
      for (const step of made) this.#derived.delete(step.id);
      this.#byOrigin.delete(id);
    }
    this.#graph = graph;
  }

  /** Adds a step that was just made. */
  add(step: DerivedStep): void {
    if (this.has(step.id)) {
      throw new NotFoundError("E_STEP_TAKEN", `step ${step.id} was made before`);
    }
    this.#derived.set(step.id, step);
    const siblings = this.#byOrigin.get(step.origin.of);
    if (siblings) siblings.push(step);
    else this.#byOrigin.set(step.origin.of, [step]);
  }
}
