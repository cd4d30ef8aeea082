/**
 * Goals, capabilities and an environment become a workflow of least total cost.
 *
 * Owns: the order of the work (goals to keys, ground, search, assign, explain) and the document that comes
 * out. Does not own: any of those parts. Holds no state: a plan is a function of the request (L7).
 */
import type { RoleCard } from "../workflow/capability.ts";
import type { WorkflowDocument, WorkflowStepDocument } from "../workflow/document.ts";
import { InvalidInputError, NoPlanError } from "../workflow/errors.ts";
import { ID_PATTERN } from "../workflow/names.ts";
import { type AssignedPlan, type Assignment, assignSteps } from "./assignment.ts";
import { DEFAULT_NODE_LIMIT, DEFAULT_WORK_LIMIT, SearchBudget } from "./budget.ts";
import { list, noPlan, reasonFor } from "./explain.ts";
import { groundProblem, type PlanningProblem, type PlanRejection, unique } from "./problem.ts";
import { prune } from "./relevance.ts";
import { cheapestPlan } from "./search.ts";
import { shortestOfEqualCost } from "./tie-break.ts";

export interface PlanRequest {
  /** Free text, mapped to wanted keys by what the capabilities say of themselves. */
  goals?: string | readonly string[];
  /** Environment keys that have to be there in the end. */
  want?: readonly string[];
  environment: Readonly<Record<string, unknown>>;
  inputs?: Readonly<Record<string, unknown>>;
  capabilities: readonly RoleCard[];
  /** Name of the workflow. */
  name?: string;
}

export interface Plan {
  workflow: WorkflowDocument;
  /** Sum of the steps' costs, as they are known or estimated now. */
  cost: number;
  /** Whether it is proven that no plan costs less. */
  optimal: boolean;
  /** Nodes of the search. */
  explored: number;
  /** Why each step is there, by step id. */
  reasons: Record<string, string>;
  /** Tasks that were set aside. */
  rejected: PlanRejection[];
  /** The keys that the plan reaches. */
  want: string[];
}

/** What every method may be told beside goals and environment. */
export interface PlanOptions {
  want?: readonly string[];
  inputs?: Readonly<Record<string, unknown>>;
  /** Instead of those that the planner was made with. */
  capabilities?: readonly RoleCard[];
  name?: string;
}

export interface UpdateOptions extends PlanOptions {
  /** Steps that are closed. Default: those whose outputs are all in the environment. */
  done?: Iterable<string>;
  /** Steps in flight: their outputs count as coming. */
  running?: Iterable<string>;
}

export interface RecoveryRequest {
  step: Pick<WorkflowStepDocument, "agent" | "task" | "outputs">;
  environment: Readonly<Record<string, unknown>>;
  inputs?: Readonly<Record<string, unknown>>;
  capabilities?: readonly RoleCard[];
  /** Other tasks that were tried for this step; its own is excluded anyway. */
  failed?: readonly { role: string; task: string }[];
}

export interface Recovery {
  role: string;
  task: string;
  inputs: Record<string, unknown>;
  reason: string;
}

export interface WorkflowPlannerOptions {
  /** Read at every request when it is a function: agents come and go. */
  capabilities: readonly RoleCard[] | (() => readonly RoleCard[]);
  nodeLimit?: number;
  workLimit?: number;
}

export class WorkflowPlanner {
  readonly #capabilities: () => readonly RoleCard[];
  readonly #nodeLimit: number;
  readonly #workLimit: number;

  constructor(options: WorkflowPlannerOptions) {
    const { capabilities } = options;
    this.#capabilities = typeof capabilities === "function" ? capabilities : () => capabilities;
    this.#nodeLimit = checkLimit("nodeLimit", options.nodeLimit ?? DEFAULT_NODE_LIMIT);
    this.#workLimit = checkLimit("workLimit", options.workLimit ?? DEFAULT_WORK_LIMIT);
  }

  /**
   * Plans towards goals (text), wanted keys, or both.
   * @throws NoPlanError `E_NO_PLAN`, `E_GOAL_UNCLEAR`, `E_NOTHING_TO_DO`
   * @throws InvalidInputError when there is no goal, or a wanted key is no key
   */
  createWorkflow(
    goals: string | readonly string[] | undefined,
    environment: Readonly<Record<string, unknown>>,
    options: PlanOptions = {},
  ): Plan {
    const capabilities = options.capabilities ?? this.#capabilities();
    const inputs = options.inputs ?? {};
    const want = checkWant(unique([...(options.want ?? [])]));
    const problem = groundProblem({ want, environment, inputs, capabilities });
    return this.#plan(problem, want, options.name);
  }

  #plan(problem: PlanningProblem, want: readonly string[], name: string | undefined): Plan {
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
    const budget = new SearchBudget(this.#nodeLimit, this.#workLimit);
    const pruned = prune(problem.graph);
    const found = pruned === undefined ? undefined : cheapestPlan(pruned, budget);
    if (found === undefined) throw noPlan(problem, want);
    const origins = shortestOfEqualCost(problem.graph, found.origins);
    const assigned = assignSteps(problem, origins);
    const reasons = Object.fromEntries(
      assigned.steps.map((step) => [step.id, reasonFor(step, assigned, want)]),
    );
    return {
      workflow: documentOf(assigned, problem, want, reasons, name),
      cost: assigned.steps.reduce((sum, step) => sum + step.task.cost, 0),
      optimal: !budget.cutShort,
      explored: budget.nodes,
      reasons,
      rejected: [...problem.rejected],
      want: [...want],
    };
  }
}

function documentOf(
  plan: AssignedPlan,
  problem: PlanningProblem,
  want: readonly string[],
  reasons: Readonly<Record<string, string>>,
  name: string | undefined,
): WorkflowDocument {
  return {
    ...(name === undefined ? {} : { name }),
    steps: plan.steps.map((step) => stepDocument(step, reasons[step.id] ?? "")),
    outputs: record(want.map((key) => [key, reference(problem.holds(key) ?? "env", key)])),
  };
}

function stepDocument(step: Assignment, reason: string): WorkflowStepDocument {
  const { task } = step;
  return {
    id: step.id,
    agent: task.role,
    task: task.capability.name,
    description: reason,
    ...(step.takes.length > 0 && {
      inputs: record(step.takes.map(({ key, from }) => [key, reference(from, key)])),
    }),
    ...(step.writes.length > 0 && { outputs: [...step.writes] }),
    ...(step.dependsOn.length > 0 && { dependsOn: [...step.dependsOn] }),
    ...(task.guard !== undefined && { when: task.guard }),
  };
}

/** A key with a dash is no CEL name. */
function reference(from: "env" | "inputs", key: string): string {
  return /^[A-Za-z_][A-Za-z0-9_]*$/.test(key) ? `\${${from}.${key}}` : `\${${from}["${key}"]}`;
}

/** `Object.fromEntries` defines properties: a key named `__proto__` is only a key. */
function record(entries: readonly (readonly [string, unknown])[]): Record<string, unknown> {
  return Object.fromEntries(entries);
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
