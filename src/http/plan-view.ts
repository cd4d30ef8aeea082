/** Why a run has the steps that it has: the planner's words, and how one plan differs from the one before. */
import { isoTime } from "../trace/view.ts";
import type { PlanAnswer } from "./api.ts";
import { goalsOf } from "./presented.ts";
import type { RunReading } from "./run-reading.ts";

export function planView({ fold, plans }: RunReading): PlanAnswer {
  const { plan, graph, submission, revisions } = fold;
  const taken = new Set(revisions.map(({ seq }) => seq));
  let before: unknown = submission?.workflow;
  return {
    run: fold.run,
    goals: goalsOf(fold),
    want: [...(submission?.want ?? [])],
    plan:
      plan === undefined
        ? null
        : { cost: plan.cost, optimal: plan.optimal, explored: plan.explored, reasons: { ...plan.reasons } },
    workflow: graph?.document ?? null,
    revisions: plans.map((change) => {
      const { body } = change;
      const counted = change.counted && (body.type === "plan" || taken.has(change.seq));
      const after = body.workflow;
      const revision = {
        seq: change.seq,
        ts: isoTime(change.ts),
        cause: body.type === "plan" ? "the first plan" : body.reason,
        cost: body.cost ?? null,
        optimal: body.optimal ?? null,
        explored: body.explored ?? null,
        reasons: { ...body.reasons },
        counted,
        ...(after === undefined ? NO_DIFFERENCE : difference(before, after)),
        alternatives: [...(body.alternatives ?? [])],
      };
      if (counted) before = after;
      return revision;
    }),
  };
}

const NO_DIFFERENCE = { added: [], removed: [], changed: [] };

/** Steps by id. What a step looks like is compared as text: the planner writes its keys in one order. */
function difference(
  before: unknown,
  after: unknown,
): { added: string[]; removed: string[]; changed: string[] } {
  const old = stepsOf(before);
  const now = stepsOf(after);
  return {
    added: [...now.keys()].filter((id) => !old.has(id)),
    removed: [...old.keys()].filter((id) => !now.has(id)),
    changed: [...now.keys()].filter((id) => old.has(id) && old.get(id) !== now.get(id)),
  };
}

function stepsOf(workflow: unknown): Map<string, string> {
  const steps = new Map<string, string>();
  if (typeof workflow !== "object" || workflow === null || !("steps" in workflow)) return steps;
  if (!Array.isArray(workflow.steps)) return steps;
  for (const step of workflow.steps as unknown[]) {
    if (typeof step === "object" && step !== null && "id" in step && typeof step.id === "string") {
      steps.set(step.id, JSON.stringify(step));
    }
  }
  return steps;
}
