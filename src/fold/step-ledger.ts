/**
 * Where every step of a run stands: the step machines, how many are in which state, and which are ready.
 *
 * It owns moving a step and telling the observer; it does not own why a step moves. The cost of a move does
 * not depend on the number of steps.
 */
import { type StepEvent, type StepInput, type StepState, stepLogic } from "../machines/step.ts";
import type { RunSteps } from "./run-steps.ts";
import { type StepHost, type StepStatus, statusOf } from "./step-host.ts";
import type { FoldObserver } from "./transition-record.ts";

/** How many steps of a run are in which state. */
export type StepCounts = Record<StepState, number> & { total: number };

/** The record that a move follows from. */
export interface Cause {
  seq: number;
  /** Epoch ms of the move. */
  ts: number;
  /** In words. */
  text: string;
}

export class StepLedger {
  readonly #host: StepHost;
  readonly #steps: RunSteps;
  readonly #observer: FoldObserver;
  readonly #ready = new Set<string>();
  #counts: StepCounts;

  constructor(steps: RunSteps, host: StepHost, observer: FoldObserver) {
    this.#steps = steps;
    this.#host = host;
    this.#observer = observer;
    this.#counts = { total: steps.size, pending: steps.size, ready: 0, running: 0, done: 0, failed: 0 };
  }

  /** Counts anew: other steps are the run's now. Those that left have been closed before. */
  recount(): void {
    this.#counts = { total: this.#steps.size, pending: 0, ready: 0, running: 0, done: 0, failed: 0 };
    for (const { id } of this.#steps.all()) this.#counts[this.#host.read(id)?.state ?? "pending"] += 1;
  }

  get counts(): Readonly<StepCounts> {
    return this.#counts;
  }

  /** In the order in which they became ready. */
  get ready(): ReadonlySet<string> {
    return this.#ready;
  }

  /** Counts a step that was just made. */
  countNew(): void {
    this.#counts.total += 1;
    this.#counts.pending += 1;
  }

  /** @throws NotFoundError when the run has no such step. */
  read(id: string): StepStatus {
    return this.#host.read(id) ?? statusOf(stepLogic.initial(this.#inputOf(id)));
  }

  move(id: string, event: StepEvent, cause: Cause): StepStatus {
    const before = this.#host.read(id);
    const from = before?.state ?? "pending";
    const after = this.#host.send(id, event, () => this.#inputOf(id));
    if (after.state !== from) this.#tell(id, event, cause, before, after);
    if (after.context.n !== (before?.context.n ?? 0)) this.#tellDispatch(id, cause, after);
    return after;
  }

  #tell(id: string, event: StepEvent, cause: Cause, before: StepStatus | undefined, after: StepStatus): void {
    const from = before?.state ?? "pending";
    this.#counts[from] -= 1;
    this.#counts[after.state] += 1;
    if (after.state === "ready") this.#ready.add(id);
    else this.#ready.delete(id);
    // A step that becomes ready opens its next dispatch; every other move is about the one it had.
    const about = after.state === "ready" ? after.context : before?.context;
    this.#observer.onTransition?.({
      seq: cause.seq,
      ts: cause.ts,
      actor: id,
      kind: "step",
      from,
      to: after.state,
      event: event.type,
      n: about?.n ?? 0,
      attempt: about?.attempt ?? 1,
      agent: after.context.agent ?? before?.context.agent ?? null,
      cause: cause.text,
    });
  }

  #tellDispatch(id: string, { seq, ts, text }: Cause, { context }: StepStatus): void {
    const { n, attempt, role, task } = context;
    this.#observer.onDispatch?.({ seq, ts, step: id, n, attempt, role, task, cause: text });
  }

  /** Tells the observer of something that happened to a step and left it where it stands. */
  note(id: string, event: string, cause: Cause): void {
    const { state, context } = this.read(id);
    this.#observer.onTransition?.({
      seq: cause.seq,
      ts: cause.ts,
      actor: id,
      kind: "step",
      from: state,
      to: state,
      event,
      n: context.n,
      attempt: context.attempt,
      agent: context.agent,
      cause: cause.text,
    });
  }

  #inputOf(id: string): StepInput {
    const step = this.#steps.step(id);
    return { id, role: step.agent, task: step.task, maxAttempts: step.retry.maxAttempts };
  }
}
