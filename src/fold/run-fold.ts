/**
 * The fold: a run's whole state as a pure function of its log (L1).
 *
 * It owns the run machine, the step machines (through a StepHost), the environment, the graph's frontier,
 * the current epoch, and which dispatches are known to be out. It owns no connection, no timer and no
 * clock: times come from the records. `apply` returns what the record makes necessary as effects; the
 * orchestrator performs them, a replay for a trace ignores them, and after a failover they are derived
 * again from the state (L2).
 *
 *  - F1 A record is judged only by what was folded before it; so every reader of the log agrees.
 *  - F2 A decision counts only with the current epoch and where the state allows it (L3).
 *  - F3 The first result of an open dispatch closes it, if it comes from the dispatch's role (L4).
 *  - F4 A record that does not fit changes nothing and is reported as void; nothing throws for it (L9).
 */
import type { LogRecord } from "../bus/bus.ts";
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
  WireError,
} from "../bus/messages.ts";
import { hasEnded, type RunEvent, type RunState } from "../machines/run.ts";
import type { StepContext, StepEvent } from "../machines/step.ts";
import type { WorkflowStep } from "../workflow/document.ts";
import { Environment, type EnvironmentWriter } from "../workflow/environment.ts";
import { DataHammerError, InvalidWorkflowError, NotFoundError } from "../workflow/errors.ts";
import { type ExpressionScope, evaluateCondition, resolveTemplate } from "../workflow/expressions.ts";
import { type GraphExecution, WorkflowGraph } from "../workflow/graph.ts";
import { parseDuration } from "../workflow/names.ts";
import type { Effect } from "./effect.ts";
import { retryDelayMs } from "./retry-delay.ts";
import { RunStatusHost } from "./run-status-host.ts";
import { SnapshotStepHost, type StepHost, type StepStatus } from "./step-host.ts";
import { type StepCounts, StepLedger } from "./step-ledger.ts";
import type { FoldObserver, VoidRecord } from "./transition-record.ts";

/** Verdicts on environment updates that are kept for agents that ask (L8). */
const KEPT_VERDICTS = 10_000;

/** A dispatch that the log says is out: given to a role, perhaps started. */
export interface OpenDispatch {
  readonly ref: DispatchRef;
  /** Epoch ms of the push, by the pushing orchestrator's reckoning. */
  readonly dispatchedAt: number;
  /** Epoch ms, once an agent said so. */
  readonly startedAt: number | undefined;
}

export type EnvVerdictRecord =
  | { applied: true; revision: number }
  | { applied: false; conflict?: { revision: number; writer: string }; error?: string };

/** What the planner said when it made this run's workflow. */
export interface PlanRecord {
  cost: number;
  optimal: boolean;
  explored: number;
  reasons: Record<string, string>;
}

const NO_STEPS: StepCounts = { total: 0, pending: 0, ready: 0, running: 0, done: 0, failed: 0 };
const NONE_READY: ReadonlySet<string> = new Set();

export interface RunFoldOptions {
  steps?: StepHost;
  observer?: FoldObserver;
}

export class RunFold {
  readonly run: string;
  readonly environment = new Environment();
  readonly #host: StepHost;
  readonly #status = new RunStatusHost();
  readonly #observer: FoldObserver;
  readonly #stepOutputs: ExpressionScope["steps"] = Object.create(null);
  readonly #stepInputs = new Map<string, Record<string, unknown>>();
  readonly #dispatches = new Map<string, OpenDispatch>();
  readonly #notBefore = new Map<string, number>();
  readonly #recovering = new Set<string>();
  readonly #verdicts = new Map<number, EnvVerdictRecord>();
  #steps: StepLedger | undefined;
  #effects: Effect[] = [];
  #record: { seq: number; ts: number } = { seq: 0, ts: 0 };
  #submit: SubmitMessage | undefined;
  #inputs: Record<string, unknown> = {};
  #graph: WorkflowGraph | undefined;
  #execution: GraphExecution | undefined;
  #plan: PlanRecord | undefined;
  #epoch = 0;
  #holder: string | undefined;
  #lastDecisionSeq = 0;
  #failure: RunError | undefined;
  #cancelRequested: { by: string; reason: string } | undefined;
  #outputs: Record<string, unknown> = {};
  #error: RunError | undefined;
  #startedAt: number | undefined;
  #endedAt: number | undefined;

  constructor(run: string, options: RunFoldOptions = {}) {
    this.run = run;
    this.#host = options.steps ?? new SnapshotStepHost();
    this.#observer = options.observer ?? {};
  }

  get status(): RunState {
    return this.#status.state;
  }
  get ended(): boolean {
    return hasEnded(this.status);
  }
  /** Undefined until there is a valid workflow. */
  get graph(): WorkflowGraph | undefined {
    return this.#graph;
  }
  get submission(): SubmitMessage | undefined {
    return this.#submit;
  }
  get inputs(): Record<string, unknown> {
    return this.#inputs;
  }
  get plan(): PlanRecord | undefined {
    return this.#plan;
  }
  /** The current hold; decisions of another epoch are void. 0: nobody claimed the run yet. */
  get epoch(): number {
    return this.#epoch;
  }
  get holder(): string | undefined {
    return this.#holder;
  }
  /** Sequence of the last decision, void ones included: what the next one must expect (L3). */
  get lastDecisionSeq(): number {
    return this.#lastDecisionSeq;
  }
  get lastSeq(): number {
    return this.#record.seq;
  }
  /** Epoch ms of the submission. */
  get startedAt(): number | undefined {
    return this.#startedAt;
  }
  get endedAt(): number | undefined {
    return this.#endedAt;
  }
  /** The workflow's outputs, once the run is done. */
  get outputs(): Record<string, unknown> {
    return this.#outputs;
  }
  get error(): RunError | undefined {
    return this.#error;
  }
  /** Steps that may be given out now or after their back-off, in the order in which they became ready. */
  get ready(): ReadonlySet<string> {
    return this.#steps?.ready ?? NONE_READY;
  }
  /** What the log knows to be out. */
  get dispatches(): ReadonlyMap<string, OpenDispatch> {
    return this.#dispatches;
  }
  /** Steps that failed and wait for a recovery. */
  get recovering(): ReadonlySet<string> {
    return this.#recovering;
  }
  get counts(): Readonly<StepCounts> {
    return this.#steps?.counts ?? NO_STEPS;
  }

  /** Where a step stands. @throws NotFoundError when the run has no such step. */
  step(id: string): StepStatus {
    return this.#ledger.read(id);
  }

  /** Epoch ms before which a ready step waits for its back-off; 0: it does not. */
  notBefore(step: string): number {
    return this.#notBefore.get(step) ?? 0;
  }

  /** What a step's result held, declared keys and others; null values for a skipped step. */
  outputsOf(step: string): Record<string, unknown> | undefined {
    return this.#stepOutputs[step]?.outputs ?? undefined;
  }

  /** What became of the environment update at this log sequence; undefined when it is not folded yet. */
  verdict(seq: number): EnvVerdictRecord | undefined {
    return this.#verdicts.get(seq);
  }

  /** Whether a dispatch may still be closed by a result. */
  isOpen(ref: DispatchRef): boolean {
    if (this.ended || !this.#graph?.has(ref.step)) return false;
    const { state, context } = this.step(ref.step);
    return (state === "ready" || state === "running") && context.n === ref.n && context.role === ref.role;
  }

  /** The message that gives a ready step out. Its inputs were fixed when the step became ready. */
  taskOf(id: string, deadline?: number): TaskMessage {
    const step = this.#stepOf(id);
    const { context } = this.step(id);
    const hops = context.hops.length;
    return {
      v: 1,
      run: this.run,
      step: id,
      n: context.n,
      role: context.role,
      task: context.task,
      inputs: context.inputs ?? this.#stepInputs.get(id) ?? {},
      attempt: context.attempt,
      idempotencyKey: hops === 0 ? `${this.run}:${id}` : `${this.run}:${id}:h${hops}`,
      outputs: [...step.outputs],
      handoff: this.#handoffOf(step, context),
      ...(deadline === undefined ? {} : { deadline }),
    };
  }

  #handoffOf(step: WorkflowStep, context: StepContext): NonNullable<TaskMessage["handoff"]> {
    if (context.hops.length > 0) {
      return {
        from: context.hops.map((hop) => ({ step: step.id, role: hop.role })),
        reason: context.handoffReason ?? "",
      };
    }
    const from = step.dependsOn.map((id) => ({ step: id, role: this.step(id).context.role }));
    return { from };
  }

  /** Puts the run's values into the expressions of a template. @throws ExpressionError */
  resolve(template: Record<string, unknown>): Record<string, unknown> {
    return resolveTemplate(template, this.#scope()) as Record<string, unknown>;
  }

  /** The end that the state calls for, to be proposed as a decision (L3). */
  dueEnd():
    | { status: "done" | "failed" | "cancelled"; outputs?: Record<string, unknown>; error?: RunError }
    | undefined {
    if (this.ended || !this.#submit) return undefined;
    if (this.#cancelRequested) {
      const { by, reason } = this.#cancelRequested;
      return {
        status: "cancelled",
        error: { code: "E_CANCELLED", message: `cancelled by ${by}${reason && `: ${reason}`}` },
      };
    }
    if (this.#failure) return { status: "failed", error: this.#failure };
    if (!this.#graph || !this.#execution || this.#execution.closedCount < this.#graph.size) return undefined;
    try {
      return { status: "done", outputs: this.resolve(this.#graph.document.outputs ?? {}) };
    } catch (cause) {
      return {
        status: "failed",
        error: { code: "E_EXPRESSION", message: `outputs: ${(cause as Error).message}` },
      };
    }
  }

  /** Folds one record. Returns what it makes necessary; empty for a record that changes nothing. */
  apply(record: LogRecord): readonly Effect[] {
    this.#record = { seq: record.seq, ts: record.ts };
    this.#effects = [];
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
        this.#void("unreadable", null, record.problem);
        break;
    }
    return this.#effects;
  }

  // ── submission and plan ──────────────────────────────────────────────────────────────────────────

  #onSubmit(submit: SubmitMessage): void {
    if (this.#submit) return this.#void("refused", null, "the run was submitted before");
    this.#submit = submit;
    this.#startedAt = this.#record.ts;
    this.#inputs = submit.inputs;
    for (const [key, value] of Object.entries(submit.environment ?? {})) this.#setEnv(key, value, {});
    if (submit.workflow !== undefined) this.#adopt(submit.workflow, "submitted");
    else if (submit.goals !== undefined || submit.want !== undefined) this.#effect({ type: "plan" });
    else this.#failure = { code: "E_SCHEMA", message: "the submission has neither a workflow nor goals" };
  }

  /** Makes a document this run's workflow; one that is invalid ends the run (F4: it does not throw). */
  #adopt(document: unknown, cause: string): void {
    try {
      this.#graph = WorkflowGraph.fromDocument(document, {
        environmentKeys: Object.keys(this.environment.values),
      });
    } catch (error) {
      if (!(error instanceof InvalidWorkflowError)) throw error;
      this.#failure = { code: error.code, message: error.message };
      return;
    }
    this.#inputs = { ...this.#graph.document.inputs, ...this.#submit?.inputs };
    this.#execution = this.#graph.execution();
    this.#steps = new StepLedger(this.#graph, this.#host, this.#observer);
    this.#moveRun({ type: "planned" }, cause);
    this.#release(this.#execution.start(), "needs nothing before it");
  }

  // ── results ──────────────────────────────────────────────────────────────────────────────────────

  #onResult(role: string, result: ResultMessage): void {
    const judged = this.#judge(role, result);
    if (!judged) return;
    const { step, status } = judged;
    const from = `by ${result.agent}`;
    if (status.state === "ready") {
      this.#move(
        step,
        { type: "start", agent: result.agent },
        `a result ${from} implies the start (dispatch ${result.n})`,
      );
    }
    this.#dispatches.delete(step.id);
    if (result.status === "done") this.#complete(step, result, from);
    else if (result.status === "handoff" && result.handoff) {
      const { role: to, task, inputs, reason } = result.handoff;
      const cause = `handed off ${from} to ${to}: ${reason}`;
      const after = this.#move(step, { type: "hand off", role: to, task, inputs, reason }, cause);
      this.#continueOrFail(step, after);
    } else {
      const error = result.error ?? { name: "Error", message: "the agent gave no reason", retryable: true };
      this.#fail(step, error, `failed ${from}: ${error.message}`);
    }
  }

  /** F3: whether this result closes its dispatch; if not, it is noted as what it is. */
  #judge(role: string, result: ResultMessage): { step: WorkflowStep; status: StepStatus } | undefined {
    const what = `result of dispatch ${result.n} by ${result.agent}`;
    if (!this.#graph?.has(result.step)) {
      this.#void("foreign", result.step, `${what}: the run has no such step`);
      return undefined;
    }
    const status = this.step(result.step);
    const { state, context } = status;
    const open = !this.ended && (state === "ready" || state === "running");
    if (open && result.n === context.n && role === context.role)
      return { step: this.#stepOf(result.step), status };
    if (result.n > context.n || (result.n === context.n && role !== context.role)) {
      this.#void(
        "foreign",
        result.step,
        `${what} for role ${role}: dispatch ${context.n} is with ${context.role}`,
      );
    } else {
      this.#void("late", result.step, `${what}: the step is ${state}, its last dispatch is ${context.n}`);
    }
    return undefined;
  }

  #complete(step: WorkflowStep, result: ResultMessage, from: string): void {
    const outputs = result.outputs ?? {};
    const missing = step.outputs.filter(
      (key) => !Object.hasOwn(outputs, key) && this.#writerOf(key) !== step.id,
    );
    if (missing.length > 0) {
      const message = `the result lacks the declared output ${missing.join(", ")}; it has ${Object.keys(outputs).join(", ") || "nothing"}`;
      const error = { name: "OutputMissingError", code: "E_OUTPUT_MISSING", message, retryable: false };
      this.#fail(step, error, message);
      return;
    }
    for (const key of step.outputs) {
      if (Object.hasOwn(outputs, key))
        this.#setEnv(key, outputs[key], { step: step.id, agent: result.agent });
    }
    this.#stepOutputs[step.id] = { outputs };
    this.#move(step, { type: "complete" }, `result ${from}`);
    this.#close(step);
  }

  #fail(step: WorkflowStep, error: WireError, cause: string): void {
    this.#continueOrFail(step, this.#move(step, { type: "fail", error }, cause));
  }

  /** After a dispatch ended without completing: the step is ready again, or failed for good. */
  #continueOrFail(step: WorkflowStep, after: StepStatus): void {
    if (after.state === "ready") {
      const failed = after.context.failures.at(-1);
      const retried = failed?.n === after.context.n - 1 && failed.attempt === after.context.attempt - 1;
      this.#offer(step.id, retried ? this.#record.ts + this.#backOff(step, after.context) : 0);
      return;
    }
    const last = after.context.failures.at(-1)?.error;
    const error = {
      code: last?.code ?? last?.name ?? "E_FAILED",
      message: last?.message ?? "failed",
      step: step.id,
    };
    if (step.onFailure === "continue") {
      this.#giveNulls(step);
      this.#close(step);
    } else if (step.onFailure === "recover" && last) {
      this.#recovering.add(step.id);
      this.#effect({ type: "recover", step: step.id });
    } else {
      this.#failure ??= error;
    }
  }

  #backOff(step: WorkflowStep, context: StepContext): number {
    return retryDelayMs(step.retry, context.attempt, `${this.run}:${step.id}:${context.attempt}`);
  }

  // ── the frontier ─────────────────────────────────────────────────────────────────────────────────

  /** Steps whose dependencies allow them now: skipped, refused, or ready with their inputs fixed. */
  #release(ids: readonly string[], cause: string): void {
    const waiting = [...ids];
    for (let id = waiting.shift(); id !== undefined; id = waiting.shift()) {
      const step = this.#stepOf(id);
      try {
        if (step.when !== undefined && !evaluateCondition(step.when, this.#scope())) {
          this.#giveNulls(step);
          this.#move(step, { type: "skip" }, `its condition is false: ${step.when}`);
          waiting.push(...(this.#execution?.close(id) ?? []));
          continue;
        }
        this.#stepInputs.set(id, this.resolve(step.inputs));
      } catch (thrown) {
        const error = expressionError(thrown);
        this.#continueOrFail(step, this.#move(step, { type: "refuse", error }, error.message));
        continue;
      }
      this.#move(step, { type: "dependencies met" }, cause);
      this.#offer(id, 0);
    }
  }

  #close(step: WorkflowStep): void {
    this.#stepInputs.delete(step.id);
    this.#release(this.#execution?.close(step.id) ?? [], `${step.id} is done`);
  }

  #offer(id: string, notBefore: number): void {
    if (notBefore > 0) this.#notBefore.set(id, notBefore);
    else this.#notBefore.delete(id);
    this.#effect({ type: "offer", step: id });
  }

  /** A step that ended without a result leaves null where nothing was, so that dependents can read on. */
  #giveNulls(step: WorkflowStep): void {
    const outputs: Record<string, unknown> = {};
    for (const key of step.outputs) {
      outputs[key] = null;
      if (!this.environment.has(key)) this.#setEnv(key, null, { step: step.id });
    }
    this.#stepOutputs[step.id] = { outputs };
  }

  // ── environment ──────────────────────────────────────────────────────────────────────────────────

  #onEnvUpdate(update: EnvUpdateMessage): void {
    const problem = this.#envProblem(update);
    if (problem) {
      this.#keepVerdict({ applied: false, error: problem });
      this.#void(
        "refused",
        update.step ?? null,
        `environment update of ${update.key} by ${update.by}: ${problem}`,
      );
      return;
    }
    const writer = update.step === undefined ? { agent: update.by } : { step: update.step, agent: update.by };
    const outcome = this.#setEnv(update.key, update.value, writer, update.ifRevision);
    if (outcome.applied) {
      this.#keepVerdict({ applied: true, revision: outcome.revision });
      return;
    }
    const { revision, writer: stands } = outcome.conflict;
    const other = stands.step ?? stands.agent ?? "the submission";
    this.#keepVerdict({ applied: false, conflict: { revision, writer: other } });
    const expected = `expected revision ${update.ifRevision}, ${other} wrote revision ${revision}`;
    this.#void(
      "refused",
      update.step ?? null,
      `environment update of ${update.key} by ${update.by}: ${expected}`,
    );
  }

  #envProblem(update: EnvUpdateMessage): string | undefined {
    if (this.ended) return "the run has ended";
    if (!this.#graph) return "the run has no workflow yet";
    if (update.step === undefined) return undefined;
    if (!this.#graph.has(update.step)) return `the run has no step ${update.step}`;
    const { state, context } = this.step(update.step);
    if ((state !== "running" && state !== "ready") || update.n !== context.n) return "its dispatch is closed";
    if (!this.#stepOf(update.step).outputs.includes(update.key))
      return "the step does not declare this output";
    return undefined;
  }

  #keepVerdict(verdict: EnvVerdictRecord): void {
    this.#verdicts.set(this.#record.seq, verdict);
    if (this.#verdicts.size > KEPT_VERDICTS) {
      const [oldest] = this.#verdicts.keys();
      if (oldest !== undefined) this.#verdicts.delete(oldest);
    }
  }

  #setEnv(key: string, value: unknown, writer: EnvironmentWriter, ifRevision?: number) {
    const revision = this.#record.seq;
    const outcome = this.environment.apply({
      key,
      value,
      revision,
      writer,
      ...(ifRevision === undefined ? {} : { ifRevision }),
    });
    if (outcome.applied)
      this.#effect({ type: "env", change: { run: this.run, key, value, revision, writer } });
    return outcome;
  }

  #writerOf(key: string): string | undefined {
    return this.environment.entry(key)?.writer.step;
  }

  // ── controls, observations, decisions ────────────────────────────────────────────────────────────

  #onControl(control: ControlMessage): void {
    const cause = `${control.verb} by ${control.by}`;
    const refuse = (reason: string) => this.#void("refused", control.step ?? null, `${cause}: ${reason}`);
    switch (control.verb) {
      case "cancel":
        if (this.ended) return refuse(`the run is ${this.status}`);
        this.#cancelRequested ??= {
          by: control.by,
          reason: typeof control.value === "string" ? control.value : "",
        };
        return;
      case "pause":
        if (this.status !== "running") return refuse(`the run is ${this.status}`);
        return this.#moveRun({ type: "pause" }, cause);
      case "resume":
        if (this.status !== "paused") return refuse(`the run is ${this.status}`);
        return this.#moveRun({ type: "resume" }, cause);
      case "retry":
        return this.#retry(control, cause, refuse);
      default:
        return refuse("no step of this run waits for it");
    }
  }

  /** Gives failed steps of a failed run a new chance; what is done stays done. */
  #retry(control: ControlMessage, cause: string, refuse: (reason: string) => void): void {
    if (this.status !== "failed" || !this.#graph) return refuse(`the run is ${this.status}, not failed`);
    const chosen =
      control.step === undefined ? [...this.#graph.steps()].map((step) => step.id) : [control.step];
    const failed = chosen.filter(
      (id) => this.#graph?.has(id) && this.step(id).state === "failed" && !this.#execution?.isClosed(id),
    );
    if (failed.length === 0) return refuse("no such failed step");
    this.#failure = undefined;
    this.#error = undefined;
    this.#endedAt = undefined;
    this.#moveRun({ type: "reopen" }, cause);
    for (const id of failed) this.#reopen(this.#stepOf(id), {}, cause);
    for (const step of this.#graph.steps()) {
      if (this.step(step.id).state === "failed" && this.step(step.id).context.outcome !== "cancelled") {
        if (!this.#execution?.isClosed(step.id)) this.#failure ??= errorOf(this.step(step.id).context);
      } else if (this.step(step.id).state === "failed" && !this.#execution?.isClosed(step.id)) {
        this.#reopen(step, {}, cause);
      }
    }
  }

  #reopen(
    step: WorkflowStep,
    changes: { role?: string; task?: string; inputs?: Record<string, unknown> },
    cause: string,
  ): void {
    if (!this.#stepInputs.has(step.id)) {
      try {
        this.#stepInputs.set(step.id, this.resolve(step.inputs));
      } catch (thrown) {
        this.#failure ??= { code: "E_EXPRESSION", message: expressionError(thrown).message, step: step.id };
        return;
      }
    }
    this.#move(step, { type: "reopen", ...changes }, cause);
    this.#offer(step.id, 0);
  }

  #onObserved(observed: ObservedMessage): void {
    for (const item of observed.dispatched) {
      const ref = { run: this.run, step: item.step, n: item.n, role: item.role };
      if (!this.isOpen(ref) || this.#dispatches.get(item.step)?.ref.n === item.n) continue;
      this.#dispatches.set(item.step, { ref, dispatchedAt: item.at, startedAt: undefined });
    }
    for (const item of observed.started) {
      if (!this.#graph?.has(item.step) || this.ended) continue;
      const { state, context } = this.step(item.step);
      if (context.n !== item.n || state !== "ready") continue;
      const out = this.#dispatches.get(item.step);
      const ref = out?.ref ?? { run: this.run, step: item.step, n: item.n, role: context.role };
      this.#dispatches.set(item.step, {
        ref,
        dispatchedAt: out?.dispatchedAt ?? item.at,
        startedAt: item.at,
      });
      this.#move(
        this.#stepOf(item.step),
        { type: "start", agent: item.agent },
        `started by ${item.agent}`,
        item.at,
      );
    }
  }

  #onDecision(decision: DecisionMessage): void {
    this.#lastDecisionSeq = this.#record.seq;
    if (decision.type === "claim") {
      if (decision.epoch <= this.#epoch) return this.#voidDecision(decision, `epoch ${this.#epoch} is taken`);
      this.#epoch = decision.epoch;
      this.#holder = decision.holder;
      return;
    }
    // F2: a holder that was replaced may still write; nothing of it counts.
    if (decision.epoch !== this.#epoch) return this.#voidDecision(decision, `the epoch is ${this.#epoch}`);
    if (this.ended) return this.#voidDecision(decision, `the run is ${this.status}`);
    switch (decision.type) {
      case "plan":
        return this.#onPlan(decision);
      case "timed-out":
        return this.#onTimeOut(decision);
      case "lost":
        return this.#onLost(decision);
      case "recover":
        return this.#onRecover(decision);
      case "run-timed-out":
        this.#failure ??= {
          code: "E_RUN_TIMEOUT",
          message: `the run did not end within ${decision.afterMs} ms`,
        };
        return;
      case "end":
        return this.#onEnd(decision);
    }
  }

  #onPlan(decision: DecisionMessage & { type: "plan" }): void {
    if (this.#graph || this.#failure) return this.#voidDecision(decision, "the run has a workflow");
    const { cost, optimal, explored, reasons } = decision;
    this.#plan = { cost, optimal, explored, reasons };
    this.#adopt(decision.workflow, `planned: cost ${cost}${optimal ? ", proven least" : ""}`);
  }

  #onTimeOut(decision: DecisionMessage & { type: "timed-out" }): void {
    const step = this.#openStep(decision);
    if (!step) return;
    const message = `dispatch ${decision.n} had no result after ${decision.afterMs} ms`;
    const error = { name: "TimeoutError", code: decision.code, message, retryable: true };
    this.#withdraw(step.id, message);
    this.#continueOrFail(step, this.#move(step, { type: "time out", error }, message));
  }

  #onLost(decision: DecisionMessage & { type: "lost" }): void {
    const step = this.#openStep(decision);
    if (!step) return;
    this.#dispatches.delete(step.id);
    this.#move(
      step,
      { type: "lose" },
      `dispatch ${decision.n} was lost: its task is gone and there is no result`,
    );
    this.#offer(step.id, 0);
  }

  #onRecover(decision: DecisionMessage & { type: "recover" }): void {
    const { step: id, role, task, inputs, reason } = decision;
    if (!this.#recovering.delete(id))
      return this.#voidDecision(decision, "the step does not wait for a recovery");
    const step = this.#stepOf(id);
    if (role === undefined || task === undefined) {
      this.#failure ??= errorOf(this.step(id).context);
      return;
    }
    this.#reopen(step, { role, task, ...(inputs === undefined ? {} : { inputs }) }, `recovered: ${reason}`);
  }

  #onEnd(decision: DecisionMessage & { type: "end" }): void {
    const graph = this.#graph;
    const cause = decision.error ? decision.error.message : "every step is done";
    this.#moveRun({ type: "end", status: decision.status }, cause);
    this.#endedAt = decision.at;
    this.#outputs = decision.outputs ?? {};
    this.#error = decision.error;
    if (decision.status === "done" || !graph) return void this.#effect({ type: "ended" });
    // A failed run keeps what never became ready as pending: a retry may still reach it.
    const cancelPending = decision.status === "cancelled";
    for (const step of graph.steps()) {
      const { state } = this.step(step.id);
      if (state === "ready" || state === "running") {
        this.#withdraw(step.id, cause);
        this.#move(step, { type: "cancel" }, cause);
      } else if (state === "pending" && cancelPending) this.#move(step, { type: "cancel" }, cause);
    }
    this.#effect({ type: "ended" });
  }

  /** The step of a decision about a dispatch, if that dispatch is open (L3). */
  #openStep(decision: DecisionMessage & { step: string; n: number }): WorkflowStep | undefined {
    if (!this.#graph?.has(decision.step)) {
      this.#voidDecision(decision, "the run has no such step");
      return undefined;
    }
    const { state, context } = this.step(decision.step);
    if ((state === "ready" || state === "running") && context.n === decision.n)
      return this.#stepOf(decision.step);
    this.#voidDecision(decision, `dispatch ${decision.n} is closed`);
    return undefined;
  }

  /** The dispatch is over without its holder's word: take the task back and tell the agent. */
  #withdraw(id: string, reason: string): void {
    const { context } = this.step(id);
    this.#dispatches.delete(id);
    this.#effect({
      type: "withdraw",
      ref: { run: this.run, step: id, n: context.n, role: context.role },
      reason,
    });
  }

  // ── moving machines ──────────────────────────────────────────────────────────────────────────────

  #move(step: WorkflowStep, event: StepEvent, text: string, ts = this.#record.ts): StepStatus {
    return this.#ledger.move(step.id, event, { seq: this.#record.seq, ts, text });
  }

  #moveRun(event: RunEvent, cause: string): void {
    const from = this.status;
    const to = this.#status.send(event);
    if (to === from) return;
    const { seq, ts } = this.#record;
    this.#observer.onTransition?.({
      seq,
      ts,
      actor: "run",
      kind: "run",
      from,
      to,
      event: event.type,
      n: 0,
      attempt: 0,
      agent: this.#holder ?? null,
      cause,
    });
    this.#effect({ type: "status", status: to });
  }

  get #ledger(): StepLedger {
    if (!this.#steps) throw new NotFoundError("E_NO_WORKFLOW", `run ${this.run} has no workflow yet`);
    return this.#steps;
  }

  #stepOf(id: string): WorkflowStep {
    if (!this.#graph) throw new NotFoundError("E_NO_WORKFLOW", `run ${this.run} has no workflow yet`);
    return this.#graph.step(id);
  }

  #scope(): ExpressionScope {
    return { inputs: this.#inputs, env: this.environment.values, steps: this.#stepOutputs };
  }

  #effect(effect: Effect): void {
    this.#effects.push(effect);
  }

  #void(verdict: VoidRecord["verdict"], step: string | null, reason: string): void {
    this.#observer.onVoid?.({ ...this.#record, verdict, step, reason });
  }

  #voidDecision(decision: DecisionMessage, reason: string): void {
    const step = "step" in decision ? decision.step : null;
    this.#void("void", step, `decision ${decision.type} of epoch ${decision.epoch}: ${reason}`);
  }

  /** The run's own time-out in ms: the submission's, or the workflow's. */
  get timeoutMs(): number | undefined {
    return parseDuration(this.#submit?.timeout ?? "") ?? this.#graph?.timeoutMs;
  }
}

function errorOf(context: StepContext): RunError {
  const last = context.failures.at(-1)?.error;
  return {
    code: last?.code ?? last?.name ?? "E_FAILED",
    message: last?.message ?? "failed",
    step: context.id,
  };
}

function expressionError(thrown: unknown): WireError {
  if (!(thrown instanceof DataHammerError)) throw thrown;
  return { name: thrown.name, code: thrown.code, message: thrown.message, retryable: false };
}
