/**
 * Catches a graph that fills defaults in wrongly, orders steps wrongly, or lets one execution disturb
 * another.
 */
import { describe, expect, it } from "vitest";
import { NotFoundError } from "../../src/workflow/errors.ts";
import { WorkflowGraph } from "../../src/workflow/graph.ts";
import { workflowJsonSchema } from "../../src/workflow/json-schema.ts";

const step = (id: string, rest: Record<string, unknown> = {}) => ({
  id,
  agent: "worker",
  task: "work",
  ...rest,
});
const graphOf = (steps: unknown[], rest: Record<string, unknown> = {}) =>
  WorkflowGraph.fromDocument({ ...rest, steps });

const DIAMOND = [
  step("a"),
  step("b", { dependsOn: ["a"] }),
  step("c", { dependsOn: ["a"] }),
  step("d", { dependsOn: ["b", "c"] }),
];

describe("defaults", () => {
  it("a step that says nothing gets the stated defaults", () => {
    const graph = graphOf([step("a")]);
    expect(graph).toMatchObject({ name: "workflow", maxParallel: 16, timeoutMs: undefined, size: 1 });
    expect(graph.step("a")).toEqual({
      id: "a",
      index: 0,
      agent: "worker",
      task: "work",
      description: undefined,
      inputs: {},
      outputs: [],
      dependsOn: [],
      when: undefined,
      joinCount: 0,
      onFailure: "fail",
      priority: 0,
      retry: { maxAttempts: 3, initialMs: 1_000, factor: 2, maxMs: 30_000, jitter: 0.2, nonRetryable: [] },
      timeoutMs: undefined,
      timeouts: undefined,
      approval: false,
      deadline: undefined,
    });
  });

  it("the step's own settings go before the workflow's, and those before the runtime's, one by one", () => {
    const defaults = { retry: { maxAttempts: 5, initial: "100ms" }, timeout: "5m" };
    const graph = graphOf([step("a"), step("b", { retry: { maxAttempts: 1 }, timeout: "30s" })], {
      defaults,
      timeout: "2h",
      maxParallel: 3,
      name: "n",
    });
    expect(graph).toMatchObject({ name: "n", maxParallel: 3, timeoutMs: 7_200_000 });
    expect(graph.step("a")).toMatchObject({
      timeoutMs: 300_000,
      retry: { maxAttempts: 5, initialMs: 100, factor: 2 },
    });
    expect(graph.step("b")).toMatchObject({
      timeoutMs: 30_000,
      retry: { maxAttempts: 1, initialMs: 100, factor: 2 },
    });
  });

  it.each([
    [undefined, 2],
    ["all", 2],
    ["any", 1],
    [1, 1],
    [2, 2],
  ])("join %s of two dependencies waits for %i", (join, count) => {
    const last = { dependsOn: ["b", "c"], ...(join !== undefined && { join }) };
    expect(graphOf([...DIAMOND.slice(0, 3), step("d", last)]).step("d").joinCount).toBe(count);
  });
});

describe("looking at the graph", () => {
  it("a document in order keeps its order; another is put in order", () => {
    expect(graphOf(DIAMOND).topologicalOrder()).toEqual(["a", "b", "c", "d"]);
    expect(graphOf(DIAMOND.toReversed()).topologicalOrder()).toEqual(["a", "b", "c", "d"]);
  });

  it("dependents are direct, in document order", () => {
    expect(graphOf(DIAMOND).dependents("a")).toEqual(["b", "c"]);
    expect(graphOf(DIAMOND).dependents("d")).toEqual([]);
  });

  it("the remaining depth is the longest way to an end", () => {
    const graph = graphOf([...DIAMOND, step("e", { dependsOn: ["c"] }), step("f", { dependsOn: ["d"] })]);
    const depth = (id: string) => graph.remainingDepth(id);
    expect(["a", "b", "c", "d", "e", "f"].map(depth)).toEqual([4, 3, 3, 2, 1, 1]);
  });

  it("a step that does not exist is NotFoundError everywhere", () => {
    const graph = graphOf(DIAMOND);
    expect(graph.has("x")).toBe(false);
    for (const look of [
      () => graph.step("x"),
      () => graph.dependents("x"),
      () => graph.remainingDepth("x"),
      () => graph.execution().close("x"),
      () => graph.execution().isClosed("x"),
    ]) {
      expect(look).toThrow(NotFoundError);
    }
  });

  it("the document survives as written, for the log and for other programs", () => {
    const document = { name: "n", steps: DIAMOND, outputs: { x: 1 } };
    expect(WorkflowGraph.fromDocument(document).document).toEqual(document);
    expect(JSON.parse(JSON.stringify(WorkflowGraph.fromDocument(document).document))).toEqual(document);
  });
});

describe("an execution", () => {
  it("a step is ready when the last of its dependencies is closed", () => {
    const execution = graphOf(DIAMOND).execution();
    expect(execution.start()).toEqual(["a"]);
    expect(execution.close("a")).toEqual(["b", "c"]);
    expect(execution.close("c")).toEqual([]);
    expect(execution.close("b")).toEqual(["d"]);
    expect(execution.close("d")).toEqual([]);
    expect(execution.closedCount).toBe(4);
  });

  it("a step that joins any is ready at the first, and only once", () => {
    const execution = graphOf([
      ...DIAMOND.slice(0, 3),
      step("d", { dependsOn: ["b", "c"], join: "any" }),
    ]).execution();
    execution.close("a");
    expect(execution.close("c")).toEqual(["d"]);
    expect(execution.close("b")).toEqual([]);
  });

  it("closing a step again changes nothing", () => {
    const execution = graphOf(DIAMOND).execution();
    execution.close("a");
    execution.close("b");
    expect(execution.close("b")).toEqual([]);
    expect(execution.closedCount).toBe(2);
    expect(execution.close("c")).toEqual(["d"]);
  });

  it("a step that was closed before its turn never becomes ready", () => {
    const execution = graphOf(DIAMOND).execution();
    expect(execution.close("d")).toEqual([]);
    expect(execution.isClosed("d")).toBe(true);
    execution.close("a");
    execution.close("b");
    expect(execution.close("c")).toEqual([]);
  });

  it("two executions of one graph do not disturb each other", () => {
    const graph = graphOf(DIAMOND);
    const [one, two] = [graph.execution(), graph.execution()];
    one.close("a");
    expect(two.isClosed("a")).toBe(false);
    expect(two.close("a")).toEqual(["b", "c"]);
  });
});

describe("the JSON Schema", () => {
  it("says what validate says about properties, patterns and bounds", () => {
    const schema = workflowJsonSchema();
    expect(schema).toMatchObject({
      $schema: "https://json-schema.org/draft/2020-12/schema",
      type: "object",
      required: ["steps"],
      additionalProperties: false,
      properties: {
        steps: {
          minItems: 1,
          items: {
            required: ["id", "agent", "task"],
            additionalProperties: false,
            properties: { id: { type: "string", pattern: "^[A-Za-z0-9_-]{1,64}$" } },
          },
        },
      },
    });
    expect(JSON.parse(JSON.stringify(schema))).toEqual(schema);
  });
});
