/**
 * What a folded run looks like to people and programs: plain data, as `show --json` prints it.
 *
 * Owns the shapes only; every fact comes from the fold (L1).
 */
import type { RunStatus } from "../bus/messages.ts";
import type { FanOutProgress } from "../fold/fan-outs.ts";
import type { RunFold } from "../fold/run-fold.ts";
import type { Spent } from "../fold/spending.ts";
import { type WaitView, waitViewOf } from "../fold/wait-view.ts";
import type { StepFailure, StepHop, StepOutcome, StepState } from "../machines/step.ts";
import { amountOf, type BudgetLimits, paidSum } from "../workflow/budget.ts";
import { stepLabel } from "../workflow/derived-step.ts";
import { ORCHESTRATOR_ROLE } from "../workflow/reserved-roles.ts";
import { masked } from "../workflow/secrets.ts";
import { type PlanView, planViewOf } from "./plan-view.ts";

/** One step as `show --json` prints it. */
export interface StepView {
  state: StepState;
  /** How it ended; null while it is open. */
  outcome: StepOutcome | null;
  /** 0 while it was never given out; a handoff or a lost task does not count. */
  attempts: number;
  /** The agent that has or had it last. */
  agent: string | null;
  /** What went wrong so far, oldest first; absent when nothing did. */
  failures?: FailureView[];
  /** How often a repeated step was begun; absent for one that was done once at most. */
  iteration?: number;
  /** Who handed it on, oldest first; absent when nobody did. */
  handoffs?: StepHop[];
  /** How far a step that fans out is; each item is a step of its own beside it, named `<id>[<index>]`. */
  items?: FanOutProgress;
  /** The nested run that does it. */
  child?: string;
  /** Of all its dispatches together; absent while nothing was reported. */
  spent?: Spent;
  /** Other tasks that were tried for it, oldest first; absent when none was. */
  tried?: { role: string; task: string }[];
  /** What it waits for from outside, while it does. */
  waiting?: WaitView;
}

/** One failure of a step: of which dispatch and attempt, by whom. */
export interface FailureView {
  n: number;
  attempt: number;
  agent: string | null;
  name: string;
  code?: string;
  message: string;
  retryable: boolean;
}

/** One run as `show --json` prints it: folded from its log up to `seq`. */
export interface RunView {
  run: string;
  name: string;
  status: RunStatus;
  outputs: Record<string, unknown>;
  environment: Record<string, unknown>;
  steps: Record<string, StepView>;
  error?: { code: string; message: string; step?: string };
  /** The step whose nested run this is. */
  parent?: { run: string; step: string };
  /** The steps that undid others, in their order; absent when nothing was undone. */
  compensations?: ({ step: string; error?: { code: string; message: string } } & StepView)[];
  /** The first record that a newer DataHammer wrote: what is shown is what was understood. */
  newer?: { seq: number; version: number };
  /**
   * Why it is paused: `E_BUDGET`, or `E_PAUSED` by a person. `above` is the run at whose limit it waits, if that is
   * not its own; `below` are nested runs that wait at this one's.
   */
  pause?: { code: string; message: string; above?: string; below?: string[] };
  /** Of a planned run, or one whose plan was changed: see `PlanView`. */
  plan?: PlanView;
  /** The run that it repeats or goes on from, and which steps it took over. */
  origin?: { run: string; seq: number; from?: string; kept: string[] };
  spent: Spent;
  /** What it may spend; `wall` in ms. */
  budget?: BudgetLimits & { onLimit: "pause" | "fail" };
  startedAt: string;
  endedAt: string | null;
  durationMs: number;
  seq: number;
}

/**
 * The view of a run that has a submission.
 * @param now epoch ms: how long an open run has taken so far
 */
export function viewOf(fold: RunFold, now: number): RunView {
  const startedAt = fold.startedAt ?? now;
  const endedAt = fold.ended ? fold.endedAt : undefined;
  const steps: Record<string, StepView> = {};
  for (const { id } of fold.steps?.all() ?? []) steps[stepLabel(id)] = stepViewOf(fold, id);
  return masked(fold.secrets, {
    run: fold.run,
    name: nameOf(fold),
    status: fold.status,
    ...(fold.newer === undefined ? {} : { newer: fold.newer }),
    outputs: fold.outputs,
    environment: { ...fold.environment.values },
    steps,
    ...(fold.error === undefined ? {} : { error: errorView(fold.error) }),
    ...pauseView(fold),
    ...parentView(fold),
    ...compensationsView(fold),
    ...planViewOf(fold, (id) => stepViewOf(fold, id)),
    ...originView(fold),
    spent: spentView(fold.spending.total),
    ...budgetView(fold),
    startedAt: isoTime(startedAt),
    endedAt: endedAt === undefined ? null : isoTime(endedAt),
    durationMs: Math.max(0, Math.round((endedAt ?? now) - startedAt)),
    seq: fold.lastSeq,
  });
}

function stepViewOf(fold: RunFold, id: string): StepView {
  const { state, context } = fold.step(id);
  const spent = fold.spending.of(id);
  const waiting = fold.waits.size === 0 ? undefined : waitViewOf(fold, id);
  const items = fold.fanOutOf(id);
  return {
    state,
    outcome: context.outcome,
    attempts: context.n === 0 ? 0 : context.attempt,
    agent: context.agent,
    ...(context.role === ORCHESTRATOR_ROLE && context.agent !== null ? { child: context.agent } : {}),
    ...(context.failures.length === 0 ? {} : { failures: context.failures.map(failureView) }),
    ...(context.iteration === 1 ? {} : { iteration: context.iteration }),
    ...(context.hops.length === 0 ? {} : { handoffs: context.hops }),
    ...(context.tried.length === 0 ? {} : { tried: context.tried }),
    ...(items === undefined ? {} : { items }),
    ...(spent === undefined || spent.tokens + spent.usd === 0 ? {} : { spent: spentView(spent) }),
    ...(waiting ? { waiting } : {}),
  };
}

export function parentView({ submission }: RunFold): Pick<RunView, "parent"> | undefined {
  const parent = submission?.parent;
  return parent && { parent: { run: parent.run, step: parent.step } };
}

function compensationsView(fold: RunFold): Pick<RunView, "compensations"> | undefined {
  if (fold.compensations.length === 0) return undefined;
  const compensations = fold.compensations.map(({ id }) => {
    const { state, context } = fold.step(id);
    const error = state === "failed" ? context.failures.at(-1)?.error : undefined;
    const why = error && { code: error.code ?? error.name, message: error.message };
    return { step: stepLabel(id), ...stepViewOf(fold, id), ...(why ? { error: why } : {}) };
  });
  return { compensations };
}

export function pauseView({ pause, waitsBelow }: RunFold): Pick<RunView, "pause"> | undefined {
  if (pause === undefined) return undefined;
  const { code, message, above } = pause;
  const below = waitsBelow.map(({ child }) => child);
  const where = { ...(above === undefined ? {} : { above }), ...(below.length === 0 ? {} : { below }) };
  return { pause: { code, message, ...where } };
}

export function budgetView({ budget }: RunFold): Pick<RunView, "budget"> | undefined {
  return budget === undefined ? undefined : { budget: { ...budget.limits, onLimit: budget.onLimit } };
}

export function originView({ submission }: RunFold): Pick<RunView, "origin"> | undefined {
  if (submission?.origin === undefined) return undefined;
  const { run, seq, from, steps } = submission.origin;
  const kept = steps.map(({ step }) => step);
  return { origin: { run, seq, ...(from === undefined ? {} : { from }), kept } };
}

function failureView({ n, attempt, agent, error }: StepFailure): FailureView {
  const { name, code, message, retryable } = error;
  return { n, attempt, agent, name, ...(code === undefined ? {} : { code }), message, retryable };
}

/** `3 of 4 items`, and how many of them failed. */
export function itemsText({ items, done, failed }: FanOutProgress): string {
  const lost = failed > 0 ? `, ${failed} failed` : "";
  return `${done} of ${items} items${lost}`;
}

/** The workflow's name; a run of goals that has no workflow yet goes by its id. */
export function nameOf(fold: RunFold): string {
  return fold.graph?.name ?? fold.run;
}

export function spentView({ tokens, usd, dispatches }: Readonly<Spent>): Spent {
  return { tokens, usd: paidSum(usd), dispatches };
}

/** `5200 tokens, 0.31 USD, 7 dispatches`: what there is of each. */
export function spentText(spent: Spent): string {
  const resources = (["tokens", "usd", "dispatches"] as const).filter((resource) => spent[resource] > 0);
  return resources.map((resource) => amountOf(resource, spent[resource])).join(", ");
}

/** ISO 8601 with milliseconds. */
export function isoTime(epochMs: number): string {
  if (epochMs !== lastTime.epochMs) lastTime = { epochMs, text: new Date(epochMs).toISOString() };
  return lastTime.text;
}

/** What one record moved has one time, and is told one after the other: the last text is remembered. */
let lastTime = { epochMs: Number.NaN, text: "" };

export function errorView(error: { code: string; message: string; step?: string | undefined }): {
  code: string;
  message: string;
  step?: string;
} {
  const { code, message, step } = error;
  return step === undefined ? { code, message } : { code, message, step };
}
