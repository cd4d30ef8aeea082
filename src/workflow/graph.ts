/**
 * The validated workflow: steps with their defaults filled in, their dependencies, and the ready frontier.
 *
 * A `WorkflowGraph` is immutable and exists only for a valid workflow; what changes while it runs is in the
 * `GraphExecution`s that it makes. Validation reports everything that is wrong at once, and costs steps plus
 * edges (see `ordering.ts` for the questions about order).
 */
import { compensationOf } from "./compensation.ts";
import { checkDataflow } from "./dataflow.ts";
import {
  DEFAULT_ITERATIONS,
  DEFAULT_MAX_PARALLEL,
  DEFAULT_RETRY,
  type Repeat,
  type RetryDocument,
  type RetryPolicy,
  type WorkflowDocument,
  type WorkflowStep,
  type WorkflowStepDocument,
} from "./document.ts";
import type { EnvironmentSchemas } from "./environment-schema.ts";
import { InvalidWorkflowError, NotFoundError, type WorkflowIssue } from "./errors.ts";
import { type ExecutableGraph, GraphExecution } from "./execution.ts";
import { IssueList, type LineLookup } from "./issues.ts";
import { parseDuration } from "./names.ts";
import { MAX_NESTING } from "./nested-run.ts";
import { isAnswered } from "./reserved-roles.ts";
import { readShape, type SketchedStep, type SketchedWorkflow } from "./shape.ts";
import { stepTimeouts } from "./step-timeouts.ts";
import { components, longestWayToEnd, reverseEdges, shortestCycle } from "./topology.ts";
import { type AnswerDeadline, answerDeadline } from "./waiting.ts";

export { GraphExecution } from "./execution.ts";

/** The name of a workflow that does not give itself one. */
const DEFAULT_WORKFLOW_NAME = "workflow";

export interface GraphOptions {
  /** Keys in the environment before the run: reading them is fine although no step writes them. */
  environmentKeys?: Iterable<string>;
  /** It is in a log already: of what only later versions refuse, nothing is refused (L1). */
  wasAccepted?: boolean;
  /** How many documents this one is nested in. */
  nesting?: number;
  /** Line of a path in the text that the document was read from. */
  lineOf?: LineLookup;
}

export type Validation =
  | { graph: WorkflowGraph; issues: readonly [] }
  | { graph: undefined; issues: readonly WorkflowIssue[] };

/** What the checks found out about the graph, over step positions. */
interface GraphParts extends ExecutableGraph {
  readonly order: readonly number[];
}

export class WorkflowGraph {
  readonly document: WorkflowDocument;
  readonly name: string;
  /** Steps that may be in flight at once. */
  readonly maxParallel: number;
  /** Of the whole run, in ms. */
  readonly timeoutMs: number | undefined;
  /** Of keys of the environment; undefined when none is declared. */
  readonly schemas: EnvironmentSchemas | undefined;
  readonly #steps: readonly WorkflowStep[];
  readonly #parts: GraphParts;
  readonly #remaining: Int32Array;

  /** Only for `validateWorkflow`, which has made sure that the parts are right. */
  private constructor(
    document: WorkflowDocument,
    steps: readonly WorkflowStep[],
    parts: GraphParts,
    schemas: EnvironmentSchemas | undefined,
  ) {
    this.schemas = schemas;
    this.document = document;
    this.name = document.name ?? DEFAULT_WORKFLOW_NAME;
    this.maxParallel = document.maxParallel ?? DEFAULT_MAX_PARALLEL;
    this.timeoutMs = document.timeout === undefined ? undefined : parseDuration(document.timeout);
    this.#steps = steps;
    this.#parts = parts;
    this.#remaining = longestWayToEnd(parts.dependents, parts.order);
  }

  /** @throws InvalidWorkflowError with every issue */
  static fromDocument(input: unknown, options: GraphOptions = {}): WorkflowGraph {
    const { graph, issues } = WorkflowGraph.validate(input, options);
    if (graph) return graph;
    throw invalidWorkflow(issues);
  }

  /** Checks a document of unknown origin; finds everything that is wrong at once. */
  static validate(input: unknown, options: GraphOptions = {}): Validation {
    const issues = new IssueList(options.lineOf);
    const sketch = readShape(input, issues, options.wasAccepted === true);
    const parts = sketch && checkGraph(sketch, new Set(options.environmentKeys), issues);
    for (const step of sketch?.steps ?? []) if (step.nested) checkNested(step, options, issues);
    if (!issues.isEmpty || !sketch?.document || !parts) return { graph: undefined, issues: issues.sorted() };
    const steps = buildSteps(sketch.document, parts.joinCounts, sketch.steps);
    return { graph: new WorkflowGraph(sketch.document, steps, parts, sketch.schemas), issues: [] };
  }

  get size(): number {
    return this.#steps.length;
  }

  has(id: string): boolean {
    return this.#parts.positions.has(id);
  }

  /** @throws NotFoundError */
  step(id: string): WorkflowStep {
    const step = this.#steps[this.#position(id)];
    if (step) return step;
    throw new NotFoundError("E_NO_STEP", `There is no step "${id}" in workflow "${this.name}".`);
  }

  /** In document order. */
  steps(): Iterable<WorkflowStep> {
    return this.#steps;
  }

  /** The steps that depend on this one directly, in document order. @throws NotFoundError */
  dependents(id: string): readonly string[] {
    return (this.#parts.dependents[this.#position(id)] ?? []).map((position) => this.#idAt(position));
  }

  /** Every step after all of its dependencies; the document's order where that is one already. */
  topologicalOrder(): readonly string[] {
    return this.#parts.order.map((position) => this.#idAt(position));
  }

  /**
   * Steps on the longest path from this step to an end, itself included: what is started first when there
   * is a choice, since the run cannot end before that path has. @throws NotFoundError
   */
  remainingDepth(id: string): number {
    return this.#remaining[this.#position(id)] ?? 0;
  }

  /** A fresh state of execution. */
  execution(): GraphExecution {
    return new GraphExecution(this.#parts);
  }

  #position(id: string): number {
    const position = this.#parts.positions.get(id);
    if (position !== undefined) return position;
    throw new NotFoundError("E_NO_STEP", `There is no step "${id}" in workflow "${this.name}".`, {
      data: { step: id },
    });
  }

  #idAt(position: number): string {
    return this.#parts.ids[position] ?? "";
  }
}

/** Checks a document of unknown origin; finds everything that is wrong at once, and never throws for it. */
export function validateWorkflow(input: unknown, options: GraphOptions = {}): Validation {
  return WorkflowGraph.validate(input, options);
}

/** The issues as one error: the first in full, and how many there are. */
function invalidWorkflow(issues: readonly WorkflowIssue[]): InvalidWorkflowError {
  const [first] = issues;
  const place = first?.step === undefined ? "" : ` in step "${first.step}"`;
  const rest = issues.length > 1 ? ` (and ${issues.length - 1} more)` : "";
  return new InvalidWorkflowError(
    `The workflow is invalid: ${first?.code}${place}: ${first?.message}${rest}`,
    issues,
    { remedy: "Run `datahammer validate` on the file to see every problem with its line." },
  );
}

function checkGraph(
  { steps, outputs }: SketchedWorkflow,
  environmentKeys: ReadonlySet<string>,
  issues: IssueList,
): GraphParts {
  const positions = indexIds(steps, issues);
  const dependencies = steps.map((step) => resolveDependencies(step, positions, issues));
  const joinCounts = steps.map((step, index) => {
    const all = dependencies[index]?.length ?? 0;
    return Math.min(step.join ?? all, all);
  });
  const found = components(dependencies);
  for (const component of found) {
    if (component.length < 2) continue;
    const cycle = shortestCycle(dependencies, component);
    const names = [...cycle, ...cycle.slice(0, 1)].map((index) => steps[index]?.id ?? `number ${index + 1}`);
    const first = cycle[0] ?? 0;
    issues.add(
      "E_CYCLE",
      ["steps", first, "dependsOn"],
      `These steps wait for each other, each depending on the next: ${names.join(" → ")}. Remove one of the dependencies.`,
      steps[first]?.id,
    );
  }
  const graph = { dependencies, components: found, joinCounts };
  checkDataflow({ steps, outputs, positions, graph, environmentKeys }, issues);
  return {
    ids: steps.map((step) => step.id ?? ""),
    positions,
    dependents: reverseEdges(dependencies),
    joinCounts,
    order: found.flat(),
  };
}

/** A nested document is checked with the one that it stands in; its environment is its own. */
function checkNested(
  { id, index, nested, inputs }: SketchedStep,
  { lineOf, nesting = 0, wasAccepted = false }: GraphOptions,
  issues: IssueList,
): void {
  const above = ["steps", index, "inputs", "workflow"];
  if (nesting >= MAX_NESTING) {
    const message = `Workflows are nested deeper than the ${MAX_NESTING} runs that may be below one another.`;
    issues.add("E_LIMIT", above, message, id);
    return;
  }
  const environment = (inputs as { environment?: unknown } | undefined)?.environment ?? {};
  const isKnown = typeof environment === "object" && environment !== null;
  const found = WorkflowGraph.validate(nested, {
    environmentKeys: isKnown ? Object.keys(environment) : [],
    nesting: nesting + 1,
    wasAccepted,
    ...(lineOf && { lineOf: (path) => lineOf([...above, ...path]) }),
  });
  for (const issue of found.issues) {
    // What an expression gives for the environment is not known here.
    if (issue.code === "E_UNPRODUCED_INPUT" && !isKnown) continue;
    const where = issue.step === undefined ? "" : `step "${issue.step}": `;
    issues.adopt(issue, above, `In the nested workflow, ${where}${issue.message}`, id);
  }
}

function indexIds(steps: readonly SketchedStep[], issues: IssueList): Map<string, number> {
  const positions = new Map<string, number>();
  for (const { id, index } of steps) {
    if (id === undefined) continue;
    const earlier = positions.get(id);
    if (earlier === undefined) positions.set(id, index);
    else {
      const message = `The id "${id}" is taken already, by step number ${earlier + 1} of the list. Ids are used once.`;
      issues.add("E_DUPLICATE_ID", ["steps", index, "id"], message, id);
    }
  }
  return positions;
}

/** A step's dependencies as positions; those that cannot be are reported and left out. */
function resolveDependencies(
  { id, index, dependsOn }: SketchedStep,
  positions: ReadonlyMap<string, number>,
  issues: IssueList,
): number[] {
  const resolved: number[] = [];
  for (const [dependency, item] of dependsOn) {
    const position = positions.get(dependency);
    const path = ["steps", index, "dependsOn", item];
    if (dependency === id) {
      issues.add(
        "E_SELF_DEPENDENCY",
        path,
        `Step "${id}" depends on itself. Remove it from its dependsOn.`,
        id,
      );
    } else if (position === undefined) {
      const nearest = issues.nearest(dependency, others(positions.keys(), id));
      const hint = nearest === undefined ? "" : ` The nearest id is "${nearest}".`;
      issues.add(
        "E_UNKNOWN_DEPENDENCY",
        path,
        `Depends on "${dependency}", but there is no such step.${hint}`,
        id,
      );
    } else {
      resolved.push(position);
    }
  }
  return resolved;
}

function* others(ids: Iterable<string>, own: string | undefined): Iterable<string> {
  for (const id of ids) if (id !== own) yield id;
}

function buildSteps(
  document: WorkflowDocument,
  joinCounts: readonly number[],
  sketches: readonly SketchedStep[],
): WorkflowStep[] {
  const { defaults } = document;
  const defaultRetry = retryPolicy(defaults?.retry, DEFAULT_RETRY);
  return document.steps.map((step, index) => {
    // A default time-out is about work, and nobody works on a step that is answered.
    const timeout = isAnswered(step.agent) ? undefined : (step.timeout ?? defaults?.timeout);
    return {
      id: step.id,
      index,
      agent: step.agent,
      task: step.task,
      description: step.description,
      inputs: step.inputs ?? {},
      outputs: sketches[index]?.outputs ?? [],
      dependsOn: [...(sketches[index]?.dependsOn.keys() ?? [])],
      when: sketches[index]?.when,
      forEach: sketches[index]?.forEach,
      repeat: repeatOf(step.repeat?.max, sketches[index]?.until),
      joinCount: joinCounts[index] ?? 0,
      onFailure: step.onFailure ?? "fail",
      priority: step.priority ?? 0,
      retry: step.retry ? retryPolicy(step.retry, defaultRetry) : defaultRetry,
      timeoutMs: timeout === undefined ? undefined : parseDuration(timeout),
      timeouts: stepTimeouts(step.timeouts, defaults?.timeouts),
      approval: step.approval ?? false,
      deadline: step.deadline && answerDeadline(step.deadline),
      compensate: compensationOf(step.compensate, step.agent),
      origin: undefined,
      observes: step.observes,
      fallback: step.fallback,
      ask: step.onFailure === "recover" && step.forEach === undefined ? asked(step, defaults) : undefined,
    };
  });
}

function asked(
  step: WorkflowStepDocument,
  defaults: WorkflowDocument["defaults"],
): AnswerDeadline | undefined {
  const ask = step.ask ?? defaults?.ask;
  return ask && answerDeadline(ask);
}

function repeatOf(max = DEFAULT_ITERATIONS, until: string | undefined): Repeat | undefined {
  return until === undefined ? undefined : { until, max };
}

function retryPolicy(retry: RetryDocument | undefined, fallback: RetryPolicy): RetryPolicy {
  if (!retry) return fallback;
  return {
    maxAttempts: retry.maxAttempts ?? fallback.maxAttempts,
    initialMs: duration(retry.initial, fallback.initialMs),
    factor: retry.factor ?? fallback.factor,
    maxMs: duration(retry.max, fallback.maxMs),
    jitter: retry.jitter ?? fallback.jitter,
    nonRetryable: retry.nonRetryable ?? fallback.nonRetryable,
  };
}

function duration(text: string | undefined, fallbackMs: number): number {
  return (text === undefined ? undefined : parseDuration(text)) ?? fallbackMs;
}
