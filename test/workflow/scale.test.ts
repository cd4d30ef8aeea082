/**
 * Catches work that grows faster than the graph: a scan of all steps per completion, a comparison of all
 * pairs, a recursion as deep as the longest chain. Operations are counted, never timed.
 */
import { describe, expect, it } from "vitest";
import { GraphExecution } from "../../src/workflow/execution.ts";
import { validateWorkflow, WorkflowGraph } from "../../src/workflow/graph.ts";
import { findUnordered } from "../../src/workflow/ordering.ts";
import { components, longestWayToEnd, reverseEdges, shortestCycle } from "../../src/workflow/topology.ts";

type Edges = number[][];

const chain = (size: number): Edges => Array.from({ length: size }, (_, i) => (i === 0 ? [] : [i - 1]));
const fan = (size: number): Edges =>
  Array.from({ length: size }, (_, i) =>
    i === 0 ? [] : i === size - 1 ? Array.from({ length: size - 2 }, (_, j) => j + 1) : [0],
  );
/** Layers of ten, each step after all of the layer before. */
const layers = (size: number): Edges =>
  Array.from({ length: size }, (_, i) =>
    i < 10 ? [] : Array.from({ length: 10 }, (_, j) => i - (i % 10) - 10 + j),
  );

const SHAPES: [string, (size: number) => Edges][] = [
  ["a chain", chain],
  ["a fan out and in", fan],
  ["layers", layers],
];

/** The edges, counting every element that is read. */
function counted(edges: Edges): { edges: Edges; reads: () => number } {
  let reads = 0;
  const count = (list: number[]) =>
    new Proxy(list, {
      get(target, key) {
        if (typeof key === "string" && /^\d+$/.test(key)) reads++;
        return Reflect.get(target, key);
      },
    });
  return { edges: edges.map(count), reads: () => reads };
}

const edgeCount = (edges: Edges) => edges.reduce((sum, list) => sum + list.length, 0);

describe.each(SHAPES)("%s of 2,000 and of 20,000 steps", (_, shape) => {
  it.each([2_000, 20_000])("a whole execution of %i looks at every edge once", (size) => {
    const edges = shape(size);
    const ids = edges.map((_, index) => `s${index}`);
    const dependents = counted(reverseEdges(edges));
    const execution = new GraphExecution({
      ids,
      positions: new Map(ids.map((id, index) => [id, index])),
      dependents: dependents.edges,
      joinCounts: edges.map((list) => list.length),
    });
    const ready = execution.start();
    for (let id = ready.pop(); id !== undefined; id = ready.pop()) ready.push(...execution.close(id));
    expect(execution.closedCount).toBe(size);
    expect(dependents.reads()).toBe(edgeCount(edges));
  });

  it.each([2_000, 20_000])("ordering %i steps looks at every edge a fixed number of times", (size) => {
    const edges = counted(shape(size));
    const found = components(edges.edges);
    expect(found).toHaveLength(size);
    longestWayToEnd(reverseEdges(edges.edges), found.flat());
    expect(edges.reads()).toBeLessThanOrEqual(4 * edgeCount(shape(size)));
  });
});

describe("questions about order", () => {
  it("one question per step between neighbours costs one pass, not one per question", () => {
    const graph = (size: number) => {
      const edges = counted(chain(size));
      const found = components(chain(size));
      const asked = Array.from({ length: size - 3 }, (_, i) => ({ sources: [i], targets: [i + 3] }));
      const answers = findUnordered(
        { dependencies: edges.edges, components: found, joinCounts: Array(size).fill(1) },
        asked,
        true,
      );
      expect(answers.flat()).toEqual([]);
      return edges.reads();
    };
    expect(graph(20_000)).toBeLessThan(11 * graph(2_000));
  });
});

describe("100,000 steps", () => {
  const SIZE = 100_000;
  const step = (index: number, rest: Record<string, unknown>) => ({
    id: `s${index}`,
    agent: "a",
    task: "t",
    ...rest,
  });
  const document = (rest: (index: number) => Record<string, unknown>) => ({
    steps: Array.from({ length: SIZE }, (_, index) => step(index, rest(index))),
  });

  it("in one chain, each reading what the one before wrote, are a valid workflow and run to the end", () => {
    const graph = WorkflowGraph.fromDocument(
      document((i) => ({
        dependsOn: i === 0 ? [] : [`s${i - 1}`],
        outputs: ["state"],
        ...(i > 0 && { when: "env.state != null" }),
      })),
    );
    const execution = graph.execution();
    let ready = execution.start();
    while (ready.length === 1) ready = execution.close(ready[0] ?? "");
    expect(execution.closedCount).toBe(SIZE);
    expect(graph.remainingDepth("s0")).toBe(SIZE);
  });

  it("in one cycle are one issue that names them all", () => {
    const edges = Array.from({ length: SIZE }, (_, i) => [(i + 1) % SIZE]);
    const [cycle] = components(edges);
    expect(shortestCycle(edges, cycle ?? [])).toHaveLength(SIZE);
    const { issues } = validateWorkflow(document((i) => ({ dependsOn: [`s${(i + 1) % SIZE}`] })));
    expect(issues.map(({ code }) => code)).toEqual(["E_CYCLE"]);
  });

  it("that all write one key at once are one issue", () => {
    const { issues } = validateWorkflow(document(() => ({ outputs: ["k"] })));
    expect(issues.map(({ code }) => code)).toEqual(["E_OUTPUT_CONFLICT"]);
    expect(issues[0]?.message).toContain("99998 more steps");
  });

  it("that all depend on something unknown are all reported, without comparing every name with every other", () => {
    const { issues } = validateWorkflow(document(() => ({ dependsOn: ["nothing"] })));
    expect(issues).toHaveLength(SIZE);
    expect(issues[0]?.message).toContain("nearest id");
    expect(issues.at(-1)?.message).not.toContain("nearest id");
  });
});
