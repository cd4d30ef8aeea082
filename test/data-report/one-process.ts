/**
 * Runs the data-report swarm's tasks in this process, chained by the keys that they need and give.
 *
 * Not the planner: a small stand-in that shares no code with it, so that these tests say whether the agents
 * work, and not whether the plan is good. Guards are evaluated by the CEL library itself.
 */
import { evaluate } from "@marcbachmann/cel-js";
import { pino } from "pino";
import analyst from "../../examples/data-report/agents/analyst.ts";
import cleaner from "../../examples/data-report/agents/cleaner.ts";
import explorer from "../../examples/data-report/agents/explorer.ts";
import loader from "../../examples/data-report/agents/loader.ts";
import modeler from "../../examples/data-report/agents/modeler.ts";
import reporter from "../../examples/data-report/agents/reporter.ts";
import visualizer from "../../examples/data-report/agents/visualizer.ts";
import { startingEnvironment } from "../../examples/data-report/swarm.ts";
import {
  type AgentDefinition,
  Handoff,
  type TaskContext,
  type TaskDefinition,
} from "../../src/agent/define.ts";

const AGENTS: readonly AgentDefinition[] = [
  loader,
  explorer,
  cleaner,
  analyst,
  modeler,
  visualizer,
  reporter,
];

export interface Finished {
  environment: Record<string, unknown>;
  /** `role.task` in the order in which they ran. */
  steps: string[];
  ms: Record<string, number>;
}

interface Option {
  name: string;
  task: TaskDefinition;
}

/** Does the whole job for one file. */
export async function runJob(path: string, goal: string, outDir: string): Promise<Finished> {
  const environment: Record<string, unknown> = await startingEnvironment(path, goal, outDir);
  const steps: string[] = [];
  const ms: Record<string, number> = {};
  for (const { name, task } of planFor("report", environment)) {
    const from = performance.now();
    const keys = [...(task.needs ?? []), ...(task.uses ?? [])].filter((key) => key in environment);
    const given = Object.fromEntries(keys.map((key) => [key, environment[key]]));
    Object.assign(environment, await runTask(task, given, name.replace(".", "-")));
    steps.push(name);
    ms[name] = Math.round(performance.now() - from);
  }
  return { environment, steps, ms };
}

/** Runs one task as the host would: inputs and outputs are checked by its schemas. */
async function runTask(
  task: TaskDefinition,
  inputs: Record<string, unknown>,
  step: string,
): Promise<Record<string, unknown>> {
  const given: unknown = task.inputs ? task.inputs.parse(JSON.parse(JSON.stringify(inputs))) : inputs;
  const result = await task.run(given as never, context(step));
  if (result instanceof Handoff) throw new Error("no handoff expected");
  return (task.outputs ? task.outputs.parse(result) : result) as Record<string, unknown>;
}

function context(step: string): TaskContext {
  const unused = () => {
    throw new Error("not used by these agents");
  };
  return {
    run: "test-run",
    step,
    n: 1,
    attempt: 1,
    iteration: 1,
    hops: [],
    idempotencyKey: `test-run:${step}`,
    signal: new AbortController().signal,
    env: { get: unused, set: unused, watch: unused } as unknown as TaskContext["env"],
    log: pino({ level: "silent" }),
    artifacts: { put: unused, get: unused },
    progress: () => undefined,
    heartbeat: () => undefined,
    emit: () => undefined,
    usage: () => undefined,
    handoff: unused,
  };
}

/** Backward from a key: for each needed key the cheapest task whose guard holds; then in order of needs. */
export function planFor(want: string, environment: Readonly<Record<string, unknown>>): Option[] {
  const options = AGENTS.flatMap((agent) =>
    Object.entries(agent.tasks).map(([task, definition]) => ({
      name: `${agent.role}.${task}`,
      task: definition,
    })),
  ).filter(({ task }) => !task.when || evaluate(task.when, { env: environment, inputs: {} }) === true);
  const chosen = new Map<string, Option>();
  const wanted = [want];
  for (let key = wanted.pop(); key !== undefined; key = wanted.pop()) {
    if (
      key in environment ||
      [...chosen.values()].some((option) => option.task.gives?.includes(key as string))
    )
      continue;
    const givers = options.filter((option) => option.task.gives?.includes(key as string));
    // The cheapest; a task that gives more keys replaces one that gives only some of them.
    const best = givers.sort(
      (a, b) =>
        (b.task.gives?.length ?? 0) - (a.task.gives?.length ?? 0) ||
        costOf(a.task, environment) - costOf(b.task, environment),
    )[0];
    if (!best) throw new Error(`nothing gives ${key}`);
    chosen.set(best.name, best);
    wanted.push(...(best.task.needs ?? []));
  }
  const done = new Set(Object.keys(environment));
  const rest = [...chosen.values()];
  const ordered: Option[] = [];
  while (rest.length > 0) {
    const index = rest.findIndex(({ task }) => {
      const later = rest.filter((other) => other.task !== task).flatMap((other) => other.task.gives ?? []);
      return (
        (task.needs ?? []).every((key) => done.has(key)) &&
        !(task.uses ?? []).some((key) => later.includes(key))
      );
    });
    const [next] = rest.splice(index, 1);
    if (!next || index < 0) throw new Error("the tasks need each other");
    for (const key of next.task.gives ?? []) done.add(key);
    ordered.push(next);
  }
  return ordered;
}

function costOf({ cost = 1 }: TaskDefinition, env: Readonly<Record<string, unknown>>): number {
  return typeof cost === "number" ? cost : Number(evaluate(cost, { env, inputs: {} }));
}
