/**
 * The shape of a workflow document: properties, types, bounds.
 *
 * Each step is checked by itself, and of a step that is not right the parts that are (its id, dependencies,
 * outputs) are kept: a misspelt property in one step must not hide, nor invent, graph errors elsewhere.
 */
import { z } from "zod";
import { BUDGET_RESOURCES, type BudgetDocument, budgetLimits, budgetSchema } from "./budget.ts";
import {
  repeatSchema,
  retrySchema,
  stepSchema,
  WORKFLOW_LIMITS,
  type WorkflowDocument,
  type WorkflowStepDocument,
  workflowSchema,
} from "./document.ts";
import { checkTimeout } from "./duration-bounds.ts";
import { EnvironmentSchemas } from "./environment-schema.ts";
import { DataHammerError } from "./errors.ts";
import type { IssueList, IssuePath } from "./issues.ts";
import { envKeySchema, idSchema } from "./names.ts";
import { checkNestedStep, literalWorkflow } from "./nested-run.ts";
import { checkTimeouts, timeoutsSchema } from "./step-timeouts.ts";
import { bareExpression } from "./template.ts";
import { checkAsk, checkWaiting, deadlineSchema } from "./waiting.ts";

/** A step as far as it could be read. */
export interface SketchedStep {
  readonly index: number;
  /** Undefined when it has none that is valid. */
  readonly id: string | undefined;
  /** Distinct ids, each with its position in the list as written. */
  readonly dependsOn: ReadonlyMap<string, number>;
  readonly outputs: readonly string[];
  readonly when: string | undefined;
  readonly forEach: string | readonly unknown[] | undefined;
  /** The condition of its `repeat`. */
  readonly until: string | undefined;
  readonly inputs: unknown;
  /** The document of a nested run that is written out; not among the inputs. */
  readonly nested: Readonly<Record<string, unknown>> | undefined;
  /** Of the task that undoes it. */
  readonly undoInputs: unknown;
  /** How many dependencies must be closed; undefined: all. */
  readonly join: number | undefined;
  /** The whole step, when nothing is wrong with its shape. */
  readonly document: WorkflowStepDocument | undefined;
}

export interface SketchedWorkflow {
  readonly steps: readonly SketchedStep[];
  readonly outputs: unknown;
  /** Undefined when no key has one. */
  readonly schemas: EnvironmentSchemas | undefined;
  /** The whole document, when nothing is wrong with its shape. */
  readonly document: WorkflowDocument | undefined;
}

const headerSchema = workflowSchema.extend({ steps: z.array(z.unknown()).min(1) });
const LONGEST_SHOWN_VALUE = 60;

/**
 * Reads the document's shape, reporting to `issues`. Undefined: there are no steps to look at further.
 *
 * @param wasAccepted see `GraphOptions`
 */
export function readShape(
  input: unknown,
  issues: IssueList,
  wasAccepted: boolean,
): SketchedWorkflow | undefined {
  const header = headerSchema.safeParse(input);
  if (!header.success) reportSchemaIssues(header.error, input, [], undefined, issues);
  const stepInputs = isRecord(input) && Array.isArray(input.steps) ? input.steps : [];
  if (stepInputs.length > WORKFLOW_LIMITS.steps) {
    issues.add(
      "E_LIMIT",
      ["steps"],
      `The workflow has ${stepInputs.length} steps, more than the ${WORKFLOW_LIMITS.steps} allowed. Split it into several workflows.`,
    );
    return undefined;
  }
  if (header.success) checkHeaderBounds(header.data, issues);
  const schemas = header.success ? readSchemas(header.data.environment, issues, wasAccepted) : undefined;
  const steps = stepInputs.map((step, index) => sketchStep(step, index, issues, wasAccepted));
  if (steps.length === 0) return undefined;

  const documents = steps.flatMap((step) => (step.document ? [step.document] : []));
  const complete = header.success && documents.length === steps.length;
  return {
    steps,
    outputs: isRecord(input) ? input.outputs : undefined,
    schemas,
    document: complete ? { ...header.data, steps: documents } : undefined,
  };
}

function readSchemas(
  environment: WorkflowDocument["environment"],
  issues: IssueList,
  wasAccepted: boolean,
): EnvironmentSchemas | undefined {
  if (environment === undefined) return undefined;
  const schemas = new EnvironmentSchemas();
  for (const [key, { schema }] of Object.entries(environment)) {
    try {
      schemas.add(key, schema, wasAccepted);
    } catch (error) {
      if (!(error instanceof DataHammerError)) throw error;
      const message = `The schema of "${key}" cannot be used: ${error.message}`;
      issues.add("E_SCHEMA", ["environment", key, "schema"], message);
    }
  }
  return schemas;
}

function sketchStep(input: unknown, index: number, issues: IssueList, wasAccepted: boolean): SketchedStep {
  const raw = isRecord(input) ? input : {};
  const id = idSchema.safeParse(raw.id).data;
  const parsed = stepSchema.safeParse(input);
  if (parsed.success) {
    checkStepBounds(parsed.data, index, issues);
    // In a log the step fails when its turn comes (L1).
    if (!wasAccepted) checkItems(parsed.data, index, issues);
  } else reportSchemaIssues(parsed.error, input, ["steps", index], id, issues);

  const dependsOn = validItems(raw.dependsOn, idSchema);
  const join = stepSchema.shape.join.safeParse(raw.join).data;
  const joinCount = join === "any" ? 1 : typeof join === "number" ? join : undefined;
  if (joinCount !== undefined && joinCount > dependsOn.size && typeof join === "number") {
    issues.add(
      "E_SCHEMA",
      ["steps", index, "join"],
      `join is ${join}, but the step has only ${count(dependsOn.size, "dependency", "dependencies")}.`,
      id,
    );
  }
  return {
    index,
    id,
    dependsOn,
    outputs: [...validItems(raw.outputs, envKeySchema).keys()],
    when: expressionIn(raw.when),
    forEach: Array.isArray(raw.forEach) ? raw.forEach : expressionIn(raw.forEach),
    until: isRecord(raw.repeat) ? expressionIn(raw.repeat.until) : undefined,
    ...inputsOf(raw),
    undoInputs: isRecord(raw.compensate) ? raw.compensate.inputs : undefined,
    join: joinCount === undefined ? undefined : Math.min(joinCount, dependsOn.size),
    document: parsed.data,
  };
}

function inputsOf({ agent, inputs }: Record<string, unknown>): Pick<SketchedStep, "inputs" | "nested"> {
  if (!isRecord(inputs)) return { inputs: undefined, nested: undefined };
  const nested = literalWorkflow(agent, inputs);
  if (!nested) return { inputs, nested };
  const { workflow: _, ...own } = inputs;
  return { inputs: own, nested };
}

/** The distinct items that are valid, each with where it is first. */
function validItems(value: unknown, schema: z.ZodType<string>): Map<string, number> {
  const items = new Map<string, number>();
  if (!Array.isArray(value)) return items;
  for (const [position, item] of value.entries()) {
    const { data } = schema.safeParse(item);
    if (data !== undefined && !items.has(data)) items.set(data, position);
  }
  return items;
}

function checkHeaderBounds(document: Omit<WorkflowDocument, "steps">, issues: IssueList): void {
  const { maxParallel } = document;
  if (maxParallel !== undefined && maxParallel > WORKFLOW_LIMITS.maxParallel) {
    issues.add(
      "E_LIMIT",
      ["maxParallel"],
      `maxParallel is ${maxParallel}, more than the ${WORKFLOW_LIMITS.maxParallel} allowed.`,
    );
  }
  checkTimeout(document.timeout, ["timeout"], undefined, issues);
  checkTimeout(document.defaults?.timeout, ["defaults", "timeout"], undefined, issues);
  checkBudget(document.budget, issues);
  checkTimeouts(document.defaults?.timeouts, ["defaults", "timeouts"], undefined, issues);
  checkAsk(document.defaults?.ask, ["defaults", "ask"], undefined, issues);
  checkAttempts(
    document.defaults?.retry?.maxAttempts,
    ["defaults", "retry", "maxAttempts"],
    undefined,
    issues,
  );
}

function checkBudget(budget: BudgetDocument | undefined, issues: IssueList): void {
  if (budget === undefined) return;
  if (Object.keys(budgetLimits(budget)).length === 0) {
    const message = `The budget limits nothing. Give it ${BUDGET_RESOURCES.join(", ")}, or remove it.`;
    issues.add("E_SCHEMA", ["budget"], message);
  }
  checkTimeout(budget.wall, ["budget", "wall"], undefined, issues);
}

function checkStepBounds(step: WorkflowStepDocument, index: number, issues: IssueList): void {
  const dependencies = step.dependsOn?.length ?? 0;
  if (dependencies > WORKFLOW_LIMITS.dependenciesPerStep) {
    issues.add(
      "E_LIMIT",
      ["steps", index, "dependsOn"],
      `The step depends on ${dependencies} others, more than the ${WORKFLOW_LIMITS.dependenciesPerStep} allowed. Join them in groups.`,
      step.id,
    );
  }
  checkTimeout(step.timeout, ["steps", index, "timeout"], step.id, issues);
  checkTimeouts(step.timeouts, ["steps", index, "timeouts"], step.id, issues);
  checkWaiting(step, index, issues);
  checkNestedStep(step, index, issues);
  checkAttempts(step.retry?.maxAttempts, ["steps", index, "retry", "maxAttempts"], step.id, issues);
  const iterations = step.repeat?.max ?? 0;
  if (iterations > WORKFLOW_LIMITS.iterations) {
    const message = `max is ${iterations}, more than the ${WORKFLOW_LIMITS.iterations} iterations allowed.`;
    issues.add("E_LIMIT", ["steps", index, "repeat", "max"], message, step.id);
  }
}

/** What an expression gives is known only when it is evaluated. */
function checkItems({ id, forEach }: WorkflowStepDocument, index: number, issues: IssueList): void {
  if (!Array.isArray(forEach) || forEach.length <= WORKFLOW_LIMITS.items) return;
  const message = `forEach has ${forEach.length} items, more than the ${WORKFLOW_LIMITS.items} allowed. Give them to several steps.`;
  issues.add("E_LIMIT", ["steps", index, "forEach"], message, id);
}

function checkAttempts(
  maxAttempts: number | undefined,
  path: IssuePath,
  step: string | undefined,
  issues: IssueList,
): void {
  if (maxAttempts === undefined || maxAttempts <= WORKFLOW_LIMITS.maxAttempts) return;
  const message = `maxAttempts is ${maxAttempts}, more than the ${WORKFLOW_LIMITS.maxAttempts} allowed.`;
  issues.add("E_LIMIT", path, message, step);
}

// ── from zod's words to an author's ──────────────────────────────────────────────────────────────────

function reportSchemaIssues(
  error: z.ZodError,
  input: unknown,
  prefix: IssuePath,
  step: string | undefined,
  issues: IssueList,
): void {
  for (const issue of error.issues) {
    const inner = issue.path.filter((part) => typeof part !== "symbol");
    const path = [...prefix, ...inner];
    if (issue.code === "unrecognized_keys") {
      for (const key of issue.keys) {
        issues.add("E_SCHEMA", [...path, key], describeUnknownProperty(key, path, issues), step);
      }
    } else {
      issues.add("E_SCHEMA", path, describeMismatch(issue, valueAt(input, inner), path), step);
    }
  }
}

function describeUnknownProperty(key: string, path: IssuePath, issues: IssueList): string {
  const known = knownProperties(path);
  const nearest = issues.nearest(key, known, 3);
  const hint = nearest === undefined ? `Allowed are ${known.join(", ")}.` : `Did you mean ${nearest}?`;
  return `There is no property "${key}" here. ${hint}`;
}

function knownProperties(path: IssuePath): string[] {
  if (path[0] === "environment") return ["schema"];
  if (path.at(-1) === "compensate") return ["agent", "task", "inputs"];
  if (path[0] === "budget") return Object.keys(budgetSchema.shape);
  if (path.at(-1) === "repeat") return Object.keys(repeatSchema.shape);
  if (path.at(-1) === "retry") return Object.keys(retrySchema.shape);
  if (path.at(-1) === "timeouts") return Object.keys(timeoutsSchema.shape);
  if (path.at(-1) === "deadline" || path.at(-1) === "ask") return Object.keys(deadlineSchema.shape);
  if (path[0] === "steps") return Object.keys(stepSchema.shape);
  if (path.at(-1) === "defaults") return Object.keys(workflowSchema.shape.defaults.unwrap().shape);
  return Object.keys(workflowSchema.shape);
}

const TYPE_NAMES: Record<string, string> = {
  string: "text",
  number: "a number",
  int: "a whole number",
  array: "a list",
  boolean: "true or false",
  object: "a map of properties",
  record: "a map of names to values",
};

function describeMismatch(issue: z.core.$ZodIssue, value: unknown, path: IssuePath): string {
  const name = path.length === 0 ? "The workflow" : String(path.at(-1));
  const subject = typeof path.at(-1) === "number" ? `Item ${path.at(-1)} of ${path.at(-2)}` : name;
  if (value === undefined) {
    return path.length === 0 ? "The workflow is empty." : `${subject} is missing.`;
  }
  const actual = `is ${describeValue(value)}`;
  switch (issue.code) {
    case "invalid_type": {
      const quoteHint = issue.expected === "string" && value !== null && typeof value !== "object";
      const listHint = issue.expected === "array" && typeof value === "string";
      const hint = quoteHint ? ' Put it in quotes: "…".' : listHint ? ` Write it as [${value}].` : "";
      return `${subject} must be ${TYPE_NAMES[issue.expected] ?? issue.expected}, ${actual}.${hint}`;
    }
    case "invalid_value":
      return `${subject} must be one of ${issue.values.map(String).join(", ")}, ${actual}.`;
    case "invalid_union":
      if (path.at(-1) === "forEach") return `${subject} must be an expression or a list, ${actual}.`;
      if (path.at(-1) === "compensate") return describeCompensate(value, actual);
      return `${subject} must be all, any, or a whole number of at least 1, ${actual}.`;
    case "too_small":
      return issue.origin === "array"
        ? `${subject} must have at least ${issue.minimum === 1 ? "one entry" : `${issue.minimum} entries`}.`
        : `${subject} must be at least ${issue.minimum}, ${actual}.`;
    case "too_big":
      return `${subject} must be at most ${issue.maximum}, ${actual}.`;
    default:
      return `${subject} ${issue.message}, ${actual}.`;
  }
}

function describeCompensate(value: unknown, actual: string): string {
  const what =
    "compensate must be the name of a task, or a map with its task, and agent and inputs if need be";
  if (!isRecord(value)) return `${what}; it ${actual}.`;
  return value.task === undefined ? `${what}; its task is missing.` : `${what}.`;
}

function describeValue(value: unknown): string {
  if (value === null) return "empty";
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object") return "a map";
  const text = typeof value === "string" ? JSON.stringify(value) : String(value);
  return text.length > LONGEST_SHOWN_VALUE ? `${text.slice(0, LONGEST_SHOWN_VALUE)}…` : text;
}

function valueAt(input: unknown, path: IssuePath): unknown {
  let value = input;
  for (const part of path) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, part)) return undefined;
    value = (value as Record<string | number, unknown>)[part];
  }
  return value;
}

function expressionIn(value: unknown): string | undefined {
  return typeof value === "string" ? bareExpression(value) : undefined;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function count(amount: number, one: string, many: string): string {
  return amount === 0 ? `no ${many}` : amount === 1 ? `one ${one}` : `${amount} ${many}`;
}
