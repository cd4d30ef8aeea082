/**
 * What a log means, written down a second time.
 *
 * It shares nothing with the runtime but the shapes of the messages: not its machines, graph, expressions or
 * fold. It keeps what the judges ask about: when each dispatch was open, whether ends were due, what was
 * granted, what the environment held.
 */
import type { LogRecord } from "../bus/bus.ts";
import type { DecisionMessage } from "../bus/decisions.ts";
import type {
  ControlMessage,
  EnvUpdateMessage,
  ObservedMessage,
  ResultMessage,
  SubmitMessage,
} from "../bus/messages.ts";
import type { WorkflowDocument } from "../workflow/document.ts";
import type { Language } from "./language.ts";
import { ReferenceBudget } from "./reference-budget.ts";
import { ReferenceFlow } from "./reference-flow.ts";
import { QUESTIONS, ReferenceQuestions } from "./reference-questions.ts";
import type { Opening, ReferenceStep } from "./reference-step.ts";

/** A document that became the run's, beside the one that it was submitted with. */
export interface TakenPlan {
  readonly seq: number;
  readonly workflow: WorkflowDocument;
  /** Why each step is there, and what became of advice. */
  readonly reasons: Readonly<Record<string, string>>;
  /** Keys that had a value then. */
  readonly there: readonly string[];
}

const DUE_ENDS = "only ends that are due are written";
const UNPLANNED: WorkflowDocument = { steps: [] };

export class Reference {
  /** Undefined: it is planned from what is wanted. */
  readonly submitted: WorkflowDocument | undefined;
  /** What a holder decided and the log does not call for. It does not count. */
  readonly wrongs: { rule: string; decision: string; what: string }[] = [];
  /** From which to which sequence it was paused. */
  readonly pauses: { from: number; to: number }[] = [];
  readonly claims: { epoch: number; holder: string; seq: number }[] = [];
  /** Where in the log it ended, as often as it did. */
  readonly endings: number[] = [];
  /** Its plan and the revisions of it, or of what was submitted. */
  readonly plans: TakenPlan[] = [];
  /** What it asked the planner of its swarm. */
  readonly questions = new ReferenceQuestions();
  /** With which error it failed last; undefined: it says none, or did not fail. */
  failedWith: string | undefined;
  /** Of a run with a budget: where in the log each dispatch was allowed. */
  readonly grants = new Map<string, number>();
  /** Of a run with a budget: what was spent by a dispatch that was given out after the limit was reached. */
  readonly overshoots: string[] = [];
  status: "none" | "planning" | "running" | "waiting" | "paused" | "done" | "failed" | "cancelled" = "none";
  epoch = 0;
  readonly #language: Language;
  #workflow: WorkflowDocument | undefined;
  #submission: SubmitMessage | undefined;
  #flow: ReferenceFlow;
  #budget = new ReferenceBudget(undefined, undefined, false);
  /** Whether the present holder says that it heeds raised budgets. */
  #heedsRaises = false;
  /** Edition of the rules that the present holder goes by. */
  #rules = 0;
  #runFailure = false;
  #cancel = false;
  /** How the run will end once what it did is undone. */
  #givenUp: "failed" | "cancelled" | undefined;
  #waited = false;
  #pausedBy: string | undefined;
  /** Where in the log it had spent what it may. */
  #exceededAt = Number.POSITIVE_INFINITY;
  #seq = 0;
  #ts = 0;

  constructor(submitted: WorkflowDocument | undefined, language: Language) {
    this.submitted = submitted;
    this.#workflow = submitted;
    this.#language = language;
    this.#flow = new ReferenceFlow(submitted ?? UNPLANNED, {}, language);
  }

  /** The document that it goes by now; one without steps while there is none. */
  get workflow(): WorkflowDocument {
    return this.#workflow ?? UNPLANNED;
  }

  /** Steps that a revision of the plan left out. */
  get retired(): ReadonlyMap<string, ReferenceStep> {
    return this.#flow.plan.retired;
  }

  /** What is left of each limit; undefined: nothing is limited. */
  get left(): ReadonlyMap<string, number> | undefined {
    return this.#budget.left;
  }

  /** Its limits, while it keeps any. */
  get bounds(): ReadonlyMap<string, number> {
    return this.#budget.bounds;
  }

  get ended(): boolean {
    return this.status === "done" || this.status === "failed" || this.status === "cancelled";
  }

  /** The steps that undo others, in their order. */
  get undoing(): readonly ReferenceStep[] {
    return this.#flow.undoing.steps;
  }

  /** Steps of the document, their items, and what undoes them. */
  get steps(): ReadonlyMap<string, ReferenceStep> {
    return this.#flow.steps;
  }

  /** What the workflow gives as a whole, with the values of this moment. */
  outputs(): Record<string, unknown> {
    return this.#flow.values.outputs(this.workflow);
  }

  get unwanted(): ReferenceFlow["unwanted"] {
    return this.#flow.unwanted;
  }

  get env(): ReferenceFlow["values"]["env"] {
    return this.#flow.values.env;
  }

  get openings(): ReadonlyMap<string, Opening> {
    return this.#flow.openings.byName;
  }

  get budgeted(): boolean {
    return this.#budget.limited;
  }

  apply(record: LogRecord): void {
    this.#seq = record.seq;
    this.#ts = record.ts;
    this.#flow.at(record.seq, record.ts);
    this.questions.at(record.seq, record.ts);
    if (record.kind === "submit") this.#submit(record.body);
    else if (this.status === "none" && record.kind !== "decision") return;
    else if (record.kind === "result") this.#result(record.role, record.body);
    else if (record.kind === "env") this.#update(record.body);
    else if (record.kind === "control") this.#control(record.body);
    else if (record.kind === "decision") this.#decision(record.body);
    else if (record.kind === "observed") this.#observed(record.body);
    if (this.status === "none") return;
    this.#flow.forgetClosed();
    if (this.ended) return;
    this.#keepWaits();
    this.#keepBudget();
    if (!this.#budget.exceeded) this.#exceededAt = Number.POSITIVE_INFINITY;
    else this.#exceededAt = Math.min(this.#exceededAt, this.#seq);
  }

  #submit(submission: SubmitMessage): void {
    if (this.status !== "none") return;
    const { environment = {}, origin } = submission;
    this.#submission = submission;
    this.status = "planning";
    for (const [key, value] of Object.entries(environment)) this.#flow.set(key, value, undefined);
    const outputs = new Map(origin?.steps.map((kept) => [kept.step, kept.outputs]));
    for (const [key, { value, step }] of Object.entries(origin?.environment ?? {}))
      this.#flow.set(key, value === undefined ? (outputs.get(step ?? "")?.[key] ?? null) : value, step);
    if (this.submitted !== undefined) this.#begin(this.submitted, origin?.plan !== undefined);
  }

  /** There is a workflow. */
  #begin(workflow: WorkflowDocument, planned: boolean): void {
    const { env } = this;
    const { inputs = {}, budget, origin, parent } = this.#submission ?? {};
    this.#workflow = workflow;
    this.status = "running";
    this.#flow = new ReferenceFlow(workflow, inputs, this.#language, planned);
    this.#flow.at(this.#seq, this.#ts);
    for (const [key, { value, revision, step }] of env) this.#flow.values.set(key, value, step, revision);
    const isBelow = (parent?.budgets ?? []).length > 0;
    this.#budget = new ReferenceBudget(workflow.budget, budget, isBelow, this.#budget);
    this.#budget.claimed(this.#heedsRaises);
    this.#flow.heed(this.#rules);
    this.#flow.begin(origin?.steps ?? []);
  }

  #result(role: string, result: ResultMessage): void {
    if (result.step === QUESTIONS) {
      // What comes too late was paid for all the same.
      if (this.questions.answer(role, result, this.ended)) this.#budget.report(result, false);
      return;
    }
    const step = this.steps.get(result.step);
    if (!step) return;
    const fits = step.waits === undefined && role === step.role;
    if (this.ended || !fits || !this.#flow.isIn(step, result.n)) {
      // What comes too late was paid for all the same, but not what was never asked for.
      const isForeign = result.n > step.n || (result.n === step.n && role !== step.role);
      if (!isForeign) this.#pay(role, result);
      return;
    }
    this.#budget.dispatched(result.step, result.n);
    this.#pay(role, result);
    const ends = this.#cancel || this.#runFailure || this.#flow.fails;
    const isStopped = result.status === "failed" && result.error?.code === "E_CANCELLED";
    if (isStopped && step.unwanted) this.#flow.stop(step);
    else if (isStopped && ends) this.#flow.stopped(step);
    else this.#flow.result(step, result);
  }

  /** What is spent beyond the limit is spent by what was out when it was reached. */
  #pay(role: string, result: ResultMessage): void {
    const name = `${result.step}#${result.n}`;
    const isNew = this.#budget.report(result, role === "orchestrator");
    if (isNew && (this.grants.get(name) ?? Number.POSITIVE_INFINITY) > this.#exceededAt)
      this.overshoots.push(`${name} spent at ${this.#seq}, and the limit was reached at ${this.#exceededAt}`);
  }

  #update({ key, value, step: id, n, ifRevision }: EnvUpdateMessage): void {
    if (this.ended || this.status === "planning") return;
    if (id !== undefined) {
      const step = this.steps.get(id);
      if (!step || n === undefined || !this.#flow.isIn(step, n) || step.waits !== undefined) return;
      if (!step.doc.outputs?.includes(key) || step.parent !== undefined) return;
    }
    if (ifRevision !== undefined && ifRevision !== (this.env.get(key)?.revision ?? 0)) return;
    this.#flow.set(key, value, id);
    if (id === undefined) this.#flow.setOutside();
  }

  #observed({ epoch, dispatched, started, drawn = [] }: ObservedMessage): void {
    for (const draw of drawn) {
      const step = this.steps.get(draw.step);
      const isOpen = !this.ended && step?.role === "orchestrator" && this.#flow.isIn(step, draw.n);
      if (step) this.#budget.draw(draw, isOpen, this.#seq);
    }
    if (this.ended) return;
    for (const { step: id, n, role } of dispatched) {
      const step = this.steps.get(id);
      const name = `${id}#${n}`;
      if (!step || step.waits !== undefined || step.role !== role || !this.#flow.isIn(step, n)) continue;
      if (this.#flow.openings.dispatched.has(name)) continue;
      const may = epoch === this.epoch && this.status === "running" && !this.#budget.exceeded;
      if (this.budgeted && !may) continue;
      this.#budget.dispatched(id, n);
      this.#flow.openings.dispatched.add(name);
      this.grants.set(name, this.#seq);
    }
    for (const { step: id, n } of started) {
      const step = this.steps.get(id);
      if (step?.state !== "ready" || step.n !== n || step.waits !== undefined) continue;
      step.state = "running";
      this.#flow.openings.dispatched.add(`${id}#${n}`);
    }
  }

  /** A run that would spend what it may not pauses or fails. */
  #keepBudget(): void {
    if (!this.budgeted || this.status !== "running" || !this.#budget.exceeded) return;
    if (this.#cancel || this.#runFailure || this.#flow.failure) return;
    if (!this.#flow.wantsDispatch && !this.#budget.holdsBelow((name) => this.#isNestedOpen(name))) return;
    if (this.#budget.atLimit === "fail") this.#runFailure = true;
    else this.#pause(this.#budget.stoppedBy);
  }

  #isNestedOpen(name: string): boolean {
    const [id = "", n] = name.split("#");
    const step = this.steps.get(id);
    return step?.role === "orchestrator" && this.#flow.isIn(step, Number(n));
  }

  #keepWaits(): void {
    this.#waited ||= [...this.steps.values()].some(({ waits }) => waits !== undefined);
    if (!this.#waited) return;
    this.#flow.answers.deliver();
    const waits = this.#flow.waitsOnly && !this.#cancel && !this.#runFailure;
    if (waits && this.status === "running") this.status = "waiting";
    else if (!waits && this.status === "waiting") this.status = "running";
  }

  // ── people ───────────────────────────────────────────────────────────────────────────────────────

  #control({ verb, step: id, name, value, others, raised }: ControlMessage): void {
    const step = this.steps.get(id ?? "");
    const { status } = this;
    if (verb === "retry") {
      if (status === "failed" && this.#workflow !== undefined) this.#retry(id, value, others === "later");
      return;
    }
    if (this.ended) return;
    if (verb === "cancel" && this.#givenUp !== undefined) return;
    if (verb === "cancel" && id !== undefined) step && this.#flow.want(step);
    else if (verb === "cancel") this.#cancel = true;
    else if (verb === "pause" && (status === "running" || status === "waiting")) this.#pause();
    else if (verb === "resume" && raised !== undefined) this.#raisedAbove(raised);
    else if (verb === "resume" && status === "paused") {
      if (!this.#budget.allows(budgetIn(value))) return;
      this.#budget.raise(budgetIn(value), this.#seq);
      this.#goOn();
    } else if (verb === "signal" && name !== undefined) this.#flow.answers.signal(name, value);
    else if ((verb === "approve" || verb === "reject") && step && step.waits !== "signal")
      this.#flow.answers.say(step, verb, value);
  }

  #raisedAbove({ run, seq }: NonNullable<ControlMessage["raised"]>): void {
    this.#budget.raisedAbove(run, seq);
    if (this.pausedBy === run && this.#budget.stoppedBy !== run) this.#goOn();
  }

  /** The run above for which it is paused. */
  get pausedBy(): string | undefined {
    return this.status === "paused" ? this.#pausedBy : undefined;
  }

  #pause(above?: string): void {
    this.status = "paused";
    this.#pausedBy = above;
    this.pauses.push({ from: this.#seq, to: Number.POSITIVE_INFINITY });
  }

  #goOn(): void {
    this.status = "running";
    this.#closePause();
  }

  #closePause(): void {
    const pause = this.pauses.at(-1);
    if (pause) pause.to = Math.min(pause.to, this.#seq);
  }

  #retry(chosen: string | undefined, value: unknown, othersLater: boolean): void {
    if (this.#givenUp !== undefined || !this.#budget.allows(budgetIn(value))) return;
    if (!this.#flow.chances.retry(chosen, othersLater)) return;
    this.#budget.raise(budgetIn(value), this.#seq);
    this.status = "running";
    this.#runFailure = false;
  }

  // ── decisions ────────────────────────────────────────────────────────────────────────────────────

  #decision(decision: DecisionMessage): void {
    if (decision.type === "claim") {
      if (decision.epoch <= this.epoch) return;
      this.epoch = decision.epoch;
      this.#heedsRaises = decision.raises === true;
      this.#rules = decision.rules ?? 0;
      this.#flow.heed(this.#rules);
      this.#budget.claimed(this.#heedsRaises);
      this.claims.push({ epoch: decision.epoch, holder: decision.holder, seq: this.#seq });
      return;
    }
    if (decision.epoch !== this.epoch || this.ended || this.status === "none") return;
    if (decision.type === "end") return this.#end(decision);
    if (decision.type === "compensate") return this.#giveUp(decision.status, decision.id);
    if (decision.type === "run-timed-out" || decision.type === "defeated") {
      this.#runFailure = true;
      return;
    }
    if (decision.type === "plan") {
      if (this.#workflow === undefined && !this.#runFailure) {
        const workflow = decision.workflow as WorkflowDocument;
        this.#take(workflow, decision.reasons);
        this.#begin(workflow, true);
        this.#budget.planned(decision.usage);
      }
      return;
    }
    if (decision.type === "revise") {
      if (this.#workflow !== undefined) this.#budget.planned(decision.usage);
      const next = this.#workflow && this.#flow.plan.weigh({ upTo: this.#seq, ...decision });
      if (next !== undefined) this.#take(next, decision.reasons ?? {});
      this.#workflow = next ?? this.#workflow;
      return;
    }
    if (decision.type === "time-spent") return this.#budget.timePassed(decision.elapsedMs);
    if (decision.type === "spent-above") return this.#budget.spentAbove(decision);
    if (decision.type === "judged") return;
    if (decision.type === "consult") return this.questions.ask(decision);
    if (decision.type === "timed-out" && decision.step === QUESTIONS) return this.questions.leave(decision.n);
    const step = this.steps.get(decision.step);
    if (step && decision.type === "resolved") {
      const what = this.#flow.looks.resolved(step, decision);
      const rule = "what is found in a large value is what it holds";
      if (what !== undefined) this.wrongs.push({ rule, decision: decision.id, what });
      return;
    }
    if (step && decision.type === "recover") this.#budget.planned(decision.usage);
    if (!step || decision.type === "resolved" || step.n !== decision.n) return;
    if (decision.type === "recover") {
      this.#lookAtRecovery(step, decision);
      return this.#flow.chances.recover(step, decision);
    }
    if (!this.#flow.isIn(step, decision.n)) return;
    if (decision.type === "defaulted")
      return this.#flow.answers.answerByDefault(step, decision.answer, decision.value);
    if (decision.type === "cancelled") {
      if (step.unwanted) this.#flow.stop(step);
      return;
    }
    this.#budget.dispatched(decision.step, decision.n);
    if (decision.type === "lost") return this.#flow.lost(step);
    this.#flow.timedOut(step, decision.code);
  }

  /** People are asked where the workflow says so, and before a step is given up. */
  #lookAtRecovery(step: ReferenceStep, decision: DecisionMessage & { type: "recover" }): void {
    const { id, role, fallback, ask = false } = decision;
    const isLast = role === undefined && fallback === undefined;
    const mayAsk =
      (step.doc.ask ?? this.workflow.defaults?.ask) !== undefined && step.doc.forEach === undefined;
    if (!step.recovering || !isLast || ask === mayAsk) return;
    const what = `${step.id} is given up, and people are ${ask ? "" : "not "}asked`;
    this.wrongs.push({ rule: "people are asked before a step is given up", decision: id, what });
  }

  /** Whether the log calls for this end. A complete run may also fail, on its outputs. */
  isDue(status: "done" | "failed" | "cancelled"): boolean {
    if (this.#givenUp !== undefined) return status === this.#givenUp && this.#flow.undoing.isOver;
    // That there is no plan is for whoever looked for one to say.
    if (this.#workflow === undefined) return status === "failed" || (status === "cancelled" && this.#cancel);
    const { complete } = this.#flow;
    const failure = this.#runFailure || this.#flow.fails;
    return { done: complete, failed: failure || complete, cancelled: this.#cancel }[status];
  }

  #giveUp(status: "failed" | "cancelled", id: string): void {
    if (!this.#flow.undoing.isDue || !this.isDue(status)) {
      const what = `undoing was begun at ${this.#seq}, which was not due`;
      this.wrongs.push({ rule: DUE_ENDS, decision: id, what });
      return;
    }
    this.#givenUp = status;
    this.#budget.lift();
    this.#closePause();
    this.status = "running";
    this.#flow.undo(status === "cancelled");
  }

  #take(workflow: WorkflowDocument, reasons: TakenPlan["reasons"]): void {
    const there = [...this.env].filter(([, { value }]) => value !== null).map(([key]) => key);
    this.plans.push({ seq: this.#seq, workflow, reasons, there });
  }

  #end({ status, id, error }: DecisionMessage & { type: "end" }): void {
    if (!this.isDue(status)) {
      const what = `an end as ${status} was written at ${this.#seq}, which was not due`;
      this.wrongs.push({ rule: DUE_ENDS, decision: id, what });
      return;
    }
    if (status === "done") this.#flow.closeAll();
    else this.#flow.cancelOpen(status === "cancelled");
    this.#closePause();
    this.status = status;
    this.failedWith = status === "failed" ? error?.code : undefined;
    this.endings.push(this.#seq);
  }
}

function budgetIn(value: unknown): Parameters<ReferenceBudget["raise"]>[0] {
  return (value as { budget?: Parameters<ReferenceBudget["raise"]>[0] } | undefined)?.budget;
}
