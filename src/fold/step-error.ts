/** What went wrong with a step, in the words of the wire. */
import type { RunError } from "../bus/decisions.ts";
import type { WireError } from "../bus/messages.ts";
import type { StepContext } from "../machines/step.ts";
import { DataHammerError } from "../workflow/errors.ts";

/** The error that a run fails with when this step has failed for good. */
export function runErrorOf(context: StepContext): RunError {
  const last = context.failures.at(-1)?.error;
  return {
    code: last?.code ?? last?.name ?? "E_FAILED",
    message: last?.message ?? "failed",
    step: context.id,
  };
}

/** An expression of the step failed, or what it gave cannot be used: another attempt would fare no better. */
export function expressionError(thrown: unknown): WireError {
  if (!(thrown instanceof DataHammerError)) throw thrown;
  return { name: thrown.name, code: thrown.code, message: thrown.message, retryable: false };
}

export function repeatLimit(until: string, max: number): DataHammerError {
  const message = `${max} iterations were done, the most that repeat allows, and \`${until}\` is not true`;
  return new DataHammerError("E_REPEAT_LIMIT", message);
}

/** A value does not match the schema that the workflow declares for its key. */
export function schemaError(problem: string): WireError {
  const message = `a value does not match the schema of its key: ${problem}`;
  return { name: "EnvironmentSchemaError", code: "E_ENV_SCHEMA", message, retryable: false };
}
