// biome-ignore-all lint/suspicious/noTemplateCurlyInString: texts with ${…} are what workflows are made of.
/**
 * Catches a validation that misses a kind of mistake, hides one mistake behind another, invents mistakes in
 * a valid workflow, or does not say where and what to do.
 */
import { describe, expect, it } from "vitest";
import { InvalidWorkflowError, type WorkflowIssue } from "../../src/workflow/errors.ts";
import { type GraphOptions, validateWorkflow, WorkflowGraph } from "../../src/workflow/graph.ts";

const step = (id: string, rest: Record<string, unknown> = {}) => ({
  id,
  agent: "worker",
  task: "work",
  ...rest,
});
const issuesOf = (steps: unknown[], rest: Record<string, unknown> = {}, options: GraphOptions = {}) =>
  validateWorkflow({ ...rest, steps }, options).issues;
const codes = (issues: readonly WorkflowIssue[]) => issues.map(({ code, step: id }) => [code, id]);

describe("the shape of a document", () => {
  it("an unknown property names the property that was probably meant", () => {
    const [issue] = issuesOf([step("a", { dependOn: [] })]);
    expect(issue).toMatchObject({ code: "E_SCHEMA", step: "a", path: "steps.0.dependOn" });
    expect(issue?.message).toContain("Did you mean dependsOn?");
  });

  it("an unknown property that is like no other lists what is allowed", () => {
    const [issue] = issuesOf([step("a")], { zzzzzzzzzz: 1 });
    expect(issue?.message).toContain("Allowed are name, description, inputs");
  });

  it.each([
    [{ agent: undefined }, "agent is missing"],
    [{ agent: 7 }, "agent must be text, is 7"],
    [{ agent: "no spaces" }, "[A-Za-z0-9_-]{1,64}"],
    [{ dependsOn: "a" }, 'dependsOn must be a list, is "a". Write it as [a].'],
    [{ approval: "yes" }, 'approval must be true or false, is "yes"'],
    [
      { compensate: { agent: "b" } },
      "a map with its task, and agent and inputs if need be; its task is missing",
    ],
    [
      { compensate: { task: "undo", role: "b" } },
      'no property "role" here. Allowed are agent, task, inputs.',
    ],
    [{ compensate: ["undo"] }, "compensate must be the name of a task, or a map"],
    [{ dependsOn: null }, "dependsOn must be a list, is empty"],
    [{ outputs: ["a.b"] }, "Item 0 of outputs must match"],
    [{ onFailure: "ignore" }, "one of fail, continue, recover"],
    [{ join: "some" }, "all, any, or a whole number"],
    [{ join: 0 }, "join must be at least 1"],
    [{ join: 2, dependsOn: [] }, "join is 2, but the step has only no dependencies"],
    [{ timeout: "soon" }, "must be a duration"],
    [{ timeout: "0s" }, "at least 1ms"],
    [{ retry: { maxAttempts: 0 } }, "maxAttempts must be at least 1"],
    [{ retry: { attempts: 2 } }, 'There is no property "attempts"'],
  ])("a wrong property says what it must be and what it is: %j", (properties, text) => {
    const issues = issuesOf([step("x", properties)]);
    expect(issues).toHaveLength(1);
    expect(issues[0]).toMatchObject({ code: "E_SCHEMA", step: "x" });
    expect(issues[0]?.message).toContain(text);
  });

  it.each([
    [undefined, "The workflow is empty."],
    [null, "must be a map of properties, is empty"],
    [[], "must be a map of properties, is a list"],
    ["text", 'is "text"'],
    [{}, "steps is missing"],
    [{ steps: [] }, "steps must have at least one entry"],
    [{ steps: [null] }, "Item 0 of steps must be a map"],
  ])("what is no workflow at all is one clear issue: %j", (input, text) => {
    const { graph, issues } = validateWorkflow(input);
    expect(graph).toBeUndefined();
    expect(issues).toHaveLength(1);
    expect(issues[0]?.message).toContain(text);
  });
});

describe("a schema of the environment", () => {
  const messages = (schema: object) =>
    issuesOf([step("a")], { environment: { x: { schema } } }).map(({ code, message }) => [code, message]);

  it.each([
    ["maximum", "number", { maximum: 5 }],
    ["minLength", "string", { type: "array", items: { minLength: 1 } }],
    ["required", "object", { anyOf: [{ type: "null" }, { required: ["n"] }] }],
    ["items", "array", { type: "object", properties: { items: { items: { type: "number" } } } }],
  ])("that says %s of no type says nothing, and is told so", (keyword, type, schema) => {
    const cause = `"${keyword}" says nothing without a type beside it. Add "type": "${type}".`;
    expect(messages(schema)).toEqual([["E_SCHEMA", `The schema of "x" cannot be used: ${cause}`]]);
  });

  it.each([
    { type: ["number", "null"], maximum: 5 },
    { enum: [{ maximum: 5 }] },
    { type: "object", properties: { maximum: { type: "number" } }, required: ["maximum"] },
    {},
  ])("may have any names and data: %j", (schema) => expect(messages(schema)).toEqual([]));

  it("that is in a log already keeps its meaning", () => {
    const document = { steps: [step("a")], environment: { x: { schema: { maximum: 5 } } } };
    const { graph } = validateWorkflow(document, { wasAccepted: true });
    expect(graph?.schemas?.problem("x", 9)).toBeUndefined();
  });
});

it("an unknown property beside a schema of the environment is told what belongs there", () => {
  const [issue] = issuesOf([step("a")], { environment: { x: { schema: {}, type: "number" } } });
  expect(issue?.message).toBe('There is no property "type" here. Allowed are schema.');
});

describe("the graph", () => {
  it("an id that is used twice is reported at the second use", () => {
    const issues = issuesOf([step("a"), step("b"), step("a")]);
    expect(issues).toHaveLength(1);
    expect(issues[0]).toMatchObject({ code: "E_DUPLICATE_ID", step: "a", path: "steps.2.id" });
  });

  it("an unknown dependency names the nearest existing id", () => {
    const [issue] = issuesOf([step("clean"), step("report", { dependsOn: ["claen"] })]);
    expect(issue).toMatchObject({
      code: "E_UNKNOWN_DEPENDENCY",
      step: "report",
      path: "steps.1.dependsOn.0",
    });
    expect(issue?.message).toContain('nearest id is "clean"');
  });

  it("a step that depends on itself is not also called a cycle", () => {
    expect(codes(issuesOf([step("a", { dependsOn: ["a"] })]))).toEqual([["E_SELF_DEPENDENCY", "a"]]);
  });

  it("a cycle is given whole and in order", () => {
    const issues = issuesOf([
      step("a", { dependsOn: ["c"] }),
      step("b", { dependsOn: ["a"] }),
      step("c", { dependsOn: ["b", "free"] }),
      step("free"),
      step("after", { dependsOn: ["a"] }),
    ]);
    expect(codes(issues)).toEqual([["E_CYCLE", "a"]]);
    expect(issues[0]?.message).toContain("a → c → b → a");
  });

  it("each of several separate cycles is reported", () => {
    const pair = (a: string, b: string) => [step(a, { dependsOn: [b] }), step(b, { dependsOn: [a] })];
    expect(codes(issuesOf([...pair("a", "b"), ...pair("c", "d")]))).toEqual([
      ["E_CYCLE", "a"],
      ["E_CYCLE", "c"],
    ]);
  });

  it("the same dependency twice counts once", () => {
    const graph = WorkflowGraph.fromDocument({ steps: [step("a"), step("b", { dependsOn: ["a", "a"] })] });
    expect(graph.step("b").dependsOn).toEqual(["a"]);
    expect(graph.execution().close("a")).toEqual(["b"]);
  });
});

describe("the flow of data", () => {
  const reader = (id: string, text: string, rest = {}) => step(id, { inputs: { x: text }, ...rest });

  it("a key that a step before writes may be read, directly or from further away", () => {
    const steps = [
      step("a", { outputs: ["k"] }),
      step("b", { dependsOn: ["a"] }),
      step("c", { dependsOn: ["b"], when: "env.k > 0", inputs: { deep: [{ x: "${env['k']}" }] } }),
      reader("d", "${steps.a.outputs.extra}", { dependsOn: ["c"] }),
    ];
    expect(issuesOf(steps, { outputs: { k: "${env.k}", a: "${steps.a.outputs}" } })).toEqual([]);
  });

  it("a key that nobody writes is reported with the nearest key", () => {
    const [issue] = issuesOf([step("a", { outputs: ["dataset"] }), reader("b", "${env.datset}")]);
    expect(issue).toMatchObject({ code: "E_UNPRODUCED_INPUT", step: "b", path: "steps.1.inputs.x" });
    expect(issue?.message).toContain('nearest key is "dataset"');
  });

  it("a key that only a step beside or after writes is reported with the missing dependency", () => {
    const issues = issuesOf([
      step("a", { outputs: ["k"] }),
      reader("beside", "${env.k}"),
      reader("before", "${env.late}"),
      step("after", { dependsOn: ["before"], outputs: ["late"] }),
    ]);
    expect(codes(issues)).toEqual([
      ["E_UNPRODUCED_INPUT", "beside"],
      ["E_UNPRODUCED_INPUT", "before"],
    ]);
    expect(issues[0]?.message).toContain('Add "a" to its dependsOn');
  });

  it("a step's own output is not there when the step reads it", () => {
    expect(codes(issuesOf([reader("a", "${env.k}", { outputs: ["k"] })]))).toEqual([
      ["E_UNPRODUCED_INPUT", "a"],
    ]);
    expect(codes(issuesOf([reader("a", "${steps.a.outputs.k}")]))).toEqual([["E_UNPRODUCED_INPUT", "a"]]);
  });

  it("a key that is in the environment before the run needs no writer", () => {
    expect(issuesOf([reader("a", "${env.k}")], {}, { environmentKeys: ["k"] })).toEqual([]);
  });

  it("a key that the expression tests for presence needs no writer", () => {
    const texts = [
      "${has(env.k)}",
      "${has(env.k) ? env.k : 0}",
      '${"k" in env && env.k > 0}',
      "${env.?k.orValue(0)}",
      '${env[?"k"].orValue(0)}',
    ];
    for (const text of texts) expect(issuesOf([reader("a", text)]), text).toEqual([]);
  });

  it("presence of a part needs the whole", () => {
    expect(codes(issuesOf([reader("a", "${has(env.k.part)}")]))).toEqual([["E_UNPRODUCED_INPUT", "a"]]);
  });

  it("variables of macros are not the environment", () => {
    const texts = [
      "${[{'k': 1}].map(env, env.k)}",
      "${[{'k': 1}].filter(env, env.k > 0)}",
      "${[{'k': 1}].map(env, env.k > 0, env.k)}",
      "${cel.bind(env, {'k': 1}, env.k)}",
      "${[1].map(x, x + 1)}",
    ];
    for (const text of texts) expect(issuesOf([reader("a", text)]), text).toEqual([]);
    expect(codes(issuesOf([reader("a", "${env.k.map(env, env.other)}")]))).toEqual([
      ["E_UNPRODUCED_INPUT", "a"],
    ]);
  });

  it("the workflow's outputs may read any step, but not what nobody writes", () => {
    const issues = issuesOf([step("a", { outputs: ["k"] }), step("b")], {
      outputs: { fine: "${env.k}", bad: "${env.q}", lost: "${steps.zz.outputs.x}" },
    });
    expect(issues.map(({ code, path }) => [code, path])).toEqual([
      ["E_UNPRODUCED_INPUT", "outputs.bad"],
      ["E_UNPRODUCED_INPUT", "outputs.lost"],
    ]);
  });

  it("a cycle does not make its readers, or the steps behind it, look unproduced", () => {
    const issues = issuesOf([
      reader("a", "${env.fromB}", { dependsOn: ["b"], outputs: ["fromA"] }),
      reader("b", "${env.fromA}", { dependsOn: ["a"], outputs: ["fromB"] }),
      reader("after", "${env.fromA}", { dependsOn: ["b"] }),
    ]);
    expect(codes(issues)).toEqual([["E_CYCLE", "a"]]);
  });

  it("a member of a step other than outputs is refused with the right spelling", () => {
    const [issue] = issuesOf([step("a"), reader("b", "${steps.a.rows}", { dependsOn: ["a"] })]);
    expect(issue).toMatchObject({ code: "E_EXPRESSION", step: "b" });
    expect(issue?.message).toContain("steps.a.outputs.rows");
  });

  it("two steps that can run at once must not write one key", () => {
    const [issue, ...more] = issuesOf([
      step("start"),
      step("a", { dependsOn: ["start"], outputs: ["k"] }),
      step("b", { dependsOn: ["start"], outputs: ["k"] }),
    ]);
    expect(more).toEqual([]);
    expect(issue).toMatchObject({ code: "E_OUTPUT_CONFLICT", step: "b", path: "steps.2.outputs" });
    expect(issue?.message).toContain('"a" and "b" both write "k"');
  });

  it("steps in a line may all write one key", () => {
    const steps = [
      step("a", { outputs: ["k"] }),
      step("b", { dependsOn: ["a"] }),
      step("c", { dependsOn: ["b"], outputs: ["k"] }),
      step("d", { dependsOn: ["c"], outputs: ["k"] }),
    ];
    expect(issuesOf(steps)).toEqual([]);
  });

  it("a step that joins any of two may run beside the other one", () => {
    const steps = (join: string) => [
      step("root", { outputs: ["r"] }),
      step("a", { dependsOn: ["root"], outputs: ["k"] }),
      step("b", { dependsOn: ["root"] }),
      step("c", { dependsOn: ["a", "b"], join, outputs: ["k", "r"] }),
    ];
    expect(issuesOf(steps("all"))).toEqual([]);
    const issues = issuesOf(steps("any"));
    // "k" conflicts with the step that may still run; "r" does not: its writer is before both branches.
    expect(codes(issues)).toEqual([["E_OUTPUT_CONFLICT", "c"]]);
    expect(issues[0]?.message).toContain('"k"');
  });
});

describe("expressions in a document", () => {
  it.each([
    ["1 +", "Cannot compile"],
    ["", "empty"],
    ["nope > 1", "Unknown variable: nope"],
    ["1 + 'a' == 2", "no such overload: int + string"],
    ["size(inputs)", "must give true or false"],
    ["item > 1", "only exists in the inputs of a step with forEach"],
    ["steps.my-step.outputs == null", 'steps["my-step"]'],
    ["input.n > 1", "Did you mean inputs?"],
    ["items > 1", "Did you mean item?"],
    ["env.n = 1", "Compare with ==."],
  ])("a condition that cannot work is refused before the run: %s", (when, text) => {
    const issues = issuesOf([step("a", { when })]).filter(({ code }) => code === "E_EXPRESSION");
    expect(issues).toHaveLength(1);
    expect(issues[0]).toMatchObject({ step: "a", path: "steps.0.when" });
    expect(issues[0]?.message).toContain(text);
  });

  it("what undoes a step reads only what that step was given and gave", () => {
    const undo = (x: string) => [step("a", { compensate: { task: "undo", inputs: { x } } })];
    expect(issuesOf(undo("${self.outputs.x + self.inputs.x}"))).toEqual([]);
    const [issue, ...more] = issuesOf(undo("${self.output.x}"));
    expect(more).toEqual([]);
    expect(issue).toMatchObject({ code: "E_EXPRESSION", path: "steps.0.compensate.inputs.x" });
    expect(issue?.message).toContain("reads self.output, but there are only self.inputs and self.outputs");
  });

  it("an expression that is never closed is refused", () => {
    const [issue] = issuesOf([step("a", { inputs: { x: ["${inputs.a"] } })]);
    expect(issue).toMatchObject({ code: "E_EXPRESSION", path: "steps.0.inputs.x.0" });
  });
});

describe("bounds", () => {
  it.each([
    ["maxParallel", [step("a")], { maxParallel: 10_001 }, "10000 allowed"],
    ["attempts", [step("a", { retry: { maxAttempts: 101 } })], {}, "100 allowed"],
    ["default attempts", [step("a")], { defaults: { retry: { maxAttempts: 101 } } }, "100 allowed"],
    ["time-out", [step("a", { timeout: "366d" })], {}, "365d allowed"],
    ["the length of an expression", [step("a", { when: `${" ".repeat(4_096)}true` })], {}, "4096 allowed"],
    ["nesting", [step("a", { inputs: { x: nested(70) } })], {}, "64 levels"],
    ["items", [step("a", { forEach: Array(10_001).fill(1) })], {}, "10001 items, more than the 10000"],
    ["dependencies", [step("a", { dependsOn: Array(10_001).fill("b") }), step("b")], {}, "10000 allowed"],
    ["steps", Array.from({ length: 100_001 }, () => null), {}, "100001 steps"],
  ])("more than allowed is refused with the bound and the actual value: %s", (_, steps, rest, text) => {
    const issues = issuesOf(steps, rest);
    expect(issues.map(({ code }) => code)).toEqual(["E_LIMIT"]);
    expect(issues[0]?.message).toContain(text);
  });

  it("inputs that hold themselves do not hang the validation", () => {
    const inputs: Record<string, unknown> = {};
    inputs.self = inputs;
    expect(codes(issuesOf([step("a", { inputs })]))).toEqual([["E_LIMIT", "a"]]);
  });
});

describe("everything at once", () => {
  it("one mistake of every kind gives one issue of every kind, in the document's order", () => {
    const issues = issuesOf([
      step("a", { typo: 1, outputs: ["k"], dependsOn: [] }),
      step("b", { dependsOn: ["c"], outputs: ["k"] }),
      step("c", { dependsOn: ["b", "c", "x"] }),
      step("c", { when: "1 +" }),
      step("d", { inputs: { v: "${env.missing}" }, retry: { maxAttempts: 1_000 } }),
    ]);
    expect(codes(issues)).toEqual([
      ["E_SCHEMA", "a"],
      ["E_CYCLE", "b"],
      ["E_OUTPUT_CONFLICT", "b"],
      ["E_SELF_DEPENDENCY", "c"],
      ["E_UNKNOWN_DEPENDENCY", "c"],
      ["E_DUPLICATE_ID", "c"],
      ["E_EXPRESSION", "c"],
      ["E_LIMIT", "d"],
      ["E_UNPRODUCED_INPUT", "d"],
    ]);
  });

  it("a step with a wrong property still writes and orders: others are not blamed for it", () => {
    const issues = issuesOf([
      step("a", { outputs: ["k"], timeout: 5 }),
      step("b", { dependsOn: ["a"], inputs: { x: "${env.k}" } }),
    ]);
    expect(codes(issues)).toEqual([["E_SCHEMA", "a"]]);
  });

  it("fromDocument throws one error that carries every issue", () => {
    const make = () => WorkflowGraph.fromDocument({ steps: [step("a", { dependsOn: ["x", "y"] })] });
    expect(make).toThrow(InvalidWorkflowError);
    expect(make).toThrow(/E_UNKNOWN_DEPENDENCY in step "a".*and 1 more/);
  });
});

describe("names that JavaScript objects treat specially", () => {
  it.each(["__proto__", "constructor", "toString", "hasOwnProperty"])(
    "%s is an ordinary id and key",
    (name) => {
      const { graph, issues } = validateWorkflow({
        steps: [
          step(name, { outputs: [name] }),
          step("after", {
            dependsOn: [name],
            inputs: { x: `\${env["${name}"]}`, y: `\${steps["${name}"].outputs}` },
          }),
        ],
      });
      expect(issues).toEqual([]);
      expect(graph?.execution().close(name)).toEqual(["after"]);
      expect(graph?.has("valueOf")).toBe(false);
      expect(codes(issuesOf([step("a", { dependsOn: [name] })]))).toEqual([["E_UNKNOWN_DEPENDENCY", "a"]]);
    },
  );
});

function nested(depth: number): unknown {
  return depth === 0 ? "leaf" : { inner: nested(depth - 1) };
}
