/** What a person allows a run to spend, as written on the command line: `tokens=50000 usd=2.5 wall=1h`. */
import { BUDGET_RESOURCES, type BudgetDocument, budgetSchema } from "../workflow/budget.ts";
import { InvalidInputError } from "../workflow/errors.ts";

/** @throws InvalidInputError naming the resources that there are */
export function budgetFlag(pairs: readonly string[]): BudgetDocument {
  const given: Record<string, unknown> = {};
  for (const pair of pairs.flatMap((several) => several.split(","))) {
    const equals = pair.indexOf("=");
    const [name, amount] = [pair.slice(0, equals), pair.slice(equals + 1)];
    if (name === "onLimit") given[name] = amount;
    else if (BUDGET_RESOURCES.some((resource) => resource === name))
      given[name] = name === "wall" ? amount : Number(amount);
    else throw invalidBudget(pair, undefined);
  }
  const parsed = budgetSchema.safeParse(given);
  if (parsed.success) return parsed.data;
  throw invalidBudget(pairs.join(" "), parsed.error.issues[0]?.message);
}

function invalidBudget(text: string, problem: string | undefined): InvalidInputError {
  const why = problem === undefined ? "" : `: ${problem}`;
  return new InvalidInputError("E_BUDGET_FLAG", `--budget "${text}" is no budget${why}`, {
    remedy: "Write it like --budget tokens=50000 usd=2.5 wall=1h dispatches=200.",
  });
}
