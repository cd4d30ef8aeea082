/**
 * Planning with advice, of a language model or of a swarm's own planner: it proposes, the planner decides.
 *
 * Owns what a proposal can change. The plan without it comes first and is what counts whenever the advisor is
 * slow, dead, wrong or too dear. How it is asked is the counsel's matter.
 *
 *  - A1 Every step of a plan is written by the planner, from tasks that are there; a proposal only narrows
 *    and widens what is wanted, sets tasks aside, or points at a way.
 *  - A2 What the goal's own words ask for, or rule out, stands.
 *  - A3 A language model's way counts only where it costs less; that of a swarm's own planner in any case, with
 *    its cost and what is proven of it told.
 */
import type { RoleCard } from "../workflow/capability.ts";
import { DataHammerError } from "../workflow/errors.ts";
import { RESERVED_ROLES } from "../workflow/reserved-roles.ts";
import { type Advice, type Advisor, type CounselOutcome, takeCounsel } from "./counsel.ts";
import { profileOf } from "./data-profile.ts";
import { tasksRuledOut } from "./goal-matching.ts";
import { COST_EPSILON } from "./lm-cut.ts";
import { offersOf } from "./plan-model.ts";
import { checkProposal, type Proposed } from "./plan-proposal.ts";
import type { Plan, PlanOptions, WorkflowPlanner } from "./planner.ts";
import { unique } from "./problem.ts";

export interface AdviceRequest {
  readonly goals: string | readonly string[] | undefined;
  readonly environment: Readonly<Record<string, unknown>>;
  readonly cards: readonly RoleCard[];
  readonly options: PlanOptions;
  /** Tokens that may be spent. Default: no bound. */
  readonly tokensLeft?: number;
  /** Money that may be spent. Default: no bound. */
  readonly usdLeft?: number;
}

export interface AdvisedPlan {
  /** The error is the one of the plan without advice. */
  readonly outcome: Plan | DataHammerError;
  readonly advice?: Advice;
}

/** Where a plan's reasons hold what became of advice: no step can have this id. */
export const ADVICE_REASON = { model: "(model)", planner: "(planner)" } as const;

/** Of a match of the goal's words: what is this sure stays wanted (A2). */
const SURE = 0.6;

/** Failures of planning that a better reading of the goal may mend. */
const OPEN_TO_ADVICE = ["E_GOAL_UNCLEAR", "E_NO_PLAN"];

/** Plans as `createWorkflow` does; a language model advises where there are goals in words. */
export async function planWithAdvice(
  planner: WorkflowPlanner,
  advisor: Advisor,
  request: AdviceRequest,
): Promise<AdvisedPlan> {
  const { environment, options, tokensLeft, usdLeft } = request;
  const cards = request.cards.filter(({ role }) => !RESERVED_ROLES.includes(role));
  const goals = [request.goals ?? []].flat().filter((text) => text.trim() !== "");
  const alone = attempt(() => planner.createWorkflow(goals, environment, options));
  const settled = alone instanceof DataHammerError && !OPEN_TO_ADVICE.includes(alone.code);
  if (settled || (goals.length === 0 && advisor.decides !== true)) return { outcome: alone };
  const proposals = new Proposals(planner, advisor, { ...request, cards }, goals, alone);
  const allowed = advisor.allowValues === true;
  const outcome = await takeCounsel(advisor, {
    question: {
      task: "plan",
      goals,
      want: options.want ?? [],
      roles: offersOf(cards),
      environment: profileOf(environment, allowed),
      inputs: profileOf(options.inputs ?? {}, allowed),
    },
    ...(tokensLeft !== undefined && { tokensLeft }),
    ...(usdLeft !== undefined && { usdLeft }),
    consider: (text) => proposals.consider(text),
  });
  return advised(advisor, alone, outcome);
}

/** What proposals lead to, for one planning. */
class Proposals {
  readonly #planner: WorkflowPlanner;
  readonly #advisor: Advisor;
  readonly #request: AdviceRequest;
  readonly #alone: Plan | DataHammerError;
  readonly #ruledOut: ReadonlyMap<string, string>;

  constructor(
    planner: WorkflowPlanner,
    advisor: Advisor,
    request: AdviceRequest,
    goals: readonly string[],
    alone: Plan | DataHammerError,
  ) {
    this.#planner = planner;
    this.#advisor = advisor;
    this.#request = request;
    this.#alone = alone;
    this.#ruledOut = tasksRuledOut(goals, request.cards);
  }

  consider(text: string): { value: Plan } | { errors: readonly string[] } {
    const { environment, cards, options } = this.#request;
    const matches = this.#alone instanceof DataHammerError ? [] : (this.#alone.goalMatches ?? []);
    const { proposed, errors } = checkProposal(text, {
      cards,
      environmentKeys: Object.keys(environment),
      inputKeys: Object.keys(options.inputs ?? {}),
      wanted: options.want ?? [],
      sure: matches.flatMap(({ key, confidence }) => (confidence >= SURE ? [key] : [])),
    });
    if (proposed === undefined) return { errors };
    const made = attempt(() => this.#planFor(proposed));
    return made instanceof DataHammerError ? { errors: [made.message] } : { value: made };
  }

  #planFor({ want, avoid, draft }: Proposed): Plan {
    const { environment, cards, options } = this.#request;
    const { model, decides } = this.#advisor;
    const asked: PlanOptions = {
      ...options,
      want: unique([...(options.want ?? []), ...want]),
      exclude: (role, capability) => {
        const name = `${role}.${capability.name}`;
        // A2
        const ruledOut = this.#ruledOut.get(name) ?? options.exclude?.(role, capability);
        return ruledOut ?? (avoid.has(name) ? `${model.name} proposed to avoid it` : undefined);
      },
    };
    const best = this.#planner.createWorkflow(undefined, environment, asked);
    if (draft === undefined) return best;
    const capabilities = cards.map((card) => ({
      ...card,
      tasks: card.tasks.filter(({ name }) => draft.has(`${card.role}.${name}`)),
    }));
    const drafted = this.#planner.createWorkflow(undefined, environment, { ...asked, capabilities });
    // A3. Only a search that was ended early can have missed it; of equals ours has the shorter critical path.
    if (decides !== true && drafted.cost >= best.cost - COST_EPSILON) return best;
    const { cost } = drafted;
    const bound = Math.min(cost, best.bound);
    const optimal = bound >= cost - COST_EPSILON;
    return { ...drafted, optimal, bound, gap: optimal ? 0 : (cost - bound) / cost };
  }
}

function advised(
  { model, decides }: Advisor,
  alone: Plan | DataHammerError,
  outcome: CounselOutcome<Plan>,
): AdvisedPlan {
  const { asked, usage } = outcome;
  const at = decides === true ? ADVICE_REASON.planner : ADVICE_REASON.model;
  const told = (plan: Plan | DataHammerError, taken: boolean, note: string): AdvisedPlan => {
    const advice = { by: model.name, taken, note, asked, usage };
    if (plan instanceof DataHammerError) return { outcome: plan, advice };
    return { outcome: { ...plan, reasons: { ...plan.reasons, [at]: note } }, advice };
  };
  if ("failure" in outcome) return told(alone, false, `planned without ${model.name}: ${outcome.failure}`);
  const { value: plan, refused } = outcome;
  const compared =
    alone instanceof DataHammerError
      ? `without it: ${alone.code}`
      : `without it: ${alone.want.join(", ")}, cost ${alone.cost}`;
  const repaired = refused === 0 ? "" : `; refused before: ${refused}`;
  const note = `${model.name} proposed ${plan.want.join(", ")}, cost ${plan.cost} (${compared}${repaired})`;
  return told(plan, true, note);
}

function attempt(make: () => Plan): Plan | DataHammerError {
  try {
    return make();
  } catch (error) {
    if (error instanceof DataHammerError) return error;
    throw error;
  }
}
