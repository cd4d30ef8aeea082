/**
 * Roles that no agent serves: the runtime itself knows what their steps wait for.
 *
 * A step of role `human` asks people, one of role `signal` waits for data by name, and `orchestrator` is the
 * runtime's own. Agents that announce one of them are refused, and no plan uses them.
 */
import { InvalidInputError } from "./errors.ts";

export const HUMAN_ROLE = "human";
export const SIGNAL_ROLE = "signal";
export const ORCHESTRATOR_ROLE = "orchestrator";

export const RESERVED_ROLES: readonly string[] = [HUMAN_ROLE, SIGNAL_ROLE, ORCHESTRATOR_ROLE];

/** Whether a step of this role is done by an answer from outside, not by an agent. */
export function isAnswered(role: string): boolean {
  return role === HUMAN_ROLE || role === SIGNAL_ROLE;
}

/** @throws InvalidInputError `E_RESERVED_ROLE` for a role that agents cannot serve */
export function assertServable(role: string): void {
  if (!RESERVED_ROLES.includes(role)) return;
  throw new InvalidInputError(
    "E_RESERVED_ROLE",
    `the role "${role}" is the runtime's own: no agent can serve it`,
    { remedy: `Give the agent another role than ${RESERVED_ROLES.join(", ")}.`, data: { role } },
  );
}
