/**
 * Goals, capabilities and an environment become a workflow of least total cost.
 *
 * Owns: the order of the work (goals to keys, ground, search, assign, explain) and what callers may ask.
 * Does not own: any of those parts. Holds no state: a plan is a function of the request (L7).
 */
import type { Capability, RoleCard } from "../workflow/capability.ts";
import type { WorkflowDocument } from "../workflow/document.ts";
import { InvalidInputError, NoPlanError } from "../workflow/errors.ts";
import { WorkflowGraph } from "../workflow/graph.ts";
import { ID_PATTERN } from "../workflow/names.ts";
import { RESERVED_ROLES } from "../workflow/reserved-roles.ts";
import { type AssignedPlan, assignSteps } from "./assignment.ts";
import { foresightOf } from "./assumptions.ts";
import { DEFAULT_NODE_LIMIT, DEFAULT_WORK_LIMIT, SearchBudget, type TimeLimit } from "./budget.ts";
import { type Detour, type DetourRequest, findDetour } from "./detour.ts";
import { list, noPlan, reasonFor } from "./explain.ts";
import { explainPlan, type PlanExplanation } from "./explanation.ts";
import { type GoalMatch, type MatchedGoals, matchGoals } from "./goal-matching.ts";
import { COST_EPSILON } from "./lm-cut.ts";
import { documentOf, stepsOf } from "./plan-document.ts";
import {
  groundProblem,
  type PlanningProblem,
  type PlanRejection,
  type ProblemRequest,
  unique,
} from "./problem.ts";
import { findAlternative, type Recovery, type RecoveryRequest } from "./recovery.ts";
import { prune } from "./relevance.ts";
import { type Remainder, remainderOf } from "./remainder.ts";
import { type Weighing, type WeighRequest, weighRest } from "./revision.ts";
import { cheapestPlan } from "./search.ts";
import { shortestOfEqualCost } from "./tie-break.ts";

/** What there is to know beside goals and environment. */
export interface PlanOptions {
  /** Environment keys that have to be there in the end. */
  want?: readonly string[];
  inputs?: Readonly<Record<string, unknown>>;
  /** Instead of those that the planner was made with. */
  capabilities?: readonly RoleCard[];
  /** Name of the workflow. */
  name?: string;
  /** Says why a task must not be used, or undefined. */
  exclude?: (role: string, capability: Capability) => string | undefined;
  /** Also say what the alternatives would cost, for every task: some more searches, each bounded. */
  explain?: boolean;
}

export interface UpdateOptions extends PlanOptions {
  /** Steps that are closed. Default: those whose outputs are all in the environment. */
  done?: Iterable<string>;
  /** Steps in flight: they stay while somebody reads what they give, and it counts as coming. */
  running?: Iterable<string>;
  /** Steps that failed or were given up: not taken up again, and their ids are not used again. */
  gone?: Iterable<string>;
}

export interface Plan {
  workflow: WorkflowDocument;
  /** Sum of the steps' costs, as they are known or estimated now; of an update, of the new steps. */
  cost: number;
  /** Whether it is proven that no plan costs less. */
  optimal: boolean;
  /** Proven: no plan costs less. The cost itself when the plan is proven best. */
  bound: number;
  /** The share of the cost that a better plan could save at most; 0 when the plan is proven best. */
  gap: number;
  /** Nodes of the search; 0 when reductions alone decided it. */
  explored: number;
  /** Why each step is there, by step id. */
  reasons: Record<string, string>;
  /** Tasks that were set aside, with the reason. */
  rejected: PlanRejection[];
  /** The keys that the plan reaches. */
  want: string[];
  /** How free-text goals became keys. */
  goalMatches?: GoalMatch[];
  /** When asked for. */
  explanation?: PlanExplanation;
}

export interface WorkflowPlannerOptions {
  /** Read at every request when it is a function: agents come and go. */
  capabilities: readonly RoleCard[] | (() => readonly RoleCard[]);
  /** Bounds of one search (L8); beyond them the best plan found so far is the answer. */
  nodeLimit?: number;
  workLimit?: number;
  /** Also ends the search after this long by the clock `now`, in monotonic ms. Default: no such limit. */
  timeLimitMs?: number;
  now?: () => number;
}

export class WorkflowPlanner {
  readonly #capabilities: () => readonly RoleCard[];
  readonly #nodeLimit: number;
  readonly #workLimit: number;
  readonly #time: TimeLimit | undefined;

  constructor(options: WorkflowPlannerOptions) {
    const { capabilities } = options;
    this.#capabilities = typeof capabilities === "function" ? capabilities : () => capabilities;
    this.#nodeLimit = checkLimit("nodeLimit", options.nodeLimit ?? DEFAULT_NODE_LIMIT);
    const { timeLimitMs, now } = options;
    // Where a clock ends the search, counted work need not.
    const workLimit = timeLimitMs === undefined ? DEFAULT_WORK_LIMIT : Number.MAX_SAFE_INTEGER;
    this.#workLimit = checkLimit("workLimit", options.workLimit ?? workLimit);
    if (timeLimitMs !== undefined && now !== undefined) {
      this.#time = { limitMs: checkLimit("timeLimitMs", timeLimitMs), now };
    }
  }

  /**
   * Plans towards goals (text), wanted keys, or both.
   * @param goals free text; one or several
   * @throws NoPlanError `E_NO_PLAN`, `E_GOAL_UNCLEAR`, `E_NOTHING_TO_DO`
   * @throws InvalidInputError when there is neither goal nor key, or a wanted key is no key
   */
  createWorkflow(
    goals: string | readonly string[] | undefined,
    environment: Readonly<Record<string, unknown>>,
    options: PlanOptions = {},
  ): Plan {
    const capabilities = servable(options.capabilities ?? this.#capabilities());
    const inputs = options.inputs ?? {};
    const matched = matchGoals(textsOf(goals), capabilities);
    const asked = unique([...(options.want ?? []), ...matched.matches.map(({ key }) => key)]);
    const request: ProblemRequest = {
      want: checkWant(asked),
      environment,
      inputs,
      capabilities,
      ...exclusion(matched, options.exclude),
    };
    const want = withoutImplied(reachableWishes(request, options.want ?? []), options.want ?? []);
    const problem = groundProblem({ ...request, want });
    if (problem.goals.length === 0) {
      throw new NoPlanError(
        "E_NOTHING_TO_DO",
        `${list(want)} ${want.length > 1 ? "are" : "is"} in the environment already.`,
        {
          remedy: "Nothing has to run. Take the key out of the environment to have it made anew.",
          data: { want },
        },
      );
    }
    const chosen = this.#choose(problem, want);
    const assigned = assignSteps(problem, chosen.origins);
    const reasons = reasonsOf(assigned, want);
    const foresight = foresightOf(problem, assigned);
    const workflow = documentOf(assigned, problem, want, reasons, foresight, options.name);
    const goalMatches = matched.matches.filter(({ key }) => want.includes(key));
    return {
      ...outcome(chosen, problem, want, reasons),
      workflow: validated(workflow, environment),
      ...(goalMatches.length > 0 && { goalMatches }),
      ...(options.explain === true && {
        explanation: explainPlan(problem, assigned, want, this.#budget(EXPLAIN_WORK_LIMIT)),
      }),
    };
  }

  /**
   * Plans the rest of a workflow anew for what is known now: new facts decide guards that were open, and
   * change costs. Steps that are done or running stay as they are; a step that does the same as before keeps
   * its id, its retry policy and its time-out.
   * @throws NoPlanError `E_NO_PLAN`, `E_NOTHING_TO_DO`
   */
  updateWorkflow(
    workflow: WorkflowDocument,
    environment: Readonly<Record<string, unknown>>,
    options: UpdateOptions = {},
  ): Plan {
    const capabilities = servable(options.capabilities ?? this.#capabilities());
    const inputs = { ...workflow.inputs, ...options.inputs };
    const rest: Remainder = remainderOf(workflow, environment, options);
    const want = checkWant(options.want === undefined ? rest.want : unique(options.want));
    const problem = groundProblem({
      want,
      environment,
      inputs,
      capabilities,
      coming: rest.coming,
      ...(options.exclude !== undefined && { exclude: options.exclude }),
    });
    if (problem.goals.length === 0 && rest.kept.length === 0) {
      throw new NoPlanError(
        "E_NOTHING_TO_DO",
        `${list(want)} ${want.length > 1 ? "are" : "is"} in the environment already.`,
        {
          remedy: "Nothing has to run.",
          data: { want },
        },
      );
    }
    const chosen = this.#choose(problem, want);
    const assigned = assignSteps(problem, chosen.origins, rest);
    const reasons = reasonsOf(assigned, want);
    const foresight = foresightOf(problem, assigned);
    const steps = stepsOf(assigned, reasons, foresight);
    const updated = rest.merge(steps, want, options.name, foresight.assumptions);
    return { ...outcome(chosen, problem, want, reasons), workflow: validated(updated, environment) };
  }

  /**
   * Another task that can do a failed step's work now: it gives the same keys, what it needs is there, and
   * it is not among those that failed. The cheapest one; undefined when there is none.
   */
  recover(request: RecoveryRequest): Recovery | undefined {
    return findAlternative(request, servable(request.capabilities ?? this.#capabilities()));
  }

  /** Several tasks in a failed step's place, where no single one can do its work now. */
  detour(request: DetourRequest): Detour | undefined {
    return findDetour(this, request, request.capabilities ?? this.#capabilities());
  }

  /**
   * Weighs the rest of a workflow under way: whether it still is the way to go, or another is so much better
   * that changing pays. See `revision.ts` for what counts.
   */
  weigh(request: WeighRequest): Weighing {
    return weighRest(this, request, request.capabilities ?? this.#capabilities());
  }

  #budget(workLimit: number): SearchBudget {
    return new SearchBudget(this.#nodeLimit, workLimit, this.#time);
  }

  #choose(problem: PlanningProblem, want: readonly string[]): Choice {
    const budget = this.#budget(this.#workLimit);
    const pruned = prune(problem.graph);
    const found = pruned === undefined ? undefined : cheapestPlan(pruned, budget);
    if (found === undefined) throw noPlan(problem, want);
    const origins = shortestOfEqualCost(problem.graph, found, budget);
    const optimal = found.bound >= found.cost - COST_EPSILON;
    return { origins, optimal, bound: optimal ? found.cost : found.bound, explored: budget.nodes };
  }
}

/** Of all questions that an explanation asks, together. */
const EXPLAIN_WORK_LIMIT = 50_000_000;

interface Choice {
  readonly origins: readonly number[];
  readonly bound: number;
  readonly optimal: boolean;
  readonly explored: number;
}

function outcome(
  chosen: Choice,
  problem: PlanningProblem,
  want: readonly string[],
  reasons: Record<string, string>,
): Omit<Plan, "workflow"> {
  const cost = chosen.origins.reduce((sum, origin) => sum + (problem.tasks[origin]?.cost ?? 0), 0);
  const bound = chosen.optimal ? cost : Math.min(cost, chosen.bound);
  return {
    cost,
    optimal: chosen.optimal,
    bound,
    gap: cost <= COST_EPSILON ? 0 : (cost - bound) / cost,
    explored: chosen.explored,
    reasons,
    rejected: [...problem.rejected],
    want: [...want],
  };
}

function reasonsOf(plan: AssignedPlan, want: readonly string[]): Record<string, string> {
  return Object.fromEntries(plan.steps.map((step) => [step.id, reasonFor(step, plan, want)]));
}

/** A plan that the runtime would refuse is a defect here; it must never get as far as a run. */
function validated(
  workflow: WorkflowDocument,
  environment: Readonly<Record<string, unknown>>,
): WorkflowDocument {
  WorkflowGraph.fromDocument(workflow, { environmentKeys: Object.keys(environment) });
  return workflow;
}

function exclusion(
  { ruledOut }: MatchedGoals,
  also: PlanOptions["exclude"],
): Pick<ProblemRequest, "exclude"> {
  return {
    exclude: (role, capability) => ruledOut.get(`${role}.${capability.name}`) ?? also?.(role, capability),
  };
}

/**
 * Where keys are wanted by name, those read out of a goal's text are wishes: one that nothing here can reach
 * is let go, so that "report, and what drives x" still gives the report on a table too small for a model.
 */
function reachableWishes(request: ProblemRequest, byName: readonly string[]): ProblemRequest {
  if (byName.length === 0) return request;
  const reachable = (key: string): boolean => {
    const alone = groundProblem({ ...request, want: [key] });
    return alone.goals.length === 0 || prune(alone.graph) !== undefined;
  };
  return { ...request, want: request.want.filter((key) => byName.includes(key) || reachable(key)) };
}

/**
 * A goal's further clauses often name a step on the way ("profile it and write a report"). A key that every
 * plan for the other keys brings about anyway is left out; keys that were asked for by name stay.
 */
function withoutImplied(request: ProblemRequest, byName: readonly string[]): readonly string[] {
  let want = request.want;
  for (const key of request.want) {
    if (want.length === 1 || byName.includes(key)) continue;
    const others = want.filter((other) => other !== key);
    const withoutGivers = groundProblem({
      ...request,
      want: others,
      exclude: (role, capability) =>
        capability.gives.includes(key) ? "it gives the key in question" : request.exclude?.(role, capability),
    });
    const without = withoutGivers.goals.length > 0 && prune(withoutGivers.graph) === undefined;
    if (without && prune(groundProblem({ ...request, want: others }).graph) !== undefined) want = others;
  }
  return want;
}

function textsOf(goals: string | readonly string[] | undefined): string[] {
  const texts = goals === undefined ? [] : typeof goals === "string" ? [goals] : [...goals];
  return texts.map((text) => text.trim()).filter((text) => text !== "");
}

function checkWant(want: readonly string[]): readonly string[] {
  const wrong = want.find((key) => !ID_PATTERN.test(key));
  if (wrong !== undefined) {
    throw new InvalidInputError(
      "E_INPUT",
      `\`${wrong}\` is no environment key: a key matches [A-Za-z0-9_-]{1,64}.`,
      {
        remedy: "Name a top-level key; dots address inside values.",
        data: { key: wrong },
      },
    );
  }
  if (want.length > 0) return want;
  throw new InvalidInputError("E_INPUT", "There is nothing to plan for: no goal and no wanted key.", {
    remedy: 'Say what you want: --goal "write a report", or --want report.',
  });
}

function checkLimit(what: string, limit: number): number {
  if (Number.isInteger(limit) && limit >= 1) return limit;
  throw new InvalidInputError("E_INPUT", `${what} is ${limit}; it must be a whole number of at least 1.`);
}

/** A card of a reserved role is a mistake or a trick: a plan that used it would wait for people unasked. */
function servable(cards: readonly RoleCard[]): readonly RoleCard[] {
  return cards.some(isReserved) ? cards.filter((card) => !isReserved(card)) : cards;
}

const isReserved = ({ role }: RoleCard): boolean => RESERVED_ROLES.includes(role);
