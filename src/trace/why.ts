/**
 * The story of one step in sentences, each with the log sequence that it rests on: why it waited, ran, failed,
 * was tried again, handed off, skipped or left out.
 */
import type { RunFold } from "../fold/run-fold.ts";
import type { TransitionRecord } from "../fold/transition-record.ts";
import { waitText, waitViewOf } from "../fold/wait-view.ts";
import { stepLabel } from "../workflow/derived-step.ts";
import type { WorkflowStep } from "../workflow/document.ts";
import { masked } from "../workflow/secrets.ts";
import { itemsOf, letGoBy } from "./critical-path.ts";
import { type Dispatch, dispatchTime } from "./dispatches.ts";
import { formatDuration } from "./duration.ts";
import { assertStep, endOf, type Trace } from "./replay.ts";
import { oneLine } from "./text-width.ts";
import { spentText } from "./view.ts";

/** One sentence. */
export interface Reason {
  text: string;
  /** The log sequence that says so; null for what follows from the workflow, or from nothing having happened. */
  seq: number | null;
}

/** Waiting below this is how long messages take, and not worth a sentence. */
const WORTH_A_SENTENCE_MS = 10;

/**
 * @param trace of the whole run: a step's reasons lie with others
 * @param now epoch ms
 * @throws NotFoundError for a step that the run has not
 */
export function whyStep(trace: Trace, step: string, now = endOf(trace)): Reason[] {
  const { fold } = trace;
  const isThere = fold.steps?.has(step) === true || fold.retired.has(step);
  const reasons = isThere ? new StepStory(trace, step, now).tell() : neverBegun(fold, step);
  return masked(fold.secrets, reasons);
}

/** Of a step that a revision of the plan left out before its turn came, nothing else is known. @throws NotFoundError */
function neverBegun(fold: RunFold, step: string): Reason[] {
  const left = fold.revisions.findLast(({ dropped }) => dropped.includes(step));
  if (left === undefined) assertStep(fold, step);
  const planned = fold.plan?.reasons[step];
  return [
    ...(planned === undefined
      ? []
      : [{ text: sentence(`The planner had put it there: ${oneLine(planned)}`), seq: null }]),
    ...(left === undefined
      ? []
      : [
          {
            text: sentence(
              `Revision ${left.number} of the plan left it out before it began: ${oneLine(left.reason)}`,
            ),
            seq: left.seq,
          },
        ]),
  ];
}

/** What is quoted at the end may be a sentence already. */
const sentence = (text: string): string => (/[.!?]$/.test(text) ? text : `${text}.`);

class StepStory {
  readonly #trace: Trace;
  readonly #step: string;
  readonly #now: number;
  readonly #reasons: Reason[] = [];
  readonly #moves: readonly TransitionRecord[];
  readonly #spans: readonly Dispatch[];

  constructor(trace: Trace, step: string, now: number) {
    this.#trace = trace;
    this.#step = step;
    this.#now = now;
    this.#moves = trace.transitions.filter(({ actor }) => actor === step);
    this.#spans = trace.dispatches.filter((span) => span.step === step);
  }

  tell(): Reason[] {
    this.#place();
    this.#dependencies();
    for (const [index, span] of this.#spans.entries()) this.#dispatch(span, this.#spans[index + 1]);
    this.#end();
    for (const { number, seq, reason, dropped } of this.#trace.fold.revisions) {
      if (dropped.includes(this.#step))
        this.#say(`Revision ${number} of the plan left it out: ${oneLine(reason)}.`, seq);
    }
    for (const { seq, step, verdict, reason } of this.#trace.voids) {
      if (step === this.#step)
        this.#say(`What came at this point changed nothing (${verdict}): ${oneLine(reason)}.`, seq);
    }
    return this.#reasons;
  }

  /** As the workflow has it, or had it before a revision left it out. */
  get #definition(): WorkflowStep | undefined {
    const { steps, retired } = this.#trace.fold;
    return steps?.has(this.#step) ? steps.step(this.#step) : retired.get(this.#step);
  }

  #say(text: string, seq: number | null = null): void {
    this.#reasons.push({ text: sentence(text.replace(/\.$/, "")), seq });
  }

  #place(): void {
    const { fold } = this.#trace;
    const name = stepLabel(this.#step);
    const { context } = fold.step(this.#step);
    // As the workflow says: by a handoff or a recovery another role may have it now.
    const { agent: role = context.role, task = context.task, origin } = this.#definition ?? {};
    const made = origin?.kind === "undo" ? ", which undoes " : ", made from ";
    const from = origin === undefined ? "" : `${made}${origin.of}`;
    this.#say(`${name} is task ${task} of role ${role}${from}.`);
    const reason = fold.plan?.reasons[this.#step];
    if (reason !== undefined) this.#say(`The planner put it there: ${oneLine(reason)}.`);
    for (const { number, seq, reason: why, added } of fold.revisions) {
      if (added.includes(this.#step))
        this.#say(`Revision ${number} of the plan added it: ${oneLine(why)}.`, seq);
    }
    const kept = fold.submission?.origin?.steps.some(({ step }) => step === this.#step);
    if (kept) this.#say(`Its result was taken over from run ${fold.submission?.origin?.run}.`);
  }

  #dependencies(): void {
    const { fold } = this.#trace;
    const sources = letGoBy(this.#trace.fold, this.#step);
    const [first] = this.#moves;
    if (first === undefined) {
      if (fold.submission?.origin?.steps.some(({ step }) => step === this.#step)) return;
      const open = sources.filter((id) => !fold.isClosed(id));
      const standing = open.map((id) => `${id} (${fold.step(id).context.outcome ?? fold.step(id).state})`);
      if (fold.ended)
        this.#say(`It never began: the run ended as ${fold.status} before it could.`, fold.lastSeq);
      else if (open.length > 0) this.#say(`It waits for ${list(standing)}.`);
      return;
    }
    if (sources.length === 0 || first.from !== "pending") return;
    if (this.#definition?.origin?.kind === "undo") {
      const after = formatDuration(first.ts - (fold.startedAt ?? first.ts));
      this.#say(`It began ${after} after the start of the run: ${oneLine(first.cause)}.`, first.seq);
      return;
    }
    const last = sources.length > 1 ? this.#lastToClose(sources, first.seq) : undefined;
    const waited = formatDuration(first.ts - (fold.startedAt ?? first.ts));
    const due = last === undefined ? "" : `; the last of them was ${last.actor}, which was ${last.to} then`;
    this.#say(`It waited ${waited} from the start of the run for ${list(sources)}${due}.`, first.seq);
  }

  /** The transition that let the step go. */
  #lastToClose(sources: readonly string[], upTo: number): TransitionRecord | undefined {
    const wanted = new Set(sources);
    let last: TransitionRecord | undefined;
    for (const move of this.#trace.transitions) {
      if (move.seq > upTo) break;
      if (wanted.has(move.actor) && (move.to === "done" || move.to === "failed")) last = move;
    }
    return last;
  }

  #dispatch(span: Dispatch, next: Dispatch | undefined): void {
    const { n, attempt, role, agent, cause } = span;
    if (span.fannedOut) return this.#fannedOut(span);
    const time = dispatchTime(span, this.#now, this.#trace.halts);
    const before = this.#spans[n - 2];
    if (before?.endedAt !== undefined && before.endedSeq !== span.readySeq)
      this.#say(
        `It was opened again after ${formatDuration(span.readyAt - before.endedAt)}: ${oneLine(this.#openedBy(span))}.`,
        span.readySeq,
      );
    const which = n === 1 ? "It" : `Dispatch ${n}${attempt > 1 ? ` (attempt ${attempt})` : ""}`;
    const { maxParallel } = this.#trace.fold.graph ?? {};
    const waits: string[] = [];
    const took = (ms: number, what: string) => {
      if (ms >= WORTH_A_SENTENCE_MS) waits.push(`${formatDuration(ms)} ${what}`);
    };
    if (span.waitsFor !== undefined)
      took(time.outsideMs, `for ${waitText(this.#step, { for: span.waitsFor, task: span.task })}`);
    took(time.backOffMs, "for its back-off");
    took(time.pausedMs, "while the run was paused");
    took(time.slotMs, `for one of the run's ${maxParallel} places`);
    took(time.daemonMs, "until it was given out");
    took(time.agentMs, `for an agent of role ${role}`);
    const isWaiting = span.startedAt === undefined && span.endedAt === undefined;
    // What an open step waits for from outside is told as where it stands.
    if (waits.length > 0 && !(isWaiting && span.waitsFor !== undefined))
      this.#say(`${which} ${isWaiting ? "has waited" : "waited"} ${list(waits)}.`, span.readySeq);
    if (span.waitsFor !== undefined && span.answeredAt === span.startedAt && span.startedAt !== undefined) {
      this.#say(`${agent ?? "Somebody"} answered.`, span.endedSeq ?? null);
    } else if (span.startedAt !== undefined) {
      const ran = span.endedAt === undefined ? `has run it for` : `ran it for`;
      this.#say(`${agent ?? "Somebody"} ${ran} ${formatDuration(time.runMs)}.`, span.endedSeq ?? null);
    }
    switch (span.end) {
      case undefined:
      case "complete":
        return;
      case "fail":
        return this.#say(
          `That failed: ${this.#failureOf(span)}.${this.#afterFailure(next)}`,
          span.endedSeq ?? null,
        );
      case "time out":
        return this.#say(
          `It timed out: ${oneLine(cause)}.${this.#afterFailure(next)}`,
          span.endedSeq ?? null,
        );
      case "hand off":
        return this.#say(`It was ${oneLine(cause)}.`, span.endedSeq ?? null);
      case "lose":
        return this.#say(
          `That dispatch was lost, so it was given out again: ${oneLine(cause)}.`,
          span.endedSeq ?? null,
        );
      default:
        return this.#say(`That ended: ${oneLine(cause)}.`, span.endedSeq ?? null);
    }
  }

  #openedBy({ readySeq, cause }: Dispatch): string {
    return this.#moves.find(({ seq, to }) => seq === readySeq && to === "ready")?.cause ?? cause;
  }

  #fannedOut(span: Dispatch): void {
    const { fold } = this.#trace;
    const states = itemsOf(fold, this.#step).map((id) => fold.step(id).state);
    const [done, failed] = ["done", "failed"].map((state) => states.filter((one) => one === state).length);
    const lost = failed === 0 ? "" : `, ${failed} failed`;
    this.#say(`It fanned out over ${states.length} items: ${done} done${lost}.`, span.readySeq);
  }

  #failureOf({ n, cause }: Dispatch): string {
    const failure = this.#trace.fold.step(this.#step).context.failures.find((one) => one.n === n);
    if (failure === undefined) return oneLine(cause);
    const { name, code, message, retryable } = failure.error;
    return `${code ?? name}: ${oneLine(message)}${retryable ? "" : " (not retryable)"}`;
  }

  #afterFailure(next: Dispatch | undefined): string {
    if (next === undefined) return "";
    return next.attempt > 1
      ? ` It was tried again, as attempt ${next.attempt}.`
      : ` It went on: ${oneLine(next.cause)}.`;
  }

  #end(): void {
    const { fold } = this.#trace;
    const { state, context } = fold.step(this.#step);
    const last = this.#moves.at(-1);
    if (last === undefined) return;
    if (context.outcome === "skipped") {
      this.#say(`It was skipped: ${oneLine(last.cause)}.`, last.seq);
      return;
    }
    if (context.outcome === null) {
      const waiting = waitViewOf(fold, this.#step);
      const since = formatDuration(this.#now - last.ts);
      const what = waiting === undefined ? state : `waiting for ${waitText(this.#step, waiting)}`;
      this.#say(`It has been ${what} for ${since}: ${oneLine(last.cause)}.`, last.seq);
      return;
    }
    const spent = fold.spending.of(this.#step);
    const cost =
      spent === undefined || spent.tokens + spent.usd === 0 ? "" : `, having spent ${spentText(spent)}`;
    const took = formatDuration(last.ts - (this.#spans[0]?.readyAt ?? last.ts));
    const tries = context.attempt > 1 ? ` at attempt ${context.attempt}` : "";
    this.#say(`It ended as ${context.outcome}${tries}, ${took} after it became ready${cost}.`, last.seq);
    if (state === "failed") this.#consequence();
    const keys = this.#trace.writes.filter(({ writer }) => writer.step === this.#step);
    if (keys.length > 0) {
      const written = [...new Map(keys.map(({ key, revision }) => [key, revision]))];
      this.#say(`It wrote ${list(written.map(([key, revision]) => `${key} (revision ${revision})`))}.`);
    }
  }

  #consequence(): void {
    const { fold } = this.#trace;
    const { onFailure } = this.#definition ?? {};
    if (onFailure === "continue") this.#say("The run went on without it, as its onFailure says.");
    else if (fold.error?.step === this.#step) this.#say(`With it the run failed: ${fold.error.code}.`);
  }
}

function list(words: readonly string[]): string {
  const shown = words.length > 6 ? [...words.slice(0, 5), `${words.length - 5} more`] : words;
  return shown.length < 2 ? shown.join("") : `${shown.slice(0, -1).join(", ")} and ${shown.at(-1)}`;
}
