/**
 * How the steps of a run follow one another: released when their dependencies allow, completed, failed,
 * tried again.
 *
 * It owns how a dispatch ends and what a step is given then. It does not own whether a record may move a step
 * (the fold judges that before), where steps stand (the moves), which of them may go on (the frontier), what failed
 * for good and is opened again (the second chances), nor values (the run's values).
 */
import type { DispatchRef, ResultMessage, RunOrigin, TaskMessage, WireError } from "../bus/messages.ts";
import type { StepContext } from "../machines/step.ts";
import { isDerived, stepLabel } from "../workflow/derived-step.ts";
import type { Repeat, WorkflowStep } from "../workflow/document.ts";
import type { WorkflowGraph } from "../workflow/graph.ts";
import { CANCELLED_CODE, type Cancellations, type Stopped, stoppedText } from "./cancellations.ts";
import { FactsToWeigh } from "./facts-to-weigh.ts";
import type { FanOutProgress } from "./fan-outs.ts";
import type { FoldFrame } from "./fold-frame.ts";
import { Frontier } from "./frontier.ts";
import type { Found, LookInside } from "./large-values.ts";
import { retryDelayMs } from "./retry-delay.ts";
import type { RunSteps } from "./run-steps.ts";
import { RunValues } from "./run-values.ts";
import { SecondChances } from "./second-chances.ts";
import { expressionError, repeatLimit, schemaError } from "./step-error.ts";
import type { StepHost, StepStatus } from "./step-host.ts";
import type { StepCounts } from "./step-ledger.ts";
import { type OpenDispatch, StepMoves } from "./step-moves.ts";
import { taskMessage } from "./task-message.ts";
import type { Waits } from "./waits.ts";

export class StepFlow {
  readonly values: RunValues;
  readonly frontier: Frontier;
  readonly facts: FactsToWeigh;
  readonly chances: SecondChances;
  /** Steps that had begun when a revision left them out: their history stays, their results are late. */
  readonly retired = new Map<string, WorkflowStep>();
  /** Whether the workflow was planned from goals, and so may be weighed again. */
  readonly planned: boolean;
  readonly #frame: FoldFrame;
  readonly #moves: StepMoves;
  #graph: WorkflowGraph;

  constructor(
    graph: WorkflowGraph,
    inputs: Record<string, unknown>,
    host: StepHost,
    frame: FoldFrame,
    planned: boolean,
  ) {
    this.#graph = graph;
    this.planned = planned;
    this.values = new RunValues({ ...graph.document.inputs, ...inputs }, frame);
    this.values.schemas = graph.schemas;
    this.#frame = frame;
    this.facts = new FactsToWeigh(frame);
    this.#moves = new StepMoves(graph, host, frame);
    this.frontier = new Frontier(graph, frame, this.#moves, this.values, (step, cause) =>
      this.stop(step, cause, undefined),
    );
    this.chances = new SecondChances(frame, this.#moves, this);
  }

  get graph(): WorkflowGraph {
    return this.#graph;
  }

  /** The steps of the run, derived ones included. */
  get steps(): RunSteps {
    return this.#moves.steps;
  }

  get counts(): Readonly<StepCounts> {
    return this.#moves.counts;
  }

  get ready(): ReadonlySet<string> {
    return this.#moves.ready;
  }

  get dispatches(): Map<string, OpenDispatch> {
    return this.#moves.dispatches;
  }

  /** Whether a step is ready and the log does not have it as given out. Ends at the first one. */
  get wantsDispatch(): boolean {
    for (const id of this.ready) if (!this.dispatches.has(id) && !this.waits.has(id)) return true;
    return false;
  }

  get waits(): Waits {
    return this.#moves.waits;
  }

  get cancellations(): Cancellations {
    return this.#moves.cancellations;
  }

  get clocked(): ReadonlyMap<string, number> {
    return this.#moves.clocked;
  }

  get losses(): ReadonlyMap<string, number> {
    return this.#moves.losses;
  }

  /** Nothing moves until somebody outside says something: every open step waits, and one at least does. */
  get waitsOnly(): boolean {
    const { ready, running } = this.counts;
    if (ready === 0 || ready !== this.waits.open.size) return false;
    if (this.frontier.recovering.size > 0 || this.frontier.failure) return false;
    // A step that fans out runs for as long as its items are open, and they may all wait.
    return running === 0 || running === this.frontier.items.running;
  }

  /** Every step is closed well. */
  get complete(): boolean {
    return this.frontier.closedCount === this.graph.size;
  }

  /** Whether nothing waits for the step any more: it is done, or failed where that is allowed. */
  isClosed(id: string): boolean {
    return this.frontier.isClosed(id);
  }

  /** @throws NotFoundError */
  read(id: string): StepStatus {
    return this.#moves.read(id);
  }

  /** Whether the step is in its n-th dispatch, be it for an agent or for an answer from outside. */
  isIn(id: string, n: number): boolean {
    if (!this.steps.has(id) || this.frontier.items.has(id)) return false;
    // Its result is there, and what it means is being looked into.
    if (this.frontier.unresolved.size > 0 && this.frontier.unresolved.has(id)) return false;
    const { state, context } = this.read(id);
    return (state === "ready" || state === "running") && context.n === n;
  }

  /**
   * Whether the step waits for the end of its n-th dispatch. One that fans out has none of its own, and one
   * that waits for somebody outside has none that is out.
   */
  awaits(id: string, n: number): boolean {
    return this.isIn(id, n) && !this.waits.has(id);
  }

  isOpen({ step, n, role }: DispatchRef): boolean {
    return this.awaits(step, n) && this.read(step).context.role === role;
  }

  notBefore(id: string): number {
    return this.#moves.notBefore(id);
  }

  /** What a step's result held; of a step that fans out, its items' as lists. */
  outputsOf(id: string): Record<string, unknown> | undefined {
    // A revision of the plan may have left it out: what it gave stays known.
    const origin = this.steps.has(id) ? this.steps.step(id).origin : undefined;
    return origin?.kind === "item" ? this.frontier.items.outputsOf(origin) : this.values.outputsOf(id);
  }

  /** What the step is about; fixed when it became ready. */
  inputsOf(id: string): Record<string, unknown> {
    return this.read(id).context.inputs ?? this.values.inputsOf(id) ?? {};
  }

  /** How far the items of a step are; undefined for one that has none. */
  fanOutOf(id: string): FanOutProgress | undefined {
    return this.frontier.items.progressOf(id);
  }

  /** The message that gives a ready step out. Its inputs were fixed when the step became ready. */
  taskOf(id: string, deadline: number | undefined): TaskMessage {
    return taskMessage({
      run: this.#frame.run,
      step: this.steps.step(id),
      context: this.read(id).context,
      inputs: this.inputsOf(id),
      roleOf: (step) => this.read(step).context.role,
      deadline,
      secrets: this.#frame.secrets,
    });
  }

  // ── moves that the fold has judged ───────────────────────────────────────────────────────────────

  /** Releases the steps that wait for nothing, once what another run has done is taken over. */
  begin(origin?: RunOrigin): void {
    const released = new Set(this.frontier.start());
    for (const { step, outcome, agent, outputs } of origin?.steps ?? []) {
      if (!this.graph.has(step) || this.frontier.isClosed(step)) continue;
      this.values.keepOutputs(step, outputs);
      const cause = `taken over from run ${origin?.run} at ${origin?.seq}`;
      this.#moves.move(step, { type: "take over", outcome, agent }, cause);
      for (const id of this.frontier.close(step)) released.add(id);
    }
    const open = [...released].filter((id) => !this.frontier.isClosed(id));
    this.frontier.release(open, "needs nothing before it");
  }

  start(id: string, agent: string, cause: string, ts?: number): void {
    this.#moves.move(id, { type: "start", agent }, cause, ts);
  }

  /** A result that says done; it still fails when a declared output is missing. */
  finish(id: string, result: ResultMessage): void {
    const step = this.steps.step(id);
    const outputs = result.outputs ?? {};
    const missing = this.values.missingOutputs(step, outputs);
    if (missing.length > 0) {
      const has = Object.keys(outputs).join(", ") || "nothing";
      const message = `the result lacks the declared output ${missing.join(", ")}; it has ${has}`;
      const error = { name: "OutputMissingError", code: "E_OUTPUT_MISSING", message, retryable: false };
      return this.fail(id, error, message);
    }
    if (!isDerived(step)) {
      const look = this.values.schemaLook(step, outputs);
      if (look) return this.#lookInside(step, look, () => this.#accept(step, outputs, result.agent));
      const problem = this.values.schemaProblem(step, outputs);
      if (problem !== undefined) return this.fail(id, schemaError(problem), problem);
    }
    this.#accept(step, outputs, result.agent);
  }

  /** Its outputs count: the step is done, or goes on with its next iteration. */
  #accept(step: WorkflowStep, outputs: Record<string, unknown>, agent: string): void {
    const cause = `result by ${agent}`;
    if (!isDerived(step)) this.values.giveOutputs(step, outputs, agent);
    // Items are repeated each by itself; whoever recovered them as a whole has given all that was wanted.
    const repeat = step.forEach === undefined ? step.repeat : undefined;
    if (repeat !== undefined && !this.#isLastIteration(step, repeat, outputs, cause)) return;
    this.#complete(step, outputs, cause);
  }

  #complete(step: WorkflowStep, outputs: Record<string, unknown>, cause: string): void {
    const { id } = step;
    if (step.compensate !== undefined) this.frontier.compensations.note(step, this.inputsOf(id), outputs);
    this.values.dropInputs(step);
    if (isDerived(step)) {
      this.#moves.move(id, { type: "complete" }, cause);
      if (step.origin.kind === "undo") return this.frontier.compensations.goOn(`${stepLabel(id)} is done`);
      return this.frontier.release(this.frontier.items.settle(step, outputs), `${step.origin.of} is done`);
    }
    this.#moves.move(id, { type: "complete" }, cause);
    if (this.planned && step.observes !== undefined) return this.facts.add(id);
    this.frontier.release(this.frontier.close(id), `${id} is done`);
  }

  /** Whether the step is done now; if not, it goes on: with its next iteration, or to its failure. */
  #isLastIteration(
    step: WorkflowStep,
    { until, max }: Repeat,
    outputs: Record<string, unknown>,
    cause: string,
  ): boolean {
    const { iteration } = this.read(step.id).context;
    const goOn = () => {
      this.#moves.move(step.id, { type: "repeat" }, `${cause}, and not yet ${until}`);
      this.#moves.offer(step.id, 0);
    };
    const look = this.values.iterationLook(step, { until, max }, iteration, outputs);
    if (look !== undefined) {
      this.#lookInside(step, look, ({ again, inputs }) => {
        if (again !== true) return this.#complete(step, outputs, cause);
        if (inputs === undefined) {
          const error = expressionError(repeatLimit(until, max));
          return this.fail(step.id, error, error.message);
        }
        this.values.giveInputs(step.id, inputs);
        goOn();
      });
      return false;
    }
    try {
      if (this.values.endsIteration(step, until, iteration, outputs)) return true;
      if (iteration % max === 0) throw repeatLimit(until, max);
      this.values.fixInputs(step);
    } catch (thrown) {
      const error = expressionError(thrown);
      this.fail(step.id, error, error.message);
      return false;
    }
    goOn();
    return false;
  }

  /** What its result means can be told only once large values were looked into. */
  #lookInside(step: WorkflowStep, look: LookInside, goOn: (found: Found) => void): void {
    this.frontier.lookInside(step.id, look, (found) => {
      if (found.error === undefined) goOn(found);
      else this.fail(step.id, found.error, found.error.message);
    });
  }

  fail(id: string, error: WireError, cause: string): void {
    this.#goOn(id, this.#moves.move(id, { type: "fail", error: this.#judged(id, error) }, cause));
  }

  timeOut(id: string, error: WireError): void {
    this.#moves.withdraw(id, error.message);
    this.#goOn(id, this.#moves.move(id, { type: "time out", error: this.#judged(id, error) }, error.message));
  }

  /** Whatever its agent says: an error that the step's policy names is not tried again. */
  #judged(id: string, error: WireError): WireError {
    const { nonRetryable } = this.steps.step(id).retry;
    if (!error.retryable || nonRetryable.length === 0) return error;
    const { name, code } = error;
    const isNamed = nonRetryable.includes(name) || (code !== undefined && nonRetryable.includes(code));
    return isNamed ? { ...error, retryable: false } : error;
  }

  /** Somebody wants a step stopped. Returns why that cannot be, or undefined. */
  wantStopped(id: string, by: string, reason: string): string | undefined {
    if (!this.steps.has(id)) return `the run has no step ${stepLabel(id)}`;
    const { state, context } = this.read(id);
    if (state === "done" || state === "failed") return `step ${stepLabel(id)} is ${context.outcome ?? state}`;
    const cause = reason === "" ? `cancelled by ${by}` : `cancelled by ${by}: ${reason}`;
    const isOut = this.awaits(id, context.n);
    // A step that is pending is stopped when its turn comes, so that a retry finds what it depends on done.
    if (!isOut && state !== "pending") this.stop(id, cause, undefined);
    else this.cancellations.want(id, cause);
    if (isOut) this.#frame.effects.push({ type: "stop", step: id });
    return undefined;
  }

  /** The step is stopped, with all that was made from it; what that means is its `onFailure`'s matter. */
  stop(id: string, cause: string, how: Stopped | undefined): void {
    const message = `${cause}${stoppedText(how)}`;
    const error = { name: "CancelledError", code: CANCELLED_CODE, message: cause, retryable: false };
    if (how !== undefined) this.cancellations.note(id, how);
    this.frontier.forgetLook(id);
    for (const made of this.steps.madeFrom(id)) this.frontier.cancel(made.id, message);
    if (how === undefined) this.#moves.cancel(id, message, error);
    else this.#moves.closeCancelled(id, message, error);
    this.frontier.release(
      this.frontier.settle(this.steps.step(id), this.read(id).context),
      `${id} was cancelled, and may`,
    );
  }

  /** The run is about to end, and the agent that had the step says that it was told to stop. */
  stopped(id: string, cause: string): void {
    this.cancellations.note(id, "stopped");
    this.#moves.closeCancelled(id, cause);
  }

  /** A waiting step was approved: it may be given out. */
  approve(id: string, cause: string): void {
    this.#moves.approve(id, cause);
  }

  /** Somebody outside has done the step. */
  answer(id: string, by: string, outputs: Record<string, unknown>, cause: string): void {
    const { n } = this.read(id).context;
    this.start(id, by, cause);
    this.finish(id, { v: 1, run: this.#frame.run, step: id, n, agent: by, status: "done", outputs });
  }

  /** A ready step will not be done. */
  refuse(id: string, error: WireError): void {
    this.#goOn(id, this.#moves.move(id, { type: "refuse", error }, error.message));
  }

  handOff(id: string, result: ResultMessage, to: NonNullable<ResultMessage["handoff"]>): void {
    const { role, task, inputs, reason, notes } = to;
    const { usage } = result;
    const cause = `handed off by ${result.agent} to ${role}: ${reason}`;
    const event = { type: "hand off", role, task, inputs, reason, notes, usage } as const;
    this.#goOn(id, this.#moves.move(id, event, cause));
  }

  lose(id: string, cause: string): void {
    this.#moves.lose(id, cause);
  }

  /** The plan stands after these steps' facts: what waits for them goes on. */
  stand(weighed: readonly string[], upTo: number): void {
    for (const id of this.facts.take(weighed, upTo))
      this.frontier.release(this.frontier.close(id), `${id} is done`);
  }

  /**
   * Why this graph cannot take the place of the present one, or undefined when it can: a step that has begun
   * must be in it with the outputs that it was given out for, and an id that was used stays used.
   */
  revisionProblem(graph: WorkflowGraph): string | undefined {
    for (const { id, outputs } of graph.steps()) {
      if (this.retired.has(id)) return `step ${id} was left out before`;
      if (!this.graph.has(id)) continue;
      const { state } = this.read(id);
      const isOut = state === "ready" || state === "running";
      if (isOut && outputs.join() !== this.graph.step(id).outputs.join()) {
        return `step ${id} is ${state} and has other outputs there`;
      }
    }
    return undefined;
  }

  /** Goes on with another graph. Steps that have begun and are not in it are given up, failed ones forgotten. */
  revise(graph: WorkflowGraph, weighed: readonly string[], upTo: number, cause: string): void {
    for (const step of this.#graph.steps()) if (!graph.has(step.id)) this.#retire(step, cause);
    this.facts.take(weighed, upTo);
    const closed = [...graph.steps()].filter(
      ({ id }) =>
        this.#graph.has(id) &&
        !this.facts.givers.has(id) &&
        (this.frontier.isClosed(id) || this.read(id).state === "done"),
    );
    this.#graph = graph;
    this.values.schemas = graph.schemas;
    this.#moves.revise(graph);
    const free = this.frontier.replace(graph, closed);
    this.frontier.release(
      free.filter((id) => this.read(id).state === "pending"),
      cause,
    );
  }

  #retire(step: WorkflowStep, cause: string): void {
    const { id } = step;
    const { state } = this.read(id);
    this.frontier.recovering.delete(id);
    this.frontier.forgetLook(id);
    this.facts.forget(id);
    if (state === "pending") return;
    for (const { id: item } of this.steps.madeFrom(id)) this.frontier.cancel(item, cause);
    this.#moves.cancel(id, cause);
    this.values.dropInputs(step);
    this.retired.set(id, step);
    if (this.frontier.failure?.step === id) this.frontier.failure = undefined;
  }

  /** The run gives up: what is open is taken back, and what completed is undone. */
  compensate(cause: string, pendingToo: boolean): void {
    this.frontier.recovering.clear();
    if (this.#frame.rules >= 2) this.frontier.forgetLooks();
    this.facts.clear();
    this.cancelOpen(cause, pendingToo);
    this.frontier.compensations.begin();
  }

  /** The run has ended without them: takes back what is out, cancels what is open. */
  cancelOpen(cause: string, pendingToo: boolean): void {
    for (const { id } of this.steps.all()) {
      this.frontier.forgetLook(id);
      if (pendingToo || this.read(id).state !== "pending")
        this.#moves.cancel(id, `${cause}${stoppedText(this.cancellations.stopped.get(id))}`);
    }
  }

  /** After a dispatch ended without completing: the step is ready again, or failed for good. */
  #goOn(id: string, after: StepStatus): void {
    const step = this.steps.step(id);
    if (after.state !== "ready")
      return this.frontier.release(this.frontier.settle(step, after.context), `${id} failed, and may`);
    const last = after.context.failures.at(-1);
    const isRetry = last !== undefined && last.n === after.context.n - 1;
    this.#moves.offer(id, isRetry ? this.#frame.ts + this.#backOffMs(step, after.context) : 0);
  }

  #backOffMs(step: WorkflowStep, context: StepContext): number {
    return retryDelayMs(step.retry, context.attempt, `${this.#frame.run}:${step.id}:${context.attempt}`);
  }
}
