/**
 * Weighing the rest of a plan with advice: what a language model, or a swarm's own planner, proposes for it.
 *
 * Owns which proposals count. What comes of one is weighed like any other change (`revision.ts`): what is done
 * stays, and a change that is not needed has to pay for itself by the same margin.
 */
import type { RoleCard } from "../workflow/capability.ts";
import type { WorkflowStepDocument } from "../workflow/document.ts";
import type { PlanSituation } from "../workflow/planner-task.ts";
import { RESERVED_ROLES } from "../workflow/reserved-roles.ts";
import { type Advice, type Advisor, takeCounsel } from "./counsel.ts";
import { profileOf } from "./data-profile.ts";
import { offersOf } from "./plan-model.ts";
import { checkProposal, type Proposed } from "./plan-proposal.ts";
import type { WorkflowPlanner } from "./planner.ts";
import type { Weighing, WeighRequest } from "./revision.ts";

export interface RestAdviceRequest {
  readonly task: "replan" | "recover";
  readonly goals: readonly string[];
  /** What the plan is for. */
  readonly want: readonly string[];
  readonly rest: WeighRequest;
  readonly cards: readonly RoleCard[];
  readonly reason: string;
  readonly failed?: PlanSituation["failed"];
  readonly tokensLeft?: number;
  /** Money that may be spent. Default: no bound. */
  readonly usdLeft?: number;
  /** What is wrong with a proposal; undefined: nothing. Default: the rest is weighed with it. */
  readonly judge?: (proposed: NonNullable<WeighRequest["proposed"]>) => string | undefined;
}

export interface AdvisedRest {
  /** Undefined: weigh without advice. */
  readonly proposed: WeighRequest["proposed"] | undefined;
  readonly advice: Advice;
}

export async function adviseRest(
  planner: WorkflowPlanner,
  advisor: Advisor,
  request: RestAdviceRequest,
): Promise<AdvisedRest> {
  const { task, goals, want, rest, tokensLeft, usdLeft } = request;
  const { model, allowValues = false } = advisor;
  const cards = request.cards.filter(({ role }) => !RESERVED_ROLES.includes(role));
  const outcome = await takeCounsel<Proposed>(advisor, {
    question: {
      task,
      goals,
      want,
      roles: offersOf(cards),
      environment: profileOf(rest.environment, allowValues),
      inputs: profileOf(rest.inputs ?? {}, allowValues),
      situation: situationOf(request),
    },
    ...(tokensLeft !== undefined && { tokensLeft }),
    ...(usdLeft !== undefined && { usdLeft }),
    consider: (text) => {
      const { proposed, errors } = checkProposal(text, {
        cards,
        environmentKeys: [...Object.keys(rest.environment), ...comingKeys(rest)],
        inputKeys: Object.keys(rest.inputs ?? {}),
        wanted: want,
        sure: [],
      });
      if (proposed === undefined) return { errors };
      const limits = limitsOf(proposed, rest);
      const problem =
        request.judge === undefined
          ? problemOf(proposed, planner.weigh({ ...rest, proposed: limits }))
          : request.judge(limits);
      return problem === undefined ? { value: proposed } : { errors: [problem] };
    },
  });
  const { asked, usage } = outcome;
  const told = { by: model.name, asked, usage };
  if ("failure" in outcome) {
    const note = `without ${model.name}: ${outcome.failure}`;
    return { proposed: undefined, advice: { ...told, taken: false, note } };
  }
  const { value } = outcome;
  const note = value.stands ? `${model.name} lets the plan stand` : `as ${model.name} proposed`;
  return { proposed: limitsOf(value, rest), advice: { ...told, taken: true, note } };
}

/** A plan that shall stand may have no task that it has not. */
function limitsOf(
  { stands, draft, avoid }: Proposed,
  { workflow }: WeighRequest,
): NonNullable<WeighRequest["proposed"]> {
  const planned = new Set(workflow.steps.map(({ agent, task }) => `${agent}.${task}`));
  const only = stands === true ? planned : draft;
  return { avoid, ...(only !== undefined && { only }) };
}

function problemOf({ stands }: Proposed, weighing: Weighing): string | undefined {
  if (weighing.stands) return weighing.broken ? `with these tasks ${weighing.reason}` : undefined;
  return stands === true ? `the plan cannot stand as it is: ${weighing.reason}` : undefined;
}

function comingKeys({ workflow, running }: WeighRequest): string[] {
  const out = new Set(running);
  return workflow.steps.flatMap(({ id, outputs = [] }) => (out.has(id) ? outputs : []));
}

function situationOf({ rest, reason, failed }: RestAdviceRequest): PlanSituation {
  const done = new Set(rest.done);
  const running = new Set(rest.running);
  const gone = new Set(rest.gone);
  const stateOf = (id: string) =>
    done.has(id) ? "done" : running.has(id) ? "running" : gone.has(id) ? "failed" : "open";
  const shown = ({ id, agent, task, outputs = [] }: WorkflowStepDocument) => ({
    id,
    agent,
    task,
    outputs: [...outputs],
    state: stateOf(id) as PlanSituation["steps"][number]["state"],
  });
  return {
    reason,
    steps: rest.workflow.steps.map(shown),
    excluded: (rest.excluded ?? []).map((one) => ({ ...one })),
    ...(failed !== undefined && { failed }),
  };
}
