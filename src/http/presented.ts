/** A run's facts in the API's words: times as text, nothing that JSON cannot hold. */
import type { AgentPresence, LiveMessage } from "../bus/messages.ts";
import type { RunFold } from "../fold/run-fold.ts";
import type { TransitionRecord, VoidRecord } from "../fold/transition-record.ts";
import { waitViewOf } from "../fold/wait-view.ts";
import type { Dispatch } from "../trace/dispatches.ts";
import {
  budgetView,
  errorView,
  isoTime,
  nameOf,
  originView,
  parentView,
  pauseView,
  spentView,
} from "../trace/view.ts";
import type { WorkflowStep } from "../workflow/document.ts";
import { childRunId } from "../workflow/nested-run.ts";
import { ORCHESTRATOR_ROLE } from "../workflow/reserved-roles.ts";
import type {
  AgentView,
  DispatchView,
  EnvChange,
  GraphStep,
  RunHead,
  StepCountsView,
  Transition,
  VoidView,
} from "./api.ts";
import type { LiveEvent } from "./api-events.ts";
import type { EnvironmentChange, RunReading } from "./run-reading.ts";

export function transitionView(transition: TransitionRecord): Transition {
  const { seq, ts, kind, actor, from, to, event, n, attempt, agent, cause } = transition;
  return { seq, ts: isoTime(ts), kind, actor, from, to, event, n, attempt, agent, cause };
}

export function voidView({ seq, ts, verdict, step, reason }: VoidRecord): VoidView {
  return { seq, ts: isoTime(ts), verdict, step, reason };
}

export function changeView({ key, revision, ts, writer }: EnvironmentChange): EnvChange {
  return { key, revision, ts: isoTime(ts), writer: { ...writer } };
}

export function countsView(fold: RunFold): StepCountsView {
  return { ...fold.counts };
}

export function headView({ fold, firstSeq, lastSeq }: RunReading): RunHead {
  const { submission, error } = fold;
  return {
    run: fold.run,
    name: nameOf(fold),
    status: fold.status,
    startedAt: isoTime(fold.startedAt ?? 0),
    endedAt: endOf(fold),
    firstSeq,
    seq: lastSeq,
    steps: countsView(fold),
    by: submission?.by ?? null,
    goals: goalsOf(fold),
    want: [...(submission?.want ?? [])],
    inputs: fold.inputs,
    outputs: fold.outputs,
    ...(error === undefined
      ? {}
      : {
          error: errorView(error),
        }),
    ...pauseView(fold),
    ...originView(fold),
    ...parentView(fold),
    ...budgetView(fold),
    spent: spentView(fold.spending.total),
    waits: [...fold.waits.values()].flatMap(({ step, n }) => {
      const wait = waitViewOf(fold, step);
      return wait === undefined ? [] : [{ ...wait, step, n }];
    }),
    holder: fold.holder ?? null,
    epoch: fold.epoch,
  };
}

export function goalsOf({ submission }: RunFold): string[] {
  const goals = submission?.goals ?? [];
  return typeof goals === "string" ? [goals] : [...goals];
}

export function endOf(fold: RunFold): string | null {
  return fold.ended && fold.endedAt !== undefined ? isoTime(fold.endedAt) : null;
}

export function graphStepView(step: WorkflowStep): GraphStep {
  const { id, agent, task, description, dependsOn, outputs, when, joinCount, onFailure } = step;
  const { forEach, repeat, approval, origin } = step;
  return {
    id,
    role: agent,
    task,
    dependsOn: [...dependsOn],
    outputs: [...outputs],
    ...(description === undefined ? {} : { description }),
    ...(when === undefined ? {} : { when }),
    ...(joinCount === dependsOn.length || origin !== undefined ? {} : { join: joinCount }),
    ...(onFailure === "fail" ? {} : { onFailure }),
    ...(forEach === undefined ? {} : { forEach }),
    ...(repeat === undefined ? {} : { repeat: { ...repeat } }),
    ...(approval ? { approval } : {}),
    ...(origin === undefined ? {} : { of: origin.of }),
  };
}

export function dispatchView(dispatch: Dispatch, run: string): DispatchView {
  const { step, n, attempt, role, task, agent, readySeq, endedSeq, end, inputs, report } = dispatch;
  return {
    n,
    attempt,
    role,
    task,
    agent,
    readySeq,
    readyAt: isoTime(dispatch.readyAt),
    dispatchedAt: timeOrNull(dispatch.dispatchedAt),
    startedAt: timeOrNull(dispatch.startedAt),
    endedAt: timeOrNull(dispatch.endedAt),
    endSeq: endedSeq ?? null,
    end: end ?? null,
    inputs: inputs ?? null,
    outputs: report?.outputs ?? null,
    error: report?.error ?? null,
    handoff: report?.handoff ?? null,
    child: role === ORCHESTRATOR_ROLE ? childRunId({ run, step, n }) : null,
    usage: report?.usage ?? null,
  };
}

export function agentView(agent: AgentPresence): AgentView {
  return { ...agent, startedAt: isoTime(agent.startedAt) };
}

export function liveView(message: LiveMessage & { role: string }): LiveEvent["messages"][number] {
  const { run: _, ...rest } = message;
  return rest;
}

export function timeOrNull(epochMs: number | undefined): string | null {
  return epochMs === undefined ? null : isoTime(epochMs);
}
