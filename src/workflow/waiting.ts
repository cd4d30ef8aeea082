/**
 * Steps that wait for somebody outside: what may be written about them, and what may not.
 *
 * Owns the shape of `deadline` and the rules that a schema cannot say: a deadline is about a wait, so the step
 * must have one; a default answer has to fit the step's outputs; and what is about an agent's work has no
 * meaning where no agent works.
 */
import { z } from "zod";
import { outputsOfAnswer } from "./answer-outputs.ts";
import { checkTimeout } from "./duration-bounds.ts";
import type { IssueList, IssuePath } from "./issues.ts";
import { durationSchema, parseDuration } from "./names.ts";
import { isAnswered } from "./reserved-roles.ts";

export const deadlineSchema = z.strictObject({
  after: durationSchema.describe("How long the step waits for its answer."),
  answer: z
    .enum(["approve", "reject"])
    .optional()
    .describe("What counts as answered then. Default: the step times out."),
  value: z.unknown().optional().describe("The value of the default answer."),
});

/** How long a step waits for its answer, and what counts when none comes. */
export interface AnswerDeadline {
  readonly afterMs: number;
  readonly answer: "approve" | "reject" | undefined;
  readonly value: unknown;
}

export function answerDeadline(given: z.infer<typeof deadlineSchema>): AnswerDeadline {
  return { afterMs: parseDuration(given.after) ?? 0, answer: given.answer, value: given.value };
}

/** What the checks need of a step as written. */
interface WaitingStep {
  id: string;
  agent: string;
  outputs?: string[] | undefined;
  approval?: boolean | undefined;
  deadline?: z.infer<typeof deadlineSchema> | undefined;
  ask?: z.infer<typeof deadlineSchema> | undefined;
  onFailure?: string | undefined;
  forEach?: unknown;
  timeout?: string | undefined;
  timeouts?: Readonly<Record<string, unknown>> | undefined;
}

const WORK_TIMEOUTS = ["queue", "run", "heartbeat"];

export function checkWaiting(step: WaitingStep, index: number, issues: IssueList): void {
  const { id, agent, deadline } = step;
  const path = ["steps", index];
  const answered = isAnswered(agent);
  if (answered && step.approval === true) {
    const message = `A step of role ${agent} is its own answer: it cannot need an approval as well.`;
    issues.add("E_SCHEMA", [...path, "approval"], message, id);
  }
  const ofWork = [
    ...(step.timeout === undefined ? [] : [["timeout"]]),
    ...WORK_TIMEOUTS.flatMap((name) => (step.timeouts?.[name] === undefined ? [] : [["timeouts", name]])),
  ];
  for (const property of answered ? ofWork : []) {
    const message = `No agent works on a step of role ${agent}, so ${property.join(".")} has no meaning. Use deadline.`;
    issues.add("E_SCHEMA", [...path, ...property], message, id);
  }
  checkAsk(step.ask, [...path, "ask"], id, issues);
  if (step.ask !== undefined && (step.onFailure !== "recover" || step.forEach !== undefined)) {
    const message =
      "People are asked about a step with onFailure: recover once nothing else helps, and about no fan-out.";
    issues.add("E_SCHEMA", [...path, "ask"], message, id);
  }
  if (!deadline) return;
  checkTimeout(deadline.after, [...path, "deadline", "after"], id, issues);
  if (!answered && step.approval !== true) {
    const message =
      "A deadline is for a step that waits: one with approval: true, or of role human or signal. Use timeout.";
    issues.add("E_SCHEMA", [...path, "deadline"], message, id);
  }
  if (deadline.answer === undefined && deadline.value !== undefined) {
    const message =
      "The deadline has a value, but no answer to give it with. Add answer: approve, or reject.";
    issues.add("E_SCHEMA", [...path, "deadline", "value"], message, id);
  }
  if (!answered || deadline.answer !== "approve") return;
  const mapped = outputsOfAnswer(step.outputs ?? [], deadline.value);
  if (!("problem" in mapped)) return;
  const message = `The default answer does not fit the step's outputs: ${mapped.problem}.`;
  issues.add("E_SCHEMA", [...path, "deadline", "value"], message, id);
}

/** The rules for asking people about a failure. */
export function checkAsk(
  ask: z.infer<typeof deadlineSchema> | undefined,
  path: IssuePath,
  step: string | undefined,
  issues: IssueList,
): void {
  if (ask === undefined) return;
  checkTimeout(ask.after, [...path, "after"], step, issues);
  if (ask.answer === "approve" && ask.value === undefined) {
    const message = "Without a value the default answer approve would try again for ever. Give it a value.";
    issues.add("E_SCHEMA", [...path, "value"], message, step);
  }
}
