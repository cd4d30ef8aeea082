// biome-ignore-all lint/suspicious/noTemplateCurlyInString: texts with ${…} are what workflows are made of.
/** Catches input that makes the validation throw, hang, or answer with something other than issues. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { WORKFLOW_ISSUE_CODES } from "../../src/workflow/errors.ts";
import { ExpressionError, evaluateExpression, resolveTemplate } from "../../src/workflow/expressions.ts";
import { type Validation, validateWorkflow } from "../../src/workflow/graph.ts";
import { parseWorkflow } from "../../src/workflow/parse.ts";

const REPORT = `name: report
inputs: { path: ./sales.csv }
steps:
  - &base { id: load, agent: loader, task: load, inputs: { path: "\${inputs.path}" }, outputs: [dataset] }
  - <<: *base
    id: clean
    dependsOn: [load]
    when: "env.dataset.nullCells > 0"
    inputs: { d: "\${env.dataset}", note: 'say "\${steps.load.outputs}" $\${x}' }
    outputs: [clean]
outputs: { data: "\${env.dataset}" }
`;

function expectVerdict({ graph, issues }: Validation, withLines: boolean): void {
  expect(graph === undefined).toBe(issues.length > 0);
  for (const issue of issues) {
    expect(WORKFLOW_ISSUE_CODES).toContain(issue.code);
    expect(issue.message.length).toBeGreaterThan(0);
    if (withLines && issue.code !== "E_PARSE" && issue.code !== "E_LIMIT")
      expect(issue.line).toBeGreaterThan(0);
  }
}

describe("whatever comes in", () => {
  it("a text gets a graph or issues", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 200 }), (text) =>
        expectVerdict(parseWorkflow(text), true),
      ),
    );
  });

  it("a workflow file with a damaged place gets a graph or issues, each with a line", () => {
    const junk = fc.oneof(
      fc.string({ maxLength: 6 }),
      fc.constantFrom("${", "}", "*base", "- ", "\n", "[", "{", "'", '"', ": "),
    );
    fc.assert(
      fc.property(fc.nat(REPORT.length), fc.nat(12), junk, (start, length, inserted) => {
        const text = REPORT.slice(0, start) + inserted + REPORT.slice(start + length);
        expectVerdict(parseWorkflow(text), true);
      }),
      { numRuns: 500 },
    );
  });

  it("a value of any kind gets a graph or issues", () => {
    const anything = fc.anything({
      withBigInt: true,
      withDate: true,
      withMap: true,
      withNullPrototype: true,
    });
    const step = fc.record(
      {
        id: fc.oneof(fc.constantFrom("a", "b", "__proto__"), anything),
        agent: fc.oneof(fc.constant("r"), anything),
        task: fc.oneof(fc.constant("t"), anything),
        dependsOn: fc.oneof(fc.array(fc.constantFrom("a", "b", "__proto__", "x")), anything),
        outputs: fc.oneof(fc.array(fc.constantFrom("k", "constructor")), anything),
        inputs: fc.oneof(fc.dictionary(fc.string(), fc.constantFrom("${env.k}", "${", 1)), anything),
        when: fc.oneof(fc.constantFrom("env.k > 1", "1 +", "has(env.constructor)"), anything),
        join: fc.oneof(fc.constantFrom("any", 1, 2), anything),
        retry: anything,
      },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(
        fc.oneof(anything, fc.record({ steps: fc.oneof(fc.array(step, { maxLength: 4 }), anything) })),
        (input) => expectVerdict(validateWorkflow(input), false),
      ),
      { numRuns: 500 },
    );
  });

  it("an expression gives a value or an ExpressionError", () => {
    const token = fc.constantFrom(
      ..."env . x inputs steps [ ] ( ) { } + - * / % ! == < > && || ? : , 1 2.5 'a' true null has size map in \" ' \\".split(
        " ",
      ),
    );
    const scope = { inputs: {}, env: { x: [1, { a: null }], "": 1 }, steps: {} };
    const orError = (action: () => unknown) => {
      try {
        action();
      } catch (error) {
        expect(error).toBeInstanceOf(ExpressionError);
      }
    };
    fc.assert(
      fc.property(fc.array(token, { maxLength: 12 }), (tokens) => {
        orError(() => evaluateExpression(tokens.join(" "), scope));
        orError(() => resolveTemplate(`a \${${tokens.join("")}} b`, scope));
      }),
      { numRuns: 2_000 },
    );
  });
});
