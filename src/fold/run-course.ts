/**
 * The course of a run as a whole: its status, why it is paused, what it fails with, and the end it comes to.
 *
 * It owns the run machine's moves and what an end consists of. It does not own the steps (the step flow does)
 * nor which record may change anything: controls, decisions and results are judged where they are folded.
 *
 *  - G1 A run that wants to spend what it may not pauses, or fails. One that wants nothing more just ends. What a
 *    nested run waits for (W3) is wanted, too.
 */
import type { FetchedValues } from "../bus/claim-check.ts";
import type { DecisionMessage, RunError } from "../bus/decisions.ts";
import { hasEnded, type RunEvent, type RunState } from "../machines/run.ts";
import type { BudgetLimits } from "../workflow/budget.ts";
import { stepLabel } from "../workflow/derived-step.ts";
import { ORCHESTRATOR_ROLE } from "../workflow/reserved-roles.ts";
import { deliverSignals } from "./answers.ts";
import type { Draws, WaitBelow } from "./draws.ts";
import type { FoldFrame } from "./fold-frame.ts";
import { excessText, type RunBudget } from "./run-budget.ts";
import type { RunEnd } from "./run-end.ts";
import { RunStatusHost } from "./run-status-host.ts";
import type { StepFlow } from "./step-flow.ts";

/** Why a run is paused. */
export interface RunPause extends RunError {
  /** The run above at whose limit it waits. */
  readonly above?: string;
}

export class RunCourse {
  /** Undefined until there is a valid workflow. */
  flow: StepFlow | undefined;
  /** Undefined when the run may spend what it likes. */
  budget: RunBudget | undefined;
  /** Who holds the run: the run's moves are theirs. */
  holder: string | undefined;
  /** Why there is no workflow, or why the run as a whole fails. */
  failure: RunError | undefined;
  cancelRequested: { by: string; reason: string } | undefined;
  /** Epoch ms of the submission; undefined: it was not submitted. */
  startedAt: number | undefined;
  /** Epoch ms from which the run's own time-out counts: its submission, or the retry that opened it again. */
  timedFrom: number | undefined;
  readonly #frame: FoldFrame;
  readonly #draws: Draws;
  readonly #status = new RunStatusHost();
  #pause: RunPause | undefined;
  /** How the run will end once what it did is undone. */
  #givenUp: RunEnd | undefined;
  #outputs: Record<string, unknown> = {};
  #error: RunError | undefined;
  #endedAt: number | undefined;
  #rested = false;

  constructor(frame: FoldFrame, draws: Draws) {
    this.#frame = frame;
    this.#draws = draws;
  }

  get status(): RunState {
    return this.#status.state;
  }
  get ended(): boolean {
    return hasEnded(this.status);
  }
  /** Nothing happens until somebody outside says something, unless what is out comes back. */
  get rests(): boolean {
    return this.status === "waiting" || this.status === "paused";
  }
  get rested(): boolean {
    return this.#rested;
  }
  /** Whether it undoes what it did, and ends then. */
  get isGivenUp(): boolean {
    return this.#givenUp !== undefined;
  }
  get pause(): RunPause | undefined {
    return this.status === "paused" ? this.#pause : undefined;
  }
  get outputs(): Record<string, unknown> {
    return this.#outputs;
  }
  get error(): RunError | undefined {
    return this.#error;
  }
  get endedAt(): number | undefined {
    return this.#endedAt;
  }

  // ── the end ──────────────────────────────────────────────────────────────────────────────────────

  /** The end that the state calls for, to be proposed as a decision (L3). @param fetched large values at hand */
  dueEnd(fetched?: FetchedValues): RunEnd | undefined {
    if (this.ended || this.startedAt === undefined) return undefined;
    const compensations = this.flow?.frontier.compensations;
    if (this.#givenUp) return compensations?.isOver ? this.#givenUp : undefined;
    const end = this.#calledFor(fetched);
    return end && end.status !== "done" && compensations?.isDue ? { ...end, compensate: true } : end;
  }

  /** The end that the steps, or somebody outside, call for. */
  #calledFor(fetched: FetchedValues | undefined): RunEnd | undefined {
    if (this.cancelRequested) {
      const { by, reason } = this.cancelRequested;
      const message = reason === "" ? `cancelled by ${by}` : `cancelled by ${by}: ${reason}`;
      return { status: "cancelled", error: { code: "E_CANCELLED", message } };
    }
    const failure = this.#dueFailure;
    if (failure) return { status: "failed", error: failure };
    if (!this.flow?.complete) return undefined;
    const template = this.flow.graph.document.outputs ?? {};
    try {
      const look = this.flow.values.outputsLook(template);
      if (look === undefined) return { status: "done", outputs: this.flow.values.resolve(template) };
      if (!fetched || look.references.some((ref) => !fetched.has(ref))) return { status: "done", look };
      return { status: "done", outputs: look.evaluate(fetched).inputs ?? {} };
    } catch (cause) {
      return {
        status: "failed",
        error: { code: "E_EXPRESSION", message: `outputs: ${(cause as Error).message}` },
      };
    }
  }

  /**
   * An end counts only if this log calls for it: its writer may have decided on a log with a hole, when a live
   * copy was lost and a younger one was not. It finds out soon, and goes on.
   */
  end(decision: DecisionMessage & { type: "end" }): string | undefined {
    if (!this.#allows(decision.status)) return `nothing calls for the end as ${decision.status}`;
    const cause = decision.error?.message ?? "every step is done";
    for (const { step, how } of decision.stopped ?? []) this.flow?.cancellations.note(step, how);
    this.#endedAt = this.#frame.ts;
    this.#outputs = decision.outputs ?? {};
    this.#error = decision.error;
    // A failed run keeps what never became ready as pending: a retry may still reach it.
    if (decision.status !== "done") this.flow?.cancelOpen(cause, decision.status === "cancelled");
    this.move({ type: "end", status: decision.status }, cause);
    this.#frame.effects.push({ type: "ended" });
    return undefined;
  }

  /** The run gives up: it ends like this, once what it did is undone. */
  compensate(decision: DecisionMessage & { type: "compensate" }): string | undefined {
    const { status, error } = decision;
    const flow = this.flow;
    if (!flow?.frontier.compensations.isDue || !this.#allows(status))
      return "nothing calls for undoing what was done";
    for (const { step, how } of decision.stopped ?? []) flow.cancellations.note(step, how);
    this.#givenUp = { status, ...(error === undefined ? {} : { error }) };
    this.budget?.lift();
    const cause = `gives up, and undoes what it did: ${error?.message ?? status}`;
    if (this.status === "running") this.note("running", "compensate", cause);
    else this.move({ type: "compensate" }, cause);
    flow.compensate(cause, status === "cancelled");
    this.#frame.effects.push({ type: "compensating" });
    return undefined;
  }

  #allows(status: RunEnd["status"]): boolean {
    if (this.#givenUp)
      return this.#givenUp.status === status && this.flow?.frontier.compensations.isOver === true;
    if (status === "cancelled") return this.cancelRequested !== undefined;
    if (status === "done") return this.flow?.complete ?? false;
    // Without a workflow it is the planner that found no way; and a complete run fails on its outputs.
    return !this.flow || this.flow.complete || this.#dueFailure !== undefined;
  }

  get #dueFailure(): RunError | undefined {
    return this.failure ?? this.flow?.frontier.failure ?? this.flow?.chances.leftFailure;
  }

  // ── the moves ────────────────────────────────────────────────────────────────────────────────────

  /** A person gives a failed run a new chance. */
  reopen(cause: string): void {
    this.failure = undefined;
    this.#error = undefined;
    this.#endedAt = undefined;
    this.timedFrom = this.#frame.ts;
    this.move({ type: "reopen" }, cause);
  }

  /** After a record of a run that waits, or has waited: what that record means for the waiting. */
  settleWaits(flow: StepFlow): void {
    if (this.ended) return;
    deliverSignals(flow);
    const waits = flow.waitsOnly && !this.cancelRequested && !this.failure;
    if (waits && this.status === "running") {
      const open = [...flow.waits.open.keys()].slice(0, 3).map(stepLabel);
      this.move({ type: "wait" }, `waits for ${open.join(", ")}`);
    } else if (!waits && this.status === "waiting") this.move({ type: "go on" }, "there is more to do");
  }

  /** G1. */
  keepBudget(budget: RunBudget): void {
    const { excess, raisedSeq } = budget;
    if (!excess || this.status !== "running" || this.flow === undefined) return;
    const wants = this.flow.wantsDispatch;
    const child = wants ? undefined : this.waitsBelow.find(({ seq }) => seq > raisedSeq)?.child;
    if (!wants && child === undefined) return;
    if (this.cancelRequested || this.failure || this.flow.frontier.failure) return;
    const forWhom = child === undefined ? "" : `; its nested run ${child} waits for more`;
    const error = { code: "E_BUDGET", message: `${excessText(excess)}${forWhom}` };
    if (budget.atLimit === "fail") this.failure = error;
    else this.pauseFor(excess.run === undefined ? error : { ...error, above: excess.run });
  }

  /** W3. Nested runs that wait at a limit of this run, or that have not yet gone on since it was raised. */
  get waitsBelow(): readonly WaitBelow[] {
    const { flow, ended } = this;
    const { run } = this.#frame;
    const role = ORCHESTRATOR_ROLE;
    return this.#draws.waits(
      ({ step, n }) => !ended && flow !== undefined && flow.isOpen({ run, step, n, role }),
    );
  }

  raise(limits: BudgetLimits): void {
    this.budget?.raise(limits, this.#frame.seq);
  }

  /** The budget of a run above was raised, at a sequence of its log: whoever waits for that goes on. */
  raisedAbove(raised: { run: string; seq: number }, cause: string): undefined {
    this.budget?.noteRaiseAbove(raised);
    const { above } = this.pause ?? {};
    if (above === raised.run && this.budget?.excess?.run !== above) this.move({ type: "resume" }, cause);
  }

  pauseFor(reason: RunPause): void {
    this.#pause = reason;
    this.move({ type: "pause" }, reason.message);
  }

  move(event: RunEvent, cause: string): void {
    const from = this.status;
    const to = this.#status.send(event);
    if (to === from) return;
    this.#rested ||= this.rests;
    this.note(from, event.type, cause);
    this.#frame.effects.push({ type: "status", status: to });
  }

  note(from: RunState, event: string, cause: string): void {
    const { seq, ts } = this.#frame;
    this.#frame.observer.onTransition?.({
      seq,
      ts,
      actor: "run",
      kind: "run",
      from,
      to: this.status,
      event,
      n: 0,
      attempt: 0,
      agent: this.holder ?? null,
      cause,
    });
  }
}
