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
import { type FetchedValues, isClaimCheck } from "../bus/claim-check.ts";
import type { RunError } from "../bus/decisions.ts";
import type {
  ControlMessage,
  DispatchRef,
  ObservedMessage,
  ResultMessage,
  SubmitMessage,
  TaskMessage,
} from "../bus/messages.ts";
import type { RunState } from "../machines/run.ts";
import type { DerivedStep } from "../workflow/derived-step.ts";
import type { WorkflowStep } from "../workflow/document.ts";
import type { Environment } from "../workflow/environment.ts";
import { InvalidWorkflowError, NotFoundError } from "../workflow/errors.ts";
import { WorkflowGraph } from "../workflow/graph.ts";
import { parseDuration } from "../workflow/names.ts";
import { ORCHESTRATOR_ROLE } from "../workflow/reserved-roles.ts";
import { SecretMask, secretNamesOf } from "../workflow/secrets.ts";
import { CANCELLED_CODE, type Stopped } from "./cancellations.ts";
import { Consultations, isConsultation } from "./consultations.ts";
import { applyControl } from "./controls.ts";
import { Decisions } from "./decisions.ts";
import { Draws, type DrawVerdict, type WaitBelow } from "./draws.ts";
import type { Effect } from "./effect.ts";
import { EnvUpdates, type HeldValue } from "./env-updates.ts";
import type { EnvVerdictRecord } from "./env-verdicts.ts";
import type { FanOutProgress } from "./fan-outs.ts";
import { FoldFrame } from "./fold-frame.ts";
import type { LookInside } from "./large-values.ts";
import type { PlanRecord, PlanRevision } from "./plan-history.ts";
import { excessText, RunBudget } from "./run-budget.ts";
import { RunCourse, type RunPause } from "./run-course.ts";
import type { RunEnd } from "./run-end.ts";
import type { RunSteps } from "./run-steps.ts";
import type { RunValues } from "./run-values.ts";
import { Spending } from "./spending.ts";
import { schemaError } from "./step-error.ts";
import { StepFlow } from "./step-flow.ts";
import { SnapshotStepHost, type StepHost, type StepStatus } from "./step-host.ts";
import type { StepCounts } from "./step-ledger.ts";
import type { OpenDispatch } from "./step-moves.ts";
import { takeOverEnvironment } from "./taken-over.ts";
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
  /** Questions to the swarm's own planner. */
  readonly consultations: Consultations;
  readonly #host: StepHost;
  readonly #frame: FoldFrame;
  readonly #course: RunCourse;
  readonly #updates: EnvUpdates;
  readonly #decisions: Decisions;
  readonly #spending = new Spending();
  readonly #draws = new Draws(this.#spending);
  #submission: SubmitMessage | undefined;
  #newer: { seq: number; version: number } | undefined;

  constructor(run: string, options: RunFoldOptions = {}) {
    this.run = run;
    this.#host = options.steps ?? new SnapshotStepHost();
    this.#frame = new FoldFrame(run, options.observer ?? {});
    this.#course = new RunCourse(this.#frame, this.#draws);
    this.#updates = new EnvUpdates(this.#frame, this.#course);
    this.consultations = new Consultations(this.#frame, this.#course, this.#spending);
    this.#decisions = new Decisions(
      this.#frame,
      this.#course,
      this.#spending,
      this.consultations,
      this.#updates,
      (workflow, cause) => this.#adopt(workflow, cause),
    );
  }

  get status(): RunState {
    return this.#course.status;
  }
  get ended(): boolean {
    return this.#course.ended;
  }
  /** Nothing happens until somebody outside says something, unless what is out comes back. */
  get rests(): boolean {
    return this.#course.rests;
  }
  /** Whether it ever rested: then it may have been put away, and have a timer. */
  get rested(): boolean {
    return this.#course.rested;
  }
  get environment(): Environment {
    return this.#frame.environment;
  }
  /** Undefined until there is a valid workflow. */
  get graph(): WorkflowGraph | undefined {
    return this.#course.flow?.graph;
  }
  /** The steps of the workflow and those made from them; undefined until there is a valid workflow. */
  get steps(): RunSteps | undefined {
    return this.#course.flow?.steps;
  }
  /** What is hidden from all but the agents; undefined: nothing. */
  get secrets(): SecretMask | undefined {
    return this.#frame.secrets;
  }
  get submission(): SubmitMessage | undefined {
    return this.#submission;
  }
  get inputs(): Record<string, unknown> {
    return this.#course.flow?.values.inputs ?? this.#submission?.inputs ?? {};
  }
  get plan(): PlanRecord | undefined {
    return this.#decisions.history.first;
  }
  /** How the plan changed on the way, oldest first. */
  get revisions(): readonly PlanRevision[] {
    return this.#decisions.history.revisions;
  }
  /** Steps that had begun when a revision left them out. */
  get retired(): ReadonlyMap<string, WorkflowStep> {
    return this.#course.flow?.retired ?? NONE_RETIRED;
  }
  /** Steps whose facts wait to be weighed. */
  get weighing(): ReadonlySet<string> {
    return this.#course.flow?.facts.givers ?? NONE_READY;
  }
  /** The current hold; decisions of another epoch are void. 0: nobody claimed the run yet. */
  get epoch(): number {
    return this.#decisions.epoch;
  }
  get holder(): string | undefined {
    return this.#course.holder;
  }
  /** Sequence of the last decision, void and unreadable ones included: what the next one must expect (L3). */
  get lastDecisionSeq(): number {
    return this.#decisions.lastSeq;
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
    return this.#course.startedAt;
  }
  /** Epoch ms from which the run's own time-out counts: its submission, or the retry that opened it again. */
  get timedFrom(): number | undefined {
    return this.#course.timedFrom;
  }
  get endedAt(): number | undefined {
    return this.#course.endedAt;
  }
  /** The run's own time-out in ms: the submission's, or the workflow's. */
  get timeoutMs(): number | undefined {
    return parseDuration(this.#submission?.timeout ?? "") ?? this.graph?.timeoutMs;
  }
  /** The workflow's outputs, once the run is done. */
  get outputs(): Record<string, unknown> {
    return this.#course.outputs;
  }
  get error(): RunError | undefined {
    return this.#course.error;
  }
  /** Why the run is paused; undefined while it is not. */
  get pause(): RunPause | undefined {
    return this.#course.pause;
  }
  /** Nested runs that wait at a limit of this run, or that have not yet gone on since it was raised. */
  get waitsBelow(): readonly WaitBelow[] {
    return this.#course.waitsBelow;
  }
  get spending(): Spending {
    return this.#spending;
  }
  /** Undefined when the run may spend what it likes. */
  get budget(): RunBudget | undefined {
    return this.#course.budget;
  }
  /** Steps that may be given out now or after their back-off, in the order in which they became ready. */
  get ready(): ReadonlySet<string> {
    return this.#course.flow?.ready ?? NONE_READY;
  }
  /** What the log knows to be out. */
  get dispatches(): ReadonlyMap<string, OpenDispatch> {
    return this.#course.flow?.dispatches ?? NONE_OUT;
  }
  /** Steps that could be ready, but for what their expressions find inside large values. */
  get unresolved(): ReadonlySet<string> {
    return this.#course.flow?.frontier.unresolved ?? NONE_READY;
  }
  /** What an unresolved step that is not pending waits for; undefined: nothing. */
  lookOf(step: string): LookInside | undefined {
    return this.#course.flow?.frontier.lookOf(step);
  }
  /** What the values of the run's expressions are made of; undefined until there is a valid workflow. */
  get values(): RunValues | undefined {
    return this.#course.flow?.values;
  }
  /** Steps that failed and wait for a recovery. */
  get recovering(): ReadonlySet<string> {
    return this.#course.flow?.frontier.recovering ?? NONE_READY;
  }
  /** Ready steps that wait for somebody outside. */
  get waits(): ReadonlyMap<string, Wait> {
    return this.#course.flow?.waits.open ?? NONE_WAIT;
  }
  /** Steps that somebody wants stopped, each with who and why. */
  get cancelling(): ReadonlyMap<string, string> {
    return this.#course.flow?.cancellations.wanted ?? NONE_CANCELLED;
  }
  /** How the steps that were out at their cancellation were stopped. */
  get stopped(): ReadonlyMap<string, Stopped> {
    return this.#course.flow?.cancellations.stopped ?? NONE_STOPPED;
  }
  /** Open steps that have a time-out over all attempts, each with the epoch ms from which that counts. */
  get clocked(): ReadonlyMap<string, number> {
    return this.#course.flow?.clocked ?? NONE_CLOCKED;
  }
  /** How often in a row the task of a step's dispatches vanished. */
  lossesOf(step: string): number {
    return this.#course.flow?.losses.get(step) ?? 0;
  }
  get counts(): Readonly<StepCounts> {
    return this.#course.flow?.counts ?? NO_STEPS;
  }

  /** Where a step stands. @throws NotFoundError when the run has no such step. */
  step(id: string): StepStatus {
    return this.#requiredFlow.read(id);
  }

  /** Epoch ms before which a ready step waits for its back-off; 0: it does not. */
  notBefore(step: string): number {
    return this.#course.flow?.notBefore(step) ?? 0;
  }

  /** What a step is about; fixed when it became ready. */
  inputsOf(step: string): Record<string, unknown> {
    return this.#course.flow?.inputsOf(step) ?? {};
  }

  /** The steps that undo others, in the order in which they are done. */
  get compensations(): readonly DerivedStep[] {
    return this.#course.flow?.frontier.compensations.steps ?? [];
  }

  /** Whether the step was undone after it completed, or that was tried. */
  isUndone(step: string): boolean {
    return this.#course.flow?.frontier.compensations.isUndone(step) ?? false;
  }

  /** What a step's result held, declared keys and others; null values for a skipped step. */
  outputsOf(step: string): Record<string, unknown> | undefined {
    return this.#course.flow?.outputsOf(step);
  }

  /** Whether nothing waits for a step any more: it is done, or failed where that is allowed. */
  isClosed(step: string): boolean {
    return this.#course.flow?.isClosed(step) ?? false;
  }

  /** How far the items of a step are; undefined for one that did not fan out. */
  fanOutOf(step: string): FanOutProgress | undefined {
    return this.#course.flow?.fanOutOf(step);
  }

  /** What became of the environment update at this log sequence; undefined when it is not folded yet. */
  verdict(seq: number): EnvVerdictRecord | undefined {
    return this.#updates.verdict(seq);
  }

  /** Large values that have to be held against the schemas of their keys, oldest first. */
  get held(): readonly HeldValue[] {
    return this.#updates.held;
  }

  /** How much of the draw that a nested run stored at this log sequence is granted; undefined: not folded yet. */
  drawVerdict(child: string, seq: number): DrawVerdict | undefined {
    return this.#draws.verdict(child, seq);
  }

  /** Whether the update at this log sequence waits to be held against a schema. */
  isHeld(seq: number): boolean {
    return this.#updates.held.some((held) => held.seq === seq);
  }

  /** Whether the log, as far as it is folded, has opened this dispatch. */
  knows({ step, n }: Pick<DispatchRef, "step" | "n">): boolean {
    if (isConsultation({ step })) return this.consultations.asked.length >= n;
    const flow = this.#course.flow;
    if (flow === undefined || !(flow.steps.has(step) || flow.retired.has(step))) return false;
    return flow.read(step).context.n >= n;
  }

  /** Whether a dispatch may still be closed by a result. */
  isOpen(ref: DispatchRef): boolean {
    if (isConsultation(ref)) return this.consultations.isOpen(ref);
    return !this.ended && this.#course.flow !== undefined && this.#course.flow.isOpen(ref);
  }

  /** The message that gives a ready step out. @param deadline epoch ms */
  taskOf(step: string, deadline?: number): TaskMessage {
    return this.#requiredFlow.taskOf(step, deadline);
  }

  /** Puts the run's values into the expressions of a template. @throws ExpressionError */
  resolve(template: Record<string, unknown>): Record<string, unknown> {
    return this.#requiredFlow.values.resolve(template);
  }

  /** The end that the state calls for, to be proposed as a decision (L3). @param fetched large values at hand */
  dueEnd(fetched?: FetchedValues): RunEnd | undefined {
    return this.#course.dueEnd(fetched);
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
        this.#updates.apply(record.body);
        break;
      case "control":
        this.#onControl(record.body);
        break;
      case "observed":
        this.#onObserved(record.body);
        break;
      case "decision":
        this.#decisions.apply(record.body);
        break;
      case "unreadable":
        // It changes nothing, and yet it is what the next decision has to expect (L3).
        if (record.of === "decision") this.#decisions.lastSeq = record.seq;
        if (record.newer !== undefined) this.#newer ??= { seq: record.seq, version: record.newer };
        this.#frame.void("unreadable", null, record.problem);
        break;
    }
    const { flow, budget } = this.#course;
    if (flow?.waits.used) this.#course.settleWaits(flow);
    if (budget !== undefined) this.#course.keepBudget(budget);
    if (this.#updates.held.length > 0 && this.ended) this.#updates.refuseHeld();
    return this.#frame.effects;
  }

  // ── submission ───────────────────────────────────────────────────────────────────────────────────

  #onSubmit(submission: SubmitMessage): void {
    if (this.#submission) {
      this.#frame.void("refused", null, "the run was submitted before");
      return;
    }
    this.#submission = submission;
    this.#updates.submittedSeq = this.#frame.seq;
    this.#course.startedAt = this.#frame.ts;
    this.#course.timedFrom = this.#frame.ts;
    if (submission.secrets !== undefined) this.#keepSecrets(submission.secrets, {});
    for (const [key, value] of Object.entries(submission.environment ?? {}))
      this.#frame.setEnv(key, value, {});
    if (submission.origin) takeOverEnvironment(submission.origin, this.#frame);
    if (submission.origin?.plan) this.#decisions.history.begin(submission.origin.plan);
    if (submission.workflow !== undefined) this.#adopt(submission.workflow, "submitted");
    else if (submission.goals !== undefined || submission.want !== undefined) {
      this.#frame.effects.push({ type: "plan" });
    } else
      this.#course.failure = { code: "E_SCHEMA", message: "the submission has neither a workflow nor goals" };
  }

  /** Makes a document this run's workflow; one that is invalid ends the run (F4: it does not throw). */
  #adopt(document: unknown, cause: string): void {
    const environmentKeys = Object.keys(this.environment.values);
    this.#keepSecrets(secretNamesOf(document), document);
    let graph: WorkflowGraph;
    try {
      graph = WorkflowGraph.fromDocument(document, { environmentKeys, wasAccepted: true });
    } catch (error) {
      if (!(error instanceof InvalidWorkflowError)) throw error;
      this.#course.failure = { code: error.code, message: error.message };
      return;
    }
    for (const [key, value] of Object.entries(graph.schemas ? this.environment.values : {})) {
      const problem = isClaimCheck(value) ? undefined : graph.schemas?.problem(key, value);
      if (problem === undefined) continue;
      const { code = "E_ENV_SCHEMA", message } = schemaError(problem);
      this.#course.failure = { code, message };
      return;
    }
    this.#course.budget = RunBudget.of(graph.document.budget, this.#submission, this.#spending);
    this.#course.budget?.heedRaises(this.#frame.raises);
    const planned = this.#decisions.history.first !== undefined;
    this.#course.flow = new StepFlow(graph, this.#submission?.inputs ?? {}, this.#host, this.#frame, planned);
    this.#course.move({ type: "planned" }, cause);
    this.#course.flow.begin(this.#submission?.origin);
    this.#updates.holdSubmitted();
  }

  /**
   * From here on what is named as secret is known to who shows the run. What the submission names is secret in
   * every document that follows, also in one that names none.
   */
  #keepSecrets(names: readonly string[], document: unknown): void {
    const secrets = this.#frame.secrets ?? (names.length === 0 ? undefined : new SecretMask());
    if (secrets === undefined) return;
    this.#frame.secrets = secrets;
    secrets.add(names);
    secrets.learnAll((document as { inputs?: Record<string, unknown> } | null)?.inputs ?? {});
    secrets.learnAll(this.#submission?.inputs ?? {});
    secrets.learnAll(this.environment.values);
  }

  // ── results ──────────────────────────────────────────────────────────────────────────────────────

  #onResult(role: string, result: ResultMessage): void {
    if (isConsultation(result)) return this.consultations.answer(role, result);
    const flow = this.#course.flow;
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
    this.#spending.report(result, role);
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
      this.#spending.report(result, role);
      const place = flow.waits.has(result.step) ? "waits for an answer" : `is ${state}`;
      const standing = this.ended ? `the run is ${this.status}` : `the step ${place}`;
      this.#frame.void("late", result.step, `${what}: ${standing}, its last dispatch is ${context.n}`);
    }
    return false;
  }

  // ── controls and observations ────────────────────────────────────────────────────────────────────

  #onControl(control: ControlMessage): void {
    const cause = `${control.verb} by ${control.by}`;
    const problem = applyControl(this.#course, control, cause);
    if (problem !== undefined) this.#frame.void("refused", control.step ?? null, `${cause}: ${problem}`);
  }

  /** G2. Why a dispatch that a holder of this epoch noted must not be given out. */
  #refusal({ excess }: RunBudget, epoch: number): string | undefined {
    if (epoch !== this.#decisions.epoch)
      return `it is of epoch ${epoch}, and the epoch is ${this.#decisions.epoch}`;
    if (this.status !== "running") return `the run is ${this.status}`;
    return excess && excessText(excess);
  }

  #onObserved(observed: ObservedMessage): void {
    const flow = this.#course.flow;
    if (!flow) return;
    for (const draw of observed.drawn ?? []) {
      if (!flow.steps.has(draw.step)) continue;
      const isOpen = this.isOpen({ ...draw, run: this.run, role: ORCHESTRATOR_ROLE });
      this.#draws.apply(draw, this.#frame.seq, isOpen, this.#course.budget);
    }
    if (this.ended) return;
    for (const { step, n, role, at } of observed.dispatched) {
      const ref = { run: this.run, step, n, role };
      if (!flow.isOpen(ref) || flow.dispatches.get(step)?.ref.n === n) continue;
      const refusal = this.#course.budget && this.#refusal(this.#course.budget, observed.epoch);
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

  get #requiredFlow(): StepFlow {
    if (!this.#course.flow) throw new NotFoundError("E_NO_WORKFLOW", `run ${this.run} has no workflow yet`);
    return this.#course.flow;
  }
}
