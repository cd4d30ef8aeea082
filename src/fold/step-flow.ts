/**
 * How the steps of a run follow one another: released when their dependencies allow, completed, failed,
 * tried again, recovered.
 *
 * It owns the frontier, the steps' inputs and outputs, and the failure that the run will end with. It does
 * not own whether a record may move a step: the fold judges that before.
 */
import type { DispatchRef, ResultMessage, RunError, TaskMessage, WireError } from "../bus/messages.ts";
import type { StepContext, StepEvent } from "../machines/step.ts";
import type { WorkflowStep } from "../workflow/document.ts";
import { DataHammerError } from "../workflow/errors.ts";
import { type ExpressionScope, evaluateCondition, resolveTemplate } from "../workflow/expressions.ts";
import type { GraphExecution, WorkflowGraph } from "../workflow/graph.ts";
import type { FoldFrame } from "./fold-frame.ts";
import { retryDelayMs } from "./retry-delay.ts";
import type { StepHost, StepStatus } from "./step-host.ts";
import { type StepCounts, StepLedger } from "./step-ledger.ts";

/** A dispatch that the log says is out: given to a role, perhaps started. */
export interface OpenDispatch {
  readonly ref: DispatchRef;
  /** Epoch ms of the push, by the pushing orchestrator's reckoning. */
  readonly dispatchedAt: number;
  /** Epoch ms, once an agent said so. */
  readonly startedAt: number | undefined;
}

/** What a reopened step may change. */
export interface Reopening {
  role?: string;
  task?: string;
  inputs?: Record<string, unknown>;
}

export class StepFlow {
  readonly graph: WorkflowGraph;
  /** The workflow's inputs, with the submission's over the defaults. */
  readonly inputs: Record<string, unknown>;
  readonly dispatches = new Map<string, OpenDispatch>();
  /** Steps that failed and wait for a recovery. */
  readonly recovering = new Set<string>();
  /** What the run fails with, unless it is taken away by a retry. */
  failure: RunError | undefined;
  readonly #frame: FoldFrame;
  readonly #ledger: StepLedger;
  readonly #execution: GraphExecution;
  readonly #stepInputs = new Map<string, Record<string, unknown>>();
  readonly #stepOutputs: ExpressionScope["steps"] = Object.create(null);
  readonly #notBefore = new Map<string, number>();

  constructor(graph: WorkflowGraph, inputs: Record<string, unknown>, host: StepHost, frame: FoldFrame) {
    this.graph = graph;
    this.inputs = { ...graph.document.inputs, ...inputs };
    this.#frame = frame;
    this.#ledger = new StepLedger(graph, host, frame.observer);
    this.#execution = graph.execution();
  }

  get counts(): Readonly<StepCounts> {
    return this.#ledger.counts;
  }

  get ready(): ReadonlySet<string> {
    return this.#ledger.ready;
  }

  /** Every step is closed well. */
  get complete(): boolean {
    return this.#execution.closedCount === this.graph.size;
  }

  /** @throws NotFoundError */
  read(id: string): StepStatus {
    return this.#ledger.read(id);
  }

  isOpen(ref: DispatchRef): boolean {
    if (!this.graph.has(ref.step)) return false;
    const { state, context } = this.read(ref.step);
    return (state === "ready" || state === "running") && context.n === ref.n && context.role === ref.role;
  }

  notBefore(id: string): number {
    return this.#notBefore.get(id) ?? 0;
  }

  outputsOf(id: string): Record<string, unknown> | undefined {
    return this.#stepOutputs[id]?.outputs ?? undefined;
  }

  /** @throws ExpressionError */
  resolve(template: Readonly<Record<string, unknown>>): Record<string, unknown> {
    return resolveTemplate(template, this.#scope()) as Record<string, unknown>;
  }

  /** The message that gives a ready step out. Its inputs were fixed when the step became ready. */
  taskOf(id: string, deadline: number | undefined): TaskMessage {
    const step = this.graph.step(id);
    const { context } = this.read(id);
    const key = `${this.#frame.run}:${id}`;
    return {
      v: 1,
      run: this.#frame.run,
      step: id,
      n: context.n,
      role: context.role,
      task: context.task,
      inputs: context.inputs ?? this.#stepInputs.get(id) ?? {},
      attempt: context.attempt,
      idempotencyKey: context.hops.length === 0 ? key : `${key}:h${context.hops.length}`,
      outputs: [...step.outputs],
      handoff: this.#handoffOf(step, context),
      ...(deadline === undefined ? {} : { deadline }),
    };
  }

  #handoffOf(step: WorkflowStep, context: StepContext): NonNullable<TaskMessage["handoff"]> {
    if (context.hops.length > 0) {
      const from = context.hops.map((hop) => ({ step: step.id, role: hop.role }));
      return { from, reason: context.handoffReason ?? "" };
    }
    return { from: step.dependsOn.map((id) => ({ step: id, role: this.read(id).context.role })) };
  }

  // ── moves that the fold has judged ───────────────────────────────────────────────────────────────

  /** Releases the steps that wait for nothing. */
  begin(): void {
    this.#release(this.#execution.start(), "needs nothing before it");
  }

  start(id: string, agent: string, cause: string, ts?: number): void {
    this.#move(id, { type: "start", agent }, cause, ts);
  }

  /** A result that says done; it still fails when a declared output is missing. */
  finish(id: string, result: ResultMessage): void {
    const step = this.graph.step(id);
    const outputs = result.outputs ?? {};
    const missing = step.outputs.filter((key) => !Object.hasOwn(outputs, key) && !this.#wrote(id, key));
    if (missing.length > 0) {
      const has = Object.keys(outputs).join(", ") || "nothing";
      const message = `the result lacks the declared output ${missing.join(", ")}; it has ${has}`;
      const error = { name: "OutputMissingError", code: "E_OUTPUT_MISSING", message, retryable: false };
      return this.fail(id, error, message);
    }
    for (const key of step.outputs) {
      if (Object.hasOwn(outputs, key))
        this.#frame.setEnv(key, outputs[key], { step: id, agent: result.agent });
    }
    this.#stepOutputs[id] = { outputs };
    this.#move(id, { type: "complete" }, `result by ${result.agent}`);
    this.#close(id);
  }

  fail(id: string, error: WireError, cause: string): void {
    this.#goOn(id, this.#move(id, { type: "fail", error }, cause));
  }

  timeOut(id: string, error: WireError): void {
    this.withdraw(id, error.message);
    this.#goOn(id, this.#move(id, { type: "time out", error }, error.message));
  }

  handOff(id: string, result: ResultMessage, to: NonNullable<ResultMessage["handoff"]>): void {
    const { role, task, inputs, reason } = to;
    const cause = `handed off by ${result.agent} to ${role}: ${reason}`;
    this.#goOn(id, this.#move(id, { type: "hand off", role, task, inputs, reason }, cause));
  }

  lose(id: string, cause: string): void {
    this.dispatches.delete(id);
    this.#move(id, { type: "lose" }, cause);
    this.#offer(id, 0);
  }

  /** Opens a failed step again; its failure is no longer the run's. */
  reopen(id: string, changes: Reopening, cause: string): void {
    if (!this.#stepInputs.has(id)) {
      try {
        this.#stepInputs.set(id, this.resolve(this.graph.step(id).inputs));
      } catch (thrown) {
        this.failure ??= { code: "E_EXPRESSION", message: expressionError(thrown).message, step: id };
        return;
      }
    }
    // A person's retry comes before a recovery that is still thought about.
    this.recovering.delete(id);
    this.#move(id, { type: "reopen", ...changes }, cause);
    this.#offer(id, 0);
  }

  /** No other way was found: the step stays failed, and so fails the run. */
  giveUpRecovery(id: string): void {
    this.failure ??= runErrorOf(this.read(id).context);
  }

  /**
   * Gives the chosen failed steps a new chance, and every step that was cancelled only because the run
   * failed. Returns whether there was one.
   */
  retry(chosen: string | undefined, cause: string): boolean {
    const failed = [...this.graph.steps()]
      .map((step) => step.id)
      .filter((id) => this.read(id).state === "failed" && !this.#execution.isClosed(id));
    const cancelled = (id: string) => this.read(id).context.outcome === "cancelled";
    const wanted = failed.filter((id) => chosen === undefined || id === chosen || cancelled(id));
    if (!wanted.some((id) => chosen === undefined || id === chosen)) return false;
    this.failure = undefined;
    const left = failed.find((id) => !wanted.includes(id));
    for (const id of wanted) this.reopen(id, {}, cause);
    if (left !== undefined) this.giveUpRecovery(left);
    return true;
  }

  /** The run has ended without them: takes back what is out, cancels what is open. */
  cancelOpen(cause: string, pendingToo: boolean): void {
    for (const { id } of this.graph.steps()) {
      const { state } = this.read(id);
      const open = state === "ready" || state === "running";
      if (open) this.withdraw(id, cause);
      if (open || (state === "pending" && pendingToo)) this.#move(id, { type: "cancel" }, cause);
    }
  }

  /** The dispatch is over without its holder's word. */
  withdraw(id: string, reason: string): void {
    const { context } = this.read(id);
    this.dispatches.delete(id);
    const ref = { run: this.#frame.run, step: id, n: context.n, role: context.role };
    this.#frame.effects.push({ type: "withdraw", ref, reason });
  }

  // ── the frontier ─────────────────────────────────────────────────────────────────────────────────

  /** Steps whose dependencies allow them now: skipped, refused, or ready with their inputs fixed. */
  #release(ids: readonly string[], cause: string): void {
    // A worklist, not a recursion: a chain of 100,000 skipped steps is released in one record.
    const waiting = [...ids];
    for (let at = 0; at < waiting.length; at += 1) {
      const step = this.graph.step(waiting[at] as string);
      try {
        if (step.when !== undefined && !evaluateCondition(step.when, this.#scope())) {
          this.#giveNulls(step);
          this.#move(step.id, { type: "skip" }, `its condition is false: ${step.when}`);
          waiting.push(...this.#execution.close(step.id));
          continue;
        }
        this.#stepInputs.set(step.id, this.resolve(step.inputs));
      } catch (thrown) {
        const error = expressionError(thrown);
        const after = this.#move(step.id, { type: "refuse", error }, error.message);
        waiting.push(...this.#settle(step, after.context));
        continue;
      }
      this.#move(step.id, { type: "dependencies met" }, cause);
      this.#offer(step.id, 0);
    }
  }

  #close(id: string): void {
    this.#stepInputs.delete(id);
    this.#release(this.#execution.close(id), `${id} is done`);
  }

  /** After a dispatch ended without completing: the step is ready again, or failed for good. */
  #goOn(id: string, after: StepStatus): void {
    const step = this.graph.step(id);
    if (after.state !== "ready")
      return this.#release(this.#settle(step, after.context), `${id} failed, and may`);
    const last = after.context.failures.at(-1);
    const isRetry = last !== undefined && last.n === after.context.n - 1;
    this.#offer(id, isRetry ? this.#frame.ts + this.#backOffMs(step, after.context) : 0);
  }

  /** What a failed step means for the run. Returns the steps that may go on nevertheless. */
  #settle(step: WorkflowStep, context: StepContext): string[] {
    if (step.onFailure === "continue") {
      this.#giveNulls(step);
      return this.#execution.close(step.id);
    }
    if (step.onFailure === "recover") {
      this.recovering.add(step.id);
      this.#frame.effects.push({ type: "recover", step: step.id });
    } else this.failure ??= runErrorOf(context);
    return [];
  }

  #backOffMs(step: WorkflowStep, context: StepContext): number {
    return retryDelayMs(step.retry, context.attempt, `${this.#frame.run}:${step.id}:${context.attempt}`);
  }

  #offer(id: string, notBefore: number): void {
    if (notBefore > 0) this.#notBefore.set(id, notBefore);
    else this.#notBefore.delete(id);
    this.#frame.effects.push({ type: "offer", step: id });
  }

  /** A step that ended without a result leaves null where nothing was, so that dependents can read on. */
  #giveNulls(step: WorkflowStep): void {
    const outputs: Record<string, unknown> = Object.create(null);
    for (const key of step.outputs) {
      outputs[key] = null;
      if (!this.#frame.environment.has(key)) this.#frame.setEnv(key, null, { step: step.id });
    }
    this.#stepOutputs[step.id] = { outputs };
  }

  #wrote(id: string, key: string): boolean {
    return this.#frame.environment.entry(key)?.writer.step === id;
  }

  #move(id: string, event: StepEvent, text: string, ts = this.#frame.ts): StepStatus {
    return this.#ledger.move(id, event, { seq: this.#frame.seq, ts, text });
  }

  #scope(): ExpressionScope {
    return { inputs: this.inputs, env: this.#frame.environment.values, steps: this.#stepOutputs };
  }
}

function runErrorOf(context: StepContext): RunError {
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
