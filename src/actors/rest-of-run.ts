/**
 * What is left of a run, as the planner asks for it: which steps are done, out, or lost, and what must not be
 * tried again.
 */
import type { RunFold } from "../fold/run-fold.ts";
import type { StepStatus } from "../fold/step-host.ts";
import type { WeighRequest } from "../planner/revision.ts";
import type { KnownFacts } from "./known-facts.ts";

/** @param lost dispatches of roles that are gone */
export function restOf(
  fold: RunFold,
  { environment, inputs, ruledOut }: Pick<KnownFacts, "environment" | "inputs" | "ruledOut">,
  lost: readonly { step: string; role: string }[] = [],
): WeighRequest | undefined {
  const { graph } = fold;
  if (graph === undefined) return undefined;
  const done: string[] = [];
  const running: string[] = [];
  const gone = new Set([...fold.recovering, ...lost.map(({ step }) => step)]);
  const excluded = [
    ...ruledOut,
    ...new Map(lost.map(({ role }) => [role, { role, reason: "nobody serves its role" }])).values(),
  ];
  const lookAt = (id: string, status: StepStatus): void => {
    for (const way of waysTried(status)) excluded.push({ ...way, reason: `it failed in step ${id}` });
  };
  for (const { id } of graph.steps()) {
    const status = fold.step(id);
    lookAt(id, status);
    if (gone.has(id)) continue;
    // A failed step whose fallback is there is as good as done.
    if (status.state === "done" || fold.outputsOf(id) !== undefined) done.push(id);
    else if (status.state === "ready" || status.state === "running") running.push(id);
  }
  for (const id of fold.retired.keys()) lookAt(id, fold.step(id));
  return {
    workflow: graph.document,
    environment,
    inputs,
    done,
    running,
    gone: [...gone],
    usedIds: [...fold.retired.keys()],
    excluded,
    improvements: fold.revisions.filter(({ costBefore }) => costBefore !== undefined).length,
  };
}

/** Tasks that failed at a step; the one that it has now only when it failed too. */
function waysTried({ state, context }: StepStatus): { role: string; task: string }[] {
  const { role, task, tried, outcome } = context;
  const failed = state === "failed" && outcome !== "cancelled";
  return failed ? [...tried, { role, task }] : tried;
}
