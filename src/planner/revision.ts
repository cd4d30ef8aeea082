/**
 * Whether the rest of a plan still is the way to go, now that more is known or something went wrong.
 *
 * What is left to do is judged twice with today's facts: as it stands (only the tasks that the plan has), and
 * as the best plan would be now. The plan is revised
 *  - when it stands no longer: a guard turned out false, a step failed, a role is gone;
 *  - when a step of it is needless now: somebody else has set what it would give;
 *  - when the best plan costs so much less that changing pays (`REVISION_MARGIN`); a plan that is only a
 *    little better is let go, since every change costs something too, and plans that swap places with every
 *    fact would never be carried out.
 * Steps that are done stay. A step that is running stays while somebody reads what it gives; otherwise it is
 * left out, and whoever carries out the plan stops it.
 */
import type { Capability, RoleCard } from "../workflow/capability.ts";
import type { WorkflowDocument, WorkflowStepDocument } from "../workflow/document.ts";
import { NoPlanError } from "../workflow/errors.ts";
import { templateExpressions, visitTexts } from "../workflow/template.ts";
import { list } from "./explain.ts";
import type { Plan, WorkflowPlanner } from "./planner.ts";
import { unique } from "./problem.ts";

/** A better plan has to save more than both: this share of what is left, and this much. */
const REVISION_MARGIN = { share: 0.1, cost: 0.1 } as const;
/** Revisions of one run that only save cost (L8). Those that it cannot go on without do not count. */
const MAX_IMPROVEMENTS = 8;

export interface WeighRequest {
  workflow: WorkflowDocument;
  environment: Readonly<Record<string, unknown>>;
  inputs?: Readonly<Record<string, unknown>>;
  done: Iterable<string>;
  /** Given out, started or not. */
  running: Iterable<string>;
  /** Failed or given up; must not stay. */
  gone?: Iterable<string>;
  /** Ids of steps that are no longer in the workflow: not to be given again. */
  usedIds?: Iterable<string>;
  /** Tasks that failed, and tasks of roles that went away, with the reason. */
  excluded?: readonly { role: string; task?: string; reason: string }[];
  /** What somebody proposed: of new ways only those of these tasks, as `role.task`, and without the others. */
  proposed?: { readonly only?: ReadonlySet<string>; readonly avoid?: ReadonlySet<string> };
  /** Improvements made before. */
  improvements?: number;
  /** Instead of those that the planner was made with. */
  capabilities?: readonly RoleCard[];
}

export type Weighing =
  /** Go on as planned. `broken`: not because it is well, but because there is no other way. */
  | { readonly stands: true; readonly reason: string; readonly broken: boolean }
  | {
      readonly stands: false;
      readonly reason: string;
      readonly plan: Plan;
      /** What is left to do, as it was planned and with today's facts; undefined when it cannot be done. */
      readonly costBefore: number | undefined;
    };

export function weighRest(
  planner: WorkflowPlanner,
  request: WeighRequest,
  cards: readonly RoleCard[],
): Weighing {
  const gone = new Set(request.gone);
  const closed = new Set([...request.done, ...request.running]);
  const open = request.workflow.steps.filter(({ id }) => !closed.has(id) && !gone.has(id));
  const capabilities = withPlanned(cards, open);
  const asPlanned = new Set(open.map(({ agent, task }) => `${agent}.${task}`));
  const excluded = exclusionOf(request.excluded ?? []);
  const planFor = (also: (name: string) => boolean): Plan | NoPlanError => {
    try {
      return planner.updateWorkflow(request.workflow, request.environment, {
        ...(request.inputs !== undefined && { inputs: request.inputs }),
        done: request.done,
        running: request.running,
        gone: [...gone, ...(request.usedIds ?? [])],
        capabilities,
        exclude: (role, capability) =>
          excluded(role, capability) ??
          (also(`${role}.${capability.name}`) ? "the plan does not have it" : undefined),
      });
    } catch (error) {
      if (error instanceof NoPlanError) return error;
      throw error;
    }
  };
  const { only, avoid } = request.proposed ?? {};
  const best = planFor((name) => avoid?.has(name) === true || only?.has(name) === false);
  if (best instanceof NoPlanError) {
    return { stands: true, broken: true, reason: `there is no other way: ${best.message}` };
  }
  const standing = planFor((name) => !asPlanned.has(name));
  if (gone.size > 0 || standing instanceof NoPlanError) {
    const why = standing instanceof NoPlanError ? whyBroken(open, standing) : undefined;
    const costBefore = standing instanceof NoPlanError ? undefined : standing.cost;
    return { stands: false, plan: best, costBefore, reason: difference(request.workflow, best, why) };
  }
  const saves = standing.cost - best.cost;
  const margin = Math.max(REVISION_MARGIN.share * standing.cost, REVISION_MARGIN.cost);
  const costs = `cost ${shown(standing.cost)}, the best plan's ${shown(best.cost)}`;
  const needed = new Set(standing.workflow.steps.map(({ id }) => id));
  const needless = open.some(({ id }) => !needed.has(id));
  if (saves <= margin && !needless) {
    return { stands: true, broken: false, reason: `the plan stands (${costs})` };
  }
  if ((request.improvements ?? 0) >= MAX_IMPROVEMENTS) {
    const reason = `the plan stands (${costs}): it was improved ${MAX_IMPROVEMENTS} times, the most that is allowed`;
    return { stands: true, broken: false, reason };
  }
  // Where nothing but needless steps is left out, what stays is what was planned.
  const isCheaper = saves > margin;
  const why = isCheaper
    ? `it saves ${shown(saves)} of ${shown(standing.cost)}`
    : "what was left out is there already, or nobody needs it any more";
  return {
    stands: false,
    plan: isCheaper ? best : standing,
    costBefore: standing.cost,
    reason: difference(request.workflow, best, why),
  };
}

function whyBroken(open: readonly WorkflowStepDocument[], error: NoPlanError): string | undefined {
  const rejections = error.data.blockedBy as { role: string; task: string; reason: string }[] | undefined;
  const blocked = rejections?.find(({ role, task }) =>
    open.some((step) => step.agent === role && step.task === task),
  );
  return blocked && `${blocked.role}.${blocked.task} cannot do it: ${blocked.reason}`;
}

/** What changes, in words. */
function difference(before: WorkflowDocument, { workflow }: Plan, why: string | undefined): string {
  const missing = (one: WorkflowDocument, other: WorkflowDocument): string[] => {
    const ids = new Set(other.steps.map(({ id }) => id));
    return one.steps.flatMap(({ id }) => (ids.has(id) ? [] : [id]));
  };
  const dropped = missing(before, workflow);
  const added = missing(workflow, before);
  const change =
    added.length > 0 && dropped.length > 0
      ? `${list(added)} instead of ${list(dropped)}`
      : added.length > 0
        ? `${list(added)} as well`
        : dropped.length > 0
          ? `without ${list(dropped)}`
          : "the same steps, in another order";
  return why === undefined ? change : `${change}: ${why}`;
}

function exclusionOf(excluded: NonNullable<WeighRequest["excluded"]>) {
  const reasons = new Map(
    excluded.map(({ role, task, reason }) => [task === undefined ? role : `${role}.${task}`, reason]),
  );
  return (role: string, { name }: Capability): string | undefined =>
    reasons.get(`${role}.${name}`) ?? reasons.get(role);
}

/**
 * The cards, and the tasks of the plan that none of them has: an agent that is away for a moment does not
 * make its tasks impossible, they wait in its role's queue.
 */
function withPlanned(cards: readonly RoleCard[], open: readonly WorkflowStepDocument[]): RoleCard[] {
  const known = new Set(cards.flatMap(({ role, tasks }) => tasks.map(({ name }) => `${role}.${name}`)));
  const lost = open.filter(({ agent, task }) => !known.has(`${agent}.${task}`));
  return [...cards, ...lost.map((step) => ({ role: step.agent, tasks: [capabilityOf(step)] }))];
}

function capabilityOf(step: WorkflowStepDocument): Capability {
  const needs = new Set<string>();
  visitTexts(step.inputs ?? {}, (text) => {
    for (const { reads } of templateExpressions(text)) for (const key of reads.env) needs.add(key);
  });
  return {
    name: step.task,
    needs: unique([...needs]),
    gives: [...(step.outputs ?? [])],
    ...(step.when !== undefined && { when: step.when }),
    ...(step.fallback !== undefined && { fallback: step.fallback }),
  };
}

/** Sums of fractions without their noise. */
function shown(cost: number): string {
  return String(Math.round(cost * 1000) / 1000);
}
