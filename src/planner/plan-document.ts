/** The workflow document of a plan: what people read, what the runtime runs. */
import type { WorkflowDocument, WorkflowStepDocument } from "../workflow/document.ts";
import type { AssignedPlan, Assignment } from "./assignment.ts";
import type { Foresight } from "./assumptions.ts";
import type { PlanningProblem } from "./problem.ts";

export function documentOf(
  plan: AssignedPlan,
  problem: PlanningProblem,
  want: readonly string[],
  reasons: Readonly<Record<string, string>>,
  foresight: Foresight,
  name: string | undefined,
): WorkflowDocument {
  return {
    ...(name === undefined ? {} : { name }),
    steps: stepsOf(plan, reasons, foresight),
    outputs: outputsOf(want, problem.holds),
    ...(foresight.assumptions.length > 0 && { assumptions: [...foresight.assumptions] }),
  };
}

export function stepsOf(
  plan: AssignedPlan,
  reasons: Readonly<Record<string, string>>,
  foresight: Foresight,
): WorkflowStepDocument[] {
  return plan.steps.map((step) => stepOf(step, reasons[step.id] ?? "", foresight.observedBy(step)));
}

function stepOf(step: Assignment, reason: string, observes: string[]): WorkflowStepDocument {
  const { task } = step;
  const fallback = fallbackOf(step);
  return {
    id: step.id,
    agent: task.role,
    task: task.capability.name,
    description: reason,
    ...(step.takes.length > 0 && { inputs: inputsOf(step.takes) }),
    ...(step.writes.length > 0 && { outputs: [...step.writes] }),
    ...(step.dependsOn.length > 0 && { dependsOn: [...step.dependsOn] }),
    ...(task.guard !== undefined && { when: task.guard }),
    ...(observes.length > 0 && { observes }),
    ...(fallback !== undefined && { fallback }),
    // What was planned can be planned again: by another task, or by several.
    onFailure: "recover",
  };
}

/** Only where it stands in for everything that the step writes: half a result is none. */
function fallbackOf({ task, writes }: Assignment): Record<string, unknown> | undefined {
  const { fallback } = task.capability;
  if (fallback === undefined || writes.length === 0) return undefined;
  if (!writes.every((key) => Object.hasOwn(fallback, key))) return undefined;
  return record(writes.map((key) => [key, fallback[key]]));
}

export function inputsOf(takes: Assignment["takes"]): Record<string, unknown> {
  return record(takes.map(({ key, from }) => [key, reference(from, key)]));
}

export function outputsOf(
  want: readonly string[],
  holds: (key: string) => "env" | "inputs" | undefined = () => "env",
): Record<string, unknown> {
  return record(want.map((key) => [key, reference(holds(key) ?? "env", key)]));
}

/** A key with a dash is no CEL name. */
function reference(from: "env" | "inputs", key: string): string {
  return /^[A-Za-z_][A-Za-z0-9_]*$/.test(key) ? `\${${from}.${key}}` : `\${${from}["${key}"]}`;
}

/** `Object.fromEntries` defines properties: a key named `__proto__` is only a key. */
function record(entries: readonly (readonly [string, unknown])[]): Record<string, unknown> {
  return Object.fromEntries(entries);
}
