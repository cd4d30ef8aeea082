/** What can be done to a run, or to one of its steps, as it stands. */
import type { ControlVerdictView, RunHead, WaitView } from "../../http/api.ts";
import { pathOf, tell } from "../model/api-client.ts";
import { stepLabel } from "../model/format.ts";
import { go } from "../model/router.ts";
import { askFirst } from "../parts/action-dialog.tsx";

type Verb = "cancel" | "pause" | "resume" | "retry" | "approve" | "reject" | "signal";

async function control(run: string, verb: Verb, rest: Record<string, unknown> = {}): Promise<string> {
  const sent = Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== undefined));
  const verdict = await tell<ControlVerdictView>("POST", pathOf("runs", run, "controls"), {
    verb,
    by: "inspector",
    ...sent,
  });
  if (!verdict.applied)
    throw new Error(`It did not apply: ${verdict.reason ?? "the run is not in a state for it"}.`);
  return `${verb}: done`;
}

async function rerun(run: string, from?: string): Promise<string> {
  const { run: id } = await tell<{ run: string }>(
    "POST",
    pathOf("runs", run, "rerun"),
    from === undefined ? {} : { from },
  );
  go(`/runs/${encodeURIComponent(id)}`);
  return `run ${id} was started`;
}

export function RunActions({ head }: { head: RunHead }) {
  const { run, status } = head;
  const open = head.endedAt === null;
  return (
    <div class="actions" role="group" aria-label="Actions on the run">
      {(status === "running" || status === "waiting") && (
        <button
          type="button"
          class="button"
          onClick={() =>
            askFirst({
              title: `Pause ${run}?`,
              text: "Steps that run go on to their end. No further step is given out until you resume it.",
              verb: "Pause",
              act: () => control(run, "pause"),
            })
          }
        >
          Pause
        </button>
      )}
      {status === "paused" && (
        <button
          type="button"
          class="button"
          onClick={() =>
            askFirst({
              title: `Resume ${run}?`,
              text: "Steps that are ready are given out again.",
              verb: "Resume",
              act: () => control(run, "resume"),
            })
          }
        >
          Resume
        </button>
      )}
      {status === "failed" && (
        <button
          type="button"
          class="button"
          onClick={() =>
            askFirst({
              title: `Retry ${run}?`,
              text: "Every failed step gets all its attempts again. What is done stays done.",
              verb: "Retry",
              act: () => control(run, "retry"),
            })
          }
        >
          Retry
        </button>
      )}
      {!open && (
        <button
          type="button"
          class="button"
          onClick={() =>
            askFirst({
              title: `Run ${run} again?`,
              text: "A new run with the same workflow and inputs. This one stays as it is.",
              verb: "Run again",
              act: () => rerun(run),
            })
          }
        >
          Run again
        </button>
      )}
      {open && (
        <button
          type="button"
          class="button"
          onClick={() =>
            askFirst({
              title: `Cancel ${run}?`,
              text: "Agents are told to stop, and nothing further is given out. This cannot be undone; the run can be done again.",
              verb: "Cancel the run",
              danger: true,
              act: () => control(run, "cancel"),
            })
          }
        >
          Cancel
        </button>
      )}
    </div>
  );
}

export function StepActions({ head, step, state }: { head: RunHead; step: string; state: string }) {
  const { run } = head;
  const label = stepLabel(step);
  const from = step.split("~")[0] ?? step;
  return (
    <div class="actions" role="group" aria-label={`Actions on ${label}`}>
      {state === "failed" && head.status === "failed" && (
        <button
          type="button"
          class="button"
          onClick={() =>
            askFirst({
              title: `Retry ${label}?`,
              text: "The step gets all its attempts again, and the run goes on. What is done stays done.",
              verb: "Retry the step",
              act: () => control(run, "retry", { step }),
            })
          }
        >
          Retry
        </button>
      )}
      {head.endedAt === null && (state === "ready" || state === "running") && (
        <button
          type="button"
          class="button"
          onClick={() =>
            askFirst({
              title: `Cancel ${label}?`,
              text: "Its agent is told to stop. The run goes on as its workflow says for a failed step.",
              verb: "Cancel the step",
              danger: true,
              act: () => control(run, "cancel", { step }),
            })
          }
        >
          Cancel the step
        </button>
      )}
      <button
        type="button"
        class="button"
        onClick={() =>
          askFirst({
            title: `Run again from ${stepLabel(from)}?`,
            text: "A new run: this step and all that depends on it are done again, the other results are taken over. This run stays as it is.",
            verb: "Run again from here",
            act: () => rerun(run, from),
          })
        }
      >
        Run again from here
      </button>
    </div>
  );
}

/** A wait for a person or a signal, with its answers. */
export function WaitAnswers({ run, step, wait }: { run: string; step: string; wait: WaitView }) {
  const label = stepLabel(step);
  if (wait.for === "signal") {
    return (
      <button
        type="button"
        class="button strong"
        onClick={() =>
          askFirst({
            title: `Send the signal ${wait.task}?`,
            text: `The step ${label} waits for it.`,
            verb: "Send",
            value: { label: "Value (JSON or text)", initial: "" },
            act: (value) => control(run, "signal", { name: wait.task, value }),
          })
        }
      >
        Send {wait.task}
      </button>
    );
  }
  const human = wait.for === "human";
  const failure = wait.for === "failure";
  return (
    <>
      <button
        type="button"
        class="button strong"
        onClick={() =>
          askFirst({
            title: human ? `Answer ${label}` : failure ? `Go on with ${label}?` : `Approve ${label}?`,
            text: human
              ? wait.task
              : failure
                ? `${wait.error ?? "It failed."} Without outputs it is tried again.`
                : "The step is given out as soon as you approve it.",
            verb: human ? "Answer" : failure ? "Go on" : "Approve",
            ...(human ? { value: { label: "Answer (JSON or text)", initial: "" } } : {}),
            ...(failure ? { value: { label: "Its outputs (JSON); none: try again", initial: "" } } : {}),
            act: (value) => control(run, "approve", { step, value }),
          })
        }
      >
        {human ? "Answer" : failure ? "Go on" : "Approve"}
      </button>
      <button
        type="button"
        class="button"
        onClick={() =>
          askFirst({
            title: `Reject ${label}?`,
            text: "The step fails with your reason, as its workflow says for failures.",
            verb: "Reject",
            danger: true,
            value: { label: "Reason", initial: "" },
            act: (value) => control(run, "reject", { step, value }),
          })
        }
      >
        Reject
      </button>
    </>
  );
}
