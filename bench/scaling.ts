/**
 * How the cost of a graph grows with its steps: validated, and run on the memory bus in one process.
 * Ten times the steps may cost twelve times as much; anything quadratic would cost a hundred times.
 *
 * Cost is CPU time of the process, its garbage collection included: time on the wall also counts what other
 * processes of the machine do meanwhile.
 */
import { WorkflowExecutor } from "../src/embedded/executor.ts";
import { WorkflowGraph } from "../src/workflow/graph.ts";
import { serveParent } from "./child-process.ts";
import { type GraphCost, type GraphKind, graphOf } from "./scaling-graph.ts";
import { median } from "./statistics.ts";

/** Unmeasured passes before the others, for the compiler. */
const WARM_UP_PASSES = 2;
const REPEATS = 5;

async function cost({ kind, steps }: { kind: GraphKind; steps: number }): Promise<GraphCost> {
  const document = graphOf(kind, steps);
  const validateMs: number[] = [];
  const runMs: number[] = [];
  for (let pass = -WARM_UP_PASSES; pass < REPEATS; pass++) {
    const start = cpuMs();
    WorkflowGraph.fromDocument(document);
    const validated = cpuMs();
    await new WorkflowExecutor().executeWorkflow(document, {}, () => ({}));
    if (pass < 0) continue;
    validateMs.push(validated - start);
    runMs.push(cpuMs() - validated);
  }
  return { validateMs: median(validateMs), runMs: median(runMs) };
}

function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

serveParent({ cost }, async () => undefined);
