/** Names that travel in subjects and files: ids, roles, environment keys, and durations. */
import { z } from "zod";

/** Ids of runs, steps, agents and roles: NATS subject tokens and safe in file names. */
export const ID_PATTERN = /^[A-Za-z0-9_-]{1,64}$/;
/**
 * A dispatchable step on the wire: an id, or a step made from it. `<id>~<index>` is an item of a fan-out,
 * `~undo` behind either is what undoes it. `~plan` is no step: a question to the swarm's own planner.
 */
export const STEP_REF_PATTERN = /^(?:[A-Za-z0-9_-]{1,64}(?:~[0-9]{1,6})?(?:~undo)?|~plan)$/;

const idMessage = "must match [A-Za-z0-9_-]{1,64}";
export const idSchema = z.string().regex(ID_PATTERN, idMessage);
export const stepRefSchema = z
  .string()
  .regex(STEP_REF_PATTERN, "must be a step id, <id>~<index>, one of them with ~undo, or ~plan");
/** A top-level environment key. Dots address inside values, so they are no part of a key. */
export const envKeySchema = z.string().regex(ID_PATTERN, idMessage);

const DURATION_PATTERN = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/;
const UNIT_MS: Record<string, number> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/**
 * Reads `500ms`, `30s`, `5m`, `2h` or `1d` as milliseconds.
 * @returns undefined when the text is not a duration.
 */
export function parseDuration(text: string): number | undefined {
  const match = DURATION_PATTERN.exec(text.trim());
  if (!match) return undefined;
  return Number(match[1]) * (UNIT_MS[match[2] as string] as number);
}

export const durationSchema = z
  .string()
  .regex(DURATION_PATTERN, "must be a duration such as 500ms, 30s, 5m or 2h");
