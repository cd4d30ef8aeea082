/** Controls, judged: what a person's or a program's word does to a run, and why it does not. */
import type { ControlMessage } from "../bus/messages.ts";
import { stepLabel } from "../workflow/derived-step.ts";
import { applyAnswer, earlierAnswer } from "./answers.ts";
import { raisedLimits } from "./run-budget.ts";
import type { RunCourse } from "./run-course.ts";
import type { StepFlow } from "./step-flow.ts";

const NO_WORKFLOW = "the run has no workflow yet";

/** Returns why the control does not apply, or undefined when it does. */
export function applyControl(course: RunCourse, control: ControlMessage, cause: string): string | undefined {
  if (course.startedAt === undefined) return "the run was not submitted yet";
  const standing = `the run is ${course.status}`;
  switch (control.verb) {
    case "cancel": {
      if (course.ended) return standing;
      if (course.isGivenUp) return "it is undoing its steps, and ends then";
      const reason = typeof control.value === "string" ? control.value : "";
      if (control.step !== undefined) {
        if (course.flow === undefined) return NO_WORKFLOW;
        return course.flow.wantStopped(control.step, control.by, reason);
      }
      course.cancelRequested ??= { by: control.by, reason };
      return undefined;
    }
    case "pause":
      if (course.status !== "running" && course.status !== "waiting") return standing;
      course.pauseFor({ code: "E_PAUSED", message: cause });
      return undefined;
    case "resume": {
      if (control.raised !== undefined && !course.ended) return course.raisedAbove(control.raised, cause);
      if (course.status !== "paused") return standing;
      const limits = raisedLimits(course.budget, control.value);
      if (typeof limits === "string") return limits;
      course.raise(limits);
      course.move({ type: "resume" }, cause);
      return undefined;
    }
    case "retry":
      return course.status === "failed" && course.flow
        ? retry(course, course.flow, control, cause)
        : standing;
    default:
      if (course.ended) return course.flow ? tooLate(course.flow, control, standing) : standing;
      return course.flow ? applyAnswer(course.flow, control) : NO_WORKFLOW;
  }
}

/** W2: the first answer may have been what the run waited for last. */
function tooLate(flow: StepFlow, { verb, step }: ControlMessage, standing: string): string {
  const earlier = verb === "signal" || step === undefined ? undefined : earlierAnswer(flow, step);
  return earlier === undefined ? standing : `${earlier}; ${standing}`;
}

/** Gives failed steps of a failed run a new chance; what is done stays done. */
function retry(
  course: RunCourse,
  flow: StepFlow,
  control: ControlMessage,
  cause: string,
): string | undefined {
  // Their results are in the environment, and stand for nothing any more.
  if (course.isGivenUp) return "its completed steps were undone; a rerun does them again";
  const { budget } = course;
  const limits = raisedLimits(budget, control.value);
  if (typeof limits === "string") return limits;
  const isMeant = flow.chances.retry(control.step, cause, control.others === "later");
  // What is refused changes nothing; but in the logs of earlier versions it did (L1).
  if (isMeant || budget?.heedsRaises === false) course.raise(limits);
  if (!isMeant) return notFailed(flow, control.step);
  course.reopen(cause);
  return undefined;
}

/** Why there is nothing that a retry could give a new chance. */
function notFailed(flow: StepFlow, step: string | undefined): string {
  if (step === undefined) return "none of its steps failed";
  const label = stepLabel(step);
  if (!flow.steps.has(step)) return `the run has no step ${label}`;
  const { state } = flow.read(step);
  return state === "failed"
    ? `step ${label} failed, and the run went on without it`
    : `step ${label} is ${state}`;
}
