/**
 * Time-outs, judged: whether the state at the decision's place allows it, what the step's error says, and
 * whether another attempt may help.
 *
 * A time-out names what did not happen, so it counts only where that can still be said: a dispatch that has
 * started was not left in its queue, and one that has not cannot have run for too long.
 */
import type { DecisionMessage } from "../bus/decisions.ts";
import type { StepFlow } from "./step-flow.ts";

type TimedOut = Pick<DecisionMessage & { type: "timed-out" }, "step" | "n" | "code" | "afterMs">;

/** Returns why the decision is void, or undefined when it counts. */
export function applyTimeOut(flow: StepFlow, decision: TimedOut): string | undefined {
  const { step, code } = decision;
  const { state } = flow.read(step);
  const waits = flow.waits.has(step);
  if (code === "E_NO_ANSWER" && !waits) return "the step waits for no answer";
  if (waits && code !== "E_NO_ANSWER" && code !== "E_STEP_TIMEOUT")
    return "the step waits for somebody outside, and nothing of it is out";
  if (code === "E_QUEUE_TIMEOUT" && state !== "ready") return "the dispatch has started";
  // The note of the start was lost with its holder; the queue said that somebody had the task (L6).
  if (state === "ready" && (code === "E_EXECUTION_TIMEOUT" || code === "E_HEARTBEAT_TIMEOUT")) {
    flow.start(step, UNKNOWN_AGENT, "somebody had taken its task");
  }
  const retryable = !FINAL_CODES.has(code);
  flow.timeOut(step, { name: "TimeoutError", code, message: messageOf(decision), retryable });
  return undefined;
}

/** Where the next attempt would stand in the same queue, wait for the same nobody, or have no time left. */
const FINAL_CODES: ReadonlySet<string> = new Set([
  "E_QUEUE_TIMEOUT",
  "E_STEP_TIMEOUT",
  "E_NO_ANSWER",
  "E_NO_AGENT",
]);

const UNKNOWN_AGENT = "unknown";

function messageOf({ n, code, afterMs }: TimedOut): string {
  switch (code) {
    case "E_QUEUE_TIMEOUT":
      return `dispatch ${n} was in its queue for ${afterMs} ms and no agent took it`;
    case "E_EXECUTION_TIMEOUT":
      return `dispatch ${n} ran for ${afterMs} ms without a result`;
    case "E_HEARTBEAT_TIMEOUT":
      return `the agent of dispatch ${n} was silent for ${afterMs} ms`;
    case "E_STEP_TIMEOUT":
      return `the step was not done after ${afterMs} ms, all of its attempts together`;
    case "E_NO_ANSWER":
      return `nobody answered within ${afterMs} ms`;
    case "E_NO_AGENT":
      return `nobody served the role of dispatch ${n} for ${afterMs} ms`;
    default:
      return `dispatch ${n} had no result after ${afterMs} ms`;
  }
}
