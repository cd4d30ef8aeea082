/**
 * What a run that repeats another one has to take over, worked out from the old log by the reference: the steps
 * that were closed well and rest on nothing that is done again, and the environment without what those wrote.
 */
import type { LogRecord } from "../bus/bus.ts";
import type { RunOrigin } from "../bus/messages.ts";
import type { Language } from "./language.ts";
import { isSame, type JudgedRun, submissionOf } from "./nested-judge.ts";
import { Reference } from "./reference.ts";
import type { ReferenceStep } from "./reference-step.ts";
import type { Say } from "./scenario.ts";

const RULE = "a rerun takes over what was done";

export function reruns(runs: ReadonlyMap<string, JudgedRun>, language: Language, say: Say): void {
  for (const { run, records } of runs.values()) {
    const { origin } = submissionOf(records)?.body ?? {};
    const before = runs.get(origin?.run ?? "");
    if (origin === undefined || before === undefined) continue;
    takenOver(run, origin, before, language, say);
  }
}

function takenOver(
  run: string,
  origin: RunOrigin,
  { records, reference: last }: JudgedRun,
  language: Language,
  say: Say,
): void {
  const then = new Reference(last.submitted, language);
  /** Who wrote which values of a key, oldest first. */
  const written = new Map<string, { step: string | undefined; value: unknown }[]>();
  for (const record of records) {
    if (record.seq > origin.seq) break;
    then.apply(record);
    for (const [key, { revision, step, value }] of then.env) {
      if (revision !== record.seq) continue;
      const first = writtenBefore(record, key, step);
      written.set(key, [...(written.get(key) ?? []), ...first, { step, value }]);
    }
  }
  const isWhole = origin.steps.length === 0 && Object.values(origin.environment).length === 0;
  // Repeated as a whole: its environment comes with the submission, as the old one's did.
  if (isWhole && origin.from === undefined) return;
  const again = doneAgain(then, origin.from);
  const kept = new Map(origin.steps.map((one) => [one.step, one]));
  for (const { id } of then.workflow.steps) {
    const step = then.steps.get(id) as ReferenceStep;
    const isDue = step.closedWell && step.outcome !== "cancelled" && !again.has(id);
    const taken = kept.get(id);
    if (isDue !== (taken !== undefined)) say(RULE, `${run} ${isDue ? "lacks" : "has"} ${id}`);
    else if (
      taken !== undefined &&
      (taken.outcome !== step.outcome || !isSame(taken.outputs, step.outputs ?? {}))
    )
      say(RULE, `${run} has ${JSON.stringify(taken)}, not ${step.outcome} ${JSON.stringify(step.outputs)}`);
  }
  for (const [key, values] of written) {
    const due = values.findLast(({ step }) => step === undefined || !again.has(step.split("~")[0] ?? step));
    const taken = origin.environment[key];
    const is = taken?.value === undefined ? kept.get(taken?.step ?? "")?.outputs[key] : taken.value;
    if (JSON.stringify(is) !== JSON.stringify(due?.value))
      say(RULE, `${run} begins with ${key} ${JSON.stringify(is)}, not ${JSON.stringify(due?.value)}`);
  }
}

/** What a result gave for a key that a step wrote after it in the same moment: a fan-out over nothing is done at once. */
function writtenBefore(record: LogRecord, key: string, step: string | undefined) {
  if (record.kind !== "result" || record.body.step === step) return [];
  const value = record.body.outputs?.[key];
  return value === undefined ? [] : [{ step: record.body.step, value }];
}

/** What is done again: the step that was named, what was undone, and all that comes after these. */
function doneAgain(then: Reference, from: string | undefined): Set<string> {
  const undone = then.undoing.map(({ undoes }) => undoes?.parent?.id ?? undoes?.id ?? "");
  const again = new Set([...(from === undefined ? [] : [from]), ...undone]);
  for (const id of again) {
    for (const step of then.workflow.steps) if (step.dependsOn?.includes(id)) again.add(step.id);
  }
  return again;
}
