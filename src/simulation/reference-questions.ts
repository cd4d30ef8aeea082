/**
 * What a run asks the planner of its swarm, said a second time: which questions are open, and which answer counts.
 *
 * An answer is the first one of the planner's role while its question is open; what comes later says nothing.
 */
import type { DecisionMessage } from "../bus/decisions.ts";
import type { ResultMessage } from "../bus/messages.ts";

/** Stands in a dispatch where other tasks have their step. */
export const QUESTIONS = "~plan";
const ANSWERING_ROLE = "planner";
const MOST_QUESTIONS = 64;

export interface ReferenceQuestion {
  readonly n: number;
  readonly task: string;
  readonly about: string;
  readonly round: number;
  readonly openSeq: number;
  readonly openTs: number;
  /** Infinity while it is open. */
  closeSeq: number;
  closeTs: number;
  /** Who closed it: an agent, or nobody in time; undefined while it is open. */
  by: string | null | undefined;
  /** What it was answered with; undefined: nothing that could be a plan. */
  outputs: Record<string, unknown> | undefined;
}

export class ReferenceQuestions {
  readonly asked: ReferenceQuestion[] = [];
  #seq = 0;
  #ts = 0;

  /** Begins the next record. */
  at(seq: number, ts: number): void {
    this.#seq = seq;
    this.#ts = ts;
  }

  /** The question that a dispatch puts to the planner. */
  of(step: string, n: number): ReferenceQuestion | undefined {
    return step === QUESTIONS ? this.asked[n - 1] : undefined;
  }

  ask({ n, task, about, round }: DecisionMessage & { type: "consult" }): void {
    const isKnown = this.asked.some((one) => one.about === about && one.round === round);
    if (n !== this.asked.length + 1 || n > MOST_QUESTIONS || isKnown) return;
    const open = { closeSeq: Number.POSITIVE_INFINITY, closeTs: Number.POSITIVE_INFINITY };
    const at = { openSeq: this.#seq, openTs: this.#ts };
    this.asked.push({ n, task, about, round, ...at, ...open, by: undefined, outputs: undefined });
  }

  /** Nobody answered in time. */
  leave(n: number): void {
    this.#close(n, null, undefined);
  }

  /** @returns whether it was of somebody who may answer, in time or not */
  answer(role: string, { n, agent, status, outputs = {} }: ResultMessage, isOver: boolean): boolean {
    if (role !== ANSWERING_ROLE || n > this.asked.length) return false;
    if (!isOver) this.#close(n, agent, status === "done" ? outputs : undefined);
    return true;
  }

  #close(n: number, by: string | null, outputs: ReferenceQuestion["outputs"]): void {
    const question = this.asked[n - 1];
    if (question === undefined || question.by !== undefined) return;
    Object.assign(question, { by, outputs, closeSeq: this.#seq, closeTs: this.#ts });
  }

  /** In one line, for comparing. */
  shown(): string[] {
    return this.asked.map(({ n, task, about, round, by, outputs }) => {
      const reply = outputs === undefined ? "failed" : JSON.stringify(outputs);
      return `${QUESTIONS}#${n}=${task}/${about}/${round}/${by === undefined ? "open" : `${by} ${reply}`}`;
    });
  }
}
