/**
 * Asking somebody who is not believed: a language model, or a planner that is an agent.
 *
 * Owns how often one is asked, for how long and for how many tokens, and that a wrong answer goes back with its
 * errors. Does not own what is asked, nor what an answer may say or change.
 *
 *  - C1 It ends: after `repairs` corrections, `totalMs` together, or the tokens or money that are left (L8).
 *  - C2 A counsellor that is slow, gone or wrong is an outcome, not an exception.
 */
import { amountOf } from "../workflow/budget.ts";
import type { ModelAnswer, ModelRequest, ModelUsage, PlanModel, RefusedAnswer } from "./plan-model.ts";

export interface Advisor {
  readonly model: PlanModel;
  /** Of one answer. */
  readonly timeoutMs: number;
  /** Of all answers to one question. Default: twice the time of one. */
  readonly totalMs?: number;
  /** How often a wrong answer may be corrected. Default 2. */
  readonly repairs?: number;
  /** Whether values of environment and inputs may be told, beside their types and sizes. */
  readonly allowValues?: boolean;
  /** A swarm's own planner: asked about every plan, and what it proposes is taken though another way costs less. */
  readonly decides?: boolean;
  /** Monotonic ms (L7). */
  readonly now: () => number;
}

export interface Advice {
  /** Who was asked. */
  readonly by: string;
  readonly taken: boolean;
  /** What became of it, and why. */
  readonly note: string;
  readonly asked: number;
  readonly usage: ModelUsage;
}

/** What to ask about. */
export interface CounselRequest<T> {
  /** All but what the counsel itself adds. */
  readonly question: Omit<ModelRequest, "refused" | "timeoutMs" | "tokensLeft">;
  /** Tokens that may be spent. Default: no bound. */
  readonly tokensLeft?: number;
  /** Money that may be spent. Default: no bound. */
  readonly usdLeft?: number;
  /** What an answer leads to, or what is wrong with it. */
  consider(text: string): { readonly value: T } | { readonly errors: readonly string[] };
}

export type CounselOutcome<T> =
  | { readonly value: T; readonly refused: number; readonly asked: number; readonly usage: ModelUsage }
  | { readonly failure: string; readonly asked: number; readonly usage: ModelUsage };

const DEFAULT_REPAIRS = 2;
/** A model's window is finite: beyond so many tasks it is not asked. */
const MOST_TASKS = 1_000;
const ANSWER_KEPT = 4_000;

export async function takeCounsel<T>(
  advisor: Advisor,
  request: CounselRequest<T>,
): Promise<CounselOutcome<T>> {
  const { now, timeoutMs, totalMs = 2 * timeoutMs, repairs = DEFAULT_REPAIRS } = advisor;
  const refused: RefusedAnswer[] = [];
  let usage: ModelUsage = { tokens: 0 };
  let asked = 0;
  const failed = (failure: string): CounselOutcome<T> => ({ failure, asked, usage });
  const tasks = request.question.roles.reduce((sum, role) => sum + role.tasks.length, 0);
  if (tasks > MOST_TASKS) return failed(`it is not asked about ${tasks} tasks, ${MOST_TASKS} at most`);
  const endsAt = now() + totalMs;
  while (asked <= repairs) {
    const leftMs = endsAt - now();
    if (leftMs < 1) return failed(`it had ${totalMs} ms in all`);
    const left = request.tokensLeft === undefined ? undefined : request.tokensLeft - usage.tokens;
    if (left !== undefined && left <= 0) return failed(`the budget of ${request.tokensLeft} tokens is spent`);
    const { usdLeft } = request;
    if (usdLeft !== undefined && usdLeft <= (usage.usd ?? 0))
      return failed(`the budget of ${amountOf("usd", usdLeft)} is spent`);
    asked += 1;
    const answer = await propose(advisor.model, {
      ...request.question,
      refused: [...refused],
      timeoutMs: Math.min(timeoutMs, leftMs),
      ...(left !== undefined && { tokensLeft: left }),
    });
    usage = sum(usage, answer.usage);
    if ("failure" in answer) return failed(answer.failure);
    const considered = request.consider(answer.text);
    if ("value" in considered) return { value: considered.value, refused: refused.length, asked, usage };
    refused.push({ answer: answer.text.slice(0, ANSWER_KEPT), errors: considered.errors });
  }
  const last = refused.at(-1)?.errors.join("; ");
  return failed(`its ${asked} answers were refused, the last one because ${last}`);
}

async function propose(model: PlanModel, request: ModelRequest): Promise<ModelAnswer> {
  try {
    return await model.propose(request);
  } catch (error) {
    return { failure: `it failed: ${String(error).slice(0, 200)}`, usage: { tokens: 0 } };
  }
}

function sum(spent: ModelUsage, { tokens, usd }: ModelUsage): ModelUsage {
  const money = (spent.usd ?? 0) + Math.max(0, usd ?? 0);
  return {
    tokens: spent.tokens + Math.max(0, tokens),
    ...((usd !== undefined || spent.usd !== undefined) && { usd: money }),
  };
}
