/** Planning for a hold: asks who is present, lets the planner answer, and words the answer as a decision. */
import type { Logger } from "pino";
import type { Bus, Clock } from "../bus/bus.ts";
import type { RunFold } from "../fold/run-fold.ts";
import { type Advice, type Advisor, planWithAdvice } from "../planner/advised-planning.ts";
import { type Plan, WorkflowPlanner } from "../planner/planner.ts";
import type { Weighing } from "../planner/revision.ts";
import type { RoleCard } from "../workflow/capability.ts";
import { DataHammerError } from "../workflow/errors.ts";
import type { Proposal } from "./decision-writer.ts";
import { restOf } from "./rest-of-run.ts";
import { Roster } from "./roster.ts";
import type { PlanChoice, RunPlanning, WaitingDispatch } from "./run-planning.ts";

/** A role that nobody serves for so long is planned round, where another way exists; by default. */
const ROLE_ABSENCE_MS = 10_000;
/** A task that was started may have an agent that is too busy to answer: so many times as long. */
const STARTED_SHARE = 2;
/** Without another way the step fails after so many times as long, and a person may retry it. */
const GIVE_UP_SHARE = 30;

/** A search may hold up a daemon for so long; the best plan that it has found by then counts. */
const SEARCH_MS = 1_000;

export class SwarmPlanning implements RunPlanning {
  readonly #roster: Roster;
  readonly #absenceMs: number;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #advisor: Advisor | undefined;

  /**
   * @param absenceMs a role that nobody serves for so long is planned round
   * @param advisor a language model that is asked about goals in words
   */
  constructor(bus: Bus, clock: Clock, log: Logger, absenceMs = ROLE_ABSENCE_MS, advisor?: Advisor) {
    this.#roster = new Roster(bus, clock);
    this.#absenceMs = absenceMs;
    this.#clock = clock;
    this.#log = log;
    this.#advisor = advisor;
  }

  async plan(fold: RunFold): Promise<Proposal> {
    const cards = await this.#roster.present();
    try {
      const { plan, advice } = await this.#planFrom(cards, fold);
      this.#log.info({ run: fold.run, steps: plan.workflow.steps.length, cost: plan.cost }, "planned");
      const { workflow, cost, optimal, explored, reasons } = plan;
      const usage = advice && { ...advice.usage };
      return { type: "plan", workflow, cost, optimal, explored, reasons, ...(usage && { usage }) };
    } catch (error) {
      if (!(error instanceof DataHammerError)) throw error;
      const message = error.remedy ? `${error.message} ${error.remedy}` : error.message;
      return { type: "end", status: "failed", error: { code: error.code, message } };
    }
  }

  async #planFrom(cards: readonly RoleCard[], fold: RunFold): Promise<{ plan: Plan; advice?: Advice }> {
    const planner = this.#planner(cards);
    const { goals, want, budget } = fold.submission ?? {};
    const environment = fold.environment.values;
    const options = { inputs: fold.inputs, ...(want ? { want } : {}) };
    if (this.#advisor === undefined) return { plan: planner.createWorkflow(goals, environment, options) };
    const { outcome, advice } = await planWithAdvice(planner, this.#advisor, {
      goals,
      environment,
      cards,
      options,
      ...(budget?.tokens !== undefined && { tokensLeft: budget.tokens }),
    });
    if (advice !== undefined) {
      const { by: model, note, usage, asked } = advice;
      this.#log[advice.taken ? "info" : "warn"]({ run: fold.run, model, asked, ...usage }, note);
    }
    if (outcome instanceof DataHammerError) throw outcome;
    return { plan: outcome, ...(advice && { advice }) };
  }

  async weigh(fold: RunFold): Promise<PlanChoice> {
    const planner = this.#planner(await this.#roster.known(this.#absenceMs));
    return () => {
      const weighed = [...fold.weighing];
      const rest = restOf(fold);
      if (rest === undefined) return undefined;
      const weighing = planner.weigh(rest);
      return revision(weighing, weighed, `after ${weighed.join(", ")}`);
    };
  }

  async recover(fold: RunFold, step: string): Promise<PlanChoice> {
    const planner = this.#planner(await this.#roster.known(this.#absenceMs));
    return () => {
      const { context } = fold.step(step);
      const given = { type: "recover", step, n: context.n } as const;
      const rest = restOf(fold);
      const last = context.failures.at(-1)?.error.message ?? "it gave no reason";
      const failed = `${step} failed (${context.role}.${context.task}: ${last})`;
      if (fold.plan !== undefined && rest !== undefined) {
        const weighing = planner.weigh(rest);
        // The step itself is lost: a plan that stands is one that has no other way.
        if (!weighing.stands) return revision(weighing, [...fold.weighing], failed);
      } else {
        const request = {
          step: {
            agent: context.role,
            task: context.task,
            outputs: [...(fold.steps?.step(step).outputs ?? [])],
          },
          environment: fold.environment.values,
          inputs: fold.inputs,
          failed: context.tried,
        };
        const found = planner.recover(request);
        if (found !== undefined) {
          const { role, task, inputs, reason } = found;
          return { ...given, role, task, inputs: fold.resolve(inputs), reason };
        }
        // What failed anywhere in this run is not taken up again: two ways could replace each other for ever.
        const ways = rest?.excluded?.flatMap(({ role, task }) =>
          task === undefined ? [] : [{ role, task }],
        );
        const detour =
          rest &&
          planner.detour({
            ...request,
            ...rest,
            ...(ways && { failed: ways }),
            id: step,
            usedIds: fold.retired.keys(),
          });
        if (detour !== undefined) {
          const { workflow, steps, cost } = detour;
          const reason = `${failed}: ${steps.join(", ")} instead`;
          return { type: "revise", weighed: [], workflow, reason, cost };
        }
      }
      const fallback = fold.steps?.step(step).fallback;
      if (fallback !== undefined)
        return { ...given, fallback: { ...fallback }, reason: `${failed}; its fallback` };
      return { ...given, reason: "no present agent has another way to its outputs" };
    };
  }

  async replace(fold: RunFold, waiting: readonly WaitingDispatch[]): Promise<PlanChoice | undefined> {
    const absent = new Map<string, number>();
    for (const role of new Set(waiting.map((one) => one.role))) {
      absent.set(role, await this.#roster.absentMs(role));
    }
    const awaited = ({ role }: WaitingDispatch): number => absent.get(role) ?? 0;
    const stuck = waiting.filter(
      (one) => awaited(one) >= this.#absenceMs * (one.started ? STARTED_SHARE : 1),
    );
    if (stuck.length === 0) return undefined;
    const planner = this.#planner(await this.#roster.known(this.#absenceMs));
    return () => {
      const open = stuck.filter((one) => fold.isOpen({ run: fold.run, ...one }));
      const [first] = open;
      const rest = restOf(fold, open);
      if (first === undefined || rest === undefined) return undefined;
      const why = `nobody served ${first.role} for ${Math.round(awaited(first) / 1000)} s`;
      const weighing = planner.weigh(rest);
      if (!weighing.stands) return revision(weighing, [...fold.weighing], why);
      const lost = open.find(
        (one) =>
          fold.steps?.step(one.step).fallback !== undefined ||
          awaited(one) >= GIVE_UP_SHARE * this.#absenceMs,
      );
      if (lost === undefined) return undefined;
      const { step, n } = lost;
      return { type: "timed-out", step, n, code: "E_NO_AGENT", afterMs: Math.round(awaited(lost)) };
    };
  }

  #planner(capabilities: readonly RoleCard[]): WorkflowPlanner {
    return new WorkflowPlanner({
      capabilities,
      timeLimitMs: SEARCH_MS,
      now: () => this.#clock.monotonic(),
    });
  }
}

function revision(weighing: Weighing, weighed: string[], why: string): Proposal {
  if (weighing.stands) return { type: "revise", weighed, reason: `${why}: ${weighing.reason}` };
  const { plan, costBefore, reason } = weighing;
  const { workflow, cost, optimal, explored, reasons } = plan;
  return {
    type: "revise",
    weighed,
    workflow,
    reason: `${why}: ${reason}`,
    cost,
    optimal,
    explored,
    reasons,
    ...(costBefore !== undefined && { costBefore }),
  };
}
