/**
 * Decisions, judged: which of them count, and what they do to the run (L3).
 *
 * It owns who holds the run, the place of the last decision, and how the plan changed on the way. It does not
 * own making a workflow the run's, nor how steps follow one another.
 *
 *  - F2 A decision counts only with the current epoch and where the state allows it (L3).
 */
import type { DecisionMessage } from "../bus/decisions.ts";
import { WorkflowGraph } from "../workflow/graph.ts";
import { applyDefault } from "./answers.ts";
import { type Consultations, isConsultation } from "./consultations.ts";
import type { EnvUpdates } from "./env-updates.ts";
import type { FoldFrame } from "./fold-frame.ts";
import { PlanHistory } from "./plan-history.ts";
import type { RunCourse } from "./run-course.ts";
import type { Spending } from "./spending.ts";
import type { StepFlow } from "./step-flow.ts";
import { applyTimeOut } from "./time-outs.ts";

export class Decisions {
  readonly history = new PlanHistory();
  /** Sequence of the last decision, void and unreadable ones included. */
  lastSeq = 0;
  readonly #frame: FoldFrame;
  readonly #course: RunCourse;
  readonly #spending: Spending;
  readonly #consultations: Consultations;
  readonly #updates: EnvUpdates;
  readonly #adopt: (workflow: unknown, cause: string) => void;
  #epoch = 0;

  /** @param adopt makes a document the run's workflow */
  constructor(
    frame: FoldFrame,
    course: RunCourse,
    spending: Spending,
    consultations: Consultations,
    updates: EnvUpdates,
    adopt: (workflow: unknown, cause: string) => void,
  ) {
    this.#frame = frame;
    this.#course = course;
    this.#spending = spending;
    this.#consultations = consultations;
    this.#updates = updates;
    this.#adopt = adopt;
  }

  get epoch(): number {
    return this.#epoch;
  }

  apply(decision: DecisionMessage): void {
    this.lastSeq = this.#frame.seq;
    const problem = this.#decide(decision);
    if (problem === undefined) return;
    const step = "step" in decision ? decision.step : null;
    this.#frame.void("void", step, `decision ${decision.type} of epoch ${decision.epoch}: ${problem}`);
  }

  /** F2. Returns why the decision is void, or undefined when it counts. */
  #decide(decision: DecisionMessage): string | undefined {
    const course = this.#course;
    if (decision.type === "claim") {
      if (decision.epoch <= this.#epoch) return `epoch ${this.#epoch} is taken`;
      this.#epoch = decision.epoch;
      this.#course.holder = decision.holder;
      this.#frame.looksInside = decision.looks === true;
      this.#frame.judges = decision.judges === true;
      this.#frame.raises = decision.raises === true;
      course.budget?.heedRaises(this.#frame.raises);
      this.#frame.rules = decision.rules ?? 0;
      this.#updates.holdSubmitted();
      return undefined;
    }
    // What an interrupted purge left of an earlier run with this id decides nothing about a later one.
    if (course.startedAt === undefined) return "the run was not submitted yet";
    // A holder that was replaced may still write; nothing of it counts.
    if (decision.epoch !== this.#epoch) return `the epoch is ${this.#epoch}`;
    if (course.ended) return `the run is ${course.status}`;
    if (decision.type === "end") return course.end(decision);
    if (decision.type === "compensate") return course.compensate(decision);
    if (decision.type === "plan") return this.#adoptPlan(decision);
    if (decision.type === "run-timed-out") {
      const message = `the run did not end within ${decision.afterMs} ms`;
      course.failure ??= { code: "E_RUN_TIMEOUT", message };
      return undefined;
    }
    if (decision.type === "defeated") {
      const { code, message } = decision;
      course.failure ??= { code, message };
      return undefined;
    }
    if (decision.type === "time-spent") {
      course.budget?.noteTime(decision.elapsedMs);
      return undefined;
    }
    if (decision.type === "spent-above") return course.budget?.noteAbove(decision);
    if (decision.type === "judged") return this.#updates.judged(decision);
    if (decision.type === "consult") return this.#consultations.ask(decision);
    if (decision.type === "timed-out" && isConsultation(decision)) return this.#consultations.leave(decision);
    const flow = course.flow;
    if (decision.type === "revise")
      return flow ? this.#revise(flow, decision) : "the run has no workflow yet";
    if (!flow?.steps.has(decision.step)) return "the run has no such step";
    if (decision.type === "recover") return this.#recover(flow, decision);
    if (decision.type === "resolved") return flow.frontier.resolved(decision);
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
    if (this.#course.flow || this.#course.failure) return "the run has a workflow";
    const { cost, optimal } = decision;
    this.history.begin(decision);
    this.#spending.reportPlanning(decision.usage);
    this.#adopt(decision.workflow, `planned: cost ${cost}${optimal ? ", proven least" : ""}`);
    return undefined;
  }

  #revise(flow: StepFlow, decision: DecisionMessage & { type: "revise" }): string | undefined {
    const { workflow, weighed, usage, upTo = this.#frame.seq } = decision;
    this.#spending.reportPlanning(usage);
    if (workflow === undefined) {
      flow.stand(weighed, upTo);
      return undefined;
    }
    const { graph, issues } = WorkflowGraph.validate(workflow, {
      environmentKeys: Object.keys(this.#frame.environment.values),
      wasAccepted: true,
    });
    if (graph === undefined) return `its workflow is invalid: ${issues[0]?.message}`;
    const problem = flow.revisionProblem(graph);
    if (problem !== undefined) return problem;
    const revision = this.history.revise(decision, { before: flow.graph, after: graph }, this.#frame);
    const cause = `revision ${revision.number}: ${revision.reason}`;
    this.#course.note(this.#course.status, "revise", cause);
    flow.revise(graph, weighed, upTo, cause);
    return undefined;
  }

  #recover(flow: StepFlow, decision: DecisionMessage & { type: "recover" }): string | undefined {
    const { step, n, role, task, inputs, fallback, reason, usage } = decision;
    this.#spending.reportPlanning(usage);
    const waits = flow.frontier.recovering.has(step) && flow.read(step).context.n === n;
    if (!waits) return `dispatch ${n} of the step does not wait for a recovery`;
    flow.frontier.recovering.delete(step);
    if (fallback !== undefined) flow.chances.fallBack(step, fallback);
    else if (decision.ask === true) flow.chances.ask(step, `asks people: ${reason}`);
    else if (role === undefined || task === undefined) flow.chances.giveUp(step);
    else
      flow.chances.reopen(
        step,
        inputs === undefined ? { role, task } : { role, task, inputs },
        `recovered: ${reason}`,
      );
    return undefined;
  }
}
