/**
 * Catches a frontier that loses, repeats or misorders steps, a cycle that is not found, and an answer about
 * order that differs from the definition, in graphs nobody would write by hand.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { validateWorkflow, WorkflowGraph } from "../../src/workflow/graph.ts";
import { findUnordered } from "../../src/workflow/ordering.ts";
import { components } from "../../src/workflow/topology.ts";

interface RandomStep {
  dependsOn: number[];
  join: number;
}

/** An acyclic graph: edges only point to smaller numbers. The ids are shuffled in the document. */
const acyclic = fc
  .array(fc.record({ edges: fc.array(fc.nat(), { maxLength: 5 }), join: fc.nat() }), {
    minLength: 1,
    maxLength: 40,
  })
  .map((nodes): RandomStep[] =>
    nodes.map(({ edges, join }, index) => {
      const dependsOn = index === 0 ? [] : [...new Set(edges.map((edge) => edge % index))];
      return { dependsOn, join: dependsOn.length === 0 ? 0 : 1 + (join % dependsOn.length) };
    }),
  );

const documentOf = (nodes: readonly RandomStep[], order: readonly number[], useJoin: boolean) => ({
  steps: order.map((index) => ({
    id: `s${index}`,
    agent: "a",
    task: "t",
    dependsOn: nodes[index]?.dependsOn.map((dependency) => `s${dependency}`) ?? [],
    ...(useJoin && nodes[index]?.join ? { join: nodes[index].join } : {}),
  })),
});

const shuffled = acyclic.chain((nodes) =>
  fc.record({
    nodes: fc.constant(nodes),
    order: fc.shuffledSubarray([...nodes.keys()], { minLength: nodes.length }),
  }),
);

describe("the ready frontier", () => {
  it("every step becomes ready exactly once, when and not before enough of its dependencies are closed", () => {
    fc.assert(
      fc.property(
        shuffled,
        fc.boolean(),
        fc.infiniteStream(fc.nat()),
        ({ nodes, order }, useJoin, choices) => {
          const graph = WorkflowGraph.fromDocument(documentOf(nodes, order, useJoin));
          const execution = graph.execution();
          const closed = new Set<string>();
          const seen = new Set<string>();
          const ready: string[] = [];
          const accept = (ids: string[]) => {
            for (const id of ids) {
              expect(seen.has(id)).toBe(false);
              seen.add(id);
              const { dependsOn, joinCount } = graph.step(id);
              expect(dependsOn.filter((dependency) => closed.has(dependency)).length).toBe(
                useJoin ? joinCount : dependsOn.length,
              );
              ready.push(id);
            }
          };
          accept(execution.start());
          while (ready.length > 0) {
            const [id] = ready.splice((choices.next().value ?? 0) % ready.length, 1);
            if (id === undefined) break;
            closed.add(id);
            accept(execution.close(id));
          }
          expect(seen.size).toBe(nodes.length);
          expect(execution.closedCount).toBe(nodes.length);
        },
      ),
    );
  });

  it("the topological order has every step once, after its dependencies", () => {
    fc.assert(
      fc.property(shuffled, ({ nodes, order }) => {
        const graph = WorkflowGraph.fromDocument(documentOf(nodes, order, false));
        const place = new Map(graph.topologicalOrder().map((id, index) => [id, index]));
        expect(place.size).toBe(nodes.length);
        for (const { id, dependsOn } of graph.steps()) {
          for (const dependency of dependsOn) expect(place.get(dependency)).toBeLessThan(place.get(id) ?? -1);
        }
      }),
    );
  });

  it("the remaining depth of a step is one more than the greatest of its dependents", () => {
    fc.assert(
      fc.property(shuffled, ({ nodes, order }) => {
        const graph = WorkflowGraph.fromDocument(documentOf(nodes, order, false));
        for (const { id } of graph.steps()) {
          const below = graph.dependents(id).map((dependent) => graph.remainingDepth(dependent));
          expect(graph.remainingDepth(id)).toBe(1 + Math.max(0, ...below));
        }
      }),
    );
  });
});

describe("cycles", () => {
  it("an edge that closes a cycle is always found, and what is reported is a cycle", () => {
    const withPath = shuffled.filter(({ nodes }) => nodes.some(({ dependsOn }) => dependsOn.length > 0));
    fc.assert(
      fc.property(withPath, fc.nat(), ({ nodes, order }, choice) => {
        // Walk down from a step that has dependencies, then let the end of the walk depend on its beginning.
        const starts = [...nodes.keys()].filter((index) => (nodes[index]?.dependsOn.length ?? 0) > 0);
        const start = starts[choice % starts.length] as number;
        let end = start;
        for (let next = nodes[end]?.dependsOn[0]; next !== undefined; next = nodes[end]?.dependsOn[0])
          end = next;
        const cyclic = nodes.map((node, index) =>
          index === end ? { ...node, dependsOn: [...node.dependsOn, start] } : node,
        );
        const { issues } = validateWorkflow(documentOf(cyclic, order, false));
        expect(issues.map(({ code }) => code)).toEqual(["E_CYCLE"]);
        const cycle = /: (s.*)\. Remove/.exec(issues[0]?.message ?? "")?.[1]?.split(" → ") ?? [];
        expect(cycle.length).toBeGreaterThan(2);
        expect(cycle.at(-1)).toBe(cycle[0]);
        expect(new Set(cycle).size).toBe(cycle.length - 1);
        for (const [index, id] of cycle.slice(0, -1).entries()) {
          const dependencies = cyclic[Number(id.slice(1))]?.dependsOn.map((dependency) => `s${dependency}`);
          expect(dependencies).toContain(cycle[index + 1]);
        }
      }),
    );
  });
});

describe("questions about order", () => {
  const questions = fc.array(
    fc.record({
      sources: fc.array(fc.nat(), { minLength: 1, maxLength: 3 }),
      targets: fc.array(fc.nat(), { maxLength: 4 }),
    }),
    { minLength: 1, maxLength: 80 },
  );

  /** By definition: what can be reached, or with `certain` the recursive rule for joins. */
  function isAfter(
    nodes: readonly RandomStep[],
    target: number,
    sources: number[],
    certain: boolean,
  ): boolean {
    const node = nodes[target] ?? { dependsOn: [], join: 0 };
    const covered = node.dependsOn.filter(
      (dependency) => sources.includes(dependency) || isAfter(nodes, dependency, sources, certain),
    ).length;
    return covered >= (certain ? node.dependsOn.length - node.join + 1 : 1) && covered > 0;
  }

  it("answers in batches are the answers by definition, one by one", () => {
    const small = acyclic.filter((nodes) => nodes.length <= 14);
    fc.assert(
      fc.property(small, questions, fc.boolean(), (nodes, asked, certain) => {
        const within = asked.map(({ sources, targets }) => ({
          sources: sources.map((source) => source % nodes.length),
          targets: targets.map((target) => target % nodes.length),
        }));
        const dependencies = nodes.map(({ dependsOn }) => dependsOn);
        const graph = {
          dependencies,
          components: components(dependencies),
          joinCounts: nodes.map(({ join }) => join),
        };
        const expected = within.map(({ sources, targets }) =>
          targets.filter((target) => !isAfter(nodes, target, sources, certain)),
        );
        expect(findUnordered(graph, within, certain)).toEqual(expected);
      }),
      { numRuns: 300 },
    );
  });
});
