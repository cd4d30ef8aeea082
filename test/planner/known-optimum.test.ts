/**
 * Would catch: a search that is right on small problems and wrong, or no longer proven, on those that cannot be
 * tried out: families whose cheapest plan is known from graph theory.
 */
import { describe, expect, it } from "vitest";
import { type Plan, WorkflowPlanner } from "../../src/planner/planner.ts";
import type { Capability } from "../../src/workflow/capability.ts";

type Edge = readonly [from: number, to: number];

function plan(tasks: Capability[], want: string[], environment: Record<string, unknown> = {}): Plan {
  const planner = new WorkflowPlanner({ capabilities: [{ role: "worker", tasks }] });
  return planner.createWorkflow(undefined, environment, { want });
}

/** A vertex covers its edges: what is wanted is every edge. */
function vertexCover(vertices: number, edges: readonly Edge[]): Plan {
  const tasks = Array.from({ length: vertices }, (_, vertex): Capability => {
    const covered = edges.flatMap((edge, index) => (edge.includes(vertex) ? [`e${index}`] : []));
    return { name: `v${vertex}`, needs: [], gives: covered, cost: 1 };
  });
  return plan(
    tasks,
    edges.map((_, index) => `e${index}`),
  );
}

const cycle = (length: number, from = 0): Edge[] =>
  Array.from({ length }, (_, at) => [from + at, from + ((at + 1) % length)]);

describe("the cheapest plan is found and proven", () => {
  it.each([5, 15, 31])("of an odd cycle of %i edges: one vertex more than half of them", (length) => {
    expect(vertexCover(length, cycle(length))).toMatchObject({
      cost: (length + 1) / 2,
      optimal: true,
      gap: 0,
    });
  });

  it("of a complete graph: all vertices but one", () => {
    const edges = Array.from({ length: 9 }, (_, a) =>
      Array.from({ length: a }, (_, b): Edge => [a, b]),
    ).flat();
    expect(vertexCover(9, edges)).toMatchObject({ cost: 8, optimal: true });
  });

  it("of Petersen's graph: six vertices", () => {
    const inner = Array.from({ length: 5 }, (_, at): Edge => [5 + at, 5 + ((at + 2) % 5)]);
    const spokes = Array.from({ length: 5 }, (_, at): Edge => [at, 5 + at]);
    expect(vertexCover(10, [...cycle(5), ...inner, ...spokes])).toMatchObject({ cost: 6, optimal: true });
  });

  it("of a grid whose far corner is wanted: the shortest way, whatever the detours", () => {
    const side = 14;
    const key = (x: number, y: number): string => `p${x}_${y}`;
    const tasks: Capability[] = [];
    for (let x = 0; x < side; x++) {
      for (let y = 0; y < side; y++) {
        for (const [toX, toY] of [
          [x + 1, y],
          [x, y + 1],
          [x - 1, y],
        ] as const) {
          if (toX < 0 || toX >= side || toY >= side) continue;
          const name = `m${x}_${y}_${toX}_${toY}`;
          tasks.push({ name, needs: [key(x, y)], gives: [key(toX, toY)], cost: 1 });
        }
      }
    }
    const found = plan(tasks, [key(side - 1, side - 1)], { [key(0, 0)]: 1 });
    expect(found).toMatchObject({ cost: 2 * (side - 1), optimal: true });
  });

  it("of a binary tree of results that share their halves: every result once", () => {
    const depth = 7;
    const tasks: Capability[] = [];
    for (let level = 0; level < depth; level++) {
      const needs = level === 0 ? [] : [`a${level - 1}`, `b${level - 1}`];
      tasks.push({ name: `makeA${level}`, needs, gives: [`a${level}`], cost: 2 });
      tasks.push({ name: `makeB${level}`, needs, gives: [`b${level}`], cost: 2 });
      tasks.push({ name: `both${level}`, needs, gives: [`a${level}`, `b${level}`], cost: 3 });
    }
    expect(plan(tasks, [`a${depth - 1}`])).toMatchObject({ cost: 3 * (depth - 1) + 2, optimal: true });
  });
});

describe("a search that is cut short", () => {
  it("by the clock says how far the best plan may be from what it has", () => {
    const tasks = Array.from({ length: 120 }, (_, index): Capability => {
      const gives = [7, 11, 13, 17].map((step) => `k${(index * step + (index % 5)) % 60}`);
      return { name: `t${index}`, needs: [], gives: [...new Set(gives)], cost: 1 };
    });
    const want = Array.from({ length: 60 }, (_, index) => `k${index}`);
    let time = 0;
    const planner = new WorkflowPlanner({
      capabilities: [{ role: "worker", tasks }],
      timeLimitMs: 3,
      now: () => time++,
    });
    const found = planner.createWorkflow(undefined, {}, { want });
    expect(found.optimal).toBe(false);
    expect(found.bound).toBeGreaterThan(0);
    expect(found.bound).toBeLessThan(found.cost);
    expect(found.gap).toBeCloseTo((found.cost - found.bound) / found.cost, 9);
  });
});
