/**
 * How the cost of a graph grows with its steps: validated, and run on the memory bus in one process.
 * Ten times the steps may cost twelve times as much; anything quadratic would cost a hundred times.
 */
import { WorkflowExecutor } from "../src/embedded/executor.ts";
import { WorkflowGraph } from "../src/workflow/graph.ts";
import { serveParent } from "./child-process.ts";
import { type GraphCost, type GraphKind, graphOf } from "./scaling-graph.ts";
import { median } from "./statistics.ts";

const REPEATS = 3;

async function cost({ kind, steps }: { kind: GraphKind; steps: number }): Promise<GraphCost> {
  const document = graphOf(kind, steps);
  const validateMs: number[] = [];
  const runMs: number[] = [];
  // The first pass is for the compiler.
  for (let pass = 0; pass <= REPEATS; pass++) {
    const start = performance.now();
    WorkflowGraph.fromDocument(document);
    const validated = performance.now();
    await new WorkflowExecutor().executeWorkflow(document, {}, () => ({}));
    if (pass === 0) continue;
    validateMs.push(validated - start);
    runMs.push(performance.now() - validated);
  }
  return { validateMs: median(validateMs), runMs: median(runMs) };
}

serveParent({ cost }, async () => undefined);
