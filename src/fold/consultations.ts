/**
 * Questions of a run to a planner that is an agent of its swarm, and their answers.
 *
 * It owns which questions are open. What an answer may change is judged when the decision about the plan is made;
 * an answer by itself changes nothing. Because questions and answers are in the log, whoever takes a run over
 * goes on with the answer that is there, or waits for it, and asks nothing twice.
 *
 *  - Q1 The first answer of the planner's role closes a question, as does the decision that it came too late (L4).
 *  - Q2 A run asks at most `MAX_CONSULTATIONS` questions (L8).
 */
import type { DecisionMessage } from "../bus/decisions.ts";
import type { DispatchRef, ResultMessage } from "../bus/messages.ts";
import { PLAN_REF, PLANNER_ROLE, type PlannerTask } from "../workflow/planner-task.ts";
import type { FoldFrame } from "./fold-frame.ts";
import type { RunCourse } from "./run-course.ts";
import type { Spending } from "./spending.ts";

/** Of one run, corrections of refused answers included. */
export const MAX_CONSULTATIONS = 64;

export type ConsultationReply =
  | { readonly agent: string; readonly outputs: Readonly<Record<string, unknown>> }
  | { readonly agent: string | null; readonly failure: string };

export interface Consultation {
  readonly n: number;
  readonly task: PlannerTask;
  /** What it is about; with `round`, the same after a failover. */
  readonly about: string;
  /** 1, and one more for each correction. */
  readonly round: number;
  /** Epoch ms. */
  readonly askedAt: number;
  /** Undefined while it is open. */
  readonly reply: ConsultationReply | undefined;
}

export class Consultations {
  readonly #asked: Consultation[] = [];
  readonly #frame: FoldFrame;
  readonly #course: RunCourse;
  readonly #spending: Spending;

  constructor(frame: FoldFrame, course: RunCourse, spending: Spending) {
    this.#frame = frame;
    this.#course = course;
    this.#spending = spending;
  }

  /** Oldest first; the n-th has the number n. */
  get asked(): readonly Consultation[] {
    return this.#asked;
  }

  find(about: string, round: number): Consultation | undefined {
    return this.#asked.find((one) => one.about === about && one.round === round);
  }

  isOpen({ role, n }: Pick<DispatchRef, "role" | "n">): boolean {
    const one = this.#asked[n - 1];
    return role === PLANNER_ROLE && one !== undefined && one.reply === undefined && !this.#course.ended;
  }

  /** Returns why the decision does not apply, or undefined. */
  ask(decision: DecisionMessage & { type: "consult" }): string | undefined {
    const { n, task, about, round, at, errors = [] } = decision;
    if (n !== this.#asked.length + 1) return `the next question is ${this.#asked.length + 1}`;
    if (n > MAX_CONSULTATIONS) return `a run asks at most ${MAX_CONSULTATIONS} questions`;
    if (this.find(about, round) !== undefined) return "the same was asked before";
    this.#asked.push({ n, task, about, round, askedAt: at, reply: undefined });
    const again = round === 1 ? "" : `, again, because ${errors.join("; ")}`;
    this.#course.note(this.#course.status, "consult", `question ${n}: ${task}${again}`);
    return undefined;
  }

  /** Nobody answered in time. Returns why the decision does not apply, or undefined. */
  leave({ n, afterMs }: DecisionMessage & { type: "timed-out" }): string | undefined {
    if (!this.isOpen({ role: PLANNER_ROLE, n })) return `question ${n} is not open`;
    const failure = `it gave no answer within ${afterMs} ms`;
    this.#close(n, { agent: null, failure }, `question ${n}: ${failure}`);
    return undefined;
  }

  /** An answer changes nothing by itself: whoever asked makes a decision of it, or does not. */
  answer(role: string, result: ResultMessage): void {
    const { n, agent, status, error } = result;
    if (this.isOpen({ role, n })) {
      this.#spending.report(result);
      const what = status === "done" ? "answered" : `could not answer: ${error?.message ?? status}`;
      return this.#close(n, replyOf(result), `the planner ${agent} ${what}`);
    }
    const isLate = role === PLANNER_ROLE && this.#asked.length >= n;
    // It changes nothing any more, and yet it was paid for.
    if (isLate) this.#spending.report(result);
    const what = `answer to question ${n} by ${agent}: the question is not open`;
    this.#frame.void(isLate ? "late" : "foreign", null, what);
  }

  /** Q1 */
  #close(n: number, reply: ConsultationReply, cause: string): void {
    const open = this.#asked[n - 1];
    if (open !== undefined) this.#asked[n - 1] = { ...open, reply };
    this.#course.note(this.#course.status, "consulted", cause);
    this.#frame.effects.push({ type: "consulted" });
  }
}

function replyOf({ agent, status, outputs = {}, error }: ResultMessage): ConsultationReply {
  if (status === "done") return { agent, outputs };
  return { agent, failure: error?.message ?? "it handed its question on, which nobody may" };
}

export const isConsultation = ({ step }: { readonly step: string }): boolean => step === PLAN_REF;
