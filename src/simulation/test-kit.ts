/**
 * The test kit of users: a run of theirs, lived through again and again in virtual time while things go wrong.
 *
 * Either a real run's log says what the agents do (`simulateRun`), or the caller does (`simulateWorkflow`). The
 * code that carries the run is the real one: daemons, holds, fold, agent hosts. The judges are those that the
 * product itself is tested with. The same options give the same result, byte for byte.
 */
import type { RunPlanning } from "../actors/run-planning.ts";
import type { AgentDefinition, TaskContext } from "../agent/define.ts";
import type { LogRecord } from "../bus/bus.ts";
import type { WorkflowDocument } from "../workflow/document.ts";
import { WorkflowGraph } from "../workflow/graph.ts";
import type { FaultChoice, FaultKind } from "./faults.ts";
import { judge } from "./judge.ts";
import { type Disturbance, recordedScenario, SETTLED_MS } from "./recorded-scenario.ts";
import { recordingOf } from "./recording.ts";
import type { Scenario, Wrong } from "./scenario.ts";
import { play, type ScriptedDispatch } from "./scripted-dispatch.ts";
import { type Life, type SimulationOptions, simulate } from "./simulate.ts";
import { WORKFLOW_LANGUAGE } from "./workflow-language.ts";
import type { Party } from "./world.ts";

export interface TestKitOptions {
  /** The first seed. Default 1. */
  seed?: number;
  /** How many seeds, one simulated life each. Default 1. */
  seeds?: number;
  /** What goes wrong. Default: nothing. */
  faults?: readonly FaultKind[];
  /** Kills the daemon that holds the run, once in each life. */
  killDaemon?: boolean;
}

/** How one simulated life of a run ended. */
export interface SimulatedRun {
  seed: number;
  status: "done" | "failed" | "cancelled" | "not ended";
  /** Virtual ms from the submission to the end. */
  durationMs: number;
  /** Tasks that were begun, each counted as often as an agent began it. */
  dispatches: number;
  environment: Record<string, unknown>;
  steps: Record<string, { outcome: string | null; attempts: number }>;
  /** Rules that were broken; empty when all is well. */
  violations: Wrong[];
  /** What of the recorded run is not lived again as it was. */
  leftOut: readonly string[];
  /** Everything that happened, one line each. */
  history: readonly string[];
}

/** A task of a simulated agent: says how long it takes, in virtual time, and how it ends. It must not wait itself. */
export type ScriptedTask = (
  inputs: Record<string, unknown>,
  dispatch: { run: string; step: string; n: number; attempt: number },
) => ScriptedDispatch;

export interface SimulatedWorkflow {
  workflow: WorkflowDocument;
  inputs?: Record<string, unknown>;
  environment?: Record<string, unknown>;
  /** By role and task name. */
  agents: Readonly<Record<string, Readonly<Record<string, ScriptedTask>>>>;
  /** Processes that serve all roles. Default 2. */
  processes?: number;
  /** Tasks that each of them does at once. Default 4. */
  concurrency?: number;
}

const LEAST_PATIENCE_MS = 3_600_000;

/**
 * Lives a recorded run once for each seed.
 * @param records the run's log: `client.records(run)`, or an archive's
 * @throws InvalidInputError when the run never had a workflow, or lacks what the options name
 */
export async function* simulateRun(
  run: string,
  records: Iterable<LogRecord>,
  options: TestKitOptions & Disturbance = {},
): AsyncGenerator<SimulatedRun, void, undefined> {
  const recording = recordingOf(run, records);
  const slowest = Math.max(1, ...Object.values(options.slow ?? {}));
  const scenario = recordedScenario(recording, options);
  yield* lives(scenario, run, options, recording.durationMs * slowest, recording.leftOut);
}

/**
 * Lives a workflow with scripted agents once for each seed.
 * @throws InvalidWorkflowError when the workflow is invalid
 */
export async function* simulateWorkflow(
  simulated: SimulatedWorkflow,
  options: TestKitOptions = {},
): AsyncGenerator<SimulatedRun, void, undefined> {
  const { workflow, inputs = {}, environment = {}, agents, processes = 2, concurrency = 4 } = simulated;
  // Throws what is wrong with it here, and not in every life.
  WorkflowGraph.fromDocument(workflow, { environmentKeys: Object.keys(environment) });
  const run = workflow.name ?? "run";
  const scenario: Scenario = {
    runs: new Map([[run, { workflow, inputs, environment }]]),
    seats: Array.from({ length: processes }, () => ({ roles: Object.keys(agents), concurrency })),
    agent: (role, party) => agentOf(role, agents[role] ?? {}, party),
    planning: () => NO_PLANNING,
    attend(people) {
      people.submit(run, { workflow, inputs, environment }, SETTLED_MS);
      people.meddleWith(run);
      people.answerFor(run);
    },
    attendLater: (people, child) => people.answerFor(child),
    language: WORKFLOW_LANGUAGE,
  };
  yield* lives(scenario, run, options, 60_000);
}

function agentOf(role: string, tasks: Readonly<Record<string, ScriptedTask>>, party: Party): AgentDefinition {
  const scripted = Object.entries(tasks).map(([name, task]) => {
    const run = (inputs: Record<string, unknown>, ctx: TaskContext) => play(task(inputs, ctx), party, ctx, 1);
    return [name, { run }] as const;
  });
  return { role, tasks: Object.fromEntries(scripted) };
}

const NO_PLANNING: RunPlanning = {
  plan: async () => ({
    type: "end",
    status: "failed",
    error: { code: "E_NO_PLAN", message: "there is no planner" },
  }),
  recover: async (fold, step) => () => ({
    type: "recover",
    step,
    n: fold.step(step).context.n,
    reason: "there is no planner",
  }),
  weigh: async () => () => undefined,
  replace: async () => undefined,
};

async function* lives(
  scenario: Scenario,
  run: string,
  { seed = 1, seeds = 1, faults = [], killDaemon = false }: TestKitOptions,
  expectedMs: number,
  leftOut: readonly string[] = [],
): AsyncGenerator<SimulatedRun, void, undefined> {
  const choice: FaultChoice = {
    only: new Set(faults),
    untilMs: [Math.round(expectedMs * 0.5), Math.round(expectedMs * 1.5) + 5_000],
  };
  for (let at = seed; at < seed + seeds; at++) {
    const options: SimulationOptions = {
      seed: at,
      faults: choice,
      patienceMs: LEAST_PATIENCE_MS + 20 * expectedMs,
      ...(killDaemon ? { killHolderWithinMs: Math.max(1, expectedMs) } : {}),
    };
    yield outcomeOf(await simulate(scenario, options), run, leftOut);
  }
}

function outcomeOf(life: Life, run: string, leftOut: readonly string[]): SimulatedRun {
  const { wrongs, references } = judge(life);
  const reference = references.get(run);
  const records = life.logs.get(run) ?? [];
  const ended = reference?.ended === true;
  const end = records.findLast(({ kind }) => !ended || kind === "decision");
  const steps = [...(reference?.steps.values() ?? [])].map(
    ({ id, outcome, attempt }) => [id, { outcome, attempts: attempt }] as const,
  );
  return {
    seed: life.seed,
    status: ended ? (reference.status as "done" | "failed" | "cancelled") : "not ended",
    durationMs: Math.round((end?.ts ?? 0) - (records[0]?.ts ?? 0)),
    dispatches: life.evidence.of("ran").filter((fact) => fact.run === run).length,
    environment: Object.fromEntries([...(reference?.env ?? [])].map(([key, { value }]) => [key, value])),
    steps: Object.fromEntries(steps),
    violations: wrongs,
    leftOut,
    history: life.world.lines,
  };
}
