/** Catches a page about workflow files whose examples, expressions or bounds are not true. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { WORKFLOW_LIMITS } from "../../src/workflow/document.ts";
import { WORKFLOW_ISSUE_CODES } from "../../src/workflow/errors.ts";
import { evaluateExpression, resolveTemplate } from "../../src/workflow/expressions.ts";
import { parseWorkflow, WORKFLOW_TEXT_LIMIT } from "../../src/workflow/parse.ts";
import { TEMPLATE_MAX_DEPTH } from "../../src/workflow/template.ts";

const page = readFileSync(new URL("../../docs/workflow.md", import.meta.url), "utf8");
const examples = [...page.matchAll(/```yaml\n(.*?)```/gs)].map(([, text]) => text ?? "");
const expressions = page
  .slice(page.indexOf("## Expressions"), page.indexOf("## What is checked"))
  .split("\n")
  .filter((line) => line.startsWith("| `"))
  .flatMap((line) =>
    [...(line.split(" | ")[0] ?? "").matchAll(/`([^`]+)`/g)].map(([, source]) => source ?? ""),
  );

const SCOPE = {
  inputs: {},
  env: { n: 3, x: 1, "my-key": "v", clean: null, rows: [{ price: 11 }] },
  steps: { "my-step": { outputs: { rows: 5 } } },
};

describe("docs/workflow.md", () => {
  it("shows at least two workflows, all of them valid", () => {
    expect(examples.length).toBeGreaterThanOrEqual(2);
    for (const text of examples) expect(parseWorkflow(text).issues).toEqual([]);
  });

  it("shows a join whose input works whichever dependency came first", () => {
    const found = parseWorkflow(examples[1] ?? "").graph?.step("answer").inputs.found;
    const resolve = (env: Record<string, unknown>) => resolveTemplate(found, { ...SCOPE, env });
    expect([resolve({ fast: [1] }), resolve({ slow: [2] }), resolve({})]).toEqual([[1], [2], []]);
  });

  it("shows expressions that evaluate", () => {
    expect(expressions.length).toBeGreaterThanOrEqual(10);
    const results = expressions.map((source) => [source, evaluateExpression(source, SCOPE)]);
    expect(Object.fromEntries(results)).toMatchObject({
      "env.n + 1": 4,
      "7 / 2": 3,
      "7 / 2.0": 3.5,
      "env.?x.orValue(0)": 1,
      "env.clean != null": false,
      '"rows: " + string(env.n)': "rows: 3",
    });
  });

  it("lists every code and the bounds as they are", () => {
    for (const code of WORKFLOW_ISSUE_CODES) expect(page).toContain(`\`${code}\``);
    const number = (value: number) => value.toLocaleString("en-US");
    for (const text of [
      `${number(WORKFLOW_LIMITS.steps)} steps`,
      `${number(WORKFLOW_LIMITS.dependenciesPerStep)} dependencies`,
      `${number(WORKFLOW_LIMITS.maxAttempts)} attempts`,
      `${number(WORKFLOW_LIMITS.expressionChars)} characters`,
      `${TEMPLATE_MAX_DEPTH} levels`,
      `${WORKFLOW_LIMITS.timeoutMs / 86_400_000} days`,
      `${WORKFLOW_TEXT_LIMIT / 2 ** 20} Mi characters`,
    ]) {
      expect(page).toContain(text);
    }
  });
});
