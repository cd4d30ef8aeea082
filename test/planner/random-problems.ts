/** Random planning problems, and a planner that tries every set of tasks: the yardstick for the real one. */
import fc from "fast-check";
import type { Capability, RoleCard } from "../../src/workflow/capability.ts";

const ROLE = "worker";

export interface RandomProblem {
  cards: RoleCard[];
  want: string[];
  environment: Record<string, unknown>;
}

/** Keys that are names on every object's prototype: a planner that uses plain objects as maps trips on them. */
const KEYS = ["a", "b", "c", "d", "e", "constructor", "__proto__", "toString"];
const keys = (min: number, max: number) =>
  fc.uniqueArray(fc.constantFrom(...KEYS), { minLength: min, maxLength: max });

const capability = (...costs: readonly number[]) =>
  fc.record({ needs: keys(0, 3), gives: keys(1, 3), cost: fc.constantFrom(...costs) });

/** Up to nine tasks over eight keys: cycles, needs that nothing gives, and ties are common. */
export const randomProblem = problems(capability(0, 0, 0.1, 0.5, 1, 1, 2, 3, 5));

/** The same with tasks that are mostly free: circles of them cost nothing to be left in a plan. */
export const mostlyFreeProblem = problems(capability(0, 0, 0, 0, 1));

function problems(task: ReturnType<typeof capability>): fc.Arbitrary<RandomProblem> {
  return fc
    .record({
      capabilities: fc.array(task, { minLength: 1, maxLength: 9 }),
      want: keys(1, 3),
      have: keys(0, 2),
    })
    .map(({ capabilities, want, have }) => ({
      cards: [
        {
          role: ROLE,
          tasks: capabilities.map((task, index): Capability => ({ ...task, name: `t${index}` })),
        },
      ],
      want,
      environment: Object.fromEntries(have.map((key) => [key, 1])),
    }));
}

export interface Exhaustive {
  cost: number;
  /** The shortest critical path among the cheapest plans, in steps. */
  depth: number;
}

/** @returns undefined when no set of tasks reaches what is wanted */
export function exhaustive(problem: RandomProblem): Exhaustive | undefined {
  const tasks = problem.cards.flatMap((card) => card.tasks);
  let best: Exhaustive | undefined;
  for (let set = 0; set < 2 ** tasks.length; set++) {
    const chosen = tasks.filter((_, index) => (set >> index) & 1);
    const depth = depthOf(chosen, problem);
    if (depth === undefined) continue;
    const cost = chosen.reduce((sum, task) => sum + Number(task.cost), 0);
    const cheaper = best === undefined || cost < best.cost - 1e-9;
    const shorter = best !== undefined && Math.abs(cost - best.cost) <= 1e-9 && depth < best.depth;
    if (cheaper || shorter) best = { cost, depth };
  }
  return best;
}

/** Runs the tasks wave by wave. */
function depthOf(tasks: readonly Capability[], { environment, want }: RandomProblem): number | undefined {
  const wave = new Map<string, number>(Object.keys(environment).map((key) => [key, 0]));
  for (let level = 1; level <= tasks.length; level++) {
    const ready = tasks.filter((task) => task.needs.every((key) => (wave.get(key) ?? level) < level));
    for (const key of ready.flatMap((task) => task.gives)) if (!wave.has(key)) wave.set(key, level);
  }
  let depth = 0;
  for (const key of want) {
    const level = wave.get(key);
    if (level === undefined) return undefined;
    depth = Math.max(depth, level);
  }
  return depth;
}
