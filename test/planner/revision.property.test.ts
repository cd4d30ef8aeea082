/**
 * Plans carried out on paper while facts arrive, tasks fail and values are set from outside, all of it at random.
 * Would catch: a revision that is no valid workflow, undoes or repeats work that is done, gives up a goal that can be
 * reached, or goes on changing its mind.
 */
import fc from "fast-check";
import { expect, it } from "vitest";
import { WorkflowPlanner } from "../../src/planner/planner.ts";
import type { Capability, RoleCard } from "../../src/workflow/capability.ts";
import type { WorkflowDocument } from "../../src/workflow/document.ts";
import { NoPlanError } from "../../src/workflow/errors.ts";
import { WorkflowGraph } from "../../src/workflow/graph.ts";

const KEYS = ["a", "b", "c", "d", "e", "f", "g", "h"];
const FACTS = ["p", "q"];
const key = fc.constantFrom(...KEYS);

/** Each task gives one key; guards and costs read facts that change. */
const task = fc.record({
  needs: fc.uniqueArray(key, { maxLength: 2 }),
  gives: key,
  cost: fc.constantFrom<number | string>(1, 2, 5, "env.p", "env.q + 1"),
  guard: fc.constantFrom<string | undefined>(undefined, undefined, undefined, "env.p > 3", "env.q <= 3"),
});
/** What happens next: a step is done, fails, or a fact changes. */
const happening = fc.record({
  kind: fc.constantFrom("done", "done", "done", "fail", "fact"),
  pick: fc.nat(20),
  fact: fc.constantFrom(...FACTS),
  value: fc.integer({ min: 0, max: 20 }),
});

const MOST_IMPROVEMENTS = 8;

function idsOf({ steps }: WorkflowDocument): Set<string> {
  return new Set(steps.map(({ id }) => id));
}

it("stay valid, keep what is done, revise within bounds, and end at the goal or where there is no way", () => {
  fc.assert(
    fc.property(
      fc.array(task, { minLength: 6, maxLength: 14 }),
      fc.uniqueArray(key, { minLength: 1, maxLength: 2 }),
      fc.array(happening, { minLength: 10, maxLength: 60 }),
      (tasks, want, happenings) => {
        const cards: RoleCard[] = tasks.map(({ needs, gives, cost, guard }, at) => {
          const capability: Capability = { name: `t${at}`, needs, gives: [gives], cost };
          return {
            role: `r${at}`,
            tasks: [guard === undefined ? capability : { ...capability, when: guard }],
          };
        });
        const planner = new WorkflowPlanner({ capabilities: cards });
        const environment: Record<string, unknown> = { p: 2, q: 2 };
        let workflow: WorkflowDocument;
        try {
          ({ workflow } = planner.createWorkflow(undefined, environment, { want }));
        } catch (error) {
          if (error instanceof NoPlanError) return;
          throw error;
        }
        const done = new Set<string>();
        const gone = new Set<string>();
        const excluded: { role: string; task: string; reason: string }[] = [];
        let improvements = 0;
        for (const { kind, pick, fact, value } of happenings) {
          const ready = workflow.steps.filter(
            ({ id, dependsOn = [] }) => !done.has(id) && dependsOn.every((one) => done.has(one)),
          );
          const step = ready[pick % Math.max(1, ready.length)];
          if (step === undefined) break;
          const lost: string[] = [];
          if (kind === "fact") environment[fact] = value;
          else if (kind === "done") {
            done.add(step.id);
            for (const output of step.outputs ?? []) environment[output] = value;
          } else {
            lost.push(step.id);
            excluded.push({ role: step.agent, task: step.task, reason: "it failed" });
          }
          const weighing = planner.weigh({
            workflow,
            environment,
            done,
            running: [],
            gone: lost,
            usedIds: gone,
            excluded,
            improvements,
          });
          if (weighing.stands) {
            // A failed step without another way ends the run: there is nothing more to judge.
            if (lost.length === 0) continue;
            expect(weighing.broken).toBe(true);
            return;
          }
          const before = idsOf(workflow);
          const after = weighing.plan.workflow;
          WorkflowGraph.fromDocument(after, { environmentKeys: Object.keys(environment) });
          for (const id of done) expect(idsOf(after)).toContain(id);
          for (const id of [...gone, ...lost]) expect(idsOf(after)).not.toContain(id);
          const added = after.steps.filter(({ id }) => !before.has(id));
          for (const { agent, task: name } of added)
            expect(excluded.some((one) => one.role === agent && one.task === name)).toBe(false);
          for (const id of lost) gone.add(id);
          if (lost.length === 0 && weighing.costBefore !== undefined) {
            improvements += 1;
            const saved = weighing.costBefore - weighing.plan.cost;
            if (added.length > 0) expect(saved).toBeGreaterThan(0.1 * weighing.costBefore);
            else expect(after.steps.length).toBeLessThan(before.size);
          }
          workflow = after;
        }
        expect(improvements).toBeLessThanOrEqual(MOST_IMPROVEMENTS);
        const reached = workflow.steps.every(({ id }) => done.has(id));
        if (reached) for (const one of want) expect(environment[one]).toBeDefined();
      },
    ),
    { numRuns: 400 },
  );
});
