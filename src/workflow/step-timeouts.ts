/** The refinements of a step's time-out: of its wait, of its work, of its silence, and of all attempts. */
import { z } from "zod";
import { checkTimeout } from "./duration-bounds.ts";
import type { IssueList, IssuePath } from "./issues.ts";
import { durationSchema, parseDuration } from "./names.ts";

export const timeoutsSchema = z.strictObject({
  queue: durationSchema.optional().describe("From dispatch to start. Not tried again: E_QUEUE_TIMEOUT."),
  run: durationSchema.optional().describe("From start to result: E_EXECUTION_TIMEOUT."),
  heartbeat: durationSchema
    .optional()
    .describe("The longest silence of an agent that works on it: E_HEARTBEAT_TIMEOUT."),
  step: durationSchema
    .optional()
    .describe("Over all attempts, from when the step is ready. Not tried again: E_STEP_TIMEOUT."),
});
export type TimeoutsDocument = z.infer<typeof timeoutsSchema>;

/** Each in ms; undefined where there is none. */
export interface StepTimeouts {
  readonly queueMs: number | undefined;
  readonly runMs: number | undefined;
  readonly heartbeatMs: number | undefined;
  readonly stepMs: number | undefined;
}

/** Undefined when neither the step nor the workflow's defaults set one, so that plain steps carry nothing. */
export function stepTimeouts(
  own: TimeoutsDocument | undefined,
  defaults: TimeoutsDocument | undefined,
): StepTimeouts | undefined {
  if (!own && !defaults) return undefined;
  const { queue, run, heartbeat, step } = { ...defaults, ...own };
  return { queueMs: inMs(queue), runMs: inMs(run), heartbeatMs: inMs(heartbeat), stepMs: inMs(step) };
}

export function checkTimeouts(
  given: TimeoutsDocument | undefined,
  path: IssuePath,
  step: string | undefined,
  issues: IssueList,
): void {
  for (const [name, text] of Object.entries(given ?? {})) checkTimeout(text, [...path, name], step, issues);
}

function inMs(text: string | undefined): number | undefined {
  return text === undefined ? undefined : parseDuration(text);
}
