/**
 * Another way for a failed step of a workflow that somebody wrote: one task in its place, or several.
 *
 * It owns how a way that the planner found is worded as a decision. It does not own which rung of the ladder comes
 * next where there is none.
 */
import type { RunFold } from "../fold/run-fold.ts";
import type { WorkflowPlanner } from "../planner/planner.ts";
import type { WeighRequest } from "../planner/revision.ts";
import type { Proposal } from "./decision-writer.ts";
import type { KnownFacts } from "./known-facts.ts";
import { restOf } from "./rest-of-run.ts";

type Way = Extract<Proposal, { type: "recover" | "revise" }>;

/** @param proposed of the ways there are, only such. @returns undefined when there is none */
export function wayRound(
  planner: WorkflowPlanner,
  fold: RunFold,
  facts: KnownFacts,
  step: string,
  proposed?: WeighRequest["proposed"],
): Way | undefined {
  const { context } = fold.step(step);
  const { role: agent, task, n, tried } = context;
  const { environment, inputs } = facts;
  const request = {
    step: { agent, task, outputs: [...(fold.steps?.step(step).outputs ?? [])] },
    environment,
    inputs,
    failed: tried,
    ...(proposed && { proposed }),
  };
  const found = planner.recover(request);
  if (found !== undefined) {
    const { reason } = found;
    const next = { role: found.role, task: found.task, inputs: fold.resolve(found.inputs) };
    return { type: "recover", step, n, ...next, reason };
  }
  const rest = restOf(fold, facts);
  // What failed anywhere in this run is not taken up again: two ways could replace each other for ever.
  const ways = rest?.excluded?.flatMap(({ role, task }) => (task === undefined ? [] : [{ role, task }]));
  const detour =
    rest &&
    planner.detour({
      ...request,
      workflow: rest.workflow,
      ...(ways && { failed: ways }),
      id: step,
      usedIds: fold.retired.keys(),
    });
  if (detour === undefined) return undefined;
  const { workflow, steps, cost } = detour;
  const reason = `${failureOf(fold, step)}: ${steps.join(", ")} instead`;
  return { type: "revise", weighed: [], workflow, reason, cost };
}

/** Which step failed, of whom, and why. */
export function failureOf(fold: RunFold, step: string): string {
  const { role, task } = fold.step(step).context;
  return `${step} failed (${role}.${task}: ${lastError(fold, step)})`;
}

export function lastError(fold: RunFold, step: string): string {
  return fold.step(step).context.failures.at(-1)?.error.message ?? "it gave no reason";
}
