/**
 * Planning with a language model's advice: it proposes, the planner decides.
 *
 * Owns how often a model is asked, for how long and for how many tokens, and what its proposal can change. The
 * plan without it comes first and is what counts whenever the model is slow, dead, wrong or too dear.
 *
 *  - A1 Every step of a plan is written by the planner, from tasks that are there; a proposal only narrows
 *    and widens what is wanted, sets tasks aside, or points at a cheaper way that the search had not found.
 *  - A2 What the goal's own words ask for, or rule out, stands.
 *  - A3 It ends: after `repairs` corrections, `totalMs` together, or the tokens that are left (L8).
 */
import type { RoleCard } from "../workflow/capability.ts";
import { DataHammerError } from "../workflow/errors.ts";
import { RESERVED_ROLES } from "../workflow/reserved-roles.ts";
import { profileOf } from "./data-profile.ts";
import { tasksRuledOut } from "./goal-matching.ts";
import { COST_EPSILON } from "./lm-cut.ts";
import {
  type ModelAnswer,
  type ModelUsage,
  offersOf,
  type PlanModel,
  type RefusedAnswer,
} from "./plan-model.ts";
import { checkProposal, type Proposed } from "./plan-proposal.ts";
import type { Plan, PlanOptions, WorkflowPlanner } from "./planner.ts";
import { unique } from "./problem.ts";

export interface Advisor {
  readonly model: PlanModel;
  /** Of one answer. */
  readonly timeoutMs: number;
  /** Of all answers of one planning. Default: twice the time of one. */
  readonly totalMs?: number;
  /** How often a wrong answer may be corrected. Default 2. */
  readonly repairs?: number;
  /** Whether values of environment and inputs may be told, beside their types and sizes. */
  readonly allowValues?: boolean;
  /** Monotonic ms (L7). */
  readonly now: () => number;
}

export interface AdviceRequest {
  readonly goals: string | readonly string[] | undefined;
  readonly environment: Readonly<Record<string, unknown>>;
  readonly cards: readonly RoleCard[];
  readonly options: PlanOptions;
  /** Tokens that may be spent. Default: no bound. */
  readonly tokensLeft?: number;
}

export interface Advice {
  /** The model. */
  readonly by: string;
  readonly taken: boolean;
  /** What became of it, and why. */
  readonly note: string;
  readonly asked: number;
  readonly usage: ModelUsage;
}

export interface AdvisedPlan {
  /** The error is the one of the plan without advice. */
  readonly outcome: Plan | DataHammerError;
  readonly advice?: Advice;
}

/** Where a plan's reasons hold what became of a model's advice: no step can have this id. */
export const ADVICE_REASON = "(model)";

const DEFAULT_REPAIRS = 2;
/** Of a match of the goal's words: what is this sure stays wanted (A2). */
const SURE = 0.6;
/** A model's window is finite: beyond so many tasks it is not asked. */
const MOST_TASKS = 1_000;
const ANSWER_KEPT = 4_000;

/** Plans as `createWorkflow` does, with advice where there are goals in words. */
export async function planWithAdvice(
  planner: WorkflowPlanner,
  advisor: Advisor,
  request: AdviceRequest,
): Promise<AdvisedPlan> {
  const { environment, options } = request;
  const goals = [request.goals ?? []].flat().filter((text) => text.trim() !== "");
  const alone = attempt(() => planner.createWorkflow(goals, environment, options));
  const settled = alone instanceof DataHammerError && !OPEN_TO_ADVICE.includes(alone.code);
  if (goals.length === 0 || settled) return { outcome: alone };
  const counsel = new Counsel(planner, advisor, request, goals, alone);
  return counsel.take();
}

/** Failures of planning that a better reading of the goal may mend. */
const OPEN_TO_ADVICE = ["E_GOAL_UNCLEAR", "E_NO_PLAN"];

/** One planning's questions to a model. */
class Counsel {
  readonly #planner: WorkflowPlanner;
  readonly #advisor: Advisor;
  readonly #request: AdviceRequest;
  readonly #goals: readonly string[];
  readonly #alone: Plan | DataHammerError;
  readonly #ruledOut: ReadonlyMap<string, string>;
  readonly #refused: RefusedAnswer[] = [];
  #asked = 0;
  #usage: ModelUsage = { tokens: 0 };

  constructor(
    planner: WorkflowPlanner,
    advisor: Advisor,
    request: AdviceRequest,
    goals: readonly string[],
    alone: Plan | DataHammerError,
  ) {
    this.#planner = planner;
    this.#advisor = advisor;
    const cards = request.cards.filter(({ role }) => !RESERVED_ROLES.includes(role));
    this.#request = { ...request, cards };
    this.#goals = goals;
    this.#alone = alone;
    this.#ruledOut = tasksRuledOut(goals, request.cards);
  }

  async take(): Promise<AdvisedPlan> {
    const { model, now, timeoutMs, totalMs = 2 * timeoutMs, repairs = DEFAULT_REPAIRS } = this.#advisor;
    const tasks = this.#request.cards.reduce((sum, card) => sum + card.tasks.length, 0);
    if (tasks > MOST_TASKS)
      return this.#without(`it is not asked about ${tasks} tasks, ${MOST_TASKS} at most`);
    const endsAt = now() + totalMs;
    while (this.#asked <= repairs) {
      const leftMs = endsAt - now();
      if (leftMs < 1) return this.#without(`it had ${totalMs} ms in all`);
      const { tokensLeft } = this.#request;
      const left = tokensLeft === undefined ? undefined : tokensLeft - this.#usage.tokens;
      if (left !== undefined && left <= 0)
        return this.#without(`the budget of ${tokensLeft} tokens is spent`);
      this.#asked += 1;
      const answer = await this.#ask(model, Math.min(timeoutMs, leftMs), left);
      this.#count(answer.usage);
      if ("failure" in answer) return this.#without(answer.failure);
      const errors = this.#consider(answer.text);
      if (!Array.isArray(errors)) return errors;
      this.#refused.push({ answer: answer.text.slice(0, ANSWER_KEPT), errors });
    }
    const last = this.#refused.at(-1)?.errors.join("; ");
    return this.#without(`its ${this.#asked} answers were refused, the last one because ${last}`);
  }

  async #ask(model: PlanModel, timeoutMs: number, tokensLeft: number | undefined): Promise<ModelAnswer> {
    const { environment, cards, options } = this.#request;
    const allowed = this.#advisor.allowValues === true;
    try {
      return await model.propose({
        goals: this.#goals,
        want: options.want ?? [],
        roles: offersOf(cards),
        environment: profileOf(environment, allowed),
        inputs: profileOf(options.inputs ?? {}, allowed),
        refused: this.#refused,
        timeoutMs,
        ...(tokensLeft !== undefined && { tokensLeft }),
      });
    } catch (error) {
      return { failure: `it failed: ${String(error).slice(0, 200)}`, usage: { tokens: 0 } };
    }
  }

  /** The plan that an answer leads to, or what is wrong with it. */
  #consider(text: string): AdvisedPlan | string[] {
    const { environment, cards, options } = this.#request;
    const matches = this.#alone instanceof DataHammerError ? [] : (this.#alone.goalMatches ?? []);
    const { proposed, errors } = checkProposal(text, {
      cards,
      environmentKeys: Object.keys(environment),
      inputKeys: Object.keys(options.inputs ?? {}),
      sure: matches.flatMap(({ key, confidence }) => (confidence >= SURE ? [key] : [])),
    });
    if (proposed === undefined) return [...errors];
    const made = attempt(() => this.#planFor(proposed));
    if (made instanceof DataHammerError) return [made.message];
    return this.#with(made);
  }

  #planFor({ want, avoid, draft }: Proposed): Plan {
    const { environment, cards, options } = this.#request;
    const asked: PlanOptions = {
      ...options,
      want: unique([...(options.want ?? []), ...want]),
      exclude: (role, capability) => {
        const name = `${role}.${capability.name}`;
        // A2
        const ruledOut = this.#ruledOut.get(name) ?? options.exclude?.(role, capability);
        return ruledOut ?? (avoid.has(name) ? "a language model proposed to avoid it" : undefined);
      },
    };
    const best = this.#planner.createWorkflow(undefined, environment, asked);
    if (draft === undefined) return best;
    const capabilities = cards.map((card) => ({
      ...card,
      tasks: card.tasks.filter(({ name }) => draft.has(`${card.role}.${name}`)),
    }));
    const drafted = this.#planner.createWorkflow(undefined, environment, { ...asked, capabilities });
    // Only a search that was ended early can have missed it; of equals ours has the shorter critical path.
    if (drafted.cost >= best.cost - COST_EPSILON) return best;
    const { cost } = drafted;
    const bound = Math.min(cost, best.bound);
    const optimal = bound >= cost - COST_EPSILON;
    return { ...drafted, optimal, bound, gap: (cost - bound) / cost };
  }

  #with(plan: Plan): AdvisedPlan {
    const alone = this.#alone;
    const compared =
      alone instanceof DataHammerError
        ? `without it: ${alone.code}`
        : `without it: ${alone.want.join(", ")}, cost ${alone.cost}`;
    const repaired = this.#refused.length === 0 ? "" : `; refused before: ${this.#refused.length}`;
    const note = `${this.#advisor.model.name} proposed ${plan.want.join(", ")}, cost ${plan.cost} (${compared}${repaired})`;
    return this.#advised(plan, true, note);
  }

  #without(why: string): AdvisedPlan {
    return this.#advised(this.#alone, false, `planned without ${this.#advisor.model.name}: ${why}`);
  }

  #advised(outcome: Plan | DataHammerError, taken: boolean, note: string): AdvisedPlan {
    const advice = { by: this.#advisor.model.name, taken, note, asked: this.#asked, usage: this.#usage };
    if (outcome instanceof DataHammerError) return { outcome, advice };
    return { outcome: { ...outcome, reasons: { ...outcome.reasons, [ADVICE_REASON]: note } }, advice };
  }

  #count({ tokens, usd }: ModelUsage): void {
    const spent = this.#usage;
    const money = (spent.usd ?? 0) + Math.max(0, usd ?? 0);
    this.#usage = {
      tokens: spent.tokens + Math.max(0, tokens),
      ...((usd !== undefined || spent.usd !== undefined) && { usd: money }),
    };
  }
}

function attempt(make: () => Plan): Plan | DataHammerError {
  try {
    return make();
  } catch (error) {
    if (error instanceof DataHammerError) return error;
    throw error;
  }
}
