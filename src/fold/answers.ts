/**
 * Answers from outside, judged: what `approve`, `reject` and `signal` do to the steps that wait for them.
 *
 * It owns whether an answer applies and what it makes of its step. Who waits is the waits' matter, and how a
 * step goes on is the step flow's.
 */
import type { ControlMessage, WireError } from "../bus/messages.ts";
import { outputsOfAnswer } from "../workflow/answer-outputs.ts";
import { stepLabel } from "../workflow/derived-step.ts";
import { SIGNAL_ROLE } from "../workflow/reserved-roles.ts";
import type { StepFlow } from "./step-flow.ts";
import { type GivenAnswer, MAX_KEPT_SIGNALS } from "./waits.ts";

/** An answer's value is shown up to this length to whoever came second. */
const SHOWN_CHARS = 200;

/** Returns why the control does not apply, or undefined when it does. */
export function applyAnswer(flow: StepFlow, control: ControlMessage): string | undefined {
  const { verb, step, name, value, by } = control;
  if (verb === "signal") return applySignal(flow, name, value, by);
  if (verb !== "approve" && verb !== "reject") return `${verb} answers nothing`;
  if (step === undefined) return "it names no step";
  const wait = flow.waits.open.get(step);
  if (wait?.kind === "signal")
    return `step ${stepLabel(step)} waits for the signal "${wait.task}", not for a person`;
  // An approval is no data, nor is the word to try a failed step again.
  const isData = wait?.kind === "human" || (wait?.kind === "failure" && value !== undefined);
  const problem = verb === "approve" && isData ? misfit(flow, step, value) : undefined;
  return problem ?? settle(flow, step, { verb, by, value });
}

/** The answer that a deadline gives. Its decision was written before it counts (L3). */
export function applyDefault(flow: StepFlow, step: string, verb: "approve" | "reject", value: unknown): void {
  const problem = settle(flow, step, { verb, by: "its deadline", value });
  if (problem === undefined) return;
  flow.waits.answered(step, { verb, by: "its deadline", value });
  flow.refuse(step, answerError("E_OUTPUT_MISSING", `the default answer does not fit: ${problem}`));
}

/** Gives the signals that were kept to the steps that wait for them now. */
export function deliverSignals(flow: StepFlow): void {
  if (flow.waits.keptSignals === 0) return;
  for (const { step, signal } of flow.waits.deliveries()) {
    const answer = { verb: "signal", ...signal } as const;
    const problem = settle(flow, step, answer);
    if (problem === undefined) continue;
    // Whoever sent it is gone: what was kept for a step and does not fit it fails the step.
    flow.waits.answered(step, answer);
    flow.refuse(step, answerError("E_OUTPUT_MISSING", `the signal sent by ${signal.by}: ${problem}`));
  }
}

function applySignal(
  flow: StepFlow,
  name: string | undefined,
  value: unknown,
  by: string,
): string | undefined {
  if (name === undefined) return "it names no signal";
  const waiting = flow.waits.waitingFor(name);
  if (waiting !== undefined)
    return misfit(flow, waiting, value) ?? settle(flow, waiting, { verb: "signal", by, value });
  const names = signalNames(flow);
  if (!names.has(name)) {
    const known = names.size === 0 ? "it waits for none" : `it waits for ${[...names].join(", ")}`;
    return `no step of this run waits for a signal "${name}"; ${known}`;
  }
  if (flow.waits.keep(name, { value, by })) return undefined;
  return `${MAX_KEPT_SIGNALS} signals are kept that no step waits for yet, which is the bound`;
}

/** Signals that the workflow's steps may wait for. */
function signalNames(flow: StepFlow): Set<string> {
  const names = new Set<string>();
  for (const step of flow.graph.steps()) if (step.agent === SIGNAL_ROLE) names.add(step.task);
  return names;
}

/** Why the schemas of a step's keys refuse an answer: who gave it can give another. */
function misfit(flow: StepFlow, id: string, value: unknown): string | undefined {
  const step = flow.steps.step(id);
  const mapped = outputsOfAnswer(step.outputs, value);
  return "problem" in mapped ? mapped.problem : flow.values.answerProblem(step, mapped.outputs);
}

function settle(flow: StepFlow, step: string, answer: GivenAnswer): string | undefined {
  const wait = flow.waits.open.get(step);
  if (!wait) return notWaiting(flow, step);
  const { verb, by, value } = answer;
  if (wait.kind === "failure") return settleFailure(flow, step, answer);
  if (verb === "reject") {
    flow.waits.answered(step, answer);
    const reason = value === undefined ? "" : `: ${shown(value)}`;
    flow.refuse(step, answerError("E_REJECTED", `rejected by ${by}${reason}`));
    return undefined;
  }
  if (wait.kind === "approval") {
    flow.waits.answered(step, answer);
    flow.approve(step, `approved by ${by}`);
    return undefined;
  }
  const mapped = outputsOfAnswer(flow.steps.step(step).outputs, value);
  if ("problem" in mapped) return mapped.problem;
  flow.waits.answered(step, answer);
  const cause = verb === "signal" ? `signal ${wait.task} by ${by}` : `answered by ${by}`;
  flow.answer(step, by, mapped.outputs, cause);
  return undefined;
}

/** What people decide about a step that failed: try again, go on with these outputs, or let it fail. */
function settleFailure(flow: StepFlow, step: string, answer: GivenAnswer): string | undefined {
  const { verb, by, value } = answer;
  if (verb === "reject") {
    flow.waits.answered(step, answer);
    const last = flow.read(step).context.failures.at(-1)?.error.message ?? "it failed";
    const reason = value === undefined ? "" : ` (${shown(value)})`;
    flow.refuse(step, answerError("E_REJECTED", `given up by ${by}${reason}: ${last}`));
    return undefined;
  }
  if (value === undefined) {
    flow.waits.answered(step, answer);
    flow.waits.settleAsked(step);
    flow.chances.tryAgain(step, `tried again by ${by}`);
    return undefined;
  }
  const mapped = outputsOfAnswer(flow.steps.step(step).outputs, value);
  if ("problem" in mapped) return mapped.problem;
  flow.waits.answered(step, answer);
  flow.waits.settleAsked(step);
  flow.answer(step, by, mapped.outputs, `skipped by ${by}, who gave its outputs`);
  return undefined;
}

/** W2: the second is told who won. */
function notWaiting(flow: StepFlow, step: string): string {
  const label = stepLabel(step);
  if (!flow.steps.has(step)) return `the run has no step ${label}`;
  return earlierAnswer(flow, step) ?? `step ${label} is ${flow.read(step).state} and waits for no answer`;
}

/** Who answered a step, and how, if anybody did. */
export function earlierAnswer(flow: StepFlow, step: string): string | undefined {
  const earlier = flow.waits.answerOf(step);
  if (!earlier) return undefined;
  const done = { approve: "approved", reject: "rejected", signal: "answered by a signal" }[earlier.verb];
  const how = earlier.value === undefined ? "" : ` with ${shown(earlier.value)}`;
  return `step ${stepLabel(step)} was ${done} by ${earlier.by}${how} before`;
}

function shown(value: unknown): string {
  const text = typeof value === "string" ? value : (JSON.stringify(value) ?? "null");
  return text.length <= SHOWN_CHARS ? text : `${text.slice(0, SHOWN_CHARS)}…`;
}

function answerError(code: string, message: string): WireError {
  return { name: code === "E_REJECTED" ? "RejectedError" : "AnswerError", code, message, retryable: false };
}
