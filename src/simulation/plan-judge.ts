/**
 * What must be true of plans, from the log and from what the agents of the seed can do: that a plan is made of
 * their tasks and of nothing that anybody else wrote, leads to what was asked for, and keeps to what a goal rules
 * out, also when it is revised. A run that has none says why.
 */
import type { SubmitMessage } from "../bus/messages.ts";
import type { WorkflowStepDocument } from "../workflow/document.ts";
import { type Asked, askedBy } from "./goals.ts";
import type { Reference, TakenPlan } from "./reference.ts";
import type { Say } from "./scenario.ts";
import type { Skill } from "./skills.ts";

/** What the tasks of a seed say that they can do, by `role.task`. */
export type Cards = ReadonlyMap<string, Skill["card"]>;

/** Why there can be no plan. */
const NO_PLAN = ["E_NO_PLAN", "E_GOAL_UNCLEAR", "E_NOTHING_TO_DO"];

export function judgePlans(
  run: string,
  reference: Reference,
  submission: SubmitMessage,
  cards: Cards,
  say: Say,
): void {
  const { submitted, plans, status, failedWith } = reference;
  const asked = askedBy(submission);
  const isUnplanned = submitted === undefined && plans.length === 0;
  if (isUnplanned && status === "failed" && failedWith !== undefined && !NO_PLAN.includes(failedWith))
    say("a run without a plan says why", `${run} failed with ${failedWith}`);
  const before = new Map((submitted?.steps ?? []).map((step) => [step.id, step]));
  for (const plan of plans) {
    const where = `${run} ${plan.seq}`;
    for (const step of plan.workflow.steps) {
      const known = before.get(step.id);
      if (known?.agent !== step.agent || known.task !== step.task)
        for (const what of strangeIn(step, cards))
          say("a plan is made of what agents can do", `${where}: ${what}`);
      before.set(step.id, step);
    }
    if (submitted !== undefined && submission.goals === undefined && submission.want === undefined) continue;
    for (const what of missingIn(plan, asked)) say("a plan leads to what was asked for", `${where}: ${what}`);
    for (const { id, outputs = [] } of plan.workflow.steps)
      if (outputs.some((key) => asked.ruledOut.includes(key)))
        say("a plan keeps to what its goal rules out", `${where}: ${id} gives ${outputs}`);
  }
  const [first] = plans;
  if (submitted === undefined && first !== undefined)
    for (const what of outOfOrder(first))
      say("a plan has what its steps need", `${run} ${first.seq}: ${what}`);
}

/** What of a new step is not its task's own. */
function strangeIn(
  { id, agent, task, inputs = {}, outputs = [], when }: WorkflowStepDocument,
  cards: Cards,
): string[] {
  const card = cards.get(`${agent}.${task}`);
  if (card === undefined) return [`${id} is of ${agent}.${task}, which nobody offers`];
  const { needs = [], gives = [] } = card;
  const due = [...needs].sort().map((key) => `\${env.${key}}`);
  const are = Object.keys(inputs)
    .sort()
    .map((key) => inputs[key]);
  return [
    ...(are.join() === due.join() ? [] : [`${id} takes ${are}, not ${due}`]),
    ...(outputs.every((key) => gives.includes(key)) ? [] : [`${id} gives ${outputs}, not ${gives}`]),
    ...(when === undefined || when === card.when ? [] : [`${id} is done when ${when}`]),
  ];
}

/** What was asked for by name, and of what was said in words at least what the others do not bring about. */
function missingIn({ workflow, there, reasons }: TakenPlan, { byName, inWords }: Asked): string[] {
  const given = new Set([...there, ...workflow.steps.flatMap(({ outputs = [] }) => outputs)]);
  const missing = byName.filter((key) => !given.has(key)).map((key) => `nothing gives ${key}`);
  // Beside keys that were named, words are wishes; and a word is not heard while nobody is there who has it.
  const isVain = byName.length === 0 && inWords.length > 0 && !inWords.some((key) => given.has(key));
  // Where the words lead to no plan, a planner that is asked may know better what is meant.
  if (Object.values(reasons).some((reason) => reason.includes("(without it: E_"))) return missing;
  return isVain ? [...missing, `nothing gives any of ${inWords}`] : missing;
}

/** Steps that could begin before what they need is there. */
function outOfOrder({ workflow, there }: TakenPlan): string[] {
  const steps = new Map(workflow.steps.map((step) => [step.id, step]));
  const keysBefore = (step: WorkflowStepDocument): string[] =>
    (step.dependsOn ?? []).flatMap((id) => {
      const other = steps.get(id);
      return other === undefined ? [] : [...(other.outputs ?? []), ...keysBefore(other)];
    });
  return workflow.steps.flatMap((step) => {
    const has = new Set([...there, ...keysBefore(step)]);
    const lacks = Object.keys(step.inputs ?? {}).filter((key) => !has.has(key));
    return lacks.length === 0 ? [] : [`${step.id} lacks ${lacks}`];
  });
}
