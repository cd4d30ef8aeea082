/**
 * What must be true of a run after a chaos round, judged from its raw log, the agents' journal and the workflow
 * document: with the judges of the simulation, and by the order of real events.
 */
import type { LogRecord } from "../../src/bus/bus.ts";
import { completions, folds } from "../../src/simulation/judge.ts";
import { FEW_FORMS } from "../../src/simulation/language.ts";
import { Reference } from "../../src/simulation/reference.ts";
import type { Say } from "../../src/simulation/scenario.ts";
import { judgeScripts } from "../../src/simulation/script-judge.ts";
import type { WorkflowDocument } from "../../src/workflow/document.ts";

/** A rule that was broken. */
export interface Wrong {
  rule: string;
  what: string;
}

/** A line of the journal: a task's code began. */
export interface Start {
  at: number;
  run: string;
  step: string;
  n: number;
  pid: number;
}

export interface ChaosVerdict {
  wrongs: Wrong[];
  status: string;
  claims: number;
  /** Starts of one dispatch beyond its first: at least once is allowed. */
  again: number;
  /** Results that closed nothing. */
  late: number;
}

export function readJournal(text: string): Start[] {
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => {
      const [at = "", run = "", step = "", n = "", pid = ""] = line.split(" ");
      return { at: Number(at), run, step, n: Number(n), pid: Number(pid) };
    });
}

export function judgeRun(
  run: string,
  workflow: WorkflowDocument,
  records: readonly LogRecord[],
  starts: readonly Start[],
): ChaosVerdict {
  const wrongs: Wrong[] = [];
  const say = (rule: string, what: string): void => {
    wrongs.push({ rule, what: `${run}: ${what}` });
  };
  const reference = new Reference(workflow, FEW_FORMS);
  for (const record of records) reference.apply(record);
  if (!reference.ended) say("every run ends", `is ${reference.status}`);
  for (const { rule, what } of reference.wrongs) say(rule, what);
  completions(run, reference, say);
  judgeScripts(run, reference, FEW_FORMS.kept, say);
  folds(run, records, reference, FEW_FORMS, say);
  decisions(records, say);
  const counts = began(reference, starts, say);
  const results = records.filter(({ kind }) => kind === "result").length;
  const closed = [...reference.openings.values()].filter(({ closedBy }) => closedBy.startsWith("result"));
  const { status, claims } = reference;
  return { wrongs, status, claims: claims.length, again: counts, late: results - closed.length };
}

/** Who decides knew of the decision before; and there is one end after each time that the run was open. */
function decisions(records: readonly LogRecord[], say: Say): void {
  let epoch = 0;
  let ends = 0;
  for (const { kind, seq, ...record } of records) {
    if (kind === "unreadable") say("every record can be read", `record ${seq}`);
    if (kind !== "decision" || !("body" in record)) continue;
    const body = record.body as { type: string; epoch: number };
    if (body.epoch !== epoch + (body.type === "claim" ? 1 : 0))
      say("decisions know their predecessor", `${body.type} of epoch ${body.epoch} at ${seq} after ${epoch}`);
    epoch = Math.max(epoch, body.epoch);
    if (body.type === "end") ends++;
  }
  if (ends !== 1) say("a run ends once", `${ends} ends`);
}

/** Every dispatch that began was open, and what is completed was begun. @returns starts beyond the first */
function began(reference: Reference, starts: readonly Start[], say: Say): number {
  const begun = new Map<string, number>();
  for (const { at, step, n } of starts) {
    const name = `${step}#${n}`;
    begun.set(name, (begun.get(name) ?? 0) + 1);
    const opening = reference.openings.get(name);
    if (opening === undefined) say("only dispatches of the log are given out", `${name} began`);
    else if (at < opening.openTs - 5)
      say("no step starts before its dependencies", `${name} began too early`);
  }
  for (const { doc, n, outcome } of reference.steps.values()) {
    if (outcome === "completed" && !begun.has(`${doc.id}#${n}`))
      say("what is completed was executed", `${doc.id}#${n} never began`);
  }
  return [...begun.values()].reduce((sum, count) => sum + count - 1, 0);
}
