/**
 * A planner that is an agent of the swarm, behind the port of the language models: what it is asked, and its
 * answer as the text that is checked like theirs.
 *
 * Owns what is told to it. It is an agent like any other, so values of the environment are; large ones are not.
 */
import { holdsReference } from "../bus/claim-check.ts";
import type { RunFold } from "../fold/run-fold.ts";
import type { Advisor } from "../planner/counsel.ts";
import type { ModelAnswer, ModelRequest } from "../planner/plan-model.ts";
import type { Capability, RoleCard } from "../workflow/capability.ts";
import { PLANNER_ROLE, type PlannerQuestion } from "../workflow/planner-task.ts";
import { RESERVED_ROLES } from "../workflow/reserved-roles.ts";
import { leftToSpend } from "./left-to-spend.ts";
import type { PlannerDesk } from "./planner-desk.ts";

/** Of one answer, and of all to one question (L8). */
const ANSWER_MS = 10_000;
const TOTAL_MS = 30_000;
/** Larger values are named, not told. */
const VALUE_CHARS = 4_096;
const VALUES_CHARS = 65_536;

/** @param about what is asked; the same over a failover */
export function plannerAgent(
  fold: RunFold,
  desk: PlannerDesk,
  cards: readonly RoleCard[],
  about: string,
  now: () => number,
): Advisor {
  const propose = async (request: ModelRequest): Promise<ModelAnswer> => {
    // What its answers have cost so far is in the log.
    const { tokensLeft = 1, usdLeft = 1 } = leftToSpend(fold);
    if (tokensLeft <= 0 || usdLeft <= 0)
      return { failure: "the budget of the run is spent", usage: { tokens: 0 } };
    const reply = await desk.ask({
      task: request.task,
      about,
      round: request.refused.length + 1,
      errors: request.refused.at(-1)?.errors ?? [],
      inputs: { ...questionOf(request, fold, cards) },
      timeoutMs: ANSWER_MS,
    });
    // Its result counts what it has cost.
    const usage = { tokens: 0 };
    return "failure" in reply
      ? { failure: reply.failure, usage }
      : { text: JSON.stringify(reply.outputs), usage };
  };
  const model = { name: "the swarm's planner", propose };
  return { model, decides: true, timeoutMs: ANSWER_MS, totalMs: TOTAL_MS, now };
}

function questionOf(
  { goals, want, situation, refused }: ModelRequest,
  fold: RunFold,
  cards: readonly RoleCard[],
): PlannerQuestion {
  const { told, large } = smallOnes(fold.environment.values);
  return {
    goals: [...goals],
    want: [...want],
    roles: cards
      .filter(({ role }) => role !== PLANNER_ROLE && !RESERVED_ROLES.includes(role))
      .map(({ tasks, ...role }) => ({ ...role, tasks: tasks.map(withoutSchemas) })),
    environment: told,
    large,
    inputs: smallOnes(fold.inputs).told,
    ...(situation !== undefined && { situation }),
    refused: refused.map(({ errors }) => ({ errors: [...errors] })),
  };
}

function withoutSchemas({ inputSchema: _, outputSchema: __, ...capability }: Capability): Capability {
  return capability;
}

function smallOnes(values: Readonly<Record<string, unknown>>): {
  told: Record<string, unknown>;
  large: string[];
} {
  const told: Record<string, unknown> = {};
  const large: string[] = [];
  let left = VALUES_CHARS;
  for (const [key, value] of Object.entries(values)) {
    const size = JSON.stringify(value)?.length ?? 0;
    if (holdsReference(value) || size > Math.min(VALUE_CHARS, left)) {
      large.push(key);
      continue;
    }
    told[key] = value;
    left -= size;
  }
  return { told, large };
}
