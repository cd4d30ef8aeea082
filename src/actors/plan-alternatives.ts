/**
 * What a plan could have used and did not: noted with the plan, so that who looks at the run later need not know
 * which agents were there then.
 *
 * It names tasks; what a plan with one of them would cost in all is for `plan --explain` to work out.
 */
import type { PlanAlternative } from "../bus/decisions.ts";
import type { Plan } from "../planner/planner.ts";
import type { RoleCard } from "../workflow/capability.ts";

/** Alternatives that are noted with a plan (L8). */
const MAX_NOTED = 50;

/** The field of a decision; nothing where there is no other task. */
export function alternativesTo(
  { workflow, rejected }: Plan,
  cards: readonly RoleCard[],
): { alternatives?: PlanAlternative[] } {
  const others = rejected.map(({ role, task, reason }) => ({ role, task, reason }));
  // Neither one of the plan's own, nor one that is told with the reason for which it was set aside.
  const told = new Set(
    [...workflow.steps.map(({ agent, task }) => ({ role: agent, task })), ...rejected].map(
      ({ role, task }) => `${role}.${task}`,
    ),
  );
  const makers = new Map(workflow.steps.flatMap(({ id, outputs = [] }) => outputs.map((key) => [key, id])));
  const noted: PlanAlternative[] = [];
  for (const { role, tasks } of cards) {
    for (const { name, gives = [], cost = 1 } of tasks) {
      const key = gives.find((given) => makers.has(given));
      if (key === undefined || told.has(`${role}.${name}`)) continue;
      const step = makers.get(key) as string;
      noted.push({ role, task: name, step, reason: `gives ${key}, too, at a cost of ${cost}` });
    }
  }
  const alternatives = [...noted, ...others].slice(0, MAX_NOTED);
  return alternatives.length === 0 ? {} : { alternatives };
}
