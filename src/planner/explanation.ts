/**
 * Explains a plan: what each step serves and costs, what would be done without it and what that would cost, and
 * why every other task was left out.
 *
 * The answers are plans of their own: without the task, or with it. Each has a small budget, and all together
 * one too (L8); what it does not suffice for says so instead of guessing.
 */
import type { AssignedPlan, Assignment } from "./assignment.ts";
import type { SearchBudget } from "./budget.ts";
import { list } from "./explain.ts";
import { type Hypergraph, incidenceOf, levelsOf, type Operator, relevantOperators } from "./hypergraph.ts";
import { COST_EPSILON } from "./lm-cut.ts";
import type { PlannedTask, PlanningProblem } from "./problem.ts";
import { keep, prune } from "./relevance.ts";
import { cheapestPlan } from "./search.ts";

/** Bounds of one question, and how many are asked. */
const QUESTION = { nodes: 200, work: 1_000_000 } as const;
const MAX_QUESTIONS = 150;

/** The best plan under a condition: with a task, or without it. */
export interface WhatIf {
  /** Of the whole plan. */
  cost: number;
  /** Whether no plan under the condition costs less. */
  proven: boolean;
  /** Tasks that it has and the plan has not, as `role.task`. */
  instead: string[];
}

export interface StepExplanation {
  step: string;
  role: string;
  task: string;
  cost: number;
  /** The cost reads what is not known yet. */
  estimated: boolean;
  /** Wanted keys that rest on it. */
  serves: string[];
  /** Other tasks that give one of its keys, as `role.task`. */
  alternatives: string[];
  /** The best plan without it; null: there is none. Absent: not computed. */
  without?: WhatIf | null;
  /** All of it as a sentence. */
  why: string;
}

export interface LeftOutExplanation {
  role: string;
  task: string;
  /** The best plan with it. Absent: it cannot be in one, or it was not computed. */
  with?: WhatIf;
  why: string;
}

export interface PlanExplanation {
  steps: StepExplanation[];
  leftOut: LeftOutExplanation[];
}

export function explainPlan(
  problem: PlanningProblem,
  plan: AssignedPlan,
  want: readonly string[],
  budget: SearchBudget,
): PlanExplanation {
  const questions = new Questions(problem, plan, budget);
  return {
    steps: plan.steps.map((step) => explainStep(step, plan, problem, want, questions)),
    leftOut: [...leftOut(problem, plan, questions)],
  };
}

const nameOf = ({ role, capability }: Pick<PlannedTask, "role" | "capability">): string =>
  `${role}.${capability.name}`;

function explainStep(
  step: Assignment,
  plan: AssignedPlan,
  problem: PlanningProblem,
  want: readonly string[],
  questions: Questions,
): StepExplanation {
  const { task } = step;
  const serves = servedBy(step, plan, want);
  const others = problem.tasks.filter(
    (other) => other !== task && step.writes.some((key) => other.capability.gives.includes(key)),
  );
  const without = questions.without(task);
  const purpose = serves.length === 0 ? "It shortens the way" : `For ${list(serves)}`;
  return {
    step: step.id,
    role: task.role,
    task: task.capability.name,
    cost: task.cost,
    estimated: task.costReads.length > 0,
    serves,
    alternatives: others.map(nameOf),
    ...(without !== undefined && { without }),
    why: `${purpose}; ${whyNotWithout(without, questions.cost)}.`,
  };
}

function whyNotWithout(without: WhatIf | null | undefined, cost: number): string {
  if (without === undefined) return "what would be done without it was not computed";
  if (without === null) return "without it there is no plan";
  const instead = without.instead.length === 0 ? "" : ` (${list(without.instead)})`;
  const plans = without.proven ? "the best plan" : "the best plan found";
  if (without.cost <= cost + COST_EPSILON) return `${plans} without it costs the same${instead}`;
  return `${plans} without it costs ${shown(without.cost)} instead of ${shown(cost)}${instead}`;
}

/** Wanted keys that the step writes, or that a step writes which rests on it. */
function servedBy(step: Assignment, plan: AssignedPlan, want: readonly string[]): string[] {
  const byId = new Map(plan.steps.map((one) => [one.id, one]));
  const seen = new Set([step.id]);
  const pending = [step];
  const served = new Set<string>();
  for (let at = pending.pop(); at !== undefined; at = pending.pop()) {
    for (const key of at.writes) {
      if (want.includes(key)) served.add(key);
      for (const id of plan.readersOf.get(key) ?? []) {
        const reader = byId.get(id);
        // An optional key does not make its writer needed.
        if (reader === undefined || seen.has(id) || !reader.task.requires.includes(key)) continue;
        seen.add(id);
        pending.push(reader);
      }
    }
  }
  return want.filter((key) => served.has(key));
}

function* leftOut(
  problem: PlanningProblem,
  plan: AssignedPlan,
  questions: Questions,
): Iterable<LeftOutExplanation> {
  for (const { role, task, reason } of problem.rejected) yield { role, task, why: `Not used: ${reason}.` };
  const { graph, tasks, keys } = problem;
  const incidence = incidenceOf(graph);
  const levels = levelsOf(graph, incidence);
  const relevant = relevantOperators(graph, incidence);
  const chosen = new Set(plan.steps.map(({ task }) => task));
  for (const [index, task] of tasks.entries()) {
    if (chosen.has(task)) continue;
    const named = { role: task.role, task: task.capability.name };
    const operator = graph.operators[index] as Operator;
    const lacking = operator.needs
      .filter((need) => levels.fact[need] === 0)
      .map((need) => keys[need] as string);
    if (operator.gives.length === 0) yield { ...named, why: "It gives nothing that is not there already." };
    else if (relevant[index] === 0) yield { ...named, why: "Nothing that is wanted rests on what it gives." };
    else if (lacking.length > 0)
      yield { ...named, why: `It needs ${list(lacking)}, which nothing here gives.` };
    else yield { ...named, ...answer(questions.with(index), questions.cost) };
  }
}

function answer(withIt: WhatIf | undefined, cost: number): { with?: WhatIf; why: string } {
  if (withIt === undefined) return { why: "Not needed; what a plan with it would cost was not computed." };
  const more = withIt.cost - cost;
  const plans = withIt.proven ? "The best plan" : "The best plan found";
  const why =
    more <= COST_EPSILON
      ? `${plans} with it costs the same; this one is no longer, or comes first by name.`
      : `${plans} with it costs ${shown(withIt.cost)}, ${shown(more)} more.`;
  return { with: withIt, why };
}

/** Plans under conditions, as far as the budget goes. */
class Questions {
  /** Of the plan in question. */
  readonly cost: number;
  readonly #problem: PlanningProblem;
  readonly #budget: SearchBudget;
  readonly #graph: Hypergraph;
  readonly #chosen: ReadonlySet<PlannedTask>;
  #asked = 0;

  constructor(problem: PlanningProblem, plan: AssignedPlan, budget: SearchBudget) {
    this.#problem = problem;
    this.#budget = budget;
    this.#graph = prune(problem.graph) ?? problem.graph;
    this.#chosen = new Set(plan.steps.map(({ task }) => task));
    this.cost = plan.steps.reduce((sum, { task }) => sum + task.cost, 0);
  }

  without(task: PlannedTask): WhatIf | null | undefined {
    // Dominated tasks were pruned, and one of them may be the way without this one.
    const origin = this.#problem.tasks.indexOf(task);
    return this.#ask(
      keep(this.#problem.graph, (index) => index !== origin),
      0,
    );
  }

  with(origin: number): WhatIf | undefined {
    const operator = this.#problem.graph.operators[origin] as Operator;
    const rest = this.#graph.operators.filter((other) => other.origin !== origin);
    const goals = [...new Set([...this.#graph.goals, ...operator.needs])];
    const graph = { ...this.#graph, operators: [...rest, { ...operator, cost: 0 }], goals };
    const found = this.#ask(graph, operator.cost);
    return found === null ? undefined : found;
  }

  #ask(graph: Hypergraph, extra: number): WhatIf | null | undefined {
    if (++this.#asked > MAX_QUESTIONS || this.#budget.cutShort) return undefined;
    const pruned = prune(graph);
    if (pruned === undefined) return null;
    const found = cheapestPlan(pruned, this.#budget.aside(QUESTION.nodes, QUESTION.work));
    if (found === undefined) return null;
    const { tasks } = this.#problem;
    return {
      cost: found.cost + extra,
      proven: found.bound >= found.cost - COST_EPSILON,
      instead: found.origins
        .map((origin) => tasks[origin] as PlannedTask)
        .filter((task) => task.cost > 0 && !this.#chosen.has(task))
        .map(nameOf),
    };
  }
}

function shown(cost: number): string {
  return String(Math.round(cost * 1000) / 1000);
}
