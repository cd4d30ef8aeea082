/**
 * Would catch: an explanation that disagrees with the plans that it speaks of, a set of missing keys that is not
 * the smallest or does not suffice, and a picture that Mermaid could not draw.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { planDiagram } from "../../src/planner/plan-diagram.ts";
import { type Plan, WorkflowPlanner } from "../../src/planner/planner.ts";
import type { RoleCard } from "../../src/workflow/capability.ts";
import { NoPlanError } from "../../src/workflow/errors.ts";
import { exhaustive, type RandomProblem, randomProblem } from "./random-problems.ts";

const RUNS = 150;

function plan({ cards, want, environment }: RandomProblem): Plan | NoPlanError {
  try {
    const planner = new WorkflowPlanner({ capabilities: cards });
    return planner.createWorkflow(undefined, environment, { want, explain: true });
  } catch (error) {
    if (error instanceof NoPlanError) return error;
    throw error;
  }
}

const changed = (problem: RandomProblem, tasks: (card: RoleCard) => RoleCard["tasks"]): RandomProblem => ({
  ...problem,
  cards: problem.cards.map((card) => ({ ...card, tasks: tasks(card) })),
});

describe("what an explanation says", () => {
  it("of a plan without a step is what the best plan without that task costs", () => {
    fc.assert(
      fc.property(randomProblem, (problem) => {
        const found = plan(problem);
        fc.pre(!(found instanceof NoPlanError));
        for (const { task, without } of (found as Plan).explanation?.steps ?? []) {
          const best = exhaustive(changed(problem, ({ tasks }) => tasks.filter(({ name }) => name !== task)));
          if (best === undefined) expect(without).toBeNull();
          else expect(without?.cost).toBeCloseTo(best.cost, 9);
        }
      }),
      { numRuns: RUNS },
    );
  });

  it("of a task that was left out is what the best plan with it costs", () => {
    fc.assert(
      fc.property(randomProblem, (problem) => {
        const found = plan(problem);
        fc.pre(!(found instanceof NoPlanError));
        for (const { task, with: withIt } of (found as Plan).explanation?.leftOut ?? []) {
          if (withIt === undefined) continue;
          // A mark that only this task leaves, wanted as well, forces it in.
          const marked = changed(problem, ({ tasks }) =>
            tasks.map((one) => (one.name === task ? { ...one, gives: [...one.gives, "mark"] } : one)),
          );
          const best = exhaustive({ ...marked, want: [...problem.want, "mark"] });
          expect(withIt.cost).toBeCloseTo(best?.cost ?? Number.NaN, 9);
        }
      }),
      { numRuns: RUNS },
    );
  });

  it("names every task once, as a step or as left out", () => {
    fc.assert(
      fc.property(randomProblem, (problem) => {
        const found = plan(problem);
        fc.pre(!(found instanceof NoPlanError));
        const { steps = [], leftOut = [] } = (found as Plan).explanation ?? {};
        const named = [...steps, ...leftOut].map(({ task }) => task).sort();
        expect(named).toEqual(problem.cards.flatMap(({ tasks }) => tasks.map(({ name }) => name)).sort());
      }),
      { numRuns: RUNS },
    );
  });
});

describe("the keys that are missing", () => {
  const reaches = (problem: RandomProblem, keys: readonly string[]): boolean =>
    exhaustive({
      ...problem,
      environment: { ...problem.environment, ...Object.fromEntries(keys.map((key) => [key, 1])) },
    }) !== undefined;

  it("suffice, and no smaller set does", () => {
    let refused = 0;
    fc.assert(
      fc.property(randomProblem, (problem) => {
        const found = plan(problem);
        if (!(found instanceof NoPlanError) || found.code !== "E_NO_PLAN") return;
        refused++;
        const missing = found.data.missing as string[];
        expect(found.data.smallest).toBe(true);
        expect(reaches(problem, missing)).toBe(true);
        const keys = [...new Set(problem.cards.flatMap(({ tasks }) => tasks.flatMap(({ needs }) => needs)))];
        const all = [...new Set([...keys, ...problem.want])];
        for (let set = 0; set < 2 ** all.length; set++) {
          const chosen = all.filter((_, index) => (set >> index) & 1);
          if (chosen.length < missing.length) expect(reaches(problem, chosen)).toBe(false);
        }
      }),
      { numRuns: RUNS },
    );
    expect(refused).toBeGreaterThan(RUNS / 20);
  });
});

describe("the picture of a plan", () => {
  it("has every step, every wanted key, and what would be done instead", () => {
    const capabilities: RoleCard[] = [
      { role: "a", tasks: [{ name: "end", needs: [], gives: ["x"], when: 'env.kind == "#1"' }] },
      { role: "b", tasks: [{ name: "other", needs: [], gives: ["x"], cost: 3 }] },
      { role: "c", tasks: [{ name: "use", needs: ["x"], gives: ["y"] }] },
      { role: "d", tasks: [{ name: "look", needs: [], gives: ["kind"] }] },
    ];
    const planner = new WorkflowPlanner({ capabilities });
    const found = planner.createWorkflow(undefined, {}, { want: ["y"], explain: true });
    expect(planDiagram(found).split("\n")).toEqual([
      "flowchart LR",
      '  s0["look<br/>d: look<br/>cost 1"]:::step',
      '  s1["end<br/>a: end<br/>cost 1<br/>when env.kind == #quot;#35;1#quot;"]:::step',
      '  s2["use<br/>c: use<br/>cost 1"]:::step',
      "  s0 --> s1",
      '  s1 -->|"x"| s2',
      '  w0(["y"]):::wanted',
      "  s2 --> w0",
      '  x0["b: other"]:::left',
      '  x0 -. "instead: 4" .-> s0',
      '  x0 -. "instead: 4" .-> s1',
      expect.stringContaining("classDef step"),
      expect.stringContaining("classDef wanted"),
      expect.stringContaining("classDef left"),
      "",
    ]);
  });
});
