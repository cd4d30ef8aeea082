/**
 * A whole swarm in one process, for programs that embed DataHammer: no server, the same machines.
 *
 * It owns putting the parts together over the memory bus and taking them apart again. Nothing of it is
 * durable: a run lives as long as the call. Use a daemon where a run must survive its process.
 */
import { type Logger, pino } from "pino";
import { z } from "zod";
import { OrchestratorAgent } from "../actors/orchestrator-agent.ts";
import { SwarmPlanning } from "../actors/swarm-planning.ts";
import type { AgentDefinition, Handoff, TaskContext, TaskDefinition } from "../agent/define.ts";
import { type RunningAgent, serveAgent } from "../agent/host.ts";
import type { Bus, Clock, LogRecord } from "../bus/bus.ts";
import { createMemoryBroker } from "../bus/memory/broker.ts";
import type { ControlMessage } from "../bus/messages.ts";
import { randomId } from "../bus/random-id.ts";
import { systemClock } from "../bus/system-clock.ts";
import { RunFold } from "../fold/run-fold.ts";
import { type WaitView, waitViewOf } from "../fold/wait-view.ts";
import { DataHammerError, InvalidInputError } from "../workflow/errors.ts";
import { WorkflowGraph } from "../workflow/graph.ts";
import { literalWorkflow } from "../workflow/nested-run.ts";
import { isAnswered, RESERVED_ROLES } from "../workflow/reserved-roles.ts";

/** Does one task: gets resolved inputs, gives outputs, or hands the step over (`ctx.handoff`). */
export type InvokeAgent = (
  role: string,
  task: string,
  inputs: Record<string, unknown>,
  ctx: TaskContext,
) => Promise<Record<string, unknown> | Handoff> | Record<string, unknown> | Handoff;

/** Answers a wait of a step: `approve` with a value (of a signal, its data), or `reject` with a reason. */
export type AnswerWait = (wait: WaitView & { step: string }) => Promise<OutsideAnswer> | OutsideAnswer;
export type OutsideAnswer = { approve: unknown } | { reject: unknown };

export interface WorkflowExecutorOptions {
  /** Default: silent. */
  log?: Logger;
  /** Default: the machine's. */
  clock?: Clock;
  /** Names the run in idempotency keys. Default: made up. */
  run?: string;
  inputs?: Record<string, unknown>;
  /**
   * Answers what steps wait for: approvals, questions to people, signals. Called once for each wait. Without it, a
   * workflow that waits for somebody is refused, unless a deadline answers instead.
   */
  answer?: AnswerWait;
  /** Sees every log record as it is folded. What it throws ends the run, and is what the call rejects with. */
  onRecord?: (record: LogRecord) => void;
}

/** The run failed or was cancelled; `code` and `data.step` say why and where. */
export class RunFailedError extends DataHammerError {}

export class WorkflowExecutor {
  readonly #options: WorkflowExecutorOptions;

  constructor(options: WorkflowExecutorOptions = {}) {
    this.#options = options;
  }

  /**
   * Runs a workflow document to its end in this process. `invokeAgent` does the tasks, at least once each,
   * at most the workflow's `maxParallel` at a time.
   *
   * @param environment the keys to start from
   * @returns the environment as the run left it
   * @throws InvalidWorkflowError before anything runs, with every issue
   * @throws RunFailedError with the code of the failed step, or `E_BUDGET` when the workflow's budget is spent
   */
  async executeWorkflow(
    workflow: unknown,
    environment: Record<string, unknown>,
    invokeAgent: InvokeAgent,
  ): Promise<Record<string, unknown>> {
    const graph = WorkflowGraph.fromDocument(workflow, { environmentKeys: Object.keys(environment) });
    if (!this.#options.answer) assertNobodyIsAsked(graph);
    const { run = `run-${randomId()}`, clock = systemClock, log = pino({ level: "silent" }) } = this.#options;
    const broker = createMemoryBroker({ clock });
    const bus = broker.connect();
    const crew = new Crew(bus, clock, log, graph.maxParallel, invokeAgent);
    const planning = new SwarmPlanning(bus, clock, log);
    const orchestrator = new OrchestratorAgent({
      bus,
      clock,
      log,
      planning,
      id: "embedded",
      newId: randomId,
    });
    try {
      for (const { agent, task } of worksOf(graph)) await crew.hire(agent, task);
      orchestrator.start();
      await bus.runs.serveArrivals();
      const inputs = this.#options.inputs ?? {};
      const body = { v: 1, workflow, inputs, environment } as const;
      await bus.log.append(run, { kind: "submit", body }, { expectLast: 0 });
      await bus.runs.push(run);
      const fold = await ending(bus, run, this.#options);
      if (fold.status === "done") return { ...fold.environment.values };
      const { code, message, step } = fold.error ?? fold.pause ?? { code: "E_FAILED", message: fold.status };
      throw new RunFailedError(code, message, { data: { run, step, status: fold.status } });
    } finally {
      await orchestrator.stop();
      await crew.dismiss();
      await bus.close();
    }
  }
}

/** Every task of the workflow, and of those that are nested in it. */
function* worksOf(graph: WorkflowGraph): Iterable<{ agent: string; task: string }> {
  for (const { agent, task, inputs, compensate } of graph.steps()) {
    if (compensate) yield compensate;
    const nested = literalWorkflow(agent, inputs);
    const environmentKeys = Object.keys(inputs.environment ?? {});
    if (nested) yield* worksOf(WorkflowGraph.fromDocument(nested, { environmentKeys }));
    else if (!RESERVED_ROLES.includes(agent)) yield { agent, task };
  }
}

/** One agent per role, made when the role is first named; every task goes to the caller's function. */
class Crew {
  readonly #bus: Bus;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #concurrency: number;
  readonly #invoke: InvokeAgent;
  readonly #roles = new Map<
    string,
    { tasks: Record<string, TaskDefinition>; agent: Promise<RunningAgent> }
  >();

  constructor(bus: Bus, clock: Clock, log: Logger, concurrency: number, invoke: InvokeAgent) {
    this.#bus = bus;
    this.#clock = clock;
    this.#log = log;
    this.#concurrency = concurrency;
    this.#invoke = invoke;
  }

  async hire(role: string, task: string): Promise<void> {
    const hired = this.#roles.get(role);
    if (hired) {
      hired.tasks[task] ??= this.#task(role, task);
      await hired.agent;
      return;
    }
    const tasks: Record<string, TaskDefinition> = { [task]: this.#task(role, task) };
    const agent = this.#serve({ role, tasks });
    this.#roles.set(role, { tasks, agent });
    await agent;
  }

  async dismiss(): Promise<void> {
    await Promise.all([...this.#roles.values()].map(async ({ agent }) => (await agent).stop()));
  }

  async #serve(agent: AgentDefinition): Promise<RunningAgent> {
    await this.#bus.tasks.ensureRole({ role: agent.role });
    return serveAgent([agent], {
      bus: this.#bus,
      clock: this.#clock,
      log: this.#log,
      id: `embedded-${agent.role}`,
      concurrency: this.#concurrency,
      about: { pid: process.pid, host: "localhost", version: "embedded" },
    });
  }

  #task(role: string, task: string): TaskDefinition {
    return {
      inputs: z.record(z.string(), z.unknown()),
      outputs: z.record(z.string(), z.unknown()),
      run: async (inputs, ctx) => {
        const outcome = await this.#invoke(role, task, inputs as Record<string, unknown>, ctx);
        // Whoever the step goes to next has to be there.
        if ("role" in outcome && "task" in outcome && "reason" in outcome) {
          await this.hire(String(outcome.role), String(outcome.task));
        }
        return outcome;
      },
    };
  }
}

/** @throws InvalidInputError when the run would wait for somebody who cannot come */
function assertNobodyIsAsked(graph: WorkflowGraph): void {
  for (const { id, agent, approval, deadline } of graph.steps()) {
    if (deadline || !(approval || isAnswered(agent))) continue;
    throw new InvalidInputError(
      "E_NOBODY_TO_ASK",
      `step "${id}" waits for an answer, and nobody can give one here`,
      { remedy: "Give the executor an answer function, or the step a deadline.", data: { step: id } },
    );
  }
}

/** Folds the run until it has ended, or its budget is spent: nobody could raise it here. */
async function ending(
  bus: Bus,
  run: string,
  { onRecord, answer }: Pick<WorkflowExecutorOptions, "onRecord" | "answer">,
): Promise<RunFold> {
  const fold = new RunFold(run);
  let finish: () => void = () => {};
  let fail: (error: unknown) => void = () => {};
  const finished = new Promise<void>((resolve, reject) => {
    finish = resolve;
    fail = reject;
  });
  // Rejected before anybody waits for it, when the first record already offends its observer.
  finished.catch(() => {});
  const asked = new Set<string>();
  const ask = async (step: string, wait: WaitView, give: AnswerWait): Promise<void> => {
    const given = await give({ ...wait, step });
    const [verb, value] =
      "reject" in given ? (["reject", given.reject] as const) : (["approve", given.approve] as const);
    const isSignal = wait.for === "signal" && verb === "approve";
    const said = isSignal ? { verb: "signal" as const, name: wait.task } : { verb, step };
    const body: ControlMessage = { v: 1, by: "the program", ...said, value };
    await bus.log.append(run, { kind: "control", body });
  };
  const follower = await bus.log.follow(run, (record) => {
    fold.apply(record);
    try {
      onRecord?.(record);
    } catch (error) {
      // The bus must not be the one to meet the program's mistake.
      fail(error);
    }
    for (const [step, { n }] of answer ? fold.waits : []) {
      const wait = waitViewOf(fold, step);
      if (asked.has(`${step}#${n}`) || !wait || !answer) continue;
      asked.add(`${step}#${n}`);
      ask(step, wait, answer).catch(fail);
    }
    if (fold.ended || fold.pause?.code === "E_BUDGET") finish();
  });
  try {
    await finished;
    return fold;
  } finally {
    follower.close();
  }
}
