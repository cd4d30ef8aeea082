// biome-ignore-all lint/suspicious/noTemplateCurlyInString: texts with ${…} are what workflows are made of.
/**
 * Catches a workflow file that crashes, hangs or half-loads instead of giving an issue with its line, and
 * YAML and JSON that are not treated alike.
 */
import { describe, expect, it } from "vitest";
import { parseWorkflow, WORKFLOW_TEXT_LIMIT } from "../../src/workflow/parse.ts";

const REPORT = `name: report
inputs: { path: ./sales.csv }
steps:
  - id: load
    agent: loader
    task: load
    inputs: { path: "\${inputs.path}" }
    outputs: [dataset]
  - id: clean
    agent: cleaner
    task: clean
    dependsOn: [load]
    when: "env.dataset.nullCells > 0"
outputs: { data: "\${env.dataset}" }
`;

const only = (text: string) => {
  const { issues } = parseWorkflow(text);
  expect(issues).toHaveLength(1);
  return issues[0];
};

describe("a workflow file", () => {
  it("is read from YAML", () => {
    const { graph } = parseWorkflow(REPORT);
    expect(graph?.name).toBe("report");
    expect(graph?.topologicalOrder()).toEqual(["load", "clean"]);
  });

  it("is read from JSON, indented or not, to the same graph", () => {
    const document = parseWorkflow(REPORT).graph?.document;
    for (const indent of [undefined, 2, "\t"]) {
      expect(parseWorkflow(JSON.stringify(document, null, indent)).graph?.document).toEqual(document);
    }
  });

  it("may begin with a byte order mark and have Windows line ends", () => {
    expect(parseWorkflow(`\uFEFF${REPORT}`).graph?.size).toBe(2);
    expect(parseWorkflow(REPORT.replaceAll("\n", "\r\n")).graph?.size).toBe(2);
    expect(parseWorkflow(`\uFEFF${JSON.stringify(parseWorkflow(REPORT).graph?.document)}`).graph?.size).toBe(
      2,
    );
  });

  it("knows the keys that are in the environment before the run", () => {
    const text = REPORT.replace("outputs: [dataset]", "outputs: []");
    expect(parseWorkflow(text).issues.map(({ code }) => code)).toEqual([
      "E_UNPRODUCED_INPUT",
      "E_UNPRODUCED_INPUT",
    ]);
    expect(parseWorkflow(text, { environmentKeys: ["dataset"] }).issues).toEqual([]);
  });

  it("may use anchors, aliases and numbers as names", () => {
    const { graph } = parseWorkflow(`steps:
  - { id: a, agent: r, task: t, retry: &r { maxAttempts: 5 } }
  - { id: b, agent: r, task: t, retry: *r, inputs: { 1: one } }
`);
    expect(graph?.step("b").retry.maxAttempts).toBe(5);
    expect(graph?.step("b").inputs).toEqual({ 1: "one" });
  });
});

describe("a file that says things once", () => {
  it("merges a step into another, which may differ in some properties", () => {
    const { graph, issues } = parseWorkflow(`steps:
  - &first { id: a, agent: r, task: t, timeout: 30s }
  - { <<: *first, id: b, dependsOn: [a] }
`);
    expect(issues).toEqual([]);
    expect(graph?.step("b")).toMatchObject({ agent: "r", timeoutMs: 30_000, dependsOn: ["a"] });
  });
});

describe("lines", () => {
  const WRONG = `name: x
stepz: []
steps:
  - id: a
    agent: r
    task: t
    outputs: [k]
  - id: b
    agent: r
    task: t
    dependsOn:
      - a
      - nope
    inputs:
      list:
        - fine
        - "\${env.q}"
  - id: b
    agent: 1
outputs:
  x: "\${env.zz}"
`;
  const expected = [
    ["E_SCHEMA", "stepz", 2],
    ["E_UNKNOWN_DEPENDENCY", "steps.1.dependsOn.1", 13],
    ["E_UNPRODUCED_INPUT", "steps.1.inputs.list.1", 17],
    ["E_SCHEMA", "steps.2.agent", 19],
    ["E_SCHEMA", "steps.2.task", 18],
    ["E_DUPLICATE_ID", "steps.2.id", 18],
    ["E_UNPRODUCED_INPUT", "outputs.x", 21],
  ];

  it("every issue has the line of what it is about; of a missing property, of its step", () => {
    const { issues } = parseWorkflow(WRONG);
    expect(issues.map(({ code, path, line }) => [code, path, line])).toEqual(expected);
  });

  it("JSON has lines too", () => {
    const text = `{
  "steps": [
    { "id": "a", "agent": "r", "task": "t",
      "dependsOn": ["b"] }
  ]
}`;
    expect(only(text)).toMatchObject({ code: "E_UNKNOWN_DEPENDENCY", line: 4 });
  });

  it("what is wrong in a nested workflow has its own line, however deep it is", () => {
    const text = `steps:
  - id: kid
    agent: orchestrator
    task: run
    inputs:
      workflow:
        steps:
          - { id: x, agent: r, task: t, dependsOn: [y] }
          - id: grandchild
            agent: orchestrator
            task: run
            inputs:
              workflow:
                steps:
                  - { id: ok, agent: r, task: t }
                  - { id: z, agent: r, task: t, when: env.k }
`;
    const expected = [
      ["steps.0.inputs.workflow.steps.0.dependsOn.0", 8],
      ["steps.0.inputs.workflow.steps.1.inputs.workflow.steps.1.when", 16],
    ];
    const { issues } = parseWorkflow(text);
    expect(issues.map(({ path, line }) => [path, line])).toEqual(expected);
  });

  it("lines are the same for JSON that is read as JSON and JSON that is read as YAML", () => {
    const text = JSON.stringify(
      {
        inputs: { 'a "quoted": {key}': ["}", { deep: null }] },
        steps: [
          { id: "a", agent: "r", task: "t", inputs: { list: [1, { x: "${env.q}" }, "${env.r}"] } },
          { id: "b", agent: 1, dependsOn: ["a", "zz"] },
        ],
        outputs: { x: "${env.zz}" },
      },
      null,
      1,
    );
    const issues = parseWorkflow(text).issues;
    expect(issues.length).toBe(6);
    // A comment makes it YAML, and moves nothing.
    expect(parseWorkflow(`${text}\n# comment`).issues).toEqual(issues);
  });
});

describe("a text that cannot be read", () => {
  it.each([
    ["an unclosed list", "name: x\nsteps: [1\nmore: 2", 3],
    ["a tab", "steps:\n\t- id: a", 2],
    ["an unclosed quote", 'steps:\n  - id: "a\n', 3],
    ["a property given twice", "name: a\nsteps: []\nname: b", 3],
    ["two documents", "steps: []\n---\nsteps: []\n", 2],
    ["broken JSON", '{\n  "steps": [,]\n}', 2],
    ["JSON with a property given twice", '{\n "steps": [],\n "na\\u006de": "x", "name": "y" }', 3],
    ["JSON that ends too early", '{ "steps": [', 1],
    ["nothing", "", 1],
    ["white space", " \n\t\n", 1],
    ["comments only", "# steps: []\n", 1],
  ])("is E_PARSE with the line: %s", (_, text, line) => {
    const { issues } = parseWorkflow(text);
    expect(issues[0]).toMatchObject({ code: "E_PARSE" });
    expect(issues.map((issue) => issue.line)).toContain(line);
    expect(issues.every(({ message }) => message.length > 0)).toBe(true);
  });

  it("a property that is given twice is named", () => {
    expect(only("name: a\nsteps: []\nname: b")?.message).toContain("property name is given twice");
    expect(only('{"steps": [{"id": "a", "id": "b"}]}')?.message).toContain("property id is given twice");
  });

  it("a binary file is not text", () => {
    const bytes = Buffer.from([0x50, 0x41, 0x52, 0x31, 0x00, 0xff, 0xfe, 0x15, 0x04]);
    expect(only(bytes.toString("utf8"))).toMatchObject({ code: "E_PARSE" });
    expect(only(Buffer.from([0x89, 0x50, 0xff]).toString("utf8"))?.message).toContain("not text in UTF-8");
  });

  it("an alias that stands for nothing is E_PARSE", () => {
    expect(only("name: x\nsteps: *nowhere")).toMatchObject({ code: "E_PARSE", line: 2 });
  });

  it("aliases that multiply beyond reason are E_LIMIT, at once", () => {
    const levels = Array.from({ length: 12 }, (_, level) => {
      const aliases = Array(10).fill(level === 0 ? "lol" : `*l${level - 1}`);
      return `l${level}: &l${level} [${aliases.join(", ")}]`;
    });
    expect(only(levels.join("\n"))).toMatchObject({ code: "E_LIMIT" });
  });

  it("nesting beyond any use is E_LIMIT, in YAML and in JSON", () => {
    const deep = "[".repeat(20_000) + "]".repeat(20_000);
    expect(only(`steps: ${deep}`)).toMatchObject({ code: "E_LIMIT" });
    const step = `{"id": "a", "agent": "r", "task": "t", "inputs": {"x": ${deep}}}`;
    expect(only(`{"steps": [${step}]}`)).toMatchObject({ code: "E_LIMIT" });
  });

  it("the echoes of a syntax error are left out", () => {
    expect(parseWorkflow(`steps: ${"[".repeat(5_000)}`).issues.length).toBeLessThanOrEqual(5);
  });

  it("a file that is too long is refused before it is read", () => {
    expect(only("#".repeat(WORKFLOW_TEXT_LIMIT + 1))).toMatchObject({ code: "E_LIMIT" });
  });
});
