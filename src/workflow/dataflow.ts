/**
 * The flow of data through a workflow: expressions compile, what a step reads was written by a step before
 * it, and no two steps that can run at once write one key.
 */
import { type CompiledExpression, compileExpression, ExpressionError } from "./cel.ts";
import type { WorkflowIssueCode } from "./errors.ts";
import type { IssueList, IssuePath } from "./issues.ts";
import { findUnordered, type OrderedGraph, type OrderQuestion } from "./ordering.ts";
import type { SketchedStep } from "./shape.ts";
import { splitTemplate, visitTexts } from "./template.ts";

export interface DataflowInput {
  readonly steps: readonly SketchedStep[];
  /** The workflow's own `outputs`. */
  readonly outputs: unknown;
  readonly positions: ReadonlyMap<string, number>;
  readonly graph: OrderedGraph;
  /** Keys that are in the environment before the run. */
  readonly environmentKeys: ReadonlySet<string>;
}

/** Who reads one key (or one step's outputs), and who writes it. */
interface Demand {
  /** As written: `env.x` or `steps.x`. */
  readonly name: string;
  readonly key: string;
  readonly sources: readonly number[];
  readonly readers: Map<number, IssuePath>;
}

/** Reports `E_EXPRESSION`, `E_UNPRODUCED_INPUT`, `E_OUTPUT_CONFLICT` and expressions over their `E_LIMIT`. */
export function checkDataflow(input: DataflowInput, issues: IssueList): void {
  const writers = writersByKey(input.steps);
  const reads = new ReadCheck(input, writers, issues);
  for (const step of input.steps) {
    const path = ["steps", step.index];
    if (step.when !== undefined) reads.condition(step.when, [...path, "when"], step);
    if (step.forEach !== undefined) reads.list(step.forEach, [...path, "forEach"], step);
    const locals = localsOf(step);
    reads.templates(step.inputs, [...path, "inputs"], step, locals);
    if (step.undoInputs !== undefined) {
      const ofUndo = new Set([...locals, "self"]);
      reads.templates(
        step.undoInputs,
        [...path, "compensate", "inputs"],
        step,
        ofUndo,
        new Set(step.outputs),
      );
    }
    if (step.until !== undefined) {
      reads.condition(step.until, [...path, "repeat", "until"], step, locals, new Set(step.outputs));
    }
  }
  reads.templates(input.outputs, ["outputs"], undefined);
  reads.report();
  checkConflicts(input, writers, issues);
}

function writersByKey(steps: readonly SketchedStep[]): Map<string, number[]> {
  const writers = new Map<string, number[]>();
  for (const step of steps) {
    for (const key of step.outputs) {
      const known = writers.get(key);
      if (known) known.push(step.index);
      else writers.set(key, [step.index]);
    }
  }
  return writers;
}

/** Variables that only exist in some places, with what makes them exist. */
const LOCAL_VARIABLES: Readonly<Record<string, string>> = {
  item: "in the inputs of a step with forEach",
  index: "in the inputs of a step with forEach",
  iteration: "in a step with repeat",
  outputs: "in a step with repeat",
  self: "in the inputs of compensate",
};
const NO_KEYS: ReadonlySet<string> = new Set();
type Locals = ReadonlySet<string>;
const NO_LOCALS: Locals = new Set();

function localsOf({ forEach, until }: SketchedStep): Locals {
  if (forEach === undefined && until === undefined) return NO_LOCALS;
  return new Set([
    ...(forEach === undefined ? [] : ["item", "index"]),
    ...(until === undefined ? [] : ["iteration", "outputs"]),
  ]);
}

/** Direct dependencies that are looked through before a question is put to the sweep. */
const NEARBY_DEPENDENCIES = 16;

class ReadCheck {
  readonly #input: DataflowInput;
  readonly #writers: ReadonlyMap<string, readonly number[]>;
  readonly #issues: IssueList;
  readonly #demands = new Map<string, Demand>();

  constructor(input: DataflowInput, writers: ReadonlyMap<string, readonly number[]>, issues: IssueList) {
    this.#input = input;
    this.#writers = writers;
    this.#issues = issues;
  }

  /** @param written keys that the step itself has written by then */
  condition(
    source: string,
    path: IssuePath,
    step: SketchedStep,
    locals = NO_LOCALS,
    written: ReadonlySet<string> = NO_KEYS,
  ): void {
    const compiled = this.#compile(source, path, step);
    if (!compiled) return;
    if (compiled.type !== "bool" && compiled.type !== "dyn") {
      const message = `\`${source}\` gives ${compiled.type}, but a condition must give true or false.`;
      this.#issues.add("E_EXPRESSION", path, message, step.id);
    }
    this.#note(compiled, path, step, locals, written);
  }

  list(source: string | readonly unknown[], path: IssuePath, step: SketchedStep): void {
    if (typeof source !== "string") return this.templates(source, path, step);
    const compiled = this.#compile(source, path, step);
    if (!compiled) return;
    if (!/^(list|dyn|optional)\b/.test(compiled.type)) {
      const message = `\`${source}\` gives ${compiled.type}, but forEach needs a list.`;
      this.#issues.add("E_EXPRESSION", path, message, step.id);
    }
    this.#note(compiled, path, step, NO_LOCALS);
  }

  /** @param locals variables that exist in these texts beside those that always do */
  templates(
    value: unknown,
    path: IssuePath,
    step: SketchedStep | undefined,
    locals = NO_LOCALS,
    written: ReadonlySet<string> = NO_KEYS,
  ): void {
    this.#attempt(path, step, () =>
      visitTexts(value, (text, inner) => {
        const textPath = [...path, ...inner];
        this.#attempt(textPath, step, () => {
          for (const part of splitTemplate(text)) {
            const compiled = "source" in part && this.#compile(part.source, textPath, step);
            if (compiled) this.#note(compiled, textPath, step, locals, written);
          }
        });
      }),
    );
  }

  /** Reports every read that nothing before the reader satisfies. */
  report(): void {
    const demands = [...this.#demands.values()];
    const questions = demands.map(
      ({ sources, readers }): OrderQuestion => ({ sources, targets: [...readers.keys()] }),
    );
    const unordered = findUnordered(this.#input.graph, questions, false);
    for (const [index, demand] of demands.entries()) {
      for (const reader of unordered[index] ?? []) this.#reportUnproduced(demand, reader);
    }
  }

  #attempt(path: IssuePath, step: SketchedStep | undefined, action: () => void): void {
    try {
      action();
    } catch (error) {
      if (!(error instanceof ExpressionError)) throw error;
      const message = error.remedy === undefined ? error.message : `${error.message} ${error.remedy}`;
      const code: WorkflowIssueCode = error.data.limit === undefined ? "E_EXPRESSION" : "E_LIMIT";
      this.#issues.add(code, path, message, step?.id);
    }
  }

  #compile(source: string, path: IssuePath, step: SketchedStep | undefined): CompiledExpression | undefined {
    let compiled: CompiledExpression | undefined;
    this.#attempt(path, step, () => {
      compiled = compileExpression(source);
    });
    return compiled;
  }

  #note(
    { reads, source }: CompiledExpression,
    path: IssuePath,
    step: SketchedStep | undefined,
    locals: Locals,
    written: ReadonlySet<string> = NO_KEYS,
  ): void {
    for (const [name, where] of Object.entries(LOCAL_VARIABLES)) {
      if (!reads.variables.has(name) || locals.has(name)) continue;
      const message = `\`${source}\` reads ${name}, which only exists ${where}.`;
      this.#issues.add("E_EXPRESSION", path, message, step?.id);
    }
    for (const [stepId, member] of reads.strayMembers) {
      const message = `\`${source}\` reads ${member} of step "${stepId}", but a step has only outputs: write steps.${stepId}.outputs.${member}.`;
      this.#issues.add("E_EXPRESSION", path, message, step?.id);
    }
    for (const member of reads.selfMembers) {
      if (member === "inputs" || member === "outputs") continue;
      const message = `\`${source}\` reads self.${member}, but there are only self.inputs and self.outputs.`;
      this.#issues.add("E_EXPRESSION", path, message, step?.id);
    }
    for (const key of reads.env) {
      if (this.#input.environmentKeys.has(key) || written.has(key)) continue;
      this.#demand(`env.${key}`, key, this.#writers.get(key) ?? [], path, step);
    }
    for (const id of reads.steps) {
      // What undoes a step comes after it.
      if (id === step?.id && locals.has("self")) continue;
      const position = this.#input.positions.get(id);
      this.#demand(`steps.${id}`, id, position === undefined ? [] : [position], path, step);
    }
  }

  #demand(
    name: string,
    key: string,
    sources: readonly number[],
    path: IssuePath,
    step: SketchedStep | undefined,
  ): void {
    if (sources.length === 0) {
      this.#reportUnknown(name, key, path, step?.id);
      return;
    }
    // The workflow's own outputs are read when every step has ended: any writer will do.
    if (!step) return;
    const dependencies = this.#input.graph.dependencies[step.index] ?? [];
    const nearby = dependencies.length <= NEARBY_DEPENDENCIES && sources.length <= NEARBY_DEPENDENCIES;
    if (nearby && dependencies.some((dependency) => sources.includes(dependency))) return;
    let demand = this.#demands.get(name);
    if (!demand) {
      demand = { name, key, sources, readers: new Map() };
      this.#demands.set(name, demand);
    }
    if (!demand.readers.has(step.index)) demand.readers.set(step.index, path);
  }

  #reportUnknown(name: string, key: string, path: IssuePath, step: string | undefined): void {
    const isStep = name.startsWith("steps.");
    const existing = isStep
      ? this.#input.positions.keys()
      : [...this.#writers.keys(), ...this.#input.environmentKeys];
    const nearest = this.#issues.nearest(key, existing);
    const hint = nearest === undefined ? "" : ` The nearest ${isStep ? "id" : "key"} is "${nearest}".`;
    const message = isStep
      ? `Reads the outputs of "${key}", but there is no such step.${hint}`
      : `Reads ${name}, but no step writes "${key}" and it is not in the environment before the run.${hint}`;
    this.#issues.add("E_UNPRODUCED_INPUT", path, message, step);
  }

  #reportUnproduced({ name, key, sources, readers }: Demand, reader: number): void {
    const step = this.#input.steps[reader];
    const path = readers.get(reader) ?? ["steps", reader];
    const others = sources.filter((source) => source !== reader).map((source) => nameOf(this.#input, source));
    const listed = others.slice(0, 3).join(", ") + (others.length > 3 ? " and others" : "");
    const isStep = name.startsWith("steps.");
    const what = isStep ? `the outputs of ${quoted(key)}` : name;
    const why =
      others.length === 0
        ? isStep
          ? "a step cannot read its own outputs"
          : "only this step itself writes it"
        : `nothing makes this step wait for ${isStep ? "that step" : `${listed}, which writes it`}`;
    const remedy =
      others.length === 0
        ? "Let a step before it write the key, or guard the read with has(…)."
        : `Add ${isStep ? quoted(key) : listed} to its dependsOn, or guard the read with has(…).`;
    this.#issues.add("E_UNPRODUCED_INPUT", path, `Reads ${what}, but ${why}. ${remedy}`, step?.id);
  }
}

/**
 * Writers of one key must form a line. Sorted by dependency order they do exactly if each is after the one
 * before it, so that k writers take k − 1 questions.
 */
function checkConflicts(
  { steps, graph, ...input }: DataflowInput,
  writers: ReadonlyMap<string, readonly number[]>,
  issues: IssueList,
): void {
  const place = new Int32Array(steps.length);
  for (const [index, members] of graph.components.entries()) for (const node of members) place[node] = index;

  const questions: (OrderQuestion & { key: string; earlier: number; later: number })[] = [];
  for (const [key, unsorted] of writers) {
    if (unsorted.length < 2) continue;
    const line = unsorted.toSorted((a, b) => (place[a] ?? 0) - (place[b] ?? 0));
    for (const [index, later] of line.entries()) {
      const earlier = line[index - 1];
      if (earlier === undefined || place[earlier] === place[later]) continue;
      questions.push({ sources: [earlier], targets: [later], key, earlier, later });
    }
  }

  const unordered = findUnordered(graph, questions, true);
  const conflicts = new Map<string, { earlier: number; later: number; more: number }>();
  for (const [index, { key, earlier, later }] of questions.entries()) {
    if (unordered[index]?.length === 0) continue;
    const known = conflicts.get(key);
    if (known) known.more++;
    else conflicts.set(key, { earlier, later, more: 0 });
  }
  for (const [key, { earlier, later, more }] of conflicts) {
    const names = [earlier, later].map((index) => nameOf({ steps, graph, ...input }, index));
    const rest = more === 0 ? "" : ` So do ${more} more ${more === 1 ? "step" : "steps"}.`;
    issues.add(
      "E_OUTPUT_CONFLICT",
      ["steps", later, "outputs"],
      `Steps ${names.join(" and ")} both write "${key}" and can run at once, so that either value could win.${rest} Let one depend on the other, or write different keys.`,
      steps[later]?.id,
    );
  }
}

function nameOf({ steps }: DataflowInput, index: number): string {
  return quoted(steps[index]?.id ?? `number ${index + 1}`);
}

function quoted(name: string): string {
  return `"${name}"`;
}
