/**
 * What must be true of the questions that runs put to a planner of their swarm, and of the answers: asked as the log
 * says, about what the run is for, and a plan that is told to be as it was proposed rests on an answer that counted.
 */
import type { SubmitMessage } from "../bus/messages.ts";
import type { WorkflowDocument } from "../workflow/document.ts";
import type { Fact } from "./evidence.ts";
import type { KeptValues } from "./kept-values.ts";
import type { Reference, TakenPlan } from "./reference.ts";
import { QUESTIONS, type ReferenceQuestion } from "./reference-questions.ts";
import type { Say } from "./scenario.ts";

const AS_IN_LOG = "a planner is asked what the log says";
/** Questions that were left unanswered; then no more are asked. */
const SILENCES = 2;
/** A question that was on its way to the log when another one was given up. */
const ON_ITS_WAY_MS = 10_000;
/** How a plan's reasons tell that it is as the swarm's planner proposed. */
const TOLD = "(planner)";

export function questions(
  run: string,
  reference: Reference,
  facts: readonly Fact[],
  { goals }: SubmitMessage,
  kept: KeptValues,
  say: Say,
): void {
  const { asked } = reference.questions;
  for (const fact of facts) {
    if ((fact.kind !== "pushed" && fact.kind !== "ran") || fact.step !== QUESTIONS) continue;
    const question = reference.questions.of(fact.step, fact.n);
    const where = `${run} question ${fact.n} ${fact.kind} by ${fact.party}`;
    if (question === undefined || question.openSeq > fact.logEnd) say(AS_IN_LOG, `${where} is not in it`);
    if (fact.kind !== "pushed" || question === undefined) continue;
    const inputs = kept.whole(fact.inputs) as Record<string, unknown>;
    const refused = Array.isArray(inputs.refused) ? inputs.refused.length : undefined;
    if (fact.role !== "planner" || refused !== question.round - 1)
      say(AS_IN_LOG, `${where} is for ${fact.role}, after ${refused} answers, in round ${question.round}`);
    if (JSON.stringify(inputs.goals) !== JSON.stringify([goals ?? []].flat()))
      say(AS_IN_LOG, `${where} has the goals ${JSON.stringify(inputs.goals)}`);
    if ((inputs.situation === undefined) !== (question.task === "plan"))
      say(AS_IN_LOG, `${where} has ${inputs.situation === undefined ? "no" : "a"} situation`);
  }
  const silent = asked.filter(({ by }) => by === null);
  for (const { n, openTs } of asked) {
    const before = silent.filter(({ closeTs }) => closeTs + ON_ITS_WAY_MS < openTs).length;
    if (before >= SILENCES)
      say("a silent planner is left alone", `${run} asks ${n} after ${before} silences`);
  }
  for (const plan of reference.plans) {
    const what = adviceIn(plan, asked);
    if (what !== undefined) say("a plan is as it is told to be proposed", `${run} ${plan.seq}: ${what}`);
  }
}

/**
 * What is wrong with what a plan says of the advice that it follows. Whoever takes a run over weighs the answers that
 * are there from the first one on, with the agents of its own moment: an earlier one may fit then.
 */
function adviceIn(
  { seq, workflow, reasons }: TakenPlan,
  asked: readonly ReferenceQuestion[],
): string | undefined {
  if (reasons[TOLD]?.startsWith("the swarm's planner proposed") !== true) return undefined;
  const answers = asked.flatMap(({ about, closeSeq, outputs }) =>
    about === "plan" && closeSeq < seq && outputs !== undefined ? [outputs as Proposal] : [],
  );
  if (answers.length === 0) return "nobody proposed it in time";
  const names = workflow.steps.map(nameOf);
  const isAs = ({ avoid = [], workflow: draft }: Proposal): boolean => {
    const drafted = draft?.steps?.map(nameOf);
    const avoided = avoid.map(({ role, task }) => `${role}.${task}`);
    return names.every((name) => !avoided.includes(name) && drafted?.includes(name) !== false);
  };
  return answers.some(isAs) ? undefined : `${names} is not as anybody proposed it`;
}

/** Of an answer what a plan has to keep to. */
interface Proposal {
  avoid?: { role: string; task: string }[];
  workflow?: Partial<WorkflowDocument>;
}

const nameOf = ({ agent, task }: { agent: string; task: string }): string => `${agent}.${task}`;
