/**
 * Would catch: a plan that costs more than it must, that claims to be proven when it is not, that depends on
 * the order in which agents joined, or that the runtime would refuse.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Plan, WorkflowPlanner } from "../../src/planner/planner.ts";
import type { Capability, RoleCard } from "../../src/workflow/capability.ts";
import { NoPlanError } from "../../src/workflow/errors.ts";
import { WorkflowGraph } from "../../src/workflow/graph.ts";
import { exhaustive, mostlyFreeProblem, type RandomProblem, randomProblem } from "./random-problems.ts";

function plan({ cards, want, environment }: RandomProblem, nodeLimit?: number): Plan | NoPlanError {
  try {
    const planner = new WorkflowPlanner({
      capabilities: cards,
      ...(nodeLimit !== undefined && { nodeLimit }),
    });
    return planner.createWorkflow(undefined, environment, { want });
  } catch (error) {
    if (error instanceof NoPlanError) return error;
    throw error;
  }
}

function criticalPath(found: Plan): number {
  const length = new Map<string, number>();
  for (const { id, dependsOn = [] } of found.workflow.steps) {
    length.set(id, 1 + Math.max(0, ...dependsOn.map((other) => length.get(other) ?? Number.NaN)));
  }
  return Math.max(...length.values());
}

const RUNS = 1_000;
/** A whole number: fast-check never stops at a fraction. */
const FEWER_RUNS = 300;

describe("a plan", () => {
  it("costs as little as any set of tasks that reaches the wanted keys, and says so truly", () => {
    let planned = 0;
    let refused = 0;
    fc.assert(
      fc.property(randomProblem, (problem) => {
        const best = exhaustive(problem);
        const found = plan(problem);
        if (found instanceof NoPlanError) {
          refused++;
          expect(found.code).toBe(best?.cost === 0 && best.depth === 0 ? "E_NOTHING_TO_DO" : "E_NO_PLAN");
          if (found.code === "E_NO_PLAN") expect(best).toBeUndefined();
          return;
        }
        planned++;
        expect(found.cost).toBeCloseTo(best?.cost ?? Number.NaN, 9);
        expect(found.optimal).toBe(true);
      }),
      { numRuns: RUNS },
    );
    // Both answers must have been put to the test.
    expect(planned).toBeGreaterThan(RUNS / 20);
    expect(refused).toBeGreaterThan(RUNS / 20);
  });

  it("has the shortest critical path among those of its cost", () => {
    fc.assert(
      fc.property(randomProblem, (problem) => {
        const found = plan(problem);
        fc.pre(!(found instanceof NoPlanError));
        expect(criticalPath(found as Plan)).toBe(exhaustive(problem)?.depth);
      }),
      { numRuns: FEWER_RUNS },
    );
  });

  it.each([
    ["of any cost", randomProblem],
    ["mostly free", mostlyFreeProblem],
  ])("of tasks %s is a workflow that the graph accepts, and writes every key once", (_, problems) => {
    fc.assert(
      fc.property(problems, (problem) => {
        const found = plan(problem);
        fc.pre(!(found instanceof NoPlanError));
        const { workflow } = found as Plan;
        WorkflowGraph.fromDocument(workflow, { environmentKeys: Object.keys(problem.environment) });
        const written = workflow.steps.flatMap(({ outputs = [] }) => outputs);
        expect(new Set(written).size).toBe(written.length);
        for (const key of problem.want)
          expect(written.includes(key) || Object.hasOwn(problem.environment, key)).toBe(true);
      }),
      { numRuns: FEWER_RUNS },
    );
  });

  it("has no circle of free tasks that only serve each other", () => {
    const task = (name: string, cost: number, needs: string[], gives: string[]): Capability => ({
      name,
      cost,
      needs,
      gives,
    });
    const tasks = [
      task("t0", 2, [], ["e", "a", "z"]),
      task("t1", 5, ["z", "s", "b"], ["s", "z"]),
      task("t2", 0, ["s", "e"], ["d", "c"]),
      task("t3", 0, ["z"], ["c", "z", "b"]),
      task("t4", 0, ["c"], ["s", "b", "a"]),
      task("t5", 0.1, ["d", "s", "b"], ["e", "c", "p"]),
    ];
    const found = plan({ cards: [{ role: "worker", tasks }], want: ["z", "a"], environment: {} });
    expect((found as Plan).workflow.steps.map((step) => step.task)).toEqual(["t0"]);
  });

  it("has no step that it could do without", () => {
    fc.assert(
      fc.property(randomProblem, (problem) => {
        const found = plan(problem);
        fc.pre(!(found instanceof NoPlanError));
        const used = new Set((found as Plan).workflow.steps.map(({ task }) => task));
        for (const spared of used) {
          const tasks = (problem.cards[0] as RoleCard).tasks.filter(
            ({ name }) => used.has(name) && name !== spared,
          );
          const without = exhaustive({ ...problem, cards: [{ role: "worker", tasks }] });
          // A free step may stay where it makes the critical path shorter.
          if (without !== undefined) expect(without.depth).toBeGreaterThan(criticalPath(found as Plan));
        }
      }),
      { numRuns: RUNS / 5 },
    );
  });

  it("is the same however roles and tasks are listed", () => {
    fc.assert(
      fc.property(
        randomProblem.chain((problem) => {
          const tasks = (problem.cards[0] as RoleCard).tasks;
          return fc.tuple(
            fc.constant(problem),
            fc.shuffledSubarray([...tasks], { minLength: tasks.length }),
            fc.shuffledSubarray([...problem.want], { minLength: problem.want.length }),
          );
        }),
        ([problem, tasks]) => {
          const scattered: RoleCard[] = tasks.map((task: Capability) => ({ role: "worker", tasks: [task] }));
          const first = plan(problem);
          const second = plan({ ...problem, cards: scattered });
          if (first instanceof NoPlanError)
            expect(second).toMatchObject({ code: first.code, data: first.data });
          else expect(second).toEqual(first);
        },
      ),
      { numRuns: RUNS / 5 },
    );
  });

  it("is still valid, and never called proven without proof, when the search is cut short", () => {
    fc.assert(
      fc.property(randomProblem, (problem) => {
        const found = plan(problem, 1);
        fc.pre(!(found instanceof NoPlanError));
        const best = exhaustive(problem)?.cost ?? Number.NaN;
        const { cost, optimal } = found as Plan;
        expect(cost).toBeGreaterThanOrEqual(best - 1e-9);
        if (optimal) expect(cost).toBeCloseTo(best, 9);
      }),
      { numRuns: FEWER_RUNS },
    );
  });
});
