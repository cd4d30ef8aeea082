/**
 * The planning problem of one request: which tasks there are here, what they need, give and cost, and what
 * is wanted. Capabilities with a guard that says no, or a cost that is none, are set aside with the reason.
 *
 * Owns: the meaning of facts and operators. Does not own: the search (search.ts works on bare numbers).
 *
 * Tasks are put into one canonical order before anything else sees them, and keys are numbered in the order
 * in which those tasks name them: the same capabilities in another order give the same plan.
 */
import type { Capability, RoleCard } from "../workflow/capability.ts";
import { type Facts, judgeCost, judgeGuard } from "./conditions.ts";
import type { Hypergraph, Operator } from "./hypergraph.ts";

/** A task set aside before planning, and why. */
export interface PlanRejection {
  role: string;
  task: string;
  reason: string;
}

/** One task of one role that may be used. */
export interface PlannedTask {
  readonly role: string;
  readonly card: RoleCard;
  readonly capability: Capability;
  readonly cost: number;
  readonly costEstimated: boolean;
  /** Keys that will tell what it really costs; empty when that is known, or never will be. */
  readonly costReads: readonly string[];
  /** To be checked when the step is ready: it reads keys that are not written yet. */
  readonly guard: string | undefined;
  /** Keys that the open guard reads and that are not written yet. */
  readonly guardReads: readonly string[];
  /** Keys that must be written before: what it needs and what its open guard reads. */
  readonly requires: readonly string[];
}

export interface PlanningProblem {
  readonly tasks: readonly PlannedTask[];
  readonly rejected: readonly PlanRejection[];
  readonly rejectedCapabilities: readonly {
    readonly rejection: PlanRejection;
    readonly capability: Capability;
  }[];
  /** Wanted keys that nothing holds yet. */
  readonly goals: readonly string[];
  readonly graph: Hypergraph;
  /** Names of the graph's facts, by number. */
  readonly keys: readonly string[];
  /** Where the value of a key is before anything has run. */
  readonly holds: (key: string) => "env" | "inputs" | undefined;
}

export interface ProblemRequest {
  readonly want: readonly string[];
  readonly environment: Readonly<Record<string, unknown>>;
  readonly inputs: Readonly<Record<string, unknown>>;
  readonly capabilities: readonly RoleCard[];
  /** Keys that steps in flight will write: they count as there, but nothing can be said of their values. */
  readonly coming?: ReadonlySet<string>;
  /** Says why a task must not be used, or undefined. */
  readonly exclude?: (role: string, capability: Capability) => string | undefined;
}

export function groundProblem(request: ProblemRequest): PlanningProblem {
  const { environment, inputs, want } = request;
  const candidates = inCanonicalOrder(request.capabilities);
  const coming = request.coming ?? new Set<string>();
  const obtainable = new Set([...candidates.flatMap(({ capability }) => capability.gives), ...coming]);
  const holds = (key: string): "env" | "inputs" | undefined => {
    if (isThere(environment, key) || coming.has(key)) return "env";
    // An input that shares its name with a result is a parameter, not that result.
    return isThere(inputs, key) && !obtainable.has(key) ? "inputs" : undefined;
  };
  const facts: Facts = { environment, inputs, obtainable };
  const tasks: PlannedTask[] = [];
  const set: { rejection: PlanRejection; capability: Capability }[] = [];
  for (const { card, capability } of candidates) {
    const reject = (reason: string): void => {
      set.push({ rejection: { role: card.role, task: capability.name, reason }, capability });
    };
    const excluded = request.exclude?.(card.role, capability);
    if (excluded !== undefined) {
      reject(excluded);
      continue;
    }
    const guard = judgeGuard(capability, facts);
    if (guard.state === "refused") {
      reject(guard.reason);
      continue;
    }
    const cost = judgeCost(capability, facts);
    if ("refused" in cost) {
      reject(cost.refused);
      continue;
    }
    tasks.push({
      role: card.role,
      card,
      capability,
      cost: cost.cost,
      costEstimated: cost.estimated,
      costReads: cost.reads,
      guard: guard.state === "open" ? capability.when : undefined,
      guardReads: guard.state === "open" ? guard.reads : [],
      requires: unique([...capability.needs, ...(guard.state === "open" ? guard.reads : [])]),
    });
  }
  // What may still be refused at run time comes after what is certain, so that it loses a tie.
  tasks.sort((a, b) => Number(a.guard !== undefined) - Number(b.guard !== undefined));
  const goals = unique(want).filter((key) => holds(key) === undefined);
  return {
    tasks,
    rejected: set.map(({ rejection }) => rejection),
    rejectedCapabilities: set,
    goals,
    ...graphOf(tasks, goals, (key) => holds(key) !== undefined),
    holds,
  };
}

/**
 * Whether a key holds something. Null counts as nothing: it is what a skipped step leaves behind.
 */
export function isThere(values: Readonly<Record<string, unknown>>, key: string): boolean {
  return Object.hasOwn(values, key) && values[key] !== null && values[key] !== undefined;
}

function graphOf(
  tasks: readonly PlannedTask[],
  goals: readonly string[],
  holds: (key: string) => boolean,
): { graph: Hypergraph; keys: string[] } {
  const numbers = new Map<string, number>();
  const numbersOf = (keys: readonly string[]): number[] =>
    keys.map((key) => {
      const known = numbers.get(key);
      if (known !== undefined) return known;
      numbers.set(key, numbers.size);
      return numbers.size - 1;
    });
  const operators = tasks.map((task, origin): Operator => {
    const gives = unique(task.capability.gives);
    // What a task both needs and gives was there before it; it cannot be the one who brings it.
    const needs = task.requires.filter((key) => !holds(key));
    return {
      needs: numbersOf(needs),
      gives: numbersOf(gives.filter((key) => !holds(key) && !needs.includes(key))),
      cost: task.cost,
      origin,
    };
  });
  const goalNumbers = numbersOf(goals);
  return { graph: { factCount: numbers.size, operators, goals: goalNumbers }, keys: [...numbers.keys()] };
}

function inCanonicalOrder(cards: readonly RoleCard[]): { card: RoleCard; capability: Capability }[] {
  const all = cards.flatMap((card) =>
    card.tasks.map((capability) => ({ card, capability, text: JSON.stringify(sortedFields(capability)) })),
  );
  all.sort(
    (a, b) =>
      compareText(a.capability.name, b.capability.name) ||
      compareText(a.card.role, b.card.role) ||
      compareText(a.text, b.text),
  );
  // Two agents of one role announce the same card; a role's task counts once.
  const seen = new Set<string>();
  return all.filter(({ card, capability }) => {
    const name = `${card.role}.${capability.name}`;
    if (seen.has(name)) return false;
    seen.add(name);
    return true;
  });
}

function sortedFields(capability: Capability): [string, unknown][] {
  return Object.entries(capability).sort(([a], [b]) => compareText(a, b));
}

/** By code units: the same everywhere, whatever the locale. */
export function compareText(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

export function unique<T>(items: readonly T[]): T[] {
  return [...new Set(items)];
}
