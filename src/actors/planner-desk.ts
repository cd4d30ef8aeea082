/**
 * Where a run asks a planner that is an agent of its swarm: a task in the role's queue, like any other work.
 *
 * It owns asking and how long an answer is waited for. It does not own what is asked (the planner agent's port
 * does), nor what an answer changes. Question and answer are in the run's log (L1): a daemon that takes the run over
 * asks the same again and gets the answer that is there, or waits for the rest of the time (L2).
 */
import type { TaskMessage } from "../bus/messages.ts";
import { type Consultation, type ConsultationReply, MAX_CONSULTATIONS } from "../fold/consultations.ts";
import { PLAN_REF, PLANNER_ROLE, type PlannerTask } from "../workflow/planner-task.ts";
import type { Proposal } from "./decision-writer.ts";
import type { Dispatcher } from "./dispatcher.ts";
import type { HoldFrame } from "./hold-frame.ts";

export interface DeskQuestion {
  readonly task: PlannerTask;
  /** What it is about; with `round`, the same after a failover. */
  readonly about: string;
  /** From 1; one more for each correction. */
  readonly round: number;
  /** What was wrong with the answer before. */
  readonly errors: readonly string[];
  readonly inputs: Record<string, unknown>;
  readonly timeoutMs: number;
}

/** Asks the swarm's planner. Always resolves, in bounded time. */
export interface PlannerDesk {
  ask(question: DeskQuestion): Promise<ConsultationReply>;
}

/** Questions that were left unanswered until their time was over; then a run asks no more. */
const MAX_SILENCES = 2;

export class RunPlannerDesk implements PlannerDesk {
  readonly #frame: HoldFrame;
  readonly #dispatcher: Dispatcher;
  readonly #waiting = new Set<() => void>();

  constructor(frame: HoldFrame, dispatcher: Dispatcher) {
    this.#frame = frame;
    this.#dispatcher = dispatcher;
  }

  /** A question got its answer, or was given up. */
  consulted(): void {
    for (const wake of [...this.#waiting]) wake();
  }

  async ask(question: DeskQuestion): Promise<ConsultationReply> {
    const { run, fold } = this.#frame;
    const { about, round, inputs, timeoutMs } = question;
    if (fold.consultations.find(about, round) === undefined) {
      const { asked } = fold.consultations;
      const silences = asked.filter(({ reply }) => reply?.agent === null).length;
      if (silences >= MAX_SILENCES) return refusal(`it left ${silences} questions of this run unanswered`);
      if (asked.length >= MAX_CONSULTATIONS)
        return refusal(`this run has asked ${MAX_CONSULTATIONS} questions, the most that is allowed`);
      await this.#frame.propose(() => this.#proposal(question));
    }
    const found = fold.consultations.find(about, round);
    if (found === undefined) return refusal("the run went on without it");
    if (found.reply !== undefined) return found.reply;
    const traceparent = this.#frame.spanIds?.runTraceparent;
    const task = taskOf(run, found, inputs, found.askedAt + timeoutMs);
    void this.#dispatcher.push(traceparent === undefined ? task : { ...task, traceparent });
    return this.#answer(found, timeoutMs);
  }

  #proposal({ task, about, round, errors }: DeskQuestion): Proposal | undefined {
    const { ended, consultations } = this.#frame.fold;
    if (ended || consultations.find(about, round) !== undefined) return undefined;
    const n = consultations.asked.length + 1;
    return { type: "consult", n, task, about, round, ...(errors.length > 0 && { errors: [...errors] }) };
  }

  async #answer({ n, about, round, askedAt }: Consultation, timeoutMs: number): Promise<ConsultationReply> {
    const frame = this.#frame;
    const { run, fold } = frame;
    const ref = { run, step: PLAN_REF, n, role: PLANNER_ROLE };
    const isOpen = () => fold.isOpen(ref) && !frame.over;
    const dueAt = askedAt + timeoutMs;
    while (isOpen() && frame.now() < dueAt) await this.#news(dueAt - frame.now());
    if (isOpen()) {
      // Its live copy may be lost.
      await frame.sync();
      const late = { type: "timed-out", step: PLAN_REF, n, code: "E_NO_ANSWER", afterMs: timeoutMs } as const;
      await frame.propose(() => (fold.isOpen(ref) ? late : undefined));
      void this.#dispatcher.takeBack(ref, false, "the plan was made without it");
    }
    return fold.consultations.find(about, round)?.reply ?? refusal("the run went on without it");
  }

  async #news(delayMs: number): Promise<void> {
    let wake = (): void => {};
    const woken = new Promise<void>((resolve) => {
      wake = resolve;
    });
    this.#waiting.add(wake);
    await Promise.race([woken, this.#frame.pause(delayMs)]);
    this.#waiting.delete(wake);
  }
}

const refusal = (failure: string): ConsultationReply => ({ agent: null, failure });

function taskOf(
  run: string,
  { n, task, round }: Consultation,
  inputs: Record<string, unknown>,
  deadline: number,
): TaskMessage {
  return {
    v: 1,
    run,
    step: PLAN_REF,
    n,
    role: PLANNER_ROLE,
    task,
    inputs,
    attempt: round,
    idempotencyKey: `${run}:${PLAN_REF}:${n}`,
    deadline,
    outputs: [],
    handoff: { from: [] },
  };
}
