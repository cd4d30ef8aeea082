/** Why a run has the steps that it has: the planner's words, and how one plan differs from the one before. */
import { isoTime } from "../trace/view.ts";
import type { PlanAnswer } from "./api.ts";
import { goalsOf } from "./presented.ts";
import type { PlanChange, RunReading } from "./run-reading.ts";

export function planView({ fold, plans }: RunReading): PlanAnswer {
  const { plan, graph, submission } = fold;
  let before: unknown;
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
      const revision = revisionView(change, before);
      if (change.counted) before = workflowOf(change);
      return revision;
    }),
  };
}

function revisionView(change: PlanChange, before: unknown): PlanAnswer["revisions"][number] {
  const { seq, ts, record, counted } = change;
  const decision = record.kind === "decision" && record.body.type === "plan" ? record.body : undefined;
  return {
    seq,
    ts: isoTime(ts),
    cause: before === undefined ? "the first plan" : "planned anew",
    cost: decision?.cost ?? null,
    optimal: decision?.optimal ?? null,
    explored: decision?.explored ?? null,
    reasons: { ...decision?.reasons },
    counted,
    ...difference(before, workflowOf(change)),
    alternatives: [],
  };
}

function workflowOf({ record }: PlanChange): unknown {
  return record.kind === "decision" && record.body.type === "plan" ? record.body.workflow : undefined;
}

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
