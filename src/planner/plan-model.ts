/**
 * The port to a language model that proposes plans.
 *
 * Owns what a model is told and what it may answer with: text, whose meaning is checked elsewhere
 * (`plan-proposal.ts`). A model that does not answer is an outcome, not an exception.
 */
import type { RoleCard } from "../workflow/capability.ts";
import type { PlannerTask, PlanSituation } from "../workflow/planner-task.ts";
import type { DataProfile } from "./data-profile.ts";

/** What a model is told of a role: enough to choose by, and none of the values that a card may hold. */
export interface RoleOffer {
  readonly role: string;
  readonly description?: string;
  readonly tasks: readonly {
    readonly name: string;
    readonly description?: string;
    readonly needs: readonly string[];
    readonly uses?: readonly string[];
    readonly gives: readonly string[];
    readonly when?: string;
    readonly cost?: number | string;
  }[];
}

/** An answer that was refused, and why. */
export interface RefusedAnswer {
  readonly answer: string;
  readonly errors: readonly string[];
}

export interface ModelRequest {
  readonly task: PlannerTask;
  readonly goals: readonly string[];
  /** Keys that were asked for by name beside the goals: they are wanted whatever the model says. */
  readonly want: readonly string[];
  readonly roles: readonly RoleOffer[];
  readonly environment: DataProfile;
  readonly inputs: DataProfile;
  /** Of a plan under way. */
  readonly situation?: PlanSituation;
  /** Of this planning, oldest first. */
  readonly refused: readonly RefusedAnswer[];
  /** The answer must be there after this long. */
  readonly timeoutMs: number;
  /** Tokens that the run may still spend. */
  readonly tokensLeft?: number;
}

export interface ModelUsage {
  readonly tokens: number;
  readonly usd?: number;
}

/** `failure` says why there is no text; what was spent counts either way. */
export type ModelAnswer =
  | { readonly text: string; readonly usage: ModelUsage }
  | { readonly failure: string; readonly usage: ModelUsage };

export interface PlanModel {
  readonly name: string;
  propose(request: ModelRequest): Promise<ModelAnswer>;
}

/** A description may be long, or an attempt to drown the rest. */
const DESCRIPTION_LENGTH = 400;

export function offersOf(cards: readonly RoleCard[]): RoleOffer[] {
  return cards.map(({ role, description, tasks }) => ({
    role,
    ...described(description),
    tasks: tasks.map((task) => ({
      name: task.name,
      ...described(task.description),
      needs: task.needs,
      ...(task.uses !== undefined && { uses: task.uses }),
      gives: task.gives,
      ...(task.when !== undefined && { when: task.when }),
      ...(task.cost !== undefined && { cost: task.cost }),
    })),
  }));
}

function described(description: string | undefined): { description?: string } {
  return description === undefined ? {} : { description: description.slice(0, DESCRIPTION_LENGTH) };
}
