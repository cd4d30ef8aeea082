/**
 * How the steps of a run follow one another, said a second time: released, given out, tried again, repeated,
 * stopped, undone.
 *
 * It owns steps, dispatches and the environment of one run. What the log's records do to them is the
 * reference's matter; how items go, and what becomes of failed steps, is said by the fan-outs and the chances. Simple
 * before fast: it may look at every step wherever that says it best.
 */
import type { ResultMessage, RunOrigin } from "../bus/messages.ts";
import type { WorkflowDocument } from "../workflow/document.ts";
import type { Language } from "./language.ts";
import { ReferenceAnswers } from "./reference-answers.ts";
import { ReferenceChances } from "./reference-chances.ts";
import { ReferenceFanOuts } from "./reference-fan-outs.ts";
import { type Due, ReferenceLooks } from "./reference-looks.ts";
import { ReferenceOpenings } from "./reference-openings.ts";
import { ReferencePlan } from "./reference-plan.ts";
import {
  dependentsOf,
  giveOwn,
  isLastTimeOut,
  makeStep,
  ms,
  needed,
  type ReferenceStep,
} from "./reference-step.ts";
import { ReferenceUndoing } from "./reference-undoing.ts";
import { ReferenceValues } from "./reference-values.ts";

const HANDOFFS = 8;
const ITERATIONS = 100;
/** Time-outs of work: somebody had taken the task, whether the log says so or not. */
const OF_WORK = new Set(["E_EXECUTION_TIMEOUT", "E_HEARTBEAT_TIMEOUT"]);

export class ReferenceFlow {
  readonly steps = new Map<string, ReferenceStep>();
  readonly values: ReferenceValues;
  readonly openings = new ReferenceOpenings();
  readonly plan: ReferencePlan;
  readonly answers: ReferenceAnswers;
  readonly looks: ReferenceLooks;
  /** Whom somebody wanted stopped, from which to which sequence. */
  readonly unwanted: { step: ReferenceStep; from: number; to: number }[] = [];
  readonly undoing: ReferenceUndoing;
  readonly fanOuts = new ReferenceFanOuts(this);
  readonly chances = new ReferenceChances(this);
  /** The document that it goes by now. */
  workflow: WorkflowDocument;
  /** Edition of the rules by which the records that follow are read. */
  rules = 0;
  /** For whose failure the run fails. */
  failing: ReferenceStep | undefined;
  readonly #planned: boolean;
  #dependents: ReadonlyMap<string, readonly ReferenceStep[]> = new Map();
  #seq = 0;

  /** @param planned whether the workflow was planned, so that facts are weighed */
  constructor(
    workflow: WorkflowDocument,
    inputs: Record<string, unknown>,
    language: Language,
    planned = false,
  ) {
    this.workflow = workflow;
    this.#planned = planned;
    const flow = this;
    this.plan = new ReferencePlan({
      steps: this.steps,
      get documentSteps() {
        return flow.documentSteps;
      },
      isOpen: (step) => this.isOpen(step),
      goBy: (next) => this.#goBy(next),
      closeWell: (step) => this.closeWell(step),
      release: (steps) => this.release(steps),
      leaveOut: (step) => this.#leaveOut(step),
    });
    this.values = new ReferenceValues(language, { ...workflow.inputs, ...inputs }, () =>
      this.documentSteps.filter(({ outputs }) => outputs !== undefined),
    );
    this.looks = new ReferenceLooks(language.kept);
    this.undoing = new ReferenceUndoing(this.values, this.looks, this.openings);
    this.answers = new ReferenceAnswers({
      openings: this.openings,
      get documentSteps() {
        return flow.documentSteps;
      },
      done: (step, outputs) => this.#done(step, outputs),
      refuses: (step, outputs) => this.values.breaksSchema(this.workflow, outputs, step.doc.outputs ?? []),
      refuse: (step, code) => this.refuse(step, code),
      tryAgain: (step) => this.chances.tryAgain(step),
    });
    for (const doc of workflow.steps) this.steps.set(doc.id, makeStep(doc, workflow.defaults));
    this.#goBy(workflow);
  }

  /** The steps of the document. */
  get documentSteps(): ReferenceStep[] {
    return this.workflow.steps.map(({ id }) => this.steps.get(id) as ReferenceStep);
  }

  get complete(): boolean {
    return this.documentSteps.every(({ closedWell }) => closedWell);
  }

  /** Something failed for which the run fails. */
  get failure(): boolean {
    return this.failing !== undefined;
  }

  /** Whether the run fails: now, or because nothing is open beside what a retry left failed. */
  get fails(): boolean {
    const isOpen = (step: ReferenceStep) => this.isOpen(step) || step.recovering;
    if (this.failure) return true;
    if (!this.chances.leftOne || this.plan.waits || this.looks.some) return false;
    return ![...this.steps.values()].some(isOpen);
  }

  /** Every open step waits for somebody outside. */
  get waitsOnly(): boolean {
    if (this.openings.waiting.length === 0 || this.failure) return false;
    const open = [...this.steps.values()].filter((step) => this.isOpen(step) || step.recovering);
    return open.every((step) => step.waits !== undefined || this.#fansOut(step));
  }

  /** Whether a step could be given out that is not. */
  get wantsDispatch(): boolean {
    return [...this.steps.values()].some(
      (step) => step.state === "ready" && step.waits === undefined && !this.openings.isDispatched(step),
    );
  }

  /** Begins the next record. */
  at(seq: number, ts: number): void {
    this.#seq = seq;
    this.openings.at(seq, ts);
  }

  heed(rules: number): void {
    this.rules = rules;
    if (rules >= 1) this.answers.heedSchemas();
  }

  /** @param taken steps that another run has done */
  begin(taken: RunOrigin["steps"]): void {
    const free = new Set(this.documentSteps.filter(({ doc }) => needed(doc) === 0));
    for (const { step: id, outcome, outputs } of taken) {
      const step = this.steps.get(id);
      if (step === undefined || step.closedWell) continue;
      step.state = outcome === "completed" || outcome === "skipped" ? "done" : "failed";
      step.outcome = outcome;
      step.completions = outcome === "completed" ? 1 : 0;
      step.outputs = outputs;
      for (const next of this.closeWell(step)) free.add(next);
    }
    this.release([...free].filter(({ closedWell }) => !closedWell));
  }

  isOpen({ state }: ReferenceStep): boolean {
    return state === "ready" || state === "running";
  }

  /** Whether the step's n-th dispatch is open, be it with an agent or with somebody outside. */
  isIn(step: ReferenceStep, n: number): boolean {
    return this.isOpen(step) && step.n === n && !this.#fansOut(step) && !this.looks.has(step);
  }

  #fansOut(step: ReferenceStep): boolean {
    return step.list !== undefined && step.state === "running";
  }

  // ── the frontier ─────────────────────────────────────────────────────────────────────────────────

  release(steps: ReferenceStep[]): void {
    const waiting = [...steps];
    for (let step = waiting.shift(); step !== undefined; step = waiting.shift()) {
      const one = step;
      if (!this.values.looks(one.doc, one)) waiting.push(...this.#begin(one));
      else {
        this.looks.stand(one, undefined, () => {
          this.release(this.#begin(one));
          // From the third edition on, a fan-out has begun when one of its items fails.
          const mayBeRefused = this.rules < 3 || one.n === 0;
          const isRefused = one.state === "failed" && one.errors.at(-1) === "E_EXPRESSION";
          return mayBeRefused && isRefused ? "refused" : "fits";
        });
      }
    }
  }

  /** Its turn has come, and all that it reads can be read. @returns the steps that may go on by that */
  #begin(step: ReferenceStep): ReferenceStep[] {
    const { doc } = step;
    try {
      if (doc.when !== undefined && !this.values.holds(doc.when, step)) {
        step.state = "done";
        step.outcome = "skipped";
        return this.#closeWithNulls(step);
      }
      if (doc.forEach !== undefined) step.list = this.values.listOf(step);
      else giveOwn(step, this.values.inputsOf(step));
    } catch {
      step.errors.push("E_EXPRESSION");
      return this.failed(step, "failed");
    }
    if (doc.forEach !== undefined && step.unwanted)
      return this.#stopped(Object.assign(step, { n: step.n + 1 }));
    if (doc.forEach !== undefined) return this.fanOuts.begin(step);
    this.openings.open(step, 0);
    return [];
  }

  closeWell(step: ReferenceStep): ReferenceStep[] {
    if (step.closedWell) return [];
    step.closedWell = true;
    const ready: ReferenceStep[] = [];
    for (const other of this.#dependents.get(step.id) ?? []) {
      other.closedDependencies += 1;
      if (other.closedDependencies === needed(other.doc) && other.state === "pending") ready.push(other);
    }
    return ready;
  }

  #closeWithNulls(step: ReferenceStep): ReferenceStep[] {
    const keys = step.doc.outputs ?? [];
    for (const key of keys) if (!this.values.env.has(key)) this.set(key, null, step.id);
    step.outputs = Object.fromEntries(keys.map((key) => [key, null]));
    return this.closeWell(step);
  }

  // ── how a dispatch ends ──────────────────────────────────────────────────────────────────────────

  /** A result that closes its step's dispatch. */
  result(step: ReferenceStep, result: ResultMessage): void {
    const { status, handoff, outputs = {}, error } = result;
    this.openings.shut(step, `result by ${result.agent}`);
    step.state = "running";
    if (status === "handoff" && handoff) return this.#handOff(step, handoff);
    if (status === "done") return this.#done(step, outputs);
    step.errors.push(error?.code ?? error?.name ?? "Error");
    const { nonRetryable } = step.retry;
    const isNamed = [error?.name, error?.code].some(
      (name) => name !== undefined && nonRetryable.includes(name),
    );
    this.#failedAttempt(step, (error?.retryable ?? true) && !isNamed, "failed");
  }

  /** The agent was told to stop, because the run is about to end. */
  stopped(step: ReferenceStep): void {
    this.openings.shut(step, "E_CANCELLED");
    step.errors.push("E_CANCELLED");
    step.state = "failed";
    step.outcome = "cancelled";
  }

  /** Somebody wants the step stopped: at once where nothing of it is out, else once that is taken back. */
  want(step: ReferenceStep): void {
    if (step.state === "done" || step.state === "failed") return;
    if (step.state === "pending" || (this.isIn(step, step.n) && step.waits === undefined)) {
      step.unwanted = true;
      this.unwanted.push({ step, from: this.#seq, to: Number.POSITIVE_INFINITY });
    } else this.stop(step);
  }

  stop(step: ReferenceStep): void {
    this.release(this.#stopped(step));
  }

  /** @returns the steps that may go on nevertheless */
  #stopped(step: ReferenceStep): ReferenceStep[] {
    for (const item of step.items) this.cancel(item);
    step.errors.push("E_CANCELLED");
    return this.failed(step, "cancelled");
  }

  /** Whoever is closed is wanted stopped no more. */
  forgetClosed(): void {
    for (const one of this.unwanted) {
      if (!one.step.unwanted || (one.step.state !== "done" && one.step.state !== "failed")) continue;
      one.step.unwanted = false;
      for (const same of this.unwanted) if (same.step === one.step) same.to = Math.min(same.to, this.#seq);
    }
  }

  #handOff(step: ReferenceStep, { role, task, inputs }: NonNullable<ResultMessage["handoff"]>): void {
    if (step.hops.length >= HANDOFFS) {
      step.errors.push("E_HANDOFF_LIMIT");
      return this.release(this.failed(step, "failed"));
    }
    step.hops.push({ role: step.role, task: step.task });
    step.role = role;
    step.task = task;
    step.brought = inputs;
    this.openings.open(step, 0);
  }

  #done(step: ReferenceStep, outputs: Record<string, unknown>): void {
    const declared = step.doc.outputs ?? [];
    const isMissing = declared.some((key) => !(key in outputs) && this.values.env.get(key)?.step !== step.id);
    const isOwn = step.parent === undefined && step.undoes === undefined;
    if (isMissing) return this.refuse(step, "E_OUTPUT_MISSING");
    const judge = (): Due => {
      const refused = isOwn && this.values.breaksSchema(this.workflow, outputs, declared);
      if (refused) this.refuse(step, "E_ENV_SCHEMA");
      else this.#accept(step, outputs);
      return refused ? "refused" : "fits";
    };
    const looks = isOwn && this.values.schemaLooks(this.workflow, outputs, declared);
    if (looks) this.looks.stand(step, step.n, judge);
    else judge();
  }

  #accept(step: ReferenceStep, outputs: Record<string, unknown>): void {
    if (step.parent === undefined) this.give(step, outputs);
    // The items of a fan-out are repeated; whoever does it as a whole does it once.
    const { repeat, forEach } = step.doc;
    const isWhole = forEach !== undefined && step.parent === undefined;
    if (repeat !== undefined && !isWhole) {
      step.lastOutputs = outputs;
      const goOn = (): Due => {
        const due = this.#goesOn(step, repeat);
        if (due === "over") this.#complete(step, outputs);
        return due;
      };
      if (!this.values.looks({ inputs: step.doc.inputs }, step)) return void goOn();
      return this.looks.stand(step, step.n, goOn);
    }
    this.#complete(step, outputs);
  }

  #complete(step: ReferenceStep, outputs: Record<string, unknown>): void {
    if (step.doc.compensate !== undefined)
      this.undoing.completed({ step, inputs: step.brought ?? step.own, outputs });
    step.state = "done";
    step.outcome = "completed";
    step.completions += 1;
    step.outputs = outputs;
    if (step.undoes !== undefined) return this.undoing.next();
    if (step.parent !== undefined) return this.release(this.fanOuts.settle(step.parent));
    // What comes after it waits until the plan was weighed with what it found.
    if (this.#planned && step.doc.observes !== undefined) this.plan.found(step);
    else this.release(this.closeWell(step));
  }

  give(step: ReferenceStep, outputs: Record<string, unknown>): void {
    for (const key of step.doc.outputs ?? []) if (key in outputs) this.set(key, outputs[key], step.id);
    step.outputs = outputs;
  }

  /** An iteration ended; where another one is called for, the step begins it, or fails. */
  #goesOn(
    step: ReferenceStep,
    { until, max = ITERATIONS }: { until: string; max?: number | undefined },
  ): Due {
    try {
      if (this.values.holds(until, step)) return "over";
      if (step.iteration % max === 0) {
        step.errors.push("E_REPEAT_LIMIT");
        step.exhausted = true;
        this.release(this.failed(step, "failed"));
        return "again";
      }
      giveOwn(step, this.values.inputsOf(step, step.iteration + 1));
    } catch {
      step.errors.push("E_EXPRESSION");
      this.release(this.failed(step, "failed"));
      return "refused";
    }
    step.iteration += 1;
    step.attempt = 1;
    const [first] = step.hops;
    if (first !== undefined) Object.assign(step, { ...first, hops: [], brought: undefined });
    this.openings.open(step, 0);
    return "again";
  }

  #failedAttempt(step: ReferenceStep, retryable: boolean, outcome: string): void {
    const { maxAttempts, initial, factor, max, jitter } = step.retry;
    if (!retryable || step.attempt >= maxAttempts) return this.release(this.failed(step, outcome));
    step.attempt += 1;
    const grown = Math.min(ms(initial) * factor ** (step.attempt - 2), ms(max));
    this.openings.open(step, grown * (1 - jitter));
  }

  /** @returns the steps that may go on nevertheless */
  failed(step: ReferenceStep, outcome: string): ReferenceStep[] {
    step.state = "failed";
    step.outcome = outcome;
    this.looks.forget(step);
    this.openings.shut(step, outcome);
    if (step.undoes !== undefined) {
      this.undoing.next();
      return [];
    }
    const { onFailure = "fail" } = step.doc;
    if (step.parent !== undefined) return this.fanOuts.fail(step, step.parent);
    if (onFailure === "continue") return this.#closeWithNulls(step);
    // That people were asked was the last that could be done.
    if (onFailure === "recover" && !step.asked) step.recovering = true;
    else this.failing ??= step;
    step.asked = false;
    return [];
  }

  lost(step: ReferenceStep): void {
    if (step.waits !== undefined) return;
    this.openings.shut(step, "lost");
    this.openings.open(step, 0);
  }

  /** @returns whether it can be said of the step at all */
  timedOut(step: ReferenceStep, code: string): boolean {
    const waits = step.waits !== undefined;
    if (waits ? code !== "E_NO_ANSWER" && code !== "E_STEP_TIMEOUT" : code === "E_NO_ANSWER") return false;
    if (code === "E_QUEUE_TIMEOUT" && step.state !== "ready") return false;
    const worked = step.state === "running" || OF_WORK.has(code);
    this.openings.shut(step, code);
    step.errors.push(code);
    if (worked) this.#failedAttempt(step, !isLastTimeOut(step, code), "timed-out");
    else this.release(this.failed(step, "timed-out"));
    return true;
  }

  cancel(step: ReferenceStep): void {
    this.looks.forget(step);
    if (step.state === "done" || step.state === "failed") return;
    step.state = "failed";
    step.outcome = "cancelled";
    this.openings.shut(step, "cancelled");
  }

  // ── plans ────────────────────────────────────────────────────────────────────────────────────────

  /** Somebody outside set a key: what a planned run does next may not be the best any more. */
  setOutside(): void {
    if (this.#planned && !this.complete) this.plan.setOutside(this.#seq);
  }

  #goBy(workflow: WorkflowDocument): void {
    this.workflow = workflow;
    this.#dependents = dependentsOf(this.documentSteps);
  }

  #leaveOut(step: ReferenceStep): void {
    for (const item of step.items) {
      this.cancel(item);
      this.steps.delete(item.id);
    }
    this.cancel(step);
    if (this.failing === step) this.failing = undefined;
  }

  /** The run has ended without what is open. */
  cancelOpen(pendingToo: boolean): void {
    for (const step of this.steps.values()) {
      if (pendingToo || step.state !== "pending") this.cancel(step);
    }
  }

  /** The run gives up: what is open is cancelled, what completed is undone. */
  undo(pendingToo: boolean): void {
    for (const step of this.steps.values()) step.recovering = false;
    this.looks.clear();
    this.cancelOpen(pendingToo);
    for (const step of this.undoing.begin(this.workflow.defaults)) this.steps.set(step.id, step);
    this.undoing.next();
  }

  /** The run is done: what is still open needs no end of its own. */
  closeAll(): void {
    for (const step of this.steps.values()) if (this.isOpen(step)) this.openings.shut(step, "the end");
  }

  set(key: string, value: unknown, step: string | undefined): void {
    this.values.set(key, value, step, this.#seq);
  }

  refuse(step: ReferenceStep, code: string): void {
    step.errors.push(code);
    this.release(this.failed(step, "failed"));
  }
}
