/**
 * The judges: what must be true of every simulated life, read from the raw logs, from what was seen to happen,
 * and from the workflow document.
 *
 * They share no code with the runtime. The one thing that they take from it is its own fold of the finished
 * log, which they compare with theirs.
 */
import { createActor } from "xstate";
import { orchestratorLogic } from "../actors/orchestrator.ts";
import type { LogRecord } from "../bus/bus.ts";
import { RunFold } from "../fold/run-fold.ts";
import type { WorkflowDocument } from "../workflow/document.ts";
import { claimChecks } from "./claim-judge.ts";
import type { Fact } from "./evidence.ts";
import { hearing } from "./hearing-judge.ts";
import type { KeptValues } from "./kept-values.ts";
import type { Language } from "./language.ts";
import { type JudgedRun, nested, submissionOf } from "./nested-judge.ts";
import { questions } from "./question-judge.ts";
import { Reference } from "./reference.ts";
import { QUESTIONS } from "./reference-questions.ts";
import type { ReferenceStep } from "./reference-step.ts";
import { reruns } from "./rerun-judge.ts";
import type { Say, Wrong } from "./scenario.ts";
import type { Life } from "./simulate.ts";

export interface Verdict {
  wrongs: Wrong[];
  /** Dispatches beyond maxParallel that two holders together had out. */
  overshoot: number;
  /** What the log of each run means. */
  references: ReadonlyMap<string, Reference>;
}

/** Clocks of the simulation run at most this much too fast. */
const DRIFT = 0.0051;
/** Tasks of one step that may vanish in a row; then it has to fail. */
const MOST_LOSSES = 5;

export function judge(life: Life): Verdict {
  const wrongs: Wrong[] = [];
  const say = (rule: string, what: string): void => {
    wrongs.push({ rule, what });
  };
  for (const spinning of life.spinning) say("nobody spins", spinning);
  for (const run of life.unended) say("every run ends", `${run} had not ended long after the last fault`);
  for (const what of life.strays) say("no error is unforeseen", what);
  for (const what of life.left) say("nothing is left in the queues", what);
  let overshoot = 0;
  const { scenario } = life;
  const references = new Map<string, Reference>();
  const runs = new Map<string, JudgedRun>();
  for (const [run, records] of life.logs) {
    const submission = submissionOf(records)?.body;
    const submitted = submission?.workflow as WorkflowDocument | undefined;
    const workflow = submitted ?? scenario.runs.get(run)?.workflow;
    if (workflow === undefined && submission === undefined) continue;
    const reference = new Reference(workflow, scenario.language);
    references.set(run, reference);
    for (const record of records) reference.apply(record);
    runs.set(run, { run, records, reference });
    const facts = life.evidence.facts.filter((fact) => fact.run === run);
    for (const { rule, decision, what } of reference.wrongs)
      if (!life.evidence.rogueDecisions.has(decision)) say(rule, `${run}: ${what}`);
    for (const what of reference.overshoots)
      say("a budget is overshot only by what was out", `${run}: ${what}`);
    completions(run, reference, say);
    losses(run, records, reference, say);
    folds(run, records, reference, scenario.language, say);
    decisions(run, records, life, say);
    acknowledged(run, records, facts, say);
    dispatches(run, reference, facts, scenario.language.kept, isPrompt(life), say);
    claimChecks(run, records, facts, scenario.language.kept, say);
    if (submission !== undefined) {
      questions(run, reference, facts, submission, scenario.language.kept, say);
      scenario.judge?.(run, reference, submission, say);
    }
    undoing(run, reference, facts, say);
    acks(run, reference, records, facts, say);
    sequences(run, records, facts, say);
    hearing({ run, records, facts }, reference, life.evidence, life.faults.kinds.has("delay"), say);
    overshoot = Math.max(overshoot, parallel(run, reference, facts, say));
  }
  nested(runs, scenario.language, say);
  reruns(runs, scenario.language, say);
  return { wrongs, overshoot, references };
}

export function completions(run: string, reference: Reference, say: Say): void {
  for (const { id, completions } of reference.retired.values())
    if (completions > 1) say("a step completes at most once", `${run} ${id}: ${completions} times`);
  for (const { id, doc, completions, outcome, parent } of reference.steps.values()) {
    const stoodIn =
      doc.onFailure === "continue" || (doc.onFailure === "recover" && doc.fallback !== undefined);
    const closedWell = outcome === "skipped" || (outcome !== null && stoodIn);
    if (completions > 1) say("a step completes at most once", `${run} ${id}: ${completions} times`);
    // Items need not complete once somebody else has done the whole.
    if (parent !== undefined && parent.list === undefined) continue;
    if (reference.status === "done" && completions !== 1 && !closedWell)
      say("a step of a finished run has completed", `${run} ${id}: ${outcome}`);
  }
}

/** A dispatch whose task vanishes is given out anew, but not for ever. */
function losses(run: string, records: readonly LogRecord[], reference: Reference, say: Say): void {
  const inARow = new Map<string, number>();
  for (const record of records) {
    if (record.kind === "control" && record.body.verb === "retry") inARow.clear();
    if (record.kind === "result") inARow.delete(record.body.step);
    if (record.kind !== "decision" || !("step" in record.body)) continue;
    const { type, step, n } = record.body;
    // Another way to what the step gives begins anew, and so does another attempt.
    if (type === "recover" || type === "timed-out") inARow.delete(step);
    if (type !== "lost") continue;
    // One that came after the result says nothing any more.
    if (reference.openings.get(`${step}#${n}`)?.closeSeq !== record.seq) continue;
    const times = (inARow.get(step) ?? 0) + 1;
    inARow.set(step, times);
    if (times > MOST_LOSSES) say("nothing is given out for ever", `${run} ${step} was lost ${times} times`);
  }
}

/** The runtime's two ways to fold agree with the reference, and a fold in pieces with one from the start. */
export function folds(
  run: string,
  records: readonly LogRecord[],
  reference: Reference,
  language: Language,
  say: Say,
): void {
  const own = new RunFold(run);
  const actor = createActor(orchestratorLogic, { id: run, input: { run } }).start();
  const again = new Reference(reference.submitted, language);
  for (const record of records) {
    own.apply(record);
    actor.send({ type: "record", record });
    again.apply(record);
    const due = describeReference(again);
    const is = describeFold(own);
    if (is === due) continue;
    return say(
      "the fold means what the log says",
      `${run} at ${record.seq}: the fold has\n  ${is}\nnot\n  ${due}`,
    );
  }
  const live = describeFold(actor.getSnapshot().fold);
  const due = describeFold(own);
  if (live !== due) say("both folds agree", `${run}: actors have\n  ${live}\nsnapshots\n  ${due}`);
}

function describeReference({ status, epoch, steps, env, questions }: Reference): string {
  if (status === "none") return `planning ${epoch}`;
  const lines = [...steps.values()].map(
    ({ id, state, outcome, n, attempt, role }) => `${id}=${state}/${outcome}/${n}/${attempt}/${role}`,
  );
  const values = [...env].map(([key, { value, revision }]) => `${key}=${JSON.stringify(value)}@${revision}`);
  return [status, epoch, ...lines.sort(), ...values.sort(), ...questions.shown()].join(" ");
}

function describeFold(fold: RunFold): string {
  const lines = [...(fold.steps?.all() ?? [])].map(({ id }) => {
    const { state, context } = fold.step(id);
    return `${id}=${state}/${context.outcome}/${context.n}/${context.attempt}/${context.role}`;
  });
  const values = [...fold.environment.keys()].map((key) => {
    const entry = fold.environment.entry(key);
    return `${key}=${JSON.stringify(entry?.value)}@${entry?.revision}`;
  });
  const questions = fold.consultations.asked.map(({ n, task, about, round, reply }) => {
    const said = reply === undefined || "failure" in reply ? "failed" : JSON.stringify(reply.outputs);
    return `~plan#${n}=${task}/${about}/${round}/${reply === undefined ? "open" : `${reply.agent} ${said}`}`;
  });
  return [fold.status, fold.epoch, ...lines.sort(), ...values.sort(), ...questions].join(" ");
}

/** D1: who decides knew of the decision before. So nothing of an older epoch is stored after a claim. */
function decisions(run: string, records: readonly LogRecord[], life: Life, say: Say): void {
  let epoch = 0;
  for (const record of records) {
    if (record.kind !== "decision" || life.evidence.rogueDecisions.has(record.body.id)) continue;
    const { body, seq } = record;
    if (body.type === "claim" && body.epoch !== epoch + 1)
      say("decisions know their predecessor", `${run} ${seq}: epoch ${body.epoch} is claimed after ${epoch}`);
    if (body.type !== "claim" && body.epoch !== epoch)
      say(
        "decisions know their predecessor",
        `${run} ${seq}: ${body.type} of epoch ${body.epoch} in epoch ${epoch}`,
      );
    epoch = Math.max(epoch, body.epoch);
  }
}

function acknowledged(run: string, records: readonly LogRecord[], facts: readonly Fact[], say: Say): void {
  const bySeq = new Map(records.map((record) => [record.seq, record]));
  for (const fact of facts) {
    if (fact.kind !== "stored") continue;
    const record = bySeq.get(fact.seq);
    if (record?.kind !== fact.entry)
      say("what was acknowledged stays", `${run} ${fact.seq}: ${fact.entry} is gone`);
  }
}

/** No dispatch is given out before the log opened it, nor before its back-off; always with the same inputs. */
function dispatches(
  run: string,
  reference: Reference,
  facts: readonly Fact[],
  kept: KeptValues,
  /** Whether every call has its effect at once, so that a push that is seen late was not decided early. */
  prompt: boolean,
  say: Say,
): void {
  const claimedAt = new Map<string, number>();
  /** The youngest record that each party folded. */
  const folded = new Map<string, number>();
  for (const fact of facts) {
    if (fact.kind === "claimed") claimedAt.set(fact.party, fact.at);
    if (fact.kind === "folded") folded.set(fact.party, fact.seq);
    if (fact.kind !== "pushed" && fact.kind !== "ran") continue;
    const name = `${fact.step}#${fact.n}`;
    if (fact.step === QUESTIONS) continue;
    const opening = reference.openings.get(name);
    if (!opening || opening.openSeq > fact.logEnd) {
      const first = reference.openings.get(`${fact.step}#1`);
      const where = `${run} ${name} ${fact.kind} by ${fact.party} at ${fact.at.toFixed(1)}`;
      if (!first || first.openSeq > fact.logEnd) say("no step starts before its dependencies", where);
      else say("only dispatches of the log are given out", where);
      continue;
    }
    if (fact.logEnd < opening.freeSeq)
      say("a step that waits for an answer is not given out", `${run} ${name} ${fact.kind} by ${fact.party}`);
    // What the budget granted is given out, though the run paused with that.
    const granted = reference.grants.get(name) ?? Number.POSITIVE_INFINITY;
    const paused = reference.pauses.some(
      ({ from, to }) =>
        granted > from && from <= (folded.get(fact.party) ?? 0) && fact.logEnd >= from && fact.logEnd < to,
    );
    if (prompt && paused && fact.kind === "pushed")
      say("a paused run gives nothing out", `${run} ${name} by ${fact.party} at ${fact.at.toFixed(1)}`);
    if (fact.kind !== "pushed") continue;
    const unwanted = reference.unwanted.some(
      ({ step, from, to }) =>
        step.id === fact.step &&
        granted > from &&
        from <= (folded.get(fact.party) ?? 0) &&
        fact.logEnd >= from &&
        fact.logEnd < to,
    );
    if (prompt && unwanted)
      say("a step that is to be stopped is not given out", `${run} ${name} by ${fact.party}`);
    if (
      reference.budgeted &&
      !(granted <= fact.logEnd) &&
      !reference.undoing.some(({ id }) => id === fact.step)
    )
      say("a budget is kept", `${run} ${name} is given out, and the log has not granted it`);
    const [is, due] = [fact.inputs, opening.inputs].map((inputs) =>
      JSON.stringify(sorted(kept.whole(inputs) as typeof inputs)),
    );
    if (is !== due) say("a dispatch has its step's inputs", `${run} ${name}: ${is}, not ${due}`);
    if (fact.role !== opening.role || fact.attempt !== opening.attempt)
      say("a dispatch has its step's role", `${run} ${name}: ${fact.role} ${fact.attempt}`);
    const waited = fact.at + 1_700_000_000_000 - opening.openTs;
    // A holder's time goes on from its claim by its own clock: what that is ahead by since then is allowed.
    const drift = (fact.at - (claimedAt.get(fact.party) ?? 0)) * DRIFT;
    if (waited < opening.waitMs - drift - 5)
      say(
        "a retry waits for its back-off",
        `${run} ${name}: given out after ${waited} ms, not ${opening.waitMs}`,
      );
  }
}

/** What completed is undone in the reverse order, one at a time, each at least once. */
function undoing(run: string, reference: Reference, facts: readonly Fact[], say: Say): void {
  const rule = "what was done is undone in reverse order";
  const completed = [...reference.openings.values()]
    .filter(({ step, n }) => {
      const known = reference.steps.get(step) ?? reference.retired.get(step);
      const { n: last, outcome, doc, undoes } = known as ReferenceStep;
      return n === last && outcome === "completed" && doc.compensate !== undefined && undoes === undefined;
    })
    .sort((a, b) => b.closeSeq - a.closeSeq)
    .map(({ step }) => `${step}~undo`);
  const undone = reference.undoing.map(({ id }) => id);
  if (undone.length === 0) return;
  if (undone.join() !== completed.join()) say(rule, `${run}: ${undone}, not ${completed}`);
  let before = 0;
  for (const { id, n, outcome } of reference.undoing) {
    const began = facts.filter(
      (fact): fact is Fact & { kind: "ran" } => fact.kind === "ran" && fact.step === id,
    );
    if (outcome === "completed" && began.length === 0) say(rule, `${run}: nobody did ${id}`);
    // By the log and not by the clock: an answer that is late tells nothing of when the record was stored.
    for (const { logEnd } of began)
      if (logEnd < before) say(rule, `${run}: ${id} began before its elder had ended`);
    before = reference.openings.get(`${id}#${n}`)?.closeSeq ?? before;
  }
}

function isPrompt({ faults: { kinds } }: Life): boolean {
  return !(["delay", "refusal", "cut", "broker"] as const).some((kind) => kinds.has(kind));
}

function sorted(value: Record<string, unknown>): [string, unknown][] {
  return Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
}

/** A task is acked only when its result is in the log, or the dispatch was closed without it. */
function acks(
  run: string,
  reference: Reference,
  records: readonly LogRecord[],
  facts: readonly Fact[],
  say: Say,
): void {
  const stored = new Map<string, number>();
  for (const record of records) {
    if (record.kind !== "result") continue;
    const key = `${record.body.step}#${record.body.n} ${record.role}`;
    if (!stored.has(key)) stored.set(key, record.seq);
  }
  for (const fact of facts) {
    if (fact.kind !== "acked") continue;
    const name = `${fact.step}#${fact.n}`;
    const question = reference.questions.of(fact.step, fact.n);
    const opening = reference.openings.get(name) ?? question;
    // Nobody waits for an answer once the run has ended.
    const isOver = question !== undefined && reference.endings.some((seq) => seq <= fact.logEnd);
    const closed = isOver || (opening !== undefined && opening.closeSeq <= fact.logEnd);
    const hasResult = (stored.get(`${name} ${fact.role}`) ?? Number.POSITIVE_INFINITY) <= fact.logEnd;
    if (!closed && !hasResult)
      say("the result comes before the ack", `${run} ${name} acked by ${fact.party} at ${fact.at}`);
  }
}

/** Whoever folds gets the records in the log's order, each once, and none without all that came before it. */
function sequences(run: string, records: readonly LogRecord[], facts: readonly Fact[], say: Say): void {
  const before = new Map(records.map(({ seq }, at) => [seq, records[at - 1]?.seq ?? 0]));
  const sessions = new Map<string, number>();
  for (const fact of facts) {
    if (fact.kind !== "folded") continue;
    const { party, seq } = fact;
    const key = `${party} ${fact.session}`;
    const last = sessions.get(key) ?? 0;
    sessions.set(key, seq);
    if (before.get(seq) === last) continue;
    const what = `${run}: ${party} folds ${seq} after ${last}`;
    if (seq <= last) say("a log is folded in its order", what);
    else say("a log is folded without a gap", `${what}, and before it is ${before.get(seq)}`);
  }
}

/** One holder never has more out than allowed: what it took over and what it gave out itself. */
function parallel(run: string, reference: Reference, facts: readonly Fact[], say: Say): number {
  const limit = reference.workflow.maxParallel ?? 16;
  const openAt = (name: string, logEnd: number): boolean => {
    const opening = reference.openings.get(name);
    return opening !== undefined && opening.openSeq <= logEnd && opening.closeSeq > logEnd;
  };
  const own = new Map<string, Set<string>>();
  const all = new Set<string>();
  let overshoot = 0;
  for (const fact of facts) {
    if (fact.kind === "claimed") own.set(fact.party, new Set());
    if (fact.kind !== "pushed") continue;
    const name = `${fact.step}#${fact.n}`;
    const mine = own.get(fact.party) ?? new Set();
    own.set(fact.party, mine.add(name));
    all.add(name);
    const out = [...mine].filter((one) => openAt(one, fact.logEnd));
    if (out.length > limit)
      say(
        "maxParallel is kept",
        `${run}: ${fact.party} has ${out.join(", ")} out at ${fact.at}, the limit is ${limit}`,
      );
    overshoot = Math.max(overshoot, [...all].filter((one) => openAt(one, fact.logEnd)).length - limit);
  }
  return overshoot;
}
