/** All that is known of one step: where it stands, each dispatch with its values, what moved it and why. */
import type { Usage } from "../bus/messages.ts";
import { waitViewOf } from "../fold/wait-view.ts";
import type { Dispatch } from "../trace/dispatches.ts";
import { paidSum } from "../workflow/budget.ts";
import { stepRefOf } from "../workflow/derived-step.ts";
import { NotFoundError } from "../workflow/errors.ts";
import type { StepDetail } from "./api.ts";
import { dispatchView, graphStepView, timeOrNull, transitionView, voidView } from "./presented.ts";
import type { RunReading } from "./run-reading.ts";

/** @throws NotFoundError */
export function stepDetail(reading: RunReading, name: string): StepDetail {
  const id = stepRefOf(name);
  const { fold, lastSeq } = reading;
  const { graph, steps } = fold;
  const definition = steps?.has(id) ? steps.step(id) : fold.retired.get(id);
  if (graph === undefined || steps === undefined || definition === undefined) {
    throw new NotFoundError("E_STEP_NOT_FOUND", `run "${fold.run}" has no step "${id.slice(0, 80)}"`, {
      remedy: `Its steps are listed at /api/runs/${fold.run}/graph.`,
      data: { run: fold.run, step: id },
    });
  }
  const { state, context } = fold.step(id);
  // One that was given to items is no work of an agent: the items have their own.
  const dispatches = reading.dispatches.of(id).filter(({ fannedOut }) => !fannedOut);
  const notBefore = state === "ready" ? fold.notBefore(id) : 0;
  return {
    run: fold.run,
    seq: lastSeq,
    id,
    role: context.role,
    task: context.task,
    state,
    outcome: context.outcome,
    n: context.n,
    attempt: context.n === 0 ? 0 : context.attempt,
    maxAttempts: context.maxAttempts,
    agent: context.agent,
    iteration: context.iteration,
    waiting: waitViewOf(fold, id) ?? null,
    definition: graphStepView(definition),
    items: steps.madeFrom(id).map((item) => {
      const at = fold.step(item.id);
      return { id: item.id, state: at.state, outcome: at.context.outcome };
    }),
    dependents: graph.has(id) ? [...graph.dependents(id)] : [],
    timeoutMs: definition.timeoutMs ?? null,
    notBefore: timeOrNull(notBefore === 0 ? undefined : notBefore),
    outputs: fold.outputsOf(id) ?? null,
    dispatches: dispatches.map((dispatch) => dispatchView(dispatch, fold.run)),
    failures: context.failures.map(({ n, attempt, agent, error }) => ({
      n,
      attempt,
      agent,
      error: { ...error },
    })),
    hops: context.hops.map((hop) => ({ ...hop })),
    handoffReason: context.handoffReason,
    tried: context.tried.map((way) => ({ ...way })),
    transitions: reading.transitions
      .filter(({ actor, kind }) => kind === "step" && actor === id)
      .map(transitionView),
    voids: reading.voids.filter(({ step }) => step === id).map(voidView),
    usage: usageOf(dispatches),
  };
}

function usageOf(dispatches: readonly Dispatch[]): StepDetail["usage"] {
  const reported = dispatches.flatMap(({ report }) => report?.usage ?? []);
  if (reported.length === 0) return null;
  const sum = (of: (usage: Usage) => number | undefined): number =>
    reported.reduce((total, usage) => total + (of(usage) ?? 0), 0);
  return { tokens: sum(({ tokens }) => tokens), usd: paidSum(sum(({ usd }) => usd)) };
}
