/**
 * How the items of a fan-out go, said a second time: made with their step, each done by itself, opened again with it.
 *
 * It owns nothing but how: where steps stand, and what a step that ended means, is the reference flow's matter.
 */
import type { WorkflowDocument } from "../workflow/document.ts";
import type { Due, ReferenceLooks } from "./reference-looks.ts";
import type { ReferenceOpenings } from "./reference-openings.ts";
import { giveOwn, makeStep, type ReferenceStep } from "./reference-step.ts";
import type { ReferenceValues } from "./reference-values.ts";

export interface FannedFlow {
  readonly rules: number;
  readonly workflow: WorkflowDocument;
  readonly steps: Map<string, ReferenceStep>;
  readonly values: ReferenceValues;
  readonly openings: ReferenceOpenings;
  readonly looks: ReferenceLooks;
  /** For whose failure the run fails. */
  failing: ReferenceStep | undefined;
  release(steps: ReferenceStep[]): void;
  /** These three return the steps that may go on. */
  closeWell(step: ReferenceStep): ReferenceStep[];
  failed(step: ReferenceStep, outcome: string): ReferenceStep[];
  give(step: ReferenceStep, outputs: Record<string, unknown>): void;
  cancel(step: ReferenceStep): void;
  readonly chances: {
    /** Opens a failed item. */
    reopen(item: ReferenceStep): void;
    /** There still is no list. */
    refuseAgain(step: ReferenceStep): void;
  };
}

export class ReferenceFanOuts {
  readonly #flow: FannedFlow;

  constructor(flow: FannedFlow) {
    this.#flow = flow;
  }

  /** Its list is there. @returns the steps that may go on by that */
  begin(parent: ReferenceStep): ReferenceStep[] {
    const { workflow, steps, values, openings, rules } = this.#flow;
    parent.n += 1;
    parent.state = "running";
    parent.outcome = null;
    const list = parent.list ?? [];
    if (list.length === 0) return this.#complete(parent);
    parent.items = list.map((_, place) => makeStep(parent.doc, workflow.defaults, { parent, place }));
    for (const item of parent.items) steps.set(item.id, item);
    const released: ReferenceStep[] = [];
    for (const item of parent.items) {
      try {
        giveOwn(item, values.inputsOf(item));
      } catch {
        if (parent.state !== "running") continue;
        item.errors.push("E_EXPRESSION");
        released.push(...this.#flow.failed(item, "failed"));
        if (parent.state !== "running" && rules < 3) break;
        continue;
      }
      // What it would be given is found with the list, though it failed with another item.
      if (parent.state !== "running") continue;
      openings.open(item, 0);
    }
    return released;
  }

  /** An item has its place in the lists. The last one completes the whole. */
  settle(parent: ReferenceStep): ReferenceStep[] {
    const open = parent.items.some(({ outputs }) => outputs === undefined);
    return open || parent.state !== "running" ? [] : this.#complete(parent);
  }

  #complete(parent: ReferenceStep): ReferenceStep[] {
    const lists: Record<string, unknown> = {};
    for (const key of parent.doc.outputs ?? [])
      lists[key] = parent.items.map(({ outputs }) => outputs?.[key] ?? null);
    this.#flow.give(parent, lists);
    parent.state = "done";
    parent.outcome = "completed";
    parent.completions += 1;
    return this.#flow.closeWell(parent);
  }

  fail(item: ReferenceStep, parent: ReferenceStep): ReferenceStep[] {
    if (item.doc.onFailure === "continue") {
      item.outputs = null;
      return this.settle(parent);
    }
    if (parent.state !== "running") return [];
    for (const one of parent.items) this.#flow.cancel(one);
    parent.errors.push(...item.errors.slice(-1));
    return this.#flow.failed(parent, "failed");
  }

  reopen(parent: ReferenceStep): void {
    if (parent.items.length === 0) return this.#beginAgain(parent);
    parent.n += 1;
    parent.state = "running";
    parent.outcome = null;
    // Of the first that cannot be given anything the whole fails.
    for (const item of parent.items) {
      if (item.outputs === undefined && parent.state === "running") this.#flow.chances.reopen(item);
    }
    if (this.#flow.rules >= 3) this.#flow.release(this.settle(parent));
  }

  /** It never began, and begins as it would have the first time; but nobody asks for its condition again. */
  #beginAgain(parent: ReferenceStep): void {
    const { rules, values, looks } = this.#flow;
    const goOn = (): Due => {
      try {
        parent.list = values.listOf(parent);
      } catch {
        if (rules >= 3) this.#flow.chances.refuseAgain(parent);
        else this.#flow.failing ??= parent;
        return "refused";
      }
      this.#flow.release(this.begin(parent));
      return "fits";
    };
    const { forEach = [], inputs = {} } = parent.doc;
    if (rules >= 3 && values.looks({ forEach, inputs }, parent)) looks.stand(parent, parent.n, goOn);
    else goOn();
  }
}
