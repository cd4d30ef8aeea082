/**
 * Moving the steps of a run, and what a move makes necessary: offers, and dispatches that are taken back.
 *
 * It owns which steps there are, where each stands and what is out. It does not own why a step moves: that is
 * the matter of the step flow, and of each kind of derived steps.
 */
import type { DispatchRef, WireError } from "../bus/messages.ts";
import type { StepEvent } from "../machines/step.ts";
import type { DerivedStep } from "../workflow/derived-step.ts";
import type { WorkflowGraph } from "../workflow/graph.ts";
import { HUMAN_ROLE, isAnswered } from "../workflow/reserved-roles.ts";
import { Cancellations } from "./cancellations.ts";
import type { FoldFrame } from "./fold-frame.ts";
import { RunSteps } from "./run-steps.ts";
import type { StepHost, StepStatus } from "./step-host.ts";
import { type StepCounts, StepLedger } from "./step-ledger.ts";
import { Waits } from "./waits.ts";

/** A dispatch that the log says is out: given to a role, perhaps started. */
export interface OpenDispatch {
  readonly ref: DispatchRef;
  /** Epoch ms of the push, by the pushing orchestrator's reckoning. */
  readonly dispatchedAt: number;
  /** Epoch ms, once an agent said so. */
  readonly startedAt: number | undefined;
}

export class StepMoves {
  readonly steps: RunSteps;
  readonly dispatches = new Map<string, OpenDispatch>();
  /** Ready steps that wait for somebody outside, and are not given out meanwhile. */
  readonly waits = new Waits();
  /** Open steps with a time-out over all attempts: epoch ms of when they became ready, or were opened again. */
  readonly clocked = new Map<string, number>();
  readonly cancellations = new Cancellations();
  /** Steps whose tasks vanished: how often in a row, without a word of an agent in between (L8). */
  readonly losses = new Map<string, number>();
  readonly #frame: FoldFrame;
  readonly #ledger: StepLedger;
  readonly #notBefore = new Map<string, number>();

  constructor(graph: WorkflowGraph, host: StepHost, frame: FoldFrame) {
    this.steps = new RunSteps(graph);
    this.#frame = frame;
    this.#ledger = new StepLedger(this.steps, host, frame.observer);
  }

  get counts(): Readonly<StepCounts> {
    return this.#ledger.counts;
  }

  get ready(): ReadonlySet<string> {
    return this.#ledger.ready;
  }

  notBefore(id: string): number {
    return this.#notBefore.get(id) ?? 0;
  }

  /** @throws NotFoundError */
  read(id: string): StepStatus {
    return this.#ledger.read(id);
  }

  move(id: string, event: StepEvent, text: string, ts = this.#frame.ts): StepStatus {
    const after = this.#ledger.move(id, event, { seq: this.#frame.seq, ts, text });
    if (this.waits.used && after.state !== "ready") this.waits.end(id);
    if (this.cancellations.wanted.size > 0 && (after.state === "done" || after.state === "failed"))
      this.cancellations.forget(id);
    if (this.clocked.size > 0 && (after.state === "done" || after.state === "failed"))
      this.clocked.delete(id);
    if (this.losses.size > 0 && event.type !== "lose" && event.type !== "start") this.losses.delete(id);
    return after;
  }

  /** The step's task is gone without a result: it may be given out again. */
  lose(id: string, cause: string): void {
    this.dispatches.delete(id);
    this.losses.set(id, (this.losses.get(id) ?? 0) + 1);
    this.move(id, { type: "lose" }, cause);
    this.offer(id, 0);
  }

  /** A waiting step was approved: it may be given out. */
  approve(id: string, cause: string): void {
    this.waits.approve(id);
    this.#ledger.note(id, "approve", { seq: this.#frame.seq, ts: this.#frame.ts, text: cause });
    this.offer(id, 0);
  }

  /** Adds a step that is made from one of the document; it begins as pending. */
  make(step: DerivedStep): void {
    this.steps.add(step);
    this.#ledger.countNew();
  }

  /** The document's steps are those of another graph from now on. */
  revise(graph: WorkflowGraph): void {
    this.steps.revise(graph);
    this.#ledger.recount();
    this.#frame.effects.push({ type: "revised" });
  }

  /** The step may be given out. @param notBefore epoch ms; 0: at once */
  offer(id: string, notBefore: number): void {
    if (this.steps.step(id).timeouts?.stepMs !== undefined && !this.clocked.has(id))
      this.clocked.set(id, this.#frame.ts);
    // Wanted stopped before its turn came: now it has come, and nothing of it is out.
    if (this.cancellations.wanted.has(id)) return void this.#frame.effects.push({ type: "stop", step: id });
    if (this.#mustWait(id)) return this.#wait(id);
    if (notBefore > 0) this.#notBefore.set(id, notBefore);
    else this.#notBefore.delete(id);
    this.#frame.effects.push({ type: "offer", step: id });
  }

  #mustWait(id: string): boolean {
    if (isAnswered(this.read(id).context.role) || this.waits.isAsked(id)) return true;
    return this.steps.step(id).approval && !this.waits.isApproved(id);
  }

  /** W1: the step is ready, and stands there until somebody outside says something. */
  #wait(id: string): void {
    const { n, role, task } = this.read(id).context;
    const answered = role === HUMAN_ROLE ? "human" : "signal";
    const kind = this.waits.isAsked(id) ? "failure" : isAnswered(role) ? answered : "approval";
    this.waits.begin({ step: id, n, kind, task, since: this.#frame.ts });
    this.#frame.effects.push({ type: "wait", step: id });
  }

  /** The dispatch is over without its holder's word. */
  withdraw(id: string, reason: string): void {
    const { context } = this.read(id);
    this.dispatches.delete(id);
    const ref = { run: this.#frame.run, step: id, n: context.n, role: context.role };
    this.#frame.effects.push({ type: "withdraw", ref, reason });
  }

  /** Closes a step as cancelled of which nothing is out any more. */
  closeCancelled(id: string, cause: string, error?: WireError): void {
    this.dispatches.delete(id);
    this.move(id, error ? { type: "cancel", error } : { type: "cancel" }, cause);
  }

  /** Cancels a step that is open, taking back what is out. */
  cancel(id: string, cause: string, error?: WireError): void {
    const { state } = this.read(id);
    if (state === "done" || state === "failed") return;
    if (state !== "pending") this.withdraw(id, cause);
    this.move(id, error ? { type: "cancel", error } : { type: "cancel" }, cause);
  }
}
