/** Another task for a step that failed. */
import type { RoleCard } from "../workflow/capability.ts";
import type { WorkflowStepDocument } from "../workflow/document.ts";
import { list } from "./explain.ts";
import { inputsOf } from "./plan-document.ts";
import { groundProblem, type PlannedTask } from "./problem.ts";

export interface RecoveryRequest {
  step: Pick<WorkflowStepDocument, "agent" | "task" | "outputs">;
  environment: Readonly<Record<string, unknown>>;
  inputs?: Readonly<Record<string, unknown>>;
  /** Instead of those that the planner was made with. */
  capabilities?: readonly RoleCard[];
  /** Others that were tried for this step; its own task is excluded anyway. */
  failed?: readonly { role: string; task: string }[];
  /** What somebody proposed: only these tasks, as `role.task`, and without the others. */
  proposed?: { readonly only?: ReadonlySet<string>; readonly avoid?: ReadonlySet<string> };
}

export interface Recovery {
  role: string;
  task: string;
  /** As a step writes them: `{ key: "${env.key}" }`. */
  inputs: Record<string, unknown>;
  reason: string;
}

/** Says why a task must not take the failed step's place. */
export function exclusionOf({
  step,
  failed = [],
  proposed: { only, avoid } = {},
}: RecoveryRequest): (role: string, task: { name: string }) => string | undefined {
  const tried = new Set(
    [...failed, { role: step.agent, task: step.task }].map(({ role, task }) => `${role}.${task}`),
  );
  return (role, { name }) => {
    const task = `${role}.${name}`;
    if (tried.has(task)) return "it failed";
    return avoid?.has(task) || only?.has(task) === false ? "the proposal does not have it" : undefined;
  };
}

export function findAlternative(
  request: RecoveryRequest,
  capabilities: readonly RoleCard[],
): Recovery | undefined {
  const { step, environment, inputs = {} } = request;
  const keys = step.outputs ?? [];
  // A step that writes nothing is there for what it does: no key tells who could do the same.
  if (keys.length === 0) return undefined;
  const problem = groundProblem({
    want: keys,
    environment,
    inputs,
    capabilities,
    exclude: exclusionOf(request),
  });
  let best: PlannedTask | undefined;
  for (const task of problem.tasks) {
    if (task.guard !== undefined) continue;
    if (!keys.every((key) => task.capability.gives.includes(key))) continue;
    if (!task.requires.every((key) => problem.holds(key) !== undefined)) continue;
    if (best === undefined || task.cost < best.cost) best = task;
  }
  if (best === undefined) return undefined;
  const takes = [...new Set([...best.capability.needs, ...(best.capability.uses ?? [])])].flatMap((key) => {
    const from = problem.holds(key);
    return from === undefined ? [] : [{ key, from }];
  });
  return {
    role: best.role,
    task: best.capability.name,
    inputs: inputsOf(takes),
    reason: `${step.agent}.${step.task} failed; ${best.role}.${best.capability.name} gives ${list(keys)} too, at cost ${best.cost}.`,
  };
}
