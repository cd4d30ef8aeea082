/**
 * How the items of a fan-out go: made when their step becomes ready, settled one by one, opened again by a
 * retry; and what becomes of their step.
 *
 * It owns the fan-outs. It does not own the frontier nor what a failed step means for the run: the step flow
 * does, and what follows for other steps is handed back to it as the steps that may go on.
 */
import type { WireError } from "../bus/messages.ts";
import type { StepContext } from "../machines/step.ts";
import { type DerivedStep, type StepOrigin, stepLabel } from "../workflow/derived-step.ts";
import type { WorkflowStep } from "../workflow/document.ts";
import { type FanOutProgress, FanOuts, itemStep } from "./fan-outs.ts";
import type { FoldFrame } from "./fold-frame.ts";
import type { Found, LookInside } from "./large-values.ts";
import type { RunValues } from "./run-values.ts";
import { expressionError, runErrorOf, schemaError } from "./step-error.ts";
import type { StepMoves } from "./step-moves.ts";

/** What items need of the step flow. Each returns the steps that may go on by it. */
export interface ItemFlowScene {
  /** An expression of the step failed: so does the step. */
  refuse(step: WorkflowStep, error: WireError): string[];
  /** The same of a step that is opened again. */
  refuseAgain(step: WorkflowStep, error: WireError, cause: string): string[];
  /** The step is cancelled, whatever it waits for. */
  cancel(id: string, cause: string): void;
  /** The step has failed for good. */
  settle(step: WorkflowStep, context: StepContext): string[];
  /** Nothing waits for the step any more. */
  close(id: string): string[];
  /** The step stands until large values were looked into, and goes on then. */
  lookInside(id: string, look: LookInside, goOn: (found: Found) => string[]): void;
  /** The failed step stands until its list was found inside large values, and is opened again then. */
  standAgain(id: string, cause: string): void;
}

export class ItemFlow {
  readonly #frame: FoldFrame;
  readonly #moves: StepMoves;
  readonly #values: RunValues;
  readonly #scene: ItemFlowScene;
  readonly #fanOuts = new FanOuts();

  constructor(frame: FoldFrame, moves: StepMoves, values: RunValues, scene: ItemFlowScene) {
    this.#frame = frame;
    this.#moves = moves;
    this.#values = values;
    this.#scene = scene;
  }

  /** Whether the step's work is done by its items now. */
  has(id: string): boolean {
    return this.#fanOuts.has(id);
  }

  /** Whether the step is to be done by items; a recovery that found another way does it as a whole. */
  isFor(step: WorkflowStep): boolean {
    return step.forEach !== undefined && !this.#fanOuts.isAbandoned(step.id);
  }

  /** From now on the step does its work itself. */
  abandon(id: string): void {
    this.#fanOuts.abandon(id);
  }

  progressOf(id: string): FanOutProgress | undefined {
    return this.#fanOuts.progressOf(id);
  }

  outputsOf(origin: StepOrigin): Record<string, unknown> | undefined {
    return this.#fanOuts.outputsOf(origin);
  }

  /** Fan-outs that are running; their steps are given to nobody. */
  get running(): number {
    let count = 0;
    for (const id of this.#fanOuts.ids()) if (this.#moves.read(id).state === "running") count += 1;
    return count;
  }

  /** Makes the items of a step that just became ready, and opens them. */
  begin(step: WorkflowStep): string[] {
    const moves = this.#moves;
    const { length } = this.#values.itemsOf(step.id);
    this.#fanOuts.begin(step.id, length);
    moves.move(step.id, { type: "fan out" }, `fans out over ${length} items`);
    if (length === 0) return this.#complete(step);
    for (let place = 0; place < length; place += 1) moves.make(itemStep(step, place));
    const released: string[] = [];
    let isOpen = true;
    for (const item of moves.steps.madeFrom(step.id)) {
      const error = this.#values.fixItemInputs(item);
      // It fails with another item: what it would have been given is fixed all the same, for a retry.
      if (!isOpen) continue;
      if (error !== undefined) {
        released.push(...this.#scene.refuse(item, error));
        isOpen = moves.read(step.id).state === "running";
        if (!isOpen && this.#frame.rules < 3) break;
        continue;
      }
      moves.move(item.id, { type: "dependencies met" }, `${step.id} fans out`);
      moves.offer(item.id, 0);
    }
    return released;
  }

  /** Takes an item's outputs; null: it failed where that is allowed. */
  settle(item: DerivedStep, outputs: Record<string, unknown> | null): string[] {
    const last = this.#fanOuts.settle(item.origin, outputs);
    return last ? this.#complete(this.#moves.steps.step(item.origin.of)) : [];
  }

  /** An item failed for good: its place stays null, or the whole fan-out fails with it. */
  fail(item: DerivedStep, context: StepContext): string[] {
    if (item.onFailure === "continue") return this.settle(item, null);
    const moves = this.#moves;
    const parent = moves.steps.step(item.origin.of);
    if (moves.read(parent.id).state !== "running") return [];
    const label = stepLabel(item.id);
    for (const { id } of moves.steps.madeFrom(parent.id)) this.#scene.cancel(id, `${label} failed`);
    const { code, message } = runErrorOf(context);
    const error = { name: "ItemFailedError", code, message: `${label}: ${message}`, retryable: false };
    const after = moves.move(parent.id, { type: "fail", error }, error.message);
    return this.#scene.settle(parent, after.context);
  }

  /**
   * Opens a failed fan-out again: what its items gave is kept, the others get a new chance.
   * @returns the items to be opened, and the steps that may go on
   * @throws ExpressionError when there never was a list, and still is none, under a holder that keeps it failed then
   */
  reopen(step: WorkflowStep, cause: string): { items: readonly DerivedStep[]; released: string[] } {
    if (!this.#fanOuts.has(step.id)) return { items: [], released: this.#beginAgain(step, cause) };
    this.#moves.move(step.id, { type: "reopen" }, cause);
    this.#moves.move(step.id, { type: "fan out" }, cause);
    const all = this.#moves.steps.madeFrom(step.id);
    const isAwaited = ({ origin }: DerivedStep) => origin.kind === "item" && !this.#fanOuts.isSettled(origin);
    const items = all.filter(isAwaited);
    // Each has given what it gives, and the lists of that were refused.
    if (items.length === 0 && this.#frame.rules >= 3) return { items, released: this.#complete(step) };
    return { items, released: [] };
  }

  /** Opens a fan-out that never began: its list is found anew. */
  #beginAgain(step: WorkflowStep, cause: string): string[] {
    const isNewer = this.#frame.rules >= 3;
    if (isNewer && this.#values.lookedInto({ ...step, when: undefined }) !== undefined) {
      this.#scene.standAgain(step.id, cause);
      return [];
    }
    try {
      this.#values.fixItems(step);
    } catch (thrown) {
      if (isNewer) return this.#scene.refuseAgain(step, expressionError(thrown), cause);
      throw thrown;
    }
    this.#moves.move(step.id, { type: "reopen" }, cause);
    return this.begin(step);
  }

  #complete(step: WorkflowStep): string[] {
    const lists = this.#fanOuts.lists(step);
    const look = this.#values.schemaLook(step, lists);
    if (look !== undefined) {
      this.#scene.lookInside(step.id, look, ({ error }) => this.#give(step, lists, error));
      return [];
    }
    const problem = this.#values.schemaProblem(step, lists);
    return this.#give(step, lists, problem === undefined ? undefined : schemaError(problem));
  }

  /** Takes the lists of all items, unless something is wrong with them. */
  #give(step: WorkflowStep, lists: Record<string, unknown>, error: WireError | undefined): string[] {
    if (error !== undefined) {
      const after = this.#moves.move(step.id, { type: "fail", error }, error.message);
      return this.#scene.settle(step, after.context);
    }
    this.#values.giveOutputs(step, lists, undefined);
    this.#values.dropInputs(step);
    this.#moves.move(step.id, { type: "complete" }, "every item is done");
    return this.#scene.close(step.id);
  }
}
