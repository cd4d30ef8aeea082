/**
 * Another way for a failed step of a workflow that somebody wrote: several tasks in its place, where no single
 * one gives its keys from what is there.
 *
 * The failed step leaves the document, the tasks that replace it come in, and whoever waited for it waits for
 * those that write its keys. Everything else stays as it was written.
 */
import type { RoleCard } from "../workflow/capability.ts";
import type { WorkflowDocument, WorkflowStepDocument } from "../workflow/document.ts";
import { InvalidWorkflowError, NoPlanError } from "../workflow/errors.ts";
import { WorkflowGraph } from "../workflow/graph.ts";
import type { Plan, WorkflowPlanner } from "./planner.ts";
import { unique } from "./problem.ts";
import { exclusionOf, type RecoveryRequest } from "./recovery.ts";

export interface DetourRequest extends RecoveryRequest {
  workflow: WorkflowDocument;
  /** The failed step's id. */
  id: string;
  /** Ids that were used before and must not be given again. */
  usedIds?: Iterable<string>;
}

export interface Detour {
  workflow: WorkflowDocument;
  /** Ids of the steps that came in. */
  steps: string[];
  cost: number;
}

/** @returns undefined when there is none, or the document does not allow one */
export function findDetour(
  planner: WorkflowPlanner,
  request: DetourRequest,
  capabilities: readonly RoleCard[],
): Detour | undefined {
  const { step, id, workflow, environment, inputs = {} } = request;
  const want = step.outputs ?? [];
  const dependents = workflow.steps.filter(({ dependsOn = [] }) => dependsOn.includes(id));
  // A number of dependencies would mean another thing with other dependencies.
  if (want.length === 0 || dependents.some(({ join }) => join !== undefined && join !== "all"))
    return undefined;
  let plan: Plan;
  try {
    const exclude = exclusionOf(request);
    plan = planner.createWorkflow(undefined, environment, { want, inputs, capabilities, exclude });
  } catch (error) {
    if (error instanceof NoPlanError) return undefined;
    throw error;
  }
  const taken = new Set([...workflow.steps.map((one) => one.id), ...(request.usedIds ?? [])]);
  const names = new Map(plan.workflow.steps.map((one) => [one.id, freeId(`${id}-${one.id}`, taken)]));
  const steps = plan.workflow.steps.map((one) => renamed(one, names));
  const writers = steps.filter(({ outputs = [] }) => outputs.some((key) => want.includes(key)));
  const instead = writers.map((one) => one.id);
  const rest = workflow.steps.flatMap((one) => {
    if (one.id === id) return steps;
    if (one.dependsOn?.includes(id) !== true) return [one];
    return [
      { ...one, dependsOn: unique(one.dependsOn.flatMap((other) => (other === id ? instead : [other]))) },
    ];
  });
  const changed = { ...workflow, steps: rest };
  try {
    WorkflowGraph.fromDocument(changed, { environmentKeys: Object.keys(environment) });
  } catch (error) {
    // Somebody reads `steps.<id>`, or writes a key that the way there writes too: it stays as it was.
    if (error instanceof InvalidWorkflowError) return undefined;
    throw error;
  }
  return { workflow: changed, steps: steps.map((one) => one.id), cost: plan.cost };
}

function renamed(step: WorkflowStepDocument, names: ReadonlyMap<string, string>): WorkflowStepDocument {
  const nameOf = (id: string): string => names.get(id) ?? id;
  const { dependsOn } = step;
  return {
    ...step,
    id: nameOf(step.id),
    ...(dependsOn !== undefined && { dependsOn: dependsOn.map(nameOf) }),
  };
}

const MAX_ID_CHARS = 64;

function freeId(wanted: string, taken: Set<string>): string {
  let id = wanted.slice(0, MAX_ID_CHARS);
  for (let number = 2; taken.has(id); number++) {
    const suffix = `-${number}`;
    id = `${wanted.slice(0, MAX_ID_CHARS - suffix.length)}${suffix}`;
  }
  taken.add(id);
  return id;
}
