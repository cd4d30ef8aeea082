/**
 * What the expressions of a run can read, said a second time: inputs, environment, outputs of steps.
 *
 * It owns the environment of one run. What its steps are is the reference flow's matter.
 */
import type { WorkflowDocument } from "../workflow/document.ts";
import type { Language, Scope } from "./language.ts";
import type { ReferenceStep } from "./reference-step.ts";

const MAX_ITEMS = 10_000;

interface Entry {
  value: unknown;
  revision: number;
  step: string | undefined;
}

export class ReferenceValues {
  readonly env = new Map<string, Entry>();
  readonly #language: Language;
  readonly #inputs: Record<string, unknown>;
  readonly #values: Record<string, unknown> = {};
  readonly #closed: () => readonly ReferenceStep[];

  /** @param closed the document's steps that have outputs */
  constructor(language: Language, inputs: Record<string, unknown>, closed: () => readonly ReferenceStep[]) {
    this.#language = language;
    this.#inputs = inputs;
    this.#closed = closed;
  }

  holds(condition: string, step: ReferenceStep): boolean {
    return this.#language.holds(condition, this.#scope(step));
  }

  set(key: string, value: unknown, step: string | undefined, revision: number): void {
    this.env.set(key, { value, revision, step });
    this.#values[key] = value;
  }

  listOf(step: ReferenceStep): readonly unknown[] {
    const list = this.#language.list(step.doc.forEach ?? [], this.#scope(step));
    if (!Array.isArray(list) || list.length > MAX_ITEMS) throw new Error("not a list");
    return list;
  }

  inputsOf(step: ReferenceStep, iteration = step.iteration): Record<string, unknown> {
    return this.#language.resolve(step.doc.inputs ?? {}, { ...this.#scope(step), iteration });
  }

  /** What undoes a step is given. */
  undoingInputsOf(
    step: ReferenceStep,
    template: Record<string, unknown>,
    self: { inputs: Record<string, unknown>; outputs: Record<string, unknown> },
  ): Record<string, unknown> {
    return this.#language.resolve(template, { ...this.#scope(step), self });
  }

  /** What the workflow gives as a whole. */
  outputs(workflow: WorkflowDocument): Record<string, unknown> {
    const steps = Object.fromEntries(
      this.#closed().map(({ id, outputs }) => [id, { outputs: outputs ?? null }]),
    );
    return this.#language.resolve(workflow.outputs ?? {}, { inputs: this.#inputs, env: this.#values, steps });
  }

  #scope({ doc, parent, place, iteration, lastOutputs }: ReferenceStep): Scope {
    const closed = this.#closed();
    return {
      inputs: this.#inputs,
      env: this.#values,
      steps: Object.fromEntries(closed.map(({ id, outputs }) => [id, { outputs: outputs ?? null }])),
      ...(parent === undefined ? {} : { item: parent.list?.[place], index: place }),
      ...(doc.repeat === undefined ? {} : { iteration, outputs: lastOutputs }),
    };
  }
}

/** The largest number that the schema of a key allows. */
export function mostOf({ environment }: WorkflowDocument, key: string): number {
  const { maximum = Number.POSITIVE_INFINITY } = (environment?.[key]?.schema ?? {}) as { maximum?: number };
  return maximum;
}
