/** A recorded run as a scenario: the same workflow, agents that do what the real ones did, the same people. */
import type { RunPlanning } from "../actors/run-planning.ts";
import type { AgentDefinition, TaskContext } from "../agent/define.ts";
import { stepRefOf } from "../workflow/derived-step.ts";
import { InvalidInputError } from "../workflow/errors.ts";
import type { People } from "./people.ts";
import { dispatchKey, type Recording } from "./recording.ts";
import type { Scenario } from "./scenario.ts";
import { play, type ScriptedDispatch } from "./scripted-dispatch.ts";
import { WORKFLOW_LANGUAGE } from "./workflow-language.ts";
import type { Party } from "./world.ts";

/** What a user changes in a recorded run. */
export interface Disturbance {
  /** By role: how many times as long its tasks take. */
  slow?: Readonly<Record<string, number>>;
  /** By step: at how many of its attempts it fails; Infinity: at every one. */
  fail?: Readonly<Record<string, number>>;
  maxParallel?: number;
}

/** Daemons and agents are there when the run is submitted, so that seeds alone do not change how long it takes. */
export const SETTLED_MS = 1_000;
/** Somebody answers a step that waits for longer than anybody did in the recorded run. */
const LATE_ANSWER_MS = 60_000;

/** @throws InvalidInputError when the disturbance names a role or step that the run does not have */
export function recordedScenario(recording: Recording, disturbance: Disturbance = {}): Scenario {
  const { run, submission, seats, tasks } = recording;
  const { slow = {}, fail = {}, maxParallel } = disturbance;
  const ids = submission.workflow.steps.map(({ id }) => id);
  for (const role of Object.keys(slow)) assertKnown("E_ROLE", "role", role, [...tasks.keys()]);
  for (const step of Object.keys(fail)) assertKnown("E_STEP", "step", documentStep(step), ids);
  const failing = new Map(Object.entries(fail).map(([step, times]) => [stepRefOf(step), times]));
  const workflow = { ...submission.workflow, ...(maxParallel === undefined ? {} : { maxParallel }) };
  const usual = usualDispatches(recording);

  const scriptOf = ({ step, idempotencyKey, attempt }: TaskContext): ScriptedDispatch => {
    const script = recording.scripts.get(step)?.get(dispatchKey(idempotencyKey, attempt)) ?? usual(step);
    const times = failing.get(step) ?? failing.get(documentStep(step)) ?? 0;
    if (attempt > times) return script;
    const message = `made to fail at its first ${times} attempts`;
    return { ms: script.ms, end: { status: "failed", error: { message, code: "E_MADE_TO_FAIL" } } };
  };
  const agent = (role: string, party: Party): AgentDefinition => {
    const run = (_: unknown, ctx: TaskContext) => play(scriptOf(ctx), party, ctx, slow[role] ?? 1);
    return { role, tasks: Object.fromEntries([...(tasks.get(role) ?? [])].map((name) => [name, { run }])) };
  };
  return {
    runs: new Map([[run, { ...submission, workflow }]]),
    seats,
    agent,
    planning: () => new RecordedPlanning(recording),
    attend: (people) => attend(people, recording, { ...submission, workflow }),
    language: WORKFLOW_LANGUAGE,
  };
}

/** What a step does where the recorded run did not go: what it did at its last success, or nothing much. */
function usualDispatches({ scripts, submission }: Recording): (step: string) => ScriptedDispatch {
  const all = [...scripts.values()].flatMap((ofStep) => [...ofStep.values()]);
  const durations = all.map(({ ms }) => ms).sort((a, b) => a - b);
  const median = durations[Math.floor(durations.length / 2)] ?? 1_000;
  const last = new Map<string, ScriptedDispatch>();
  for (const [step, ofStep] of scripts) {
    const done = [...ofStep.values()].findLast(({ end }) => end.status === "done");
    if (done === undefined) continue;
    last.set(step, done);
    last.set(documentStep(step), done);
  }
  const outputs = new Map(submission.workflow.steps.map((doc) => [doc.id, doc.outputs ?? []]));
  return (step) => {
    const known = last.get(step) ?? last.get(documentStep(step));
    if (known !== undefined) return known;
    const nulls = (outputs.get(documentStep(step)) ?? []).map((key) => [key, null]);
    return { ms: median, end: { status: "done", outputs: Object.fromEntries(nulls) } };
  };
}

/** `resize` for `resize~3` and `resize[3]`. */
function documentStep(step: string): string {
  return stepRefOf(step).split("~")[0] ?? step;
}

function attend(people: People, recording: Recording, submission: Recording["submission"]): void {
  const { run, said, set, answers } = recording;
  people.meddleWith(run);
  people.submit(run, submission, SETTLED_MS, () => {
    for (const { afterMs, control } of said) people.after(afterMs, () => people.control(run, control));
    for (const { afterMs, key, value } of set) people.after(afterMs, () => people.setKey(run, key, value));
    people.answerWhenAsked(run, (step, times) => {
      const answer = answers.get(step.id)?.[times];
      if (answer !== undefined) return answer;
      if (step.doc.deadline !== undefined) return undefined;
      const nulls = (step.doc.outputs ?? []).map((key) => [key, null]);
      const value = step.waits === "approval" ? {} : { value: Object.fromEntries(nulls) };
      const control =
        step.waits === "signal"
          ? ({ verb: "signal", name: step.task, ...value } as const)
          : ({ verb: "approve", step: step.id, ...value } as const);
      return { afterMs: LATE_ANSWER_MS, control };
    });
  });
}

/** Decides as it was decided then. */
class RecordedPlanning implements RunPlanning {
  readonly #recording: Recording;

  constructor(recording: Recording) {
    this.#recording = recording;
  }

  async plan(): ReturnType<RunPlanning["plan"]> {
    const error = { code: "E_NO_PLAN", message: "a recorded run has its workflow" };
    return { type: "end", status: "failed", error };
  }

  async recover(...[fold, step]: Parameters<RunPlanning["recover"]>): ReturnType<RunPlanning["recover"]> {
    const { n } = fold.step(step).context;
    const given = { type: "recover", step, n } as const;
    const recorded = this.#recording.recoveries.get(step);
    if (recorded === undefined) return () => ({ ...given, reason: "the recorded run knew no other way" });
    const { role, task, inputs, fallback, reason } = recorded;
    return () => ({
      ...given,
      reason,
      ...(role === undefined ? {} : { role }),
      ...(task === undefined ? {} : { task }),
      ...(inputs === undefined ? {} : { inputs }),
      ...(fallback === undefined ? {} : { fallback }),
    });
  }

  async weigh(): ReturnType<RunPlanning["weigh"]> {
    return () => undefined;
  }

  async replace(): ReturnType<RunPlanning["replace"]> {
    return undefined;
  }
}

function assertKnown(code: string, what: string, name: string, known: readonly string[]): void {
  if (known.includes(name)) return;
  throw new InvalidInputError(code, `the run has no ${what} "${name}"`, {
    remedy: `It has: ${known.join(", ")}.`,
    data: { [what]: name },
  });
}
