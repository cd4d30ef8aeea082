/** How a run's plan looks to people and programs: what it cost, how it changed on the way, and what it left behind. */
import type { PlanRevision } from "../fold/plan-history.ts";
import type { RunFold } from "../fold/run-fold.ts";
import type { Colors } from "./palette.ts";
import { oneLine } from "./text-width.ts";
import type { StepView } from "./view.ts";

export interface PlanView {
  /** Absent for a workflow that was submitted as such. */
  cost?: number;
  optimal?: boolean;
  /** What became of the advice of a language model or of the swarm's own planner; absent when nobody was asked. */
  advice?: string[];
  /** Changes on the way, oldest first. */
  revisions: (Omit<PlanRevision, "ts"> & { at: string })[];
  /** Steps that had begun when a revision left them out. */
  retired: Record<string, StepView>;
}

/** Nothing for a workflow that was neither planned nor changed. */
export function planViewOf(fold: RunFold, stepOf: (id: string) => StepView): { plan?: PlanView } {
  const { plan, revisions, retired } = fold;
  if (plan === undefined && revisions.length === 0) return {};
  // No step can have an id in brackets.
  const advice = Object.entries(plan?.reasons ?? {}).flatMap(([id, note]) =>
    id.startsWith("(") ? [note] : [],
  );
  return {
    plan: {
      ...(plan !== undefined && { cost: plan.cost, optimal: plan.optimal }),
      ...(advice.length > 0 && { advice }),
      revisions: revisions.map(({ ts, ...revision }) => ({ ...revision, at: new Date(ts).toISOString() })),
      retired: Object.fromEntries([...retired.keys()].map((id) => [id, stepOf(id)])),
    },
  };
}

/** One line per revision: `revision 1: copy instead of clean …`. */
export function revisionLines(
  revisions: readonly { number: number; reason: string }[],
  colors: Colors,
): string[] {
  return revisions.map(({ number, reason }) => colors.yellow(`revision ${number}: ${oneLine(reason)}`));
}
