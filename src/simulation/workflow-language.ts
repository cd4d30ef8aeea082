/** The language of workflows of users: judged with the runtime's own evaluation (see `language.ts`). */
import { evaluateCondition, evaluateExpression, resolveTemplate } from "../workflow/expressions.ts";
import { KeptValues } from "./kept-values.ts";
import type { Language, Scope } from "./language.ts";

export const WORKFLOW_LANGUAGE: Language = {
  kept: new KeptValues(),
  // What went by claim check is out of reach here.
  looks: () => false,
  holds: (condition, scope) => evaluateCondition(condition, inCel(scope)),
  list: (source, scope) =>
    typeof source === "string"
      ? evaluateExpression(source, inCel(scope))
      : resolveTemplate(source, inCel(scope)),
  resolve: (template, scope) => resolveTemplate(template, inCel(scope)) as Record<string, unknown>,
};

/** Counters are CEL integers. */
function inCel({ index, iteration, ...scope }: Scope): Parameters<typeof evaluateExpression>[1] {
  return {
    ...scope,
    ...(index === undefined ? {} : { index: BigInt(index) }),
    ...(iteration === undefined ? {} : { iteration: BigInt(iteration) }),
  };
}
