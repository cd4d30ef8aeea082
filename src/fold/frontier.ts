/**
 * The frontier of a run: which steps may go on, and what becomes of each whose turn has come.
 *
 * It owns the count of what each step still waits for, the steps that wait for their expressions, for a
 * recovery or for the plan to be weighed, and the failure that the run will end with. It does not own how a
 * step's dispatches end: the step flow does, and tells what that lets go on.
 */
import type { DecisionMessage, RunError } from "../bus/decisions.ts";
import type { WireError } from "../bus/messages.ts";
import type { StepContext, StepEvent } from "../machines/step.ts";
import { isDerived, itemRef, stepLabel } from "../workflow/derived-step.ts";
import type { WorkflowStep } from "../workflow/document.ts";
import type { GraphExecution, WorkflowGraph } from "../workflow/graph.ts";
import { Compensations } from "./compensations.ts";
import type { FoldFrame } from "./fold-frame.ts";
import { ItemFlow } from "./item-flow.ts";
import type { Found, LookInside } from "./large-values.ts";
import type { RunValues } from "./run-values.ts";
import { expressionError, runErrorOf } from "./step-error.ts";
import type { StepMoves } from "./step-moves.ts";

const LOOKED = "large values were looked into";

export class Frontier {
  /** Steps that failed and wait for a recovery. */
  readonly recovering = new Set<string>();
  /** Steps that could be ready, but for what their expressions find inside large values. */
  readonly unresolved = new Set<string>();
  /** Of those, the ones that are not pending: what they wait for, and how they go on. */
  readonly #looks = new Map<string, { look: LookInside; goOn: (found: Found) => void }>();
  /** And failed fan-outs that never began, each with why it is opened again once its list is found. */
  readonly #again = new Map<string, string>();
  readonly items: ItemFlow;
  readonly compensations: Compensations;
  /** What the run fails with, unless it is taken away by a retry. */
  failure: RunError | undefined;
  readonly #frame: FoldFrame;
  readonly #moves: StepMoves;
  readonly #values: RunValues;
  readonly #stop: (step: string, cause: string) => void;
  #execution: GraphExecution;

  /** @param stop ends a step whose turn came after somebody wanted it stopped */
  constructor(
    graph: WorkflowGraph,
    frame: FoldFrame,
    moves: StepMoves,
    values: RunValues,
    stop: (step: string, cause: string) => void,
  ) {
    this.#frame = frame;
    this.#moves = moves;
    this.#values = values;
    this.#stop = stop;
    this.#execution = graph.execution();
    this.compensations = new Compensations(moves, values, (id, look, goOn) =>
      this.lookInside(id, look, goOn),
    );
    this.items = new ItemFlow(frame, moves, values, {
      refuse: (step, error) => this.#refuse(step, error),
      refuseAgain: (step, error, reason) => this.refuseAgain(step, error, { type: "reopen" }, reason),
      cancel: (id, reason) => this.cancel(id, reason),
      settle: (step, context) => this.settle(step, context),
      close: (id) => this.close(id),
      lookInside: (id, look, goOn) => this.lookInside(id, look, (found) => this.release(goOn(found), LOOKED)),
      standAgain: (id, reason) => this.#standAgain(id, reason),
    });
  }

  get closedCount(): number {
    return this.#execution.closedCount;
  }

  /** Whether nothing waits for the step any more. */
  isClosed(id: string): boolean {
    return this.#execution.isClosed(id);
  }

  /** Nothing waits for the step any more. Returns the steps that may go on. */
  close(id: string): string[] {
    return this.#execution.close(id);
  }

  /** The steps that wait for nothing. */
  start(): string[] {
    return this.#execution.start();
  }

  /** Goes on with another graph, of which these steps are closed. Returns the steps that wait for nothing. */
  replace(graph: WorkflowGraph, closed: readonly WorkflowStep[]): string[] {
    this.#execution = graph.execution();
    const free = this.#execution.start();
    for (const { id } of closed) free.push(...this.#execution.close(id));
    return free;
  }

  /** Steps whose dependencies allow them now: skipped, refused, or ready with their inputs fixed. */
  release(ids: readonly string[], cause: string): void {
    // A worklist, not a recursion: a chain of 100,000 skipped steps is released in one record.
    const waiting = [...ids];
    for (let at = 0; at < waiting.length; at += 1) {
      const step = this.#moves.steps.step(waiting[at] as string);
      try {
        if (this.#values.lookedInto(step) !== undefined) {
          this.unresolved.add(step.id);
          this.#frame.effects.push({ type: "resolve", step: step.id });
          continue;
        }
        if (step.when !== undefined && !this.#values.holds(step.when)) {
          waiting.push(...this.#skip(step));
          continue;
        }
        if (step.forEach === undefined) this.#values.fixInputs(step);
        else this.#values.fixItems(step);
      } catch (thrown) {
        waiting.push(...this.#refuse(step, expressionError(thrown)));
        continue;
      }
      waiting.push(...this.#ready(step, cause));
    }
  }

  #skip(step: WorkflowStep): string[] {
    this.#values.giveNulls(step);
    this.#moves.move(step.id, { type: "skip" }, `its condition is false: ${step.when}`);
    return this.#execution.close(step.id);
  }

  /** Its inputs, or its list, are fixed. */
  #ready(step: WorkflowStep, cause: string): string[] {
    const again = this.#again.get(step.id);
    this.#moves.move(step.id, { type: again === undefined ? "dependencies met" : "reopen" }, again ?? cause);
    if (again !== undefined) this.#again.delete(step.id);
    if (step.forEach === undefined) {
      this.#moves.offer(step.id, 0);
      return [];
    }
    const unwanted = this.#moves.cancellations.wanted.get(step.id);
    if (unwanted === undefined) return this.items.begin(step);
    this.#stop(step.id, unwanted);
    return [];
  }

  // ── large values ─────────────────────────────────────────────────────────────────────────────────

  /** The step stands until somebody has looked inside large values, and said in the log what came of it (L3). */
  lookInside(id: string, look: LookInside, goOn: (found: Found) => void): void {
    this.unresolved.add(id);
    this.#looks.set(id, { look, goOn });
    this.#frame.effects.push({ type: "resolve", step: id });
  }

  /** What a step that is not pending waits for; undefined: nothing. */
  lookOf(id: string): LookInside | undefined {
    return this.#looks.get(id)?.look;
  }

  /** The step stands as it did before its list was found first. */
  #standAgain(id: string, cause: string): void {
    this.unresolved.add(id);
    this.#again.set(id, cause);
    this.#frame.effects.push({ type: "resolve", step: id });
  }

  /** The step is stopped or opened again: what it waited for means nothing any more. */
  forgetLook(id: string): void {
    const stands = this.#looks.delete(id);
    if (this.#again.delete(id) || stands) this.unresolved.delete(id);
  }

  /** The run gives up: nothing begins any more, whatever its expressions find. */
  forgetLooks(): void {
    this.unresolved.clear();
    this.#looks.clear();
    this.#again.clear();
  }

  /** Cancels a step that was made from another one. */
  cancel(id: string, cause: string): void {
    if (this.#frame.rules >= 3) this.forgetLook(id);
    this.#moves.cancel(id, cause);
  }

  /** Takes what came of a step's expressions. Returns why it does not apply, or undefined when it does. */
  resolved(decision: DecisionMessage & { type: "resolved" }): string | undefined {
    const step = this.#moves.steps.step(decision.step);
    if (!this.unresolved.has(step.id)) return "the step does not wait for its expressions";
    const waiting = this.#looks.get(step.id);
    const hasBegun = waiting !== undefined || this.#again.has(step.id);
    if (hasBegun && decision.n !== this.#moves.read(step.id).context.n)
      return `dispatch ${decision.n} does not wait`;
    if (waiting !== undefined) {
      this.forgetLook(step.id);
      waiting.goOn(decision);
      return undefined;
    }
    const { items, from = 0, itemInputs = [], itemErrors = [], more } = decision;
    if (items !== undefined) {
      if (from > 0 && from !== this.#values.itemsOf(step.id).length)
        return `the items before ${from} are missing`;
      this.#values.addItems(step.id, items, from);
      for (const [at, inputs] of itemInputs.entries())
        this.#values.giveInputs(itemRef(step.id, from + at), inputs);
      for (const { place, error } of itemErrors) this.#values.refuseInputs(itemRef(step.id, place), error);
      if (more === true) return undefined;
    }
    this.unresolved.delete(step.id);
    this.release(this.#adopt(step, decision), LOOKED);
    return undefined;
  }

  #adopt(
    step: WorkflowStep,
    { skip, error, inputs, items }: DecisionMessage & { type: "resolved" },
  ): string[] {
    if (skip === true) return this.#skip(step);
    if (error !== undefined) return this.#refuse(step, error);
    if (items === undefined) this.#values.giveInputs(step.id, inputs ?? {});
    return this.#ready(step, LOOKED);
  }

  #refuse(step: WorkflowStep, error: WireError): string[] {
    const again = this.#again.get(step.id);
    if (again !== undefined) return this.refuseAgain(step, error, { type: "reopen" }, again);
    return this.settle(step, this.#moves.move(step.id, { type: "refuse", error }, error.message).context);
  }

  /** A failed step is opened again, and cannot be given out: it fails again. Returns the steps that may go on. */
  refuseAgain(
    step: WorkflowStep,
    error: WireError,
    reopen: StepEvent & { type: "reopen" },
    cause: string,
  ): string[] {
    this.#again.delete(step.id);
    this.#moves.move(step.id, reopen, cause);
    return this.#refuse(step, error);
  }

  /** What a failed step means for the run. Returns the steps that may go on nevertheless. */
  settle(step: WorkflowStep, context: StepContext): string[] {
    if (step.origin?.kind === "undo") {
      this.compensations.goOn(`${stepLabel(step.id)} failed`);
      return [];
    }
    if (isDerived(step)) return this.items.fail(step, context);
    if (step.onFailure === "continue") {
      this.#values.giveNulls(step);
      return this.#execution.close(step.id);
    }
    const { waits } = this.#moves;
    if (waits.isAsked(step.id)) {
      // Nobody wanted, or knew, another way: that was the last rung.
      waits.settleAsked(step.id);
      this.failure ??= runErrorOf(context);
    } else if (step.onFailure === "recover") {
      this.recovering.add(step.id);
      this.#frame.effects.push({ type: "recover", step: step.id });
    } else this.failure ??= runErrorOf(context);
    return [];
  }
}
