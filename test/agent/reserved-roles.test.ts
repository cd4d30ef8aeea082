/** Reserved roles. Catches: an agent that takes what is meant for people, and a plan that asks people unasked. */
import { expect, it } from "vitest";
import { defineAgent } from "../../src/agent/define-agent.ts";
import { WorkflowPlanner } from "../../src/planner/planner.ts";
import { RESERVED_ROLES } from "../../src/workflow/reserved-roles.ts";

const gives = [{ name: "make", needs: [], gives: ["k"] }];

it.each(RESERVED_ROLES)("an agent cannot be defined for the role %s", (role) => {
  expect(() => defineAgent({ role, tasks: { t: { run: () => ({}) } } })).toThrow(/the runtime's own/);
});

it.each(RESERVED_ROLES)("no plan uses the role %s, though somebody announces it", (role) => {
  const planner = new WorkflowPlanner({ capabilities: [{ role, tasks: gives }] });
  expect(() => planner.createWorkflow(undefined, {}, { want: ["k"] })).toThrow();
  const both = new WorkflowPlanner({
    capabilities: [
      { role, tasks: gives },
      { role: "maker", tasks: [{ ...gives[0], name: "make", needs: [], gives: ["k"], cost: 9 }] },
    ],
  });
  const { workflow } = both.createWorkflow(undefined, {}, { want: ["k"] });
  expect(workflow.steps.map(({ agent }) => agent)).toEqual(["maker"]);
});
