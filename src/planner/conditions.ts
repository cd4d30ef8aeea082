/**
 * What a capability's guard (`when`) and `cost` come to before anything has run.
 *
 * Both are CEL over `env` and `inputs`. An expression is decided now when every environment key that it
 * reads is known. One that reads a key which only a task will write is open: the guard is assumed to hold
 * and checked again when the step is ready, the cost is estimated.
 */
import type { Capability } from "../workflow/capability.ts";
import { compileExpression } from "../workflow/cel.ts";
import { DataHammerError } from "../workflow/errors.ts";
import { evaluateCondition, evaluateExpression } from "../workflow/expressions.ts";

/** Cost of a task that says nothing, or whose cost cannot be known yet. */
const DEFAULT_COST = 1;

export interface Facts {
  readonly environment: Readonly<Record<string, unknown>>;
  readonly inputs: Readonly<Record<string, unknown>>;
  /** Keys that some task could still write. */
  readonly obtainable: ReadonlySet<string>;
}

export type GuardVerdict =
  | { readonly state: "holds" }
  /** Reads keys that tasks have yet to write. */
  | { readonly state: "open"; readonly reads: readonly string[] }
  /** `failed`: it is no usable condition here, rather than a condition that says no. */
  | { readonly state: "refused"; readonly reason: string; readonly failed: boolean };

export type CostVerdict =
  /** `reads`: keys that will tell what it really costs. */
  | { readonly cost: number; readonly estimated: boolean; readonly reads: readonly string[] }
  | { readonly refused: string };

export function judgeGuard(capability: Capability, facts: Facts): GuardVerdict {
  const source = capability.when;
  if (source === undefined) return { state: "holds" };
  try {
    const reads = openReads(source, facts);
    if (reads.length > 0) return { state: "open", reads };
    if (evaluateCondition(source, scopeOf(facts))) return { state: "holds" };
    return { state: "refused", reason: `its guard \`${source}\` is false here`, failed: false };
  } catch (error) {
    return { state: "refused", reason: `its guard cannot be decided: ${textOf(error)}`, failed: true };
  }
}

export function judgeCost(capability: Capability, facts: Facts): CostVerdict {
  const source = capability.cost;
  const fallback = capability.estimate ?? DEFAULT_COST;
  if (source === undefined) return checked(fallback, true);
  if (typeof source === "number") return checked(source, false);
  try {
    const reads = openReads(source, facts);
    if (reads.length > 0) return checked(fallback, true, undefined, reads);
    return checked(evaluateExpression(source, scopeOf(facts)), false, source);
  } catch (error) {
    return { refused: `its cost cannot be computed: ${textOf(error)}` };
  }
}

/** A negative cost would make endless repetition the best plan, and what is not a number cannot be compared. */
function checked(
  cost: unknown,
  estimated: boolean,
  source?: string,
  reads: readonly string[] = [],
): CostVerdict {
  if (typeof cost === "number" && Number.isFinite(cost) && cost >= 0) return { cost, estimated, reads };
  const shown =
    typeof cost === "number" ? String(cost) : (JSON.stringify(cost) ?? String(cost)).slice(0, 100);
  const origin = source === undefined ? "" : ` (from \`${source}\`)`;
  return { refused: `its cost is ${shown}${origin}; it must be a finite number of at least 0` };
}

function openReads(source: string, facts: Facts): string[] {
  const { reads } = compileExpression(source);
  return [...reads.env]
    .filter((key) => !Object.hasOwn(facts.environment, key) && facts.obtainable.has(key))
    .sort();
}

function scopeOf(facts: Facts) {
  return { inputs: { ...facts.inputs }, env: { ...facts.environment }, steps: {} };
}

function textOf(error: unknown): string {
  if (error instanceof DataHammerError) {
    return error.remedy === undefined ? error.message : `${error.message} ${error.remedy}`;
  }
  return error instanceof Error ? error.message : String(error);
}
