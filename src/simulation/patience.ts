/**
 * How long a run may go on once nothing goes wrong any more: as long as its workflow allows it, every step one
 * after the other, each tried as often as it may be. A nested run takes its own time at each of its parent's tries.
 *
 * It judges nothing: a run that takes longer hangs, or does something again without end.
 */
import type { WorkflowDocument, WorkflowStepDocument } from "../workflow/document.ts";
import { ms, RETRY_DEFAULTS, type RetryRules } from "./reference-step.ts";

/** Every life has at least this, and what has yet to be planned: a few tasks that are lost until the step fails. */
const LEAST_MS = 20 * 60_000;
/** What a try may take beside its own times: its agent dies as often as one may, or its task is lost. */
const TRY_MS = 60_000;
/** Of a fan-out whose list is made on the way. */
const MOST_ITEMS = 4;

/** @param workflows of the runs that somebody submitted, without those that their steps began */
export function patienceFor(workflows: readonly WorkflowDocument[]): number {
  return Math.max(LEAST_MS, sum(workflows.map(longestMs)));
}

function longestMs(workflow: WorkflowDocument): number {
  return sum(workflow.steps.map((step) => timesOf(step, workflow) * tryMs(step, workflow)));
}

function timesOf(step: WorkflowStepDocument, of: WorkflowDocument): number {
  const { forEach, repeat, onFailure } = step;
  const items = Array.isArray(forEach) ? forEach.length : forEach === undefined ? 1 : MOST_ITEMS;
  const otherWay = onFailure === "recover" ? 1 : 0;
  return items * (repeat?.max ?? 1) * (retryOf(step, of).maxAttempts + otherWay);
}

function tryMs(step: WorkflowStepDocument, of: WorkflowDocument): number {
  const { agent, inputs, timeout } = step;
  const { workflow, script } = (inputs ?? {}) as { workflow?: WorkflowDocument; script?: { ms: number } };
  const ownMs = agent === "orchestrator" ? LEAST_MS : (script?.ms ?? 0);
  const workMs = workflow === undefined ? ownMs : longestMs(workflow);
  const boundMs = timeout === undefined ? Number.POSITIVE_INFINITY : ms(timeout);
  return TRY_MS + ms(retryOf(step, of).max) + Math.min(workMs, boundMs);
}

const retryOf = ({ retry }: WorkflowStepDocument, { defaults }: WorkflowDocument): RetryRules =>
  ({ ...RETRY_DEFAULTS, ...defaults?.retry, ...retry }) as RetryRules;
const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
