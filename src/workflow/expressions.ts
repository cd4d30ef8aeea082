/**
 * Evaluating what a workflow says: conditions, expressions and templates. The language is described in
 * `cel.ts`, the `${…}` notation in `template.ts`.
 */
import { compileExpression, ExpressionError, type ExpressionScope } from "./cel.ts";

export { compileExpression, ExpressionError, type ExpressionScope } from "./cel.ts";
export { resolveTemplate } from "./template.ts";

/**
 * Evaluates an expression; the result is plain data.
 * @throws ExpressionError when it does not compile or fails on this scope
 */
export function evaluateExpression(source: string, scope: ExpressionScope): unknown {
  return compileExpression(source).evaluate(scope);
}

/**
 * Evaluates a condition.
 * @throws ExpressionError also when the result is not a boolean: there is no truthiness in CEL
 */
export function evaluateCondition(source: string, scope: ExpressionScope): boolean {
  const result = evaluateExpression(source, scope);
  if (typeof result === "boolean") return result;
  throw new ExpressionError(`The condition \`${source}\` gives ${describe(result)}, not true or false.`, {
    remedy: "Compare with something, for example `… != null` or `size(…) > 0`.",
    data: { source },
  });
}

function describe(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object") return "a map";
  return typeof value === "string" ? "text" : String(value);
}
