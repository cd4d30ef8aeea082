/**
 * The fold: a run's whole state as a pure function of its log (L1).
 *
 * It owns judging records: which result closes a dispatch, which decision counts, which update applies, and
 * what the run's status is. What follows for the steps is the step flow's. It has no connection, no timer
 * and no clock: times come from the records. `apply` returns what the record makes necessary as effects;
 * the orchestrator performs them, a replay for a trace ignores them, and after a failover they are derived
 * again from the state (L2).
 *
 *  - F1 A record is judged only by what was folded before it; so every reader of the log agrees.
 *  - F2 A decision counts only with the current epoch and where the state allows it (L3).
 *  - F3 The first result of an open dispatch closes it, if it comes from the dispatch's role (L4).
 *  - F4 A record that does not fit changes nothing and is reported as void; nothing throws for it (L9).
 */
import type { LogRecord } from "../bus/bus.ts";
import { isClaimCheck } from "../bus/claim-check.ts";
import type {
  ControlMessage,
  DecisionMessage,
  DispatchRef,
  EnvUpdateMessage,
  ObservedMessage,
  ResultMessage,
  RunError,
  SubmitMessage,
  TaskMessage,
} from "../bus/messages.ts";
import { hasEnded, type RunEvent, type RunState } from "../machines/run.ts";
import type { DerivedStep } from "../workflow/derived-step.ts";
import type { WorkflowStep } from "../workflow/document.ts";
import type { Environment, EnvironmentWriter } from "../workflow/environment.ts";
import { InvalidWorkflowError, NotFoundError } from "../workflow/errors.ts";
import { WorkflowGraph } from "../workflow/graph.ts";
import { parseDuration } from "../workflow/names.ts";
import { SecretMask, secretNamesOf } from "../workflow/secrets.ts";
import { applyAnswer, applyDefault, deliverSignals } from "./answers.ts";
import { CANCELLED_CODE, type Stopped } from "./cancellations.ts";
import type { Effect } from "./effect.ts";
import { type EnvVerdictRecord, EnvVerdicts } from "./env-verdicts.ts";
import type { FanOutProgress } from "./fan-outs.ts";
import { FoldFrame } from "./fold-frame.ts";
import { PlanHistory, type PlanRecord, type PlanRevision } from "./plan-history.ts";
import { excessText, RunBudget, raiseBudget } from "./run-budget.ts";
import type { RunEnd } from "./run-end.ts";
import { RunStatusHost } from "./run-status-host.ts";
import type { RunSteps } from "./run-steps.ts";
import type { RunValues } from "./run-values.ts";
import { Spending } from "./spending.ts";
import { schemaError } from "./step-error.ts";
import { StepFlow } from "./step-flow.ts";
import { SnapshotStepHost, type StepHost, type StepStatus } from "./step-host.ts";
import type { StepCounts } from "./step-ledger.ts";
import type { OpenDispatch } from "./step-moves.ts";
import { takeOverEnvironment } from "./taken-over.ts";
import { applyTimeOut } from "./time-outs.ts";
import type { FoldObserver } from "./transition-record.ts";
import type { Wait } from "./waits.ts";

export interface RunFoldOptions {
  /** Where step machines live. Default: snapshots. */
  steps?: StepHost;
  observer?: FoldObserver;
}

const NO_STEPS: StepCounts = { total: 0, pending: 0, ready: 0, running: 0, done: 0, failed: 0 };
const NONE_READY: ReadonlySet<string> = new Set();
const NONE_RETIRED: ReadonlyMap<string, WorkflowStep> = new Map();
const NONE_CANCELLED: ReadonlyMap<string, string> = new Map();
const NONE_STOPPED: ReadonlyMap<string, Stopped> = new Map();
const NONE_CLOCKED: ReadonlyMap<string, number> = new Map();
const NONE_WAIT: ReadonlyMap<string, Wait> = new Map();
const NONE_OUT: ReadonlyMap<string, OpenDispatch> = new Map();

export class RunFold {
  readonly run: string;
  readonly #host: StepHost;
  readonly #frame: FoldFrame;
  readonly #status = new RunStatusHost();
  readonly #verdicts = new EnvVerdicts();
  readonly #spending = new Spending();
  #submission: SubmitMessage | undefined;
  #flow: StepFlow | undefined;
  #budget: RunBudget | undefined;
  readonly #history = new PlanHistory();
  #epoch = 0;
  #holder: string | undefined;
  #lastDecisionSeq = 0;
  #newer: { seq: number; version: number } | undefined;
  /** Why there is no workflow, or why the run as a whole fails. */
  #failure: RunError | undefined;
  #cancelRequested: { by: string; reason: string } | undefined;
  #pause: RunError | undefined;
  /** How the run will end once what it did is undone. */
  #givenUp: RunEnd | undefined;
  #outputs: Record<string, unknown> = {};
  #error: RunError | undefined;
  #startedAt: number | undefined;
  #timedFrom: number | undefined;
  #endedAt: number | undefined;
  #rested = false;

  constructor(run: string, options: RunFoldOptions = {}) {
    this.run = run;
    this.#host = options.steps ?? new SnapshotStepHost();
    this.#frame = new FoldFrame(run, options.observer ?? {});
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
  /** Whether it ever rested: then it may have been put away, and have a timer. */
  get rested(): boolean {
    return this.#rested;
  }
  get environment(): Environment {
    return this.#frame.environment;
  }
  /** Undefined until there is a valid workflow. */
  get graph(): WorkflowGraph | undefined {
    return this.#flow?.graph;
  }
  /** The steps of the workflow and those made from them; undefined until there is a valid workflow. */
  get steps(): RunSteps | undefined {
    return this.#flow?.steps;
  }
  /** What is hidden from all but the agents; undefined: nothing. */
  get secrets(): SecretMask | undefined {
    return this.#frame.secrets;
  }
  get submission(): SubmitMessage | undefined {
    return this.#submission;
  }
  get inputs(): Record<string, unknown> {
    return this.#flow?.values.inputs ?? this.#submission?.inputs ?? {};
  }
  get plan(): PlanRecord | undefined {
    return this.#history.first;
  }
  /** How the plan changed on the way, oldest first. */
  get revisions(): readonly PlanRevision[] {
    return this.#history.revisions;
  }
  /** Steps that had begun when a revision left them out. */
  get retired(): ReadonlyMap<string, WorkflowStep> {
    return this.#flow?.retired ?? NONE_RETIRED;
  }
  /** Steps whose facts wait to be weighed. */
  get weighing(): ReadonlySet<string> {
    return this.#flow?.weighing ?? NONE_READY;
  }
  /** The current hold; decisions of another epoch are void. 0: nobody claimed the run yet. */
  get epoch(): number {
    return this.#epoch;
  }
  get holder(): string | undefined {
    return this.#holder;
  }
  /** Sequence of the last decision, void and unreadable ones included: what the next one must expect (L3). */
  get lastDecisionSeq(): number {
    return this.#lastDecisionSeq;
  }
  /** The first record that a newer version of the runtime wrote: from there on the log means more than is known here. */
  get newer(): { seq: number; version: number } | undefined {
    return this.#newer;
  }
  get lastSeq(): number {
    return this.#frame.seq;
  }
  /** Epoch ms of the submission. */
  get startedAt(): number | undefined {
    return this.#startedAt;
  }
  /** Epoch ms from which the run's own time-out counts: its submission, or the retry that opened it again. */
  get timedFrom(): number | undefined {
    return this.#timedFrom;
  }
  get endedAt(): number | undefined {
    return this.#endedAt;
  }
  /** The run's own time-out in ms: the submission's, or the workflow's. */
  get timeoutMs(): number | undefined {
    return parseDuration(this.#submission?.timeout ?? "") ?? this.graph?.timeoutMs;
  }
  /** The workflow's outputs, once the run is done. */
  get outputs(): Record<string, unknown> {
    return this.#outputs;
  }
  get error(): RunError | undefined {
    return this.#error;
  }
  /** Why the run is paused; undefined while it is not. */
  get pause(): RunError | undefined {
    return this.status === "paused" ? this.#pause : undefined;
  }
  get spending(): Spending {
    return this.#spending;
  }
  /** Undefined when the run may spend what it likes. */
  get budget(): RunBudget | undefined {
    return this.#budget;
  }
  /** Steps that may be given out now or after their back-off, in the order in which they became ready. */
  get ready(): ReadonlySet<string> {
    return this.#flow?.ready ?? NONE_READY;
  }
  /** What the log knows to be out. */
  get dispatches(): ReadonlyMap<string, OpenDispatch> {
    return this.#flow?.dispatches ?? NONE_OUT;
  }
  /** Steps that could be ready, but for what their expressions find inside large values. */
  get unresolved(): ReadonlySet<string> {
    return this.#flow?.unresolved ?? NONE_READY;
  }
  /** What the values of the run's expressions are made of; undefined until there is a valid workflow. */
  get values(): RunValues | undefined {
    return this.#flow?.values;
  }
  /** Steps that failed and wait for a recovery. */
  get recovering(): ReadonlySet<string> {
    return this.#flow?.recovering ?? NONE_READY;
  }
  /** Ready steps that wait for somebody outside. */
  get waits(): ReadonlyMap<string, Wait> {
    return this.#flow?.waits.open ?? NONE_WAIT;
  }
  /** Steps that somebody wants stopped, each with who and why. */
  get cancelling(): ReadonlyMap<string, string> {
    return this.#flow?.cancellations.wanted ?? NONE_CANCELLED;
  }
  /** How the steps that were out at their cancellation were stopped. */
  get stopped(): ReadonlyMap<string, Stopped> {
    return this.#flow?.cancellations.stopped ?? NONE_STOPPED;
  }
  /** Open steps that have a time-out over all attempts, each with the epoch ms from which that counts. */
  get clocked(): ReadonlyMap<string, number> {
    return this.#flow?.clocked ?? NONE_CLOCKED;
  }
  /** How often in a row the task of a step's dispatches vanished. */
  lossesOf(step: string): number {
    return this.#flow?.losses.get(step) ?? 0;
  }
  get counts(): Readonly<StepCounts> {
    return this.#flow?.counts ?? NO_STEPS;
  }

  /** Where a step stands. @throws NotFoundError when the run has no such step. */
  step(id: string): StepStatus {
    return this.#requiredFlow.read(id);
  }

  /** Epoch ms before which a ready step waits for its back-off; 0: it does not. */
  notBefore(step: string): number {
    return this.#flow?.notBefore(step) ?? 0;
  }

  /** What a step is about; fixed when it became ready. */
  inputsOf(step: string): Record<string, unknown> {
    return this.#flow?.inputsOf(step) ?? {};
  }

  /** The steps that undo others, in the order in which they are done. */
  get compensations(): readonly DerivedStep[] {
    return this.#flow?.compensations.steps ?? [];
  }

  /** Whether the step was undone after it completed, or that was tried. */
  isUndone(step: string): boolean {
    return this.#flow?.compensations.isUndone(step) ?? false;
  }

  /** What a step's result held, declared keys and others; null values for a skipped step. */
  outputsOf(step: string): Record<string, unknown> | undefined {
    return this.#flow?.outputsOf(step);
  }

  /** Whether nothing waits for a step any more: it is done, or failed where that is allowed. */
  isClosed(step: string): boolean {
    return this.#flow?.isClosed(step) ?? false;
  }

  /** How far the items of a step are; undefined for one that did not fan out. */
  fanOutOf(step: string): FanOutProgress | undefined {
    return this.#flow?.fanOutOf(step);
  }

  /** What became of the environment update at this log sequence; undefined when it is not folded yet. */
  verdict(seq: number): EnvVerdictRecord | undefined {
    return this.#verdicts.get(seq);
  }

  /** Whether the log, as far as it is folded, has opened this dispatch. */
  knows({ step, n }: Pick<DispatchRef, "step" | "n">): boolean {
    const flow = this.#flow;
    if (flow === undefined || !(flow.steps.has(step) || flow.retired.has(step))) return false;
    return flow.read(step).context.n >= n;
  }

  /** Whether a dispatch may still be closed by a result. */
  isOpen(ref: DispatchRef): boolean {
    return !this.ended && this.#flow !== undefined && this.#flow.isOpen(ref);
  }

  /** The message that gives a ready step out. @param deadline epoch ms */
  taskOf(step: string, deadline?: number): TaskMessage {
    return this.#requiredFlow.taskOf(step, deadline);
  }

  /** Puts the run's values into the expressions of a template. @throws ExpressionError */
  resolve(template: Record<string, unknown>): Record<string, unknown> {
    return this.#requiredFlow.values.resolve(template);
  }

  /** The end that the state calls for, to be proposed as a decision (L3). */
  dueEnd(): RunEnd | undefined {
    if (this.ended || !this.#submission) return undefined;
    const compensations = this.#flow?.compensations;
    if (this.#givenUp) return compensations?.isOver ? this.#givenUp : undefined;
    const end = this.#calledFor();
    return end && end.status !== "done" && compensations?.isDue ? { ...end, compensate: true } : end;
  }

  /** The end that the steps, or somebody outside, call for. */
  #calledFor(): RunEnd | undefined {
    if (this.#cancelRequested) {
      const { by, reason } = this.#cancelRequested;
      const message = reason === "" ? `cancelled by ${by}` : `cancelled by ${by}: ${reason}`;
      return { status: "cancelled", error: { code: "E_CANCELLED", message } };
    }
    const failure = this.#failure ?? this.#flow?.failure;
    if (failure) return { status: "failed", error: failure };
    if (!this.#flow?.complete) return undefined;
    try {
      return { status: "done", outputs: this.#flow.values.resolve(this.#flow.graph.document.outputs ?? {}) };
    } catch (cause) {
      return {
        status: "failed",
        error: { code: "E_EXPRESSION", message: `outputs: ${(cause as Error).message}` },
      };
    }
  }

  /** Folds one record. Returns what it makes necessary; empty for a record that changes nothing. */
  apply(record: LogRecord): readonly Effect[] {
    this.#frame.begin(record);
    switch (record.kind) {
      case "submit":
        this.#onSubmit(record.body);
        break;
      case "result":
        this.#onResult(record.role, record.body);
        break;
      case "env":
        this.#onEnvUpdate(record.body);
        break;
      case "control":
        this.#onControl(record.body);
        break;
      case "observed":
        this.#onObserved(record.body);
        break;
      case "decision":
        this.#onDecision(record.body);
        break;
      case "unreadable":
        // It changes nothing, and yet it is what the next decision has to expect (L3).
        if (record.of === "decision") this.#lastDecisionSeq = record.seq;
        if (record.newer !== undefined) this.#newer ??= { seq: record.seq, version: record.newer };
        this.#frame.void("unreadable", null, record.problem);
        break;
    }
    if (this.#flow?.waits.used) this.#settleWaits(this.#flow);
    if (this.#budget !== undefined) this.#keepBudget(this.#budget);
    return this.#frame.effects;
  }

  /** After a record of a run that waits, or has waited: what that record means for the waiting. */
  #settleWaits(flow: StepFlow): void {
    if (this.ended) return;
    deliverSignals(flow);
    const waits = flow.waitsOnly && !this.#cancelRequested && !this.#failure;
    if (waits && this.status === "running") {
      this.#moveRun({ type: "wait" }, `waits for ${[...flow.waits.open.keys()].slice(0, 3).join(", ")}`);
    } else if (!waits && this.status === "waiting") this.#moveRun({ type: "go on" }, "there is more to do");
  }

  // ── submission ───────────────────────────────────────────────────────────────────────────────────

  #onSubmit(submission: SubmitMessage): void {
    if (this.#submission) {
      this.#frame.void("refused", null, "the run was submitted before");
      return;
    }
    this.#submission = submission;
    this.#startedAt = this.#frame.ts;
    this.#timedFrom = this.#frame.ts;
    for (const [key, value] of Object.entries(submission.environment ?? {}))
      this.#frame.setEnv(key, value, {});
    if (submission.origin) takeOverEnvironment(submission.origin, this.#frame);
    if (submission.origin?.plan) this.#history.begin(submission.origin.plan);
    if (submission.workflow !== undefined) this.#adopt(submission.workflow, "submitted");
    else if (submission.goals !== undefined || submission.want !== undefined) {
      this.#frame.effects.push({ type: "plan" });
    } else this.#failure = { code: "E_SCHEMA", message: "the submission has neither a workflow nor goals" };
  }

  /** Makes a document this run's workflow; one that is invalid ends the run (F4: it does not throw). */
  #adopt(document: unknown, cause: string): void {
    const environmentKeys = Object.keys(this.environment.values);
    this.#keepSecrets(document);
    let graph: WorkflowGraph;
    try {
      graph = WorkflowGraph.fromDocument(document, { environmentKeys });
    } catch (error) {
      if (!(error instanceof InvalidWorkflowError)) throw error;
      this.#failure = { code: error.code, message: error.message };
      return;
    }
    for (const [key, value] of Object.entries(graph.schemas ? this.environment.values : {})) {
      const problem = isClaimCheck(value) ? undefined : graph.schemas?.problem(key, value);
      if (problem === undefined) continue;
      const { code = "E_ENV_SCHEMA", message } = schemaError(problem);
      this.#failure = { code, message };
      return;
    }
    this.#budget = RunBudget.of(graph.document.budget, this.#submission?.budget, this.#spending);
    const planned = this.#history.first !== undefined;
    this.#flow = new StepFlow(graph, this.#submission?.inputs ?? {}, this.#host, this.#frame, planned);
    this.#moveRun({ type: "planned" }, cause);
    this.#flow.begin(this.#submission?.origin);
  }

  /** From here on what the document names as secret is known to who shows the run. */
  #keepSecrets(document: unknown): void {
    const names = secretNamesOf(document);
    if (names.length === 0) return;
    const secrets = this.#frame.secrets ?? new SecretMask();
    this.#frame.secrets = secrets;
    secrets.add(names);
    secrets.learnAll((document as { inputs?: Record<string, unknown> }).inputs ?? {});
    secrets.learnAll(this.#submission?.inputs ?? {});
    secrets.learnAll(this.environment.values);
  }

  // ── results ──────────────────────────────────────────────────────────────────────────────────────

  #onResult(role: string, result: ResultMessage): void {
    const flow = this.#flow;
    if (flow?.retired.has(result.step)) {
      const what = `result of dispatch ${result.n} by ${result.agent}`;
      this.#frame.void("late", result.step, `${what}: a revision of the plan left the step out`);
      return;
    }
    if (!flow?.steps.has(result.step)) {
      const what = `result of dispatch ${result.n} by ${result.agent}`;
      this.#frame.void("foreign", result.step, `${what}: the run has no such step`);
      return;
    }
    if (!this.#mayClose(flow, role, result)) return;
    const { agent, step } = result;
    this.#spending.countDispatch(step, result.n);
    this.#spending.report(result);
    if (flow.read(step).state === "ready") {
      // The note of the start was lost, or is still on its way: the result implies it (L6).
      const startedAt = Math.min(result.startedAt ?? this.#frame.ts, this.#frame.ts);
      flow.start(step, agent, `dispatch ${result.n} was run by ${agent}`, startedAt);
    }
    flow.dispatches.delete(step);
    if (result.status === "done") flow.finish(step, result);
    else if (result.status === "handoff" && result.handoff) flow.handOff(step, result, result.handoff);
    else {
      const error = result.error ?? { name: "Error", message: "the agent gave no reason", retryable: true };
      // An agent that was told to stop says so before the decision that it was told for.
      const wanted = flow.cancellations.wanted.get(step);
      if (error.code === CANCELLED_CODE && wanted !== undefined) return flow.stop(step, wanted, "stopped");
      if (error.code === CANCELLED_CODE && this.dueEnd()) return flow.stopped(step, error.message);
      flow.fail(step, error, `failed by ${agent}: ${error.message}`);
    }
  }

  /** F3: whether this result closes its dispatch; if not, it is noted as what it is. */
  #mayClose(flow: StepFlow, role: string, result: ResultMessage): boolean {
    const { state, context } = flow.read(result.step);
    if (!this.ended && flow.awaits(result.step, result.n) && role === context.role) return true;
    const what = `result of dispatch ${result.n} by ${result.agent}`;
    if (result.n > context.n || (result.n === context.n && role !== context.role)) {
      const owner = `dispatch ${context.n} is with ${context.role}`;
      this.#frame.void("foreign", result.step, `${what} for role ${role}: ${owner}`);
    } else {
      // It changes nothing any more, and yet it was paid for.
      this.#spending.report(result);
      const place = flow.waits.has(result.step) ? "waits for an answer" : `is ${state}`;
      const standing = this.ended ? `the run is ${this.status}` : `the step ${place}`;
      this.#frame.void("late", result.step, `${what}: ${standing}, its last dispatch is ${context.n}`);
    }
    return false;
  }

  // ── environment updates ──────────────────────────────────────────────────────────────────────────

  #onEnvUpdate(update: EnvUpdateMessage): void {
    const problem = this.#envProblem(update);
    if (problem !== undefined) return this.#refuseUpdate(update, problem, { applied: false, error: problem });
    const writer = update.step === undefined ? { agent: update.by } : { step: update.step, agent: update.by };
    const outcome = this.#frame.setEnv(update.key, update.value, writer, update.ifRevision);
    if (outcome.applied) return this.#verdicts.keep(this.#frame.seq, outcome);
    const { revision, writer: other } = outcome.conflict;
    const stands = revision === 0 ? "it is not set yet" : `${nameOfWriter(other)} wrote revision ${revision}`;
    const message = `${nameOfWriter(writer)} expected revision ${update.ifRevision} of ${update.key}, but ${stands}`;
    const conflict = { revision, writer: other.step ?? other.agent ?? "the submission", message };
    this.#refuseUpdate(update, message, { applied: false, conflict });
  }

  #refuseUpdate(update: EnvUpdateMessage, reason: string, verdict: EnvVerdictRecord): void {
    this.#verdicts.keep(this.#frame.seq, verdict);
    this.#frame.void("refused", update.step ?? null, `update of ${update.key} by ${update.by}: ${reason}`);
  }

  #envProblem({ step, n, key, value }: EnvUpdateMessage): string | undefined {
    if (this.ended) return "the run has ended";
    if (!this.#flow) return "the run has no workflow yet";
    const mismatch = this.#flow.values.schemaProblemOf(key, value);
    if (mismatch !== undefined) return schemaError(mismatch).message;
    if (step === undefined) return undefined;
    const flow = this.#flow;
    if (!flow.steps.has(step)) return `the run has no step ${step}`;
    if (n === undefined || !flow.awaits(step, n)) return "its dispatch is closed";
    const { outputs, origin } = flow.steps.step(step);
    if (!outputs.includes(key)) return "the step does not declare this output";
    if (origin?.kind === "item") return "an item gives its outputs by its result, for the list of all items";
    return undefined;
  }

  // ── controls and observations ────────────────────────────────────────────────────────────────────

  #onControl(control: ControlMessage): void {
    const cause = `${control.verb} by ${control.by}`;
    const problem = this.#control(control, cause);
    if (problem !== undefined) this.#frame.void("refused", control.step ?? null, `${cause}: ${problem}`);
  }

  /** Returns why the control does not apply, or undefined when it does. */
  #control(control: ControlMessage, cause: string): string | undefined {
    if (!this.#submission) return "the run was not submitted yet";
    const standing = `the run is ${this.status}`;
    switch (control.verb) {
      case "cancel": {
        if (this.ended) return standing;
        if (this.#givenUp) return "it is undoing its steps, and ends then";
        if (control.step !== undefined) {
          const why = typeof control.value === "string" ? control.value : "";
          return this.#flow?.wantStopped(control.step, control.by, why) ?? this.#noWorkflow;
        }
        const reason = typeof control.value === "string" ? control.value : "";
        this.#cancelRequested ??= { by: control.by, reason };
        return undefined;
      }
      case "pause":
        if (this.status !== "running" && this.status !== "waiting") return standing;
        this.#pauseFor({ code: "E_PAUSED", message: cause });
        return undefined;
      case "resume": {
        if (this.status !== "paused") return standing;
        const problem = raiseBudget(this.#budget, control.value);
        if (problem !== undefined) return problem;
        this.#moveRun({ type: "resume" }, cause);
        return undefined;
      }
      case "retry":
        return this.status === "failed" && this.#flow ? this.#retry(this.#flow, control, cause) : standing;
      default:
        if (this.ended) return standing;
        return this.#flow ? applyAnswer(this.#flow, control) : this.#noWorkflow;
    }
  }

  get #noWorkflow(): string | undefined {
    return this.#flow ? undefined : "the run has no workflow yet";
  }

  /** Gives failed steps of a failed run a new chance; what is done stays done. */
  #retry(flow: StepFlow, control: ControlMessage, cause: string): string | undefined {
    // Their results are in the environment, and stand for nothing any more.
    if (this.#givenUp) return "its completed steps were undone; a rerun does them again";
    const problem = raiseBudget(this.#budget, control.value);
    if (problem !== undefined) return problem;
    if (!flow.retry(control.step, cause)) return "no such failed step";
    this.#failure = undefined;
    this.#error = undefined;
    this.#endedAt = undefined;
    this.#timedFrom = this.#frame.ts;
    this.#moveRun({ type: "reopen" }, cause);
    return undefined;
  }

  /** G2. Why a dispatch that a holder of this epoch noted must not be given out. */
  #refusal({ excess }: RunBudget, epoch: number): string | undefined {
    if (epoch !== this.#epoch) return `it is of epoch ${epoch}, and the epoch is ${this.#epoch}`;
    if (this.status !== "running") return `the run is ${this.status}`;
    return excess && excessText(excess);
  }

  #onObserved(observed: ObservedMessage): void {
    const flow = this.#flow;
    if (!flow || this.ended) return;
    for (const { step, n, role, at } of observed.dispatched) {
      const ref = { run: this.run, step, n, role };
      if (!flow.isOpen(ref) || flow.dispatches.get(step)?.ref.n === n) continue;
      const refusal = this.#budget && this.#refusal(this.#budget, observed.epoch);
      if (refusal !== undefined) {
        this.#frame.void("refused", step, `dispatch ${n} is not given out: ${refusal}`);
        continue;
      }
      this.#spending.countDispatch(step, n);
      flow.dispatches.set(step, { ref, dispatchedAt: at, startedAt: undefined });
    }
    for (const { step, n, agent, at } of observed.started) {
      if (!flow.awaits(step, n)) continue;
      const { state, context } = flow.read(step);
      if (state !== "ready") continue;
      const ref = { run: this.run, step, n, role: context.role };
      const dispatchedAt = flow.dispatches.get(step)?.dispatchedAt ?? at;
      flow.dispatches.set(step, { ref, dispatchedAt, startedAt: at });
      flow.start(step, agent, `started by ${agent}`, at);
      if (flow.steps.step(step).timeouts) this.#frame.effects.push({ type: "started", step, at });
    }
  }

  // ── decisions ────────────────────────────────────────────────────────────────────────────────────

  #onDecision(decision: DecisionMessage): void {
    this.#lastDecisionSeq = this.#frame.seq;
    const problem = this.#decide(decision);
    if (problem === undefined) return;
    const step = "step" in decision ? decision.step : null;
    this.#frame.void("void", step, `decision ${decision.type} of epoch ${decision.epoch}: ${problem}`);
  }

  /** F2. Returns why the decision is void, or undefined when it counts. */
  #decide(decision: DecisionMessage): string | undefined {
    if (decision.type === "claim") {
      if (decision.epoch <= this.#epoch) return `epoch ${this.#epoch} is taken`;
      this.#epoch = decision.epoch;
      this.#holder = decision.holder;
      return undefined;
    }
    // What an interrupted purge left of an earlier run with this id decides nothing about a later one.
    if (!this.#submission) return "the run was not submitted yet";
    // A holder that was replaced may still write; nothing of it counts.
    if (decision.epoch !== this.#epoch) return `the epoch is ${this.#epoch}`;
    if (this.ended) return `the run is ${this.status}`;
    if (decision.type === "end") return this.#end(decision);
    if (decision.type === "compensate") return this.#compensate(decision);
    if (decision.type === "plan") return this.#adoptPlan(decision);
    if (decision.type === "run-timed-out") {
      const message = `the run did not end within ${decision.afterMs} ms`;
      this.#failure ??= { code: "E_RUN_TIMEOUT", message };
      return undefined;
    }
    if (decision.type === "time-spent") {
      this.#budget?.noteTime(decision.elapsedMs);
      return undefined;
    }
    const flow = this.#flow;
    if (decision.type === "revise")
      return flow ? this.#revise(flow, decision) : "the run has no workflow yet";
    if (!flow?.steps.has(decision.step)) return "the run has no such step";
    if (decision.type === "recover") return this.#recover(flow, decision);
    if (decision.type === "resolved") return flow.resolved(decision);
    if (!flow.isIn(decision.step, decision.n)) return `dispatch ${decision.n} is closed`;
    if (decision.type === "defaulted") {
      if (!flow.waits.has(decision.step)) return "the step waits for no answer";
      applyDefault(flow, decision.step, decision.answer, decision.value);
      return undefined;
    }
    if (decision.type === "cancelled") {
      const cause = flow.cancellations.wanted.get(decision.step);
      if (cause === undefined) return "nobody wants the step stopped";
      flow.stop(decision.step, cause, decision.how);
      return undefined;
    }
    this.#spending.countDispatch(decision.step, decision.n);
    if (decision.type === "lost") {
      if (flow.waits.has(decision.step)) return "the step waits, and nothing of it is out";
      flow.lose(decision.step, `dispatch ${decision.n} was lost: its task is gone and there is no result`);
      return undefined;
    }
    return applyTimeOut(flow, decision);
  }

  #adoptPlan(decision: DecisionMessage & { type: "plan" }): string | undefined {
    if (this.#flow || this.#failure) return "the run has a workflow";
    const { cost, optimal } = decision;
    this.#history.begin(decision);
    this.#spending.reportPlanning(decision.usage);
    this.#adopt(decision.workflow, `planned: cost ${cost}${optimal ? ", proven least" : ""}`);
    return undefined;
  }

  #revise(flow: StepFlow, decision: DecisionMessage & { type: "revise" }): string | undefined {
    const { workflow, weighed } = decision;
    if (workflow === undefined) {
      flow.stand(weighed);
      return undefined;
    }
    const { graph, issues } = WorkflowGraph.validate(workflow, {
      environmentKeys: Object.keys(this.environment.values),
    });
    if (graph === undefined) return `its workflow is invalid: ${issues[0]?.message}`;
    const problem = flow.revisionProblem(graph);
    if (problem !== undefined) return problem;
    const revision = this.#history.revise(decision, { before: flow.graph, after: graph }, this.#frame);
    const cause = `revision ${revision.number}: ${revision.reason}`;
    this.#noteRun(this.status, "revise", cause);
    flow.revise(graph, weighed, cause);
    return undefined;
  }

  #recover(flow: StepFlow, decision: DecisionMessage & { type: "recover" }): string | undefined {
    const { step, n, role, task, inputs, fallback, reason } = decision;
    const waits = flow.recovering.has(step) && flow.read(step).context.n === n;
    if (!waits) return `dispatch ${n} of the step does not wait for a recovery`;
    flow.recovering.delete(step);
    if (fallback !== undefined) flow.fallBack(step, fallback);
    else if (role === undefined || task === undefined) flow.giveUpRecovery(step);
    else
      flow.reopen(
        step,
        inputs === undefined ? { role, task } : { role, task, inputs },
        `recovered: ${reason}`,
      );
    return undefined;
  }

  /**
   * An end counts only if this log calls for it: its writer may have decided on a log with a hole, when a live
   * copy was lost and a younger one was not. It finds out soon, and goes on.
   */
  #end(decision: DecisionMessage & { type: "end" }): string | undefined {
    if (!this.#allows(decision.status)) return `nothing calls for the end as ${decision.status}`;
    const cause = decision.error?.message ?? "every step is done";
    for (const { step, how } of decision.stopped ?? []) this.#flow?.cancellations.note(step, how);
    this.#endedAt = this.#frame.ts;
    this.#outputs = decision.outputs ?? {};
    this.#error = decision.error;
    // A failed run keeps what never became ready as pending: a retry may still reach it.
    if (decision.status !== "done") this.#flow?.cancelOpen(cause, decision.status === "cancelled");
    this.#moveRun({ type: "end", status: decision.status }, cause);
    this.#frame.effects.push({ type: "ended" });
    return undefined;
  }

  /** The run gives up: it ends like this, once what it did is undone. */
  #compensate(decision: DecisionMessage & { type: "compensate" }): string | undefined {
    const { status, error } = decision;
    const flow = this.#flow;
    if (!flow?.compensations.isDue || !this.#allows(status)) return "nothing calls for undoing what was done";
    for (const { step, how } of decision.stopped ?? []) flow.cancellations.note(step, how);
    this.#givenUp = { status, ...(error === undefined ? {} : { error }) };
    this.#budget?.lift();
    const cause = `gives up, and undoes what it did: ${error?.message ?? status}`;
    if (this.status === "running") this.#noteRun("running", "compensate", cause);
    else this.#moveRun({ type: "compensate" }, cause);
    flow.compensate(cause, status === "cancelled");
    this.#frame.effects.push({ type: "compensating" });
    return undefined;
  }

  #allows(status: RunEnd["status"]): boolean {
    if (this.#givenUp) return this.#givenUp.status === status && this.#flow?.compensations.isOver === true;
    if (status === "cancelled") return this.#cancelRequested !== undefined;
    if (status === "done") return this.#flow?.complete ?? false;
    // Without a workflow it is the planner that found no way; and a complete run fails on its outputs.
    return !this.#flow || this.#flow.complete || (this.#failure ?? this.#flow.failure) !== undefined;
  }

  /** G1: a run that wants to spend what it may not pauses, or fails. One that wants nothing more just ends. */
  #keepBudget({ excess, onLimit }: RunBudget): void {
    if (!excess || this.status !== "running" || this.#flow?.wantsDispatch !== true) return;
    if (this.#cancelRequested || this.#failure || this.#flow.failure) return;
    const error = { code: "E_BUDGET", message: excessText(excess) };
    if (onLimit === "fail") this.#failure = error;
    else this.#pauseFor(error);
  }

  #pauseFor(reason: RunError): void {
    this.#pause = reason;
    this.#moveRun({ type: "pause" }, reason.message);
  }

  #moveRun(event: RunEvent, cause: string): void {
    const from = this.status;
    const to = this.#status.send(event);
    if (to === from) return;
    this.#rested ||= this.rests;
    this.#noteRun(from, event.type, cause);
    this.#frame.effects.push({ type: "status", status: to });
  }

  #noteRun(from: RunState, event: string, cause: string): void {
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
      agent: this.#holder ?? null,
      cause,
    });
  }

  get #requiredFlow(): StepFlow {
    if (!this.#flow) throw new NotFoundError("E_NO_WORKFLOW", `run ${this.run} has no workflow yet`);
    return this.#flow;
  }
}

function nameOfWriter({ step, agent }: EnvironmentWriter): string {
  if (step === undefined) return agent ?? "the submission";
  return agent === undefined ? `step ${step}` : `step ${step} (${agent})`;
}
