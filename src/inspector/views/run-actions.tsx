/** What can be done to a run, or to one of its steps, as it stands. */
import type { ControlVerdictView, RunHead, WaitView } from "../../http/api.ts";
import { pathOf, tell } from "../model/api-client.ts";
import { stepLabel } from "../model/format.ts";
import { go } from "../model/router.ts";
import { askFirst, type Question } from "../parts/action-dialog.tsx";

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

/** One thing that can be done: asked with `question` before it is. */
interface Action {
  /** On its button. */
  label: string;
  strong?: boolean;
  question: Question;
}

function ActionButtons({ actions }: { actions: readonly Action[] }) {
  return (
    <>
      {actions.map(({ label, strong, question }) => (
        <button
          key={label}
          type="button"
          class={strong ? "button strong" : "button"}
          onClick={() => askFirst(question)}
        >
          {label}
        </button>
      ))}
    </>
  );
}

function actionsOnRun({ run, status, endedAt }: RunHead): Action[] {
  const actions: Action[] = [];
  const offer = (
    label: string,
    text: string,
    act: () => Promise<string>,
    more: Partial<Question> = {},
  ): void => {
    actions.push({ label, question: { title: `${label} ${run}?`, text, verb: label, act, ...more } });
  };
  if (status === "running" || status === "waiting") {
    const text = "Steps that run go on to their end. No further step is given out until you resume it.";
    offer("Pause", text, () => control(run, "pause"));
  }
  if (status === "paused")
    offer("Resume", "Steps that are ready are given out again.", () => control(run, "resume"));
  if (status === "failed") {
    const text = "Every failed step gets all its attempts again. What is done stays done.";
    offer("Retry", text, () => control(run, "retry"));
  }
  if (endedAt !== null) {
    const text = "A new run with the same workflow and inputs. This one stays as it is.";
    offer("Run again", text, () => rerun(run), { title: `Run ${run} again?` });
  } else {
    const text =
      "Agents are told to stop, and nothing further is given out. This cannot be undone; the run can be done again.";
    offer("Cancel", text, () => control(run, "cancel"), { verb: "Cancel the run", danger: true });
  }
  return actions;
}

export function RunActions({ head }: { head: RunHead }) {
  return (
    <div class="actions" role="group" aria-label="Actions on the run">
      <ActionButtons actions={actionsOnRun(head)} />
    </div>
  );
}

function actionsOnStep({ run, status, endedAt }: RunHead, step: string, state: string): Action[] {
  const label = stepLabel(step);
  const from = step.split("~")[0] ?? step;
  const actions: Action[] = [];
  if (state === "failed" && status === "failed")
    actions.push({
      label: "Retry",
      question: {
        title: `Retry ${label}?`,
        text: "The step gets all its attempts again, and the run goes on. What is done stays done.",
        verb: "Retry the step",
        act: () => control(run, "retry", { step }),
      },
    });
  if (endedAt === null && (state === "ready" || state === "running"))
    actions.push({
      label: "Cancel the step",
      question: {
        title: `Cancel ${label}?`,
        text: "Its agent is told to stop. The run goes on as its workflow says for a failed step.",
        verb: "Cancel the step",
        danger: true,
        act: () => control(run, "cancel", { step }),
      },
    });
  actions.push({
    label: "Run again from here",
    question: {
      title: `Run again from ${stepLabel(from)}?`,
      text: "A new run: this step and all that depends on it are done again, the other results are taken over. This run stays as it is.",
      verb: "Run again from here",
      act: () => rerun(run, from),
    },
  });
  return actions;
}

export function StepActions({ head, step, state }: { head: RunHead; step: string; state: string }) {
  return (
    <div class="actions" role="group" aria-label={`Actions on ${stepLabel(step)}`}>
      <ActionButtons actions={actionsOnStep(head, step, state)} />
    </div>
  );
}

const field = (label: string): NonNullable<Question["value"]> => ({ label, initial: "" });

/** What lets a waiting step go on. */
function yesTo(label: string, wait: WaitView, act: Question["act"]): Question {
  if (wait.for === "human") {
    const value = field("Answer (JSON or text)");
    return { title: `Answer ${label}`, text: wait.task, verb: "Answer", value, act };
  }
  if (wait.for === "failure") {
    const text = `${wait.error ?? "It failed."} Without outputs it is tried again.`;
    const value = field("Its outputs (JSON); none: try again");
    return { title: `Go on with ${label}?`, text, verb: "Go on", value, act };
  }
  const text = "The step is given out as soon as you approve it.";
  return { title: `Approve ${label}?`, text, verb: "Approve", act };
}

function answersTo(run: string, step: string, wait: WaitView): Action[] {
  const label = stepLabel(step);
  if (wait.for === "signal")
    return [
      {
        label: `Send ${wait.task}`,
        strong: true,
        question: {
          title: `Send the signal ${wait.task}?`,
          text: `The step ${label} waits for it.`,
          verb: "Send",
          value: field("Value (JSON or text)"),
          act: (value) => control(run, "signal", { name: wait.task, value }),
        },
      },
    ];
  const yes = yesTo(label, wait, (value) => control(run, "approve", { step, value }));
  const no: Question = {
    title: `Reject ${label}?`,
    text: "The step fails with your reason, as its workflow says for failures.",
    verb: "Reject",
    danger: true,
    value: field("Reason"),
    act: (value) => control(run, "reject", { step, value }),
  };
  return [
    { label: yes.verb, strong: true, question: yes },
    { label: no.verb, question: no },
  ];
}

/** A wait for a person or a signal, with its answers. */
export function WaitAnswers({ run, step, wait }: { run: string; step: string; wait: WaitView }) {
  return <ActionButtons actions={answersTo(run, step, wait)} />;
}
