/** Planning for a hold: asks who is present, lets the planner answer, and words the answer as a decision. */
import type { Logger } from "pino";
import type { Bus, Clock } from "../bus/bus.ts";
import type { Usage } from "../bus/messages.ts";
import type { RunFold } from "../fold/run-fold.ts";
import { ADVICE_REASON, planWithAdvice } from "../planner/advised-planning.ts";
import { type AdvisedRest, adviseRest, type RestAdviceRequest } from "../planner/advised-revision.ts";
import type { Advice, Advisor } from "../planner/counsel.ts";
import { type Plan, WorkflowPlanner } from "../planner/planner.ts";
import { wantedOf } from "../planner/remainder.ts";
import type { Weighing, WeighRequest } from "../planner/revision.ts";
import type { RoleCard } from "../workflow/capability.ts";
import { DataHammerError } from "../workflow/errors.ts";
import { hasPlanner, PLAN_REF, type PlannerTask, type PlanSituation } from "../workflow/planner-task.ts";
import type { Proposal } from "./decision-writer.ts";
import { KnownFacts } from "./known-facts.ts";
import { leftToSpend } from "./left-to-spend.ts";
import { alternativesTo } from "./plan-alternatives.ts";
import { plannerAgent } from "./planner-agent.ts";
import type { PlannerDesk } from "./planner-desk.ts";
import { restOf } from "./rest-of-run.ts";
import { Roster } from "./roster.ts";
import type { PlanChoice, RunPlanning, WaitingDispatch } from "./run-planning.ts";
import { spanIdsOf } from "./traced-log.ts";
import { failureOf, lastError, wayRound } from "./way-round.ts";

/** A role that nobody serves for so long is planned round, where another way exists; by default. */
const ROLE_ABSENCE_MS = 10_000;
/** A task that was started may have an agent that is too busy to answer: so many times as long. */
const STARTED_SHARE = 2;
/** Without another way the step fails after so many times as long, and a person may retry it. */
const GIVE_UP_SHARE = 30;

/** A search may hold up a daemon for so long; the best plan that it has found by then counts. */
const SEARCH_MS = 1_000;

export class SwarmPlanning implements RunPlanning {
  readonly #bus: Bus;
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
    this.#bus = bus;
    this.#roster = new Roster(bus, clock);
    this.#absenceMs = absenceMs;
    this.#clock = clock;
    this.#log = log;
    this.#advisor = advisor;
  }

  async plan(fold: RunFold, desk: PlannerDesk): Promise<Proposal> {
    const present = await this.#roster.present();
    const proposal = await this.#planWith(present, fold, desk);
    if (proposal.type === "plan") return proposal;
    // Who is busy may have missed the question (L10): asked again before the goal is given up.
    await this.#roster.present();
    const known = await this.#roster.known(this.#absenceMs);
    return known.length > present.length ? this.#planWith(known, fold, desk) : proposal;
  }

  async #planWith(cards: readonly RoleCard[], fold: RunFold, desk: PlannerDesk): Promise<Proposal> {
    const facts = await KnownFacts.of(fold, this.#bus, cards);
    try {
      const { plan, usage } = await this.#planFrom(cards, fold, facts, desk);
      const { traceId } = spanIdsOf(fold) ?? {};
      this.#log.info(
        { run: fold.run, traceId, steps: plan.workflow.steps.length, cost: plan.cost },
        "planned",
      );
      const made = fieldsOf(plan, cards);
      const after = fold.submission?.ask;
      const workflow =
        after === undefined ? plan.workflow : { ...plan.workflow, defaults: { ask: { after } } };
      return { type: "plan", ...made, workflow, ...(usage && { usage }) };
    } catch (error) {
      if (!(error instanceof DataHammerError)) throw error;
      const message = error.remedy ? `${error.message} ${error.remedy}` : error.message;
      return { type: "end", status: "failed", error: { code: error.code, message } };
    }
  }

  /** The swarm's own planner first, then a language model, then ours alone. */
  async #planFrom(
    cards: readonly RoleCard[],
    fold: RunFold,
    { environment, inputs }: KnownFacts,
    desk: PlannerDesk,
  ): Promise<{ plan: Plan; usage?: Usage }> {
    const planner = this.#planner(cards);
    const { goals, want } = fold.submission ?? {};
    const options = { inputs, ...(want ? { want } : {}) };
    const request = { goals, environment, cards, options, ...leftToSpend(fold) };
    const notes: Record<string, string> = {};
    for (const advisor of this.#advisors("plan", "plan", fold, desk, cards)) {
      const { outcome, advice } = await planWithAdvice(planner, advisor, request);
      if (advice !== undefined) {
        this.#tell(fold, advice);
        notes[reasonKey(advisor)] = advice.note;
      }
      if (advice?.taken !== true || outcome instanceof DataHammerError) {
        if (advisor.decides === true) continue;
        if (outcome instanceof DataHammerError) throw outcome;
      }
      const plan = { ...outcome, reasons: { ...outcome.reasons, ...notes } };
      return { plan, ...(advice && { usage: { ...advice.usage } }) };
    }
    const plan = planner.createWorkflow(goals, environment, options);
    return { plan: { ...plan, reasons: { ...plan.reasons, ...notes } } };
  }

  /** Whom to ask, in this order, until one of them has an answer that counts. */
  #advisors(
    task: PlannerTask,
    about: string,
    fold: RunFold,
    desk: PlannerDesk,
    cards: readonly RoleCard[],
  ): Advisor[] {
    const now = () => this.#clock.monotonic();
    const own = hasPlanner(cards, task) ? [plannerAgent(fold, desk, cards, about, now)] : [];
    if (this.#advisor === undefined) return own;
    // A model is outside of the swarm: of a run with secrets it is told names, types and sizes alone.
    return [...own, fold.secrets === undefined ? this.#advisor : { ...this.#advisor, allowValues: false }];
  }

  async weigh(fold: RunFold, desk: PlannerDesk): Promise<PlanChoice> {
    const cards = await this.#roster.known(this.#absenceMs);
    const planner = this.#planner(cards);
    const facts = await KnownFacts.of(fold, this.#bus, cards);
    const named = (id: string): string => (id === PLAN_REF ? "what was set from outside" : id);
    const why = (): string => `after ${[...fold.weighing].map(named).join(", ")}`;
    const about = `replan at ${fold.environment.revision}`;
    const question = { task: "replan", about, reason: why() } as const;
    const advised = await this.#advise(planner, fold, facts, desk, cards, question);
    return () => {
      const rest = restOf(fold, facts);
      if (rest === undefined) return undefined;
      return revision(weighed(planner, rest, advised), [...fold.weighing], why(), advised, cards);
    };
  }

  async recover(fold: RunFold, step: string, desk: PlannerDesk): Promise<PlanChoice> {
    const cards = await this.#roster.known(this.#absenceMs);
    const planner = this.#planner(cards);
    const facts = await KnownFacts.of(fold, this.#bus, cards);
    const { role, task, n } = fold.step(step).context;
    const failed = { step, role, task, error: lastError(fold, step) };
    const about = `recover ${step} ${n}`;
    const question = { task: "recover", about, reason: `${step} failed`, failed } as const;
    const advised = fold.recovering.has(step)
      ? await this.#advise(planner, fold, facts, desk, cards, question)
      : undefined;
    return () => this.#recovery(planner, cards, fold, facts, step, advised);
  }

  #recovery(
    planner: WorkflowPlanner,
    cards: readonly RoleCard[],
    fold: RunFold,
    facts: KnownFacts,
    step: string,
    advised: AdvisedRest | undefined,
  ): Proposal | undefined {
    const usage = usageOf(advised);
    const given = { type: "recover", step, n: fold.step(step).context.n, ...usage } as const;
    const failed = failureOf(fold, step);
    const rest = fold.plan === undefined ? undefined : restOf(fold, facts);
    if (rest !== undefined) {
      const weighing = weighed(planner, rest, advised);
      // The step itself is lost: a plan that stands is one that has no other way.
      if (!weighing.stands) return revision(weighing, [...fold.weighing], failed, advised, cards);
    } else {
      const { proposed } = advised ?? {};
      const asProposed = proposed && wayRound(planner, fold, facts, step, proposed);
      const way = asProposed ?? wayRound(planner, fold, facts, step);
      if (way !== undefined) return { ...way, reason: `${way.reason}${noteOf(advised)}`, ...usage };
    }
    const fallback = fold.steps?.step(step).fallback;
    if (fallback !== undefined)
      return { ...given, fallback: { ...fallback }, reason: `${failed}; its fallback` };
    const none = "no present agent has another way to its outputs";
    if (fold.steps?.step(step).ask !== undefined)
      return { ...given, ask: true, reason: `${failed}; ${none}` };
    return { ...given, reason: none };
  }

  async replace(
    fold: RunFold,
    waiting: readonly WaitingDispatch[],
    desk: PlannerDesk,
  ): Promise<PlanChoice | undefined> {
    const absent = new Map<string, number>();
    for (const role of new Set(waiting.map((one) => one.role))) {
      absent.set(role, await this.#roster.absentMs(role));
    }
    const awaited = ({ role }: WaitingDispatch): number => absent.get(role) ?? 0;
    const stuck = waiting.filter(
      (one) => awaited(one) >= this.#absenceMs * (one.started ? STARTED_SHARE : 1),
    );
    const [longest] = stuck;
    if (longest === undefined) return undefined;
    const cards = await this.#roster.known(this.#absenceMs);
    const planner = this.#planner(cards);
    const facts = await KnownFacts.of(fold, this.#bus, cards);
    const { step, n, role } = longest;
    const why = `nobody served ${role} for ${Math.round(awaited(longest) / 1000)} s`;
    const { task } = fold.step(step).context;
    const failed = { step, role, task, error: why };
    const ask = { task: "recover", about: `replace ${step} ${n}`, reason: why, failed, lost: stuck } as const;
    const advised = await this.#advise(planner, fold, facts, desk, cards, ask);
    return () => {
      const open = stuck.filter((one) => fold.isOpen({ run: fold.run, ...one }));
      const rest = restOf(fold, facts, open);
      if (open.length === 0 || rest === undefined) return undefined;
      const weighing = weighed(planner, rest, advised);
      if (!weighing.stands) return revision(weighing, [...fold.weighing], why, advised, cards);
      const lost = open.find(
        (one) =>
          fold.steps?.step(one.step).fallback !== undefined ||
          awaited(one) >= GIVE_UP_SHARE * this.#absenceMs,
      );
      if (lost === undefined) return undefined;
      const afterMs = Math.round(awaited(lost));
      return { type: "timed-out", step: lost.step, n: lost.n, code: "E_NO_AGENT", afterMs };
    };
  }

  /** What is proposed for the rest of a plan, or in the place of a failed step. Undefined: nobody was asked. */
  async #advise(
    planner: WorkflowPlanner,
    fold: RunFold,
    facts: KnownFacts,
    desk: PlannerDesk,
    cards: readonly RoleCard[],
    { task, about, reason, failed, lost = [] }: RestQuestion,
  ): Promise<AdvisedRest | undefined> {
    const rest = restOf(fold, facts, lost);
    if (rest === undefined) return undefined;
    const advisors = this.#advisors(task, about, fold, desk, cards);
    if (advisors.length === 0) return undefined;
    const step = fold.plan === undefined ? failed?.step : undefined;
    const scope = step === undefined ? planScope(planner, rest) : stepScope(planner, fold, facts, step);
    let advised: AdvisedRest | undefined;
    for (const advisor of advisors) {
      if (!scope.isOpenTo(advisor)) continue;
      advised = await adviseRest(planner, advisor, {
        task,
        goals: [fold.submission?.goals ?? []].flat(),
        want: scope.want,
        rest,
        cards,
        reason,
        ...(failed !== undefined && { failed }),
        ...leftToSpend(fold),
        ...(scope.judge && { judge: scope.judge }),
      });
      this.#tell(fold, advised.advice);
      if (advised.advice.taken) break;
    }
    return advised;
  }

  #tell(fold: RunFold, { by, taken, note, asked, usage }: Advice): void {
    const { traceId } = spanIdsOf(fold) ?? {};
    this.#log[taken ? "info" : "warn"]({ run: fold.run, traceId, advisor: by, asked, ...usage }, note);
  }

  #planner(capabilities: readonly RoleCard[]): WorkflowPlanner {
    return new WorkflowPlanner({
      capabilities,
      timeLimitMs: SEARCH_MS,
      now: () => this.#clock.monotonic(),
    });
  }
}

interface RestQuestion {
  readonly task: "replan" | "recover";
  readonly about: string;
  readonly reason: string;
  readonly failed?: PlanSituation["failed"];
  readonly lost?: readonly WaitingDispatch[];
}

/** What an advisor is asked about. */
interface AdviceScope {
  readonly want: readonly string[];
  isOpenTo(advisor: Advisor): boolean;
  readonly judge?: RestAdviceRequest["judge"];
}

function planScope(planner: WorkflowPlanner, rest: WeighRequest): AdviceScope {
  const ours = planner.weigh(rest);
  return {
    want: wantedOf(rest.workflow),
    // Where ours finds no way there is none; and a language model costs too much where nothing has to change.
    isOpenTo: ({ decides }) => !(ours.stands && (ours.broken || decides !== true)),
  };
}

/** A failed step of a workflow that somebody wrote: only its own keys are asked about. */
function stepScope(planner: WorkflowPlanner, fold: RunFold, facts: KnownFacts, step: string): AdviceScope {
  const ours = wayRound(planner, fold, facts, step);
  const none = "with these tasks there is no other way to the outputs of the failed step";
  return {
    want: fold.steps?.step(step).outputs ?? [],
    isOpenTo: () => ours !== undefined,
    judge: (proposed) => (wayRound(planner, fold, facts, step, proposed) === undefined ? none : undefined),
  };
}

const noteOf = (advised: AdvisedRest | undefined): string =>
  advised === undefined ? "" : ` (${advised.advice.note})`;

/** What a decision says of a plan. */
function fieldsOf(plan: Plan, cards: readonly RoleCard[]) {
  const { workflow, cost, optimal, explored, reasons } = plan;
  return { workflow, cost, optimal, explored, reasons, ...alternativesTo(plan, cards) };
}

const reasonKey = ({ decides }: Advisor): string =>
  decides === true ? ADVICE_REASON.planner : ADVICE_REASON.model;

/** What was proposed is weighed on the state of the moment; where it leads nowhere any more, ours counts. */
function weighed(planner: WorkflowPlanner, rest: WeighRequest, advised: AdvisedRest | undefined): Weighing {
  const proposed = advised?.proposed;
  if (proposed === undefined) return planner.weigh(rest);
  const weighing = planner.weigh({ ...rest, proposed });
  return weighing.stands && weighing.broken ? planner.weigh(rest) : weighing;
}

function usageOf(advised: AdvisedRest | undefined): { usage?: Usage } {
  const { tokens, usd } = advised?.advice.usage ?? { tokens: 0 };
  return tokens === 0 && usd === undefined ? {} : { usage: { tokens, ...(usd !== undefined && { usd }) } };
}

function revision(
  weighing: Weighing,
  weighedSteps: string[],
  why: string,
  advised: AdvisedRest | undefined,
  cards: readonly RoleCard[],
): Proposal {
  const reason = `${why}: ${weighing.reason}${noteOf(advised)}`;
  const made = { type: "revise", weighed: weighedSteps, reason, ...usageOf(advised) } as const;
  if (weighing.stands) return made;
  const { plan, costBefore } = weighing;
  return { ...made, ...fieldsOf(plan, cards), ...(costBefore !== undefined && { costBefore }) };
}
