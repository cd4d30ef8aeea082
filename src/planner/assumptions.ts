/**
 * What a plan takes for granted about facts that are not there yet, and which steps will bring them.
 *
 * A guard that reads a key which nobody has written is assumed to hold, a cost that does is estimated. When
 * such a key is written, the rest of the plan is weighed again: so the step that writes it *observes* it. Keys
 * that only tell about tasks which the plan left out are observed as well, since they may make those the
 * better way; what no goal could depend on is not.
 */
import type { PlanAssumption } from "../workflow/document.ts";
import type { AssignedPlan, Assignment } from "./assignment.ts";
import { incidenceOf, relevantOperators } from "./hypergraph.ts";
import { compareText, type PlanningProblem, unique } from "./problem.ts";

export interface Foresight {
  readonly assumptions: readonly PlanAssumption[];
  /** The outputs of a step whose values may change the rest of the plan. */
  readonly observedBy: (step: Assignment) => string[];
}

export function foresightOf(problem: PlanningProblem, plan: AssignedPlan): Foresight {
  const telling = tellingKeys(problem);
  return {
    assumptions: plan.steps.flatMap(assumptionsOf),
    observedBy: ({ task, writes }) =>
      writes
        .filter((key) => telling.has(key) || (task.capability.observes ?? []).includes(key))
        .sort(compareText),
  };
}

/** Keys that tell about a task on which some goal could depend. */
function tellingKeys(problem: PlanningProblem): Set<string> {
  const open = problem.tasks.some(({ guardReads, costReads }) => guardReads.length + costReads.length > 0);
  if (!open) return new Set();
  const relevant = relevantOperators(problem.graph, incidenceOf(problem.graph));
  return new Set(
    problem.tasks.flatMap((task, index) =>
      relevant[index] === 1 ? [...task.guardReads, ...task.costReads] : [],
    ),
  );
}

function assumptionsOf({ id, task }: Assignment): PlanAssumption[] {
  const found: PlanAssumption[] = [];
  if (task.guard !== undefined) {
    found.push({ step: id, assumes: "guard", expression: task.guard, reads: unique(task.guardReads) });
  }
  const { cost } = task.capability;
  if (task.costReads.length > 0 && typeof cost === "string") {
    const reads = unique(task.costReads);
    found.push({ step: id, assumes: "cost", expression: cost, reads, estimate: task.cost });
  }
  return found;
}
