/**
 * What a language model, or anybody else who is not believed, may propose for a plan.
 *
 * Owns the check that a proposal names only what exists: keys, roles, tasks, expressions. Does not own what becomes
 * of it. Nothing of its text gets into a workflow: it chooses among tasks, and the
 * planner writes the steps of those itself.
 */
import type { Capability, RoleCard } from "../workflow/capability.ts";
import { WorkflowGraph } from "../workflow/graph.ts";
import { type DraftStep, proposalSchema } from "../workflow/planner-task.ts";

/** What there is to name. */
export interface ProposalScope {
  readonly cards: readonly RoleCard[];
  readonly environmentKeys: readonly string[];
  readonly inputKeys: readonly string[];
  /** Keys that the goal's own words ask for beyond doubt: a proposal may not leave them out. */
  readonly sure: readonly string[];
  /** Keys that are wanted whatever is proposed. */
  readonly wanted: readonly string[];
}

export interface Proposed {
  readonly want: readonly string[];
  /** As `role.task`. */
  readonly avoid: ReadonlySet<string>;
  /** The tasks of the draft, as `role.task`. */
  readonly draft?: ReadonlySet<string>;
  /** Of a plan under way: nothing shall change. */
  readonly stands?: boolean;
}

export type CheckedProposal =
  | { readonly proposed: Proposed; readonly errors?: undefined }
  | { readonly proposed?: undefined; readonly errors: readonly string[] };

/** Longer answers are no proposal. */
const LONGEST_ANSWER = 200_000;
/** Of one answer; who is told these has enough to correct. */
const ERRORS_TOLD = 12;
const ERROR_LENGTH = 300;

export function checkProposal(text: string, scope: ProposalScope): CheckedProposal {
  const json = parseJson(text);
  if (json.problem !== undefined) return { errors: [json.problem] };
  const parsed = proposalSchema.safeParse(json.value);
  if (!parsed.success) {
    return refused(
      parsed.error.issues.map(({ path, message }) => `${path.join(".") || "answer"}: ${message}`),
    );
  }
  const { want = [], avoid = [], workflow, stands } = parsed.data;
  const tasks = tasksOf(scope.cards);
  const given = new Set([...tasks.values()].flatMap(({ gives }) => gives));
  const errors = [
    ...(want.length + scope.wanted.length === 0 ? ["want: name at least one key"] : []),
    ...want
      .filter((key) => !given.has(key) && !scope.environmentKeys.includes(key))
      .map((key) => `want: no task gives the key ${key}`),
    ...scope.sure
      .filter((key) => !want.includes(key) && !scope.wanted.includes(key))
      .map((key) => `want: the goal's words ask for ${key}, which is left out`),
    ...avoid
      .filter(({ role, task }) => !tasks.has(`${role}.${task}`))
      .map(({ role, task }) => `avoid: there is no task ${role}.${task}`),
  ];
  if (workflow !== undefined) errors.push(...draftErrors(workflow.steps, tasks, scope));
  if (errors.length > 0) return refused(errors);
  return {
    proposed: {
      want,
      avoid: new Set(avoid.map(({ role, task }) => `${role}.${task}`)),
      ...(workflow && { draft: new Set(workflow.steps.map(({ agent, task }) => `${agent}.${task}`)) }),
      ...(stands === true && { stands }),
    },
  };
}

function draftErrors(
  steps: readonly DraftStep[],
  tasks: ReadonlyMap<string, Capability>,
  scope: ProposalScope,
): string[] {
  const errors = steps.flatMap((step) => {
    const task = tasks.get(`${step.agent}.${step.task}`);
    const where = `workflow step ${step.id}`;
    if (task === undefined) return [`${where}: there is no task ${step.agent}.${step.task}`];
    return stepErrors(step, task, scope).map((error) => `${where}: ${error}`);
  });
  // What does not exist would only be told a second time.
  if (errors.length > 0) return errors;
  const document = {
    steps: steps.map((step) => ({
      ...step,
      outputs: step.outputs ?? tasks.get(`${step.agent}.${step.task}`)?.gives ?? [],
    })),
  };
  const { issues } = WorkflowGraph.validate(document, { environmentKeys: scope.environmentKeys });
  return issues.map(
    ({ code, step, message }) => `workflow${step ? ` step ${step}` : ""}: ${code} ${message}`,
  );
}

/** A draft brings no expression of its own: references to keys that the task takes, and the task's guard. */
function stepErrors(step: DraftStep, task: Capability, scope: ProposalScope): string[] {
  const takes = new Set([...task.needs, ...(task.uses ?? [])]);
  const errors: string[] = [];
  for (const [name, value] of Object.entries(step.inputs ?? {})) {
    const reference = /^\$\{(env|inputs)\.([A-Za-z0-9_-]+)\}$/.exec(value);
    const [, from, key] = reference ?? [];
    if (key === undefined || key !== name || !takes.has(key)) {
      errors.push(`input ${name} must be \${env.${name}} of a key that the task needs or uses`);
    } else if (from === "inputs" && !scope.inputKeys.includes(key)) {
      errors.push(`there is no input ${key}`);
    }
  }
  for (const key of step.outputs ?? []) {
    if (!task.gives.includes(key)) errors.push(`the task does not give ${key}`);
  }
  if (step.when !== undefined && step.when !== task.when) {
    errors.push("when must be the task's own, or left out");
  }
  return errors;
}

function tasksOf(cards: readonly RoleCard[]): ReadonlyMap<string, Capability> {
  return new Map(
    cards.flatMap((card) => card.tasks.map((task) => [`${card.role}.${task.name}`, task] as const)),
  );
}

type Parsed = { value: unknown; problem?: undefined } | { problem: string };

/** Models like to put JSON into a fence, and a sentence around it. */
function parseJson(text: string): Parsed {
  if (text.length > LONGEST_ANSWER)
    return { problem: `the answer has more than ${LONGEST_ANSWER} characters` };
  const from = text.indexOf("{");
  const to = text.lastIndexOf("}");
  if (from < 0 || to < from) return { problem: "the answer is no JSON object" };
  try {
    return { value: JSON.parse(text.slice(from, to + 1)) };
  } catch (error) {
    return { problem: `the answer is no JSON: ${(error as Error).message}`.slice(0, ERROR_LENGTH) };
  }
}

function refused(errors: readonly string[]): CheckedProposal {
  return { errors: errors.slice(0, ERRORS_TOLD).map((error) => error.slice(0, ERROR_LENGTH)) };
}
