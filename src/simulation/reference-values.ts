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

  /** Whether any of it has to be looked for inside values that went by claim check. */
  looks(read: Parameters<Language["looks"]>[0], step: ReferenceStep): boolean {
    return this.#language.looks(read, this.#scope(step));
  }

  /** Whether a declared output is larger than the schema of its key allows. */
  breaksSchema(
    workflow: WorkflowDocument,
    outputs: Record<string, unknown>,
    declared: readonly string[],
  ): boolean {
    return declared.some((key) => this.#numberOf(outputs[key]) > mostOf(workflow, key));
  }

  /** Whether that can be told only once somebody has looked inside. */
  schemaLooks(
    { environment = {} }: WorkflowDocument,
    outputs: Record<string, unknown>,
    declared: readonly string[],
  ): boolean {
    return declared.some(
      (key) => environment[key]?.schema !== undefined && this.#language.kept.isKept(outputs[key]),
    );
  }

  #numberOf(value: unknown): number {
    const whole = this.#language.kept.whole(value);
    const inner = typeof whole === "object" && whole !== null && "n" in whole ? whole.n : whole;
    return typeof inner === "number" ? inner : Number.NaN;
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

  /** Whether that has to be looked for: whatever reads a part of it that is not kept elsewhere reads all of it. */
  undoingLooks(
    template: Record<string, unknown>,
    self: { inputs: Record<string, unknown>; outputs: Record<string, unknown> },
  ): boolean {
    const { kept } = this.#language;
    const isPassedOn = (value: unknown) =>
      kept.isKept(self.outputs[/^\$\{self\.outputs\.(\w+)\}$/.exec(`${value}`)?.[1] ?? ""]);
    return kept.isKept(self) && Object.values(template).some((value) => !isPassedOn(value));
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
