/**
 * What must be true between a nested run and its parent, from both logs alone: whose it is, and that its end is
 * its parent's result.
 */
import type { LogRecord } from "../bus/bus.ts";
import type { SubmitMessage } from "../bus/messages.ts";
import type { Language } from "./language.ts";
import { Reference } from "./reference.ts";
import type { Opening } from "./reference-step.ts";
import type { Say } from "./scenario.ts";

export interface JudgedRun {
  run: string;
  records: readonly LogRecord[];
  reference: Reference;
}

/** The dispatches of this role are runs of their own. */
const NESTING_ROLE = "orchestrator";

export function nested(runs: ReadonlyMap<string, JudgedRun>, language: Language, say: Say): void {
  const children = new Map<string, string>();
  for (const { run, records, reference } of runs.values()) {
    const submission = submissionOf(records);
    const { parent } = submission?.body ?? {};
    const above = runs.get(parent?.run ?? "");
    if (submission === undefined || parent === undefined || above === undefined) continue;
    const name = `${parent.run} ${parent.step}#${parent.n}`;
    const twin = children.get(name);
    if (twin !== undefined) say("a dispatch is one nested run", `${name} is ${twin} and ${run}`);
    children.set(name, run);
    const opening = above.reference.openings.get(`${parent.step}#${parent.n}`);
    if (opening?.role !== NESTING_ROLE || opening.openSeq > submission.seq)
      say("a nested run has a dispatch that it is for", `${run} is begun for ${name}`);
    if (opening !== undefined) handedOn(name, opening, submission.body, language, say);
    if (opening !== undefined) handedDown(name, above, opening.openSeq, submission, language, say);
    results(name, above, { run, records, reference }, parent, language, say);
  }
  for (const { run, reference } of runs.values()) {
    const allowed = reference.bounds.get("dispatches");
    const given = dispatchesBelow(run, runs);
    if (allowed !== undefined && given > allowed)
      say(
        "runs below one another keep a budget together",
        `${run} may ${allowed}, and ${given} were granted`,
      );
  }
}

/** What a nested run is to do, and with what, is what its dispatch says. */
function handedOn(
  name: string,
  { inputs }: Opening,
  submission: SubmitMessage,
  { kept }: Language,
  say: Say,
): void {
  const given = kept.whole(inputs) as Record<string, unknown>;
  const told = kept.whole(submission) as Record<string, unknown>;
  for (const field of ["workflow", "goals", "want", "environment"])
    if (JSON.stringify(told[field]) !== JSON.stringify(given[field]))
      say(
        "a nested run is given what its dispatch says",
        `${name} has ${field} ${JSON.stringify(told[field])}, not ${JSON.stringify(given[field])}`,
      );
}

/** How many dispatches the logs of a run and of all runs below it have granted, but for what undoes others. */
function dispatchesBelow(run: string, runs: ReadonlyMap<string, JudgedRun>): number {
  const { reference } = runs.get(run) ?? {};
  const undoing = new Set(reference?.undoing.map(({ id }) => id));
  const own = [...(reference?.grants.keys() ?? [])].filter((name) => !undoing.has(name.replace(/#\d+$/, "")));
  let given = own.length;
  for (const below of runs.values()) {
    const parent = submissionOf(below.records)?.body.parent;
    if (parent?.run === run) given += dispatchesBelow(below.run, runs);
  }
  return given;
}

/**
 * What a nested run may spend is what its parent had left at some moment between the dispatch and the submission:
 * its holder need not have heard of the last records.
 */
function handedDown(
  name: string,
  { records, reference: { submitted } }: JudgedRun,
  openSeq: number,
  { seq, ts, body: { budget } }: LogRecord & { kind: "submit" },
  language: Language,
  say: Say,
): void {
  const then = new Reference(submitted, language);
  const lefts: string[] = [];
  for (const record of records) {
    if (record.seq > seq) break;
    then.apply(record);
    if (record.seq < openSeq) continue;
    // One that has nothing left, and would pause, begins its nested run all the same: that waits as it does.
    const left = [...(then.left ?? [])].filter(([, amount]) => amount > 0);
    lefts.push(shown(left));
    // That its time is up is written after the moment in which it is.
    if (ts - (records[0]?.ts ?? ts) >= (then.left?.get("wall") ?? Number.POSITIVE_INFINITY))
      lefts.push(shown(left.filter(([resource]) => resource !== "wall")));
  }
  const is = shown(Object.entries(budget ?? {}));
  if (!lefts.includes(is))
    say(
      "a nested run gets what is left of a budget",
      `${name} gets ${is || "none"}, and left is ${lefts.at(-1)}`,
    );
}

/** Without how much time: that passes while nothing is written. */
function shown(limits: readonly (readonly [string, unknown])[]): string {
  const all = limits.map(([resource, amount]) => (resource === "wall" ? resource : `${resource} ${amount}`));
  return all.sort().join(", ");
}

/** What counts as the dispatch's result tells how the nested run ended, and comes after that end. */
function results(
  name: string,
  { records: above }: JudgedRun,
  { run, records, reference }: JudgedRun,
  { step, n, outputs: declared }: NonNullable<SubmitMessage["parent"]>,
  language: Language,
  say: Say,
): void {
  const { kept } = language;
  const rule = "a nested run's end is its dispatch's result";
  for (const record of above) {
    if (record.kind !== "result" || record.role !== NESTING_ROLE) continue;
    const { step: of, n: nth, agent, status, outputs = {} } = record.body;
    if (of !== step || nth !== n || agent !== run) continue;
    if (!reference.endings.some((seq) => seq < record.seq)) {
      say(rule, `${name} has a result of ${run} at ${record.seq}, before that has ended`);
      continue;
    }
    // A person may have opened it again later: then its end says nothing about this result any more.
    if (records.some((one) => one.kind === "control" && one.body.verb === "retry")) continue;
    if ((status === "done") !== (reference.status === "done"))
      say(rule, `${name} is ${status}, and ${run} is ${reference.status}`);
    if (status !== "done") continue;
    const env = Object.fromEntries([...reference.env].map(([key, { value }]) => [key, value]));
    const given = Object.fromEntries(declared.filter((key) => key in env).map((key) => [key, env[key]]));
    const dues = outputsAtEnd(records, reference, language).map((due) => ({ ...given, ...due }));
    const whole = kept.whole(outputs) as typeof outputs;
    if (!dues.some((due) => isSame(whole, kept.whole(due) as typeof due)))
      say(rule, `${name} gives ${JSON.stringify(outputs)}, and ${run} gave ${JSON.stringify(dues.at(-1))}`);
  }
}

/** What the run gave when its end was decided: somebody may have set a key between that and its writing. */
function outputsAtEnd(
  records: readonly LogRecord[],
  { submitted, endings }: Reference,
  language: Language,
): Record<string, unknown>[] {
  const then = new Reference(submitted, language);
  let given: Record<string, unknown>[] = [];
  for (const record of records) {
    if (record.seq >= (endings.at(-1) ?? Number.POSITIVE_INFINITY)) break;
    then.apply(record);
    if (record.kind === "result" || record.kind === "decision") given = [];
    given.push(then.outputs());
  }
  return given;
}

export function submissionOf(records: readonly LogRecord[]): (LogRecord & { kind: "submit" }) | undefined {
  return records.find((record) => record.kind === "submit");
}

/** Whether two maps are equal, whatever the order of their keys. */
export function isSame(one: Record<string, unknown>, other: Record<string, unknown>): boolean {
  const inOrder = (map: Record<string, unknown>) =>
    JSON.stringify(Object.entries(map).sort(([a], [b]) => (a < b ? -1 : 1)));
  return inOrder(one) === inOrder(other);
}
