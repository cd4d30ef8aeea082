/**
 * What a real run's log tells about its agents and people, for a simulation of the same run: how long each
 * dispatch took and how it ended, who was there, what people said and when.
 *
 * Owns reading the log; what is done with it is the scenario's matter. What no log holds is not here: how long
 * a task waited in its queue, what was sent live, the bytes of artifacts.
 */
import type { LogRecord } from "../bus/bus.ts";
import type { DecisionMessage } from "../bus/decisions.ts";
import type { ControlMessage, ResultMessage, RunOrigin } from "../bus/messages.ts";
import { RunFold } from "../fold/run-fold.ts";
import type { RunState } from "../machines/run.ts";
import type { WorkflowDocument } from "../workflow/document.ts";
import { InvalidInputError } from "../workflow/errors.ts";
import { isAnswered, ORCHESTRATOR_ROLE } from "../workflow/reserved-roles.ts";
import type { ScenarioRun, Seat } from "./scenario.ts";
import type { ScriptedDispatch } from "./scripted-dispatch.ts";

export interface Recording {
  run: string;
  submission: ScenarioRun & { workflow: WorkflowDocument };
  status: RunState;
  /** From the submission to the last record. */
  durationMs: number;
  /** Dispatches that ended with a result. */
  results: number;
  environment: Readonly<Record<string, unknown>>;
  /** By step, then by what names a dispatch over redeliveries: its idempotency key and attempt. */
  scripts: ReadonlyMap<string, ReadonlyMap<string, ScriptedDispatch>>;
  seats: readonly Seat[];
  /** The tasks that each role was or can be given. */
  tasks: ReadonlyMap<string, ReadonlySet<string>>;
  /** What people said that is no answer, and how long after the submission. */
  said: readonly { afterMs: number; control: ControlMessage }[];
  /** Keys that people set. */
  set: readonly { afterMs: number; key: string; value: unknown }[];
  /** Answers to waiting steps, by step, each with how long they let it wait. */
  answers: ReadonlyMap<string, readonly { afterMs: number; control: ControlMessage }[]>;
  recoveries: ReadonlyMap<string, DecisionMessage & { type: "recover" }>;
  /** What of the run is not here, in words. */
  leftOut: readonly string[];
}

/** Whoever plays nested runs: what they did lies in logs of their own. */
const STAND_IN = "nested-run";

/** One agent seen at work. */
interface Worker {
  roles: Set<string>;
  spans: { from: number; to: number }[];
}

/** Names a dispatch over redeliveries and runs. */
export const dispatchKey = (idempotencyKey: string, attempt: number): string =>
  `${idempotencyKey}#${attempt}`;

/**
 * Reads a run's log.
 * @throws InvalidInputError `E_NOTHING_TO_SIMULATE` when it never had a workflow
 */
export function recordingOf(run: string, records: Iterable<LogRecord>): Recording {
  return new Recorder(run).read(records);
}

class Recorder {
  readonly #run: string;
  readonly #fold: RunFold;
  readonly #scripts = new Map<string, Map<string, ScriptedDispatch>>();
  readonly #sets = new Map<string, { ts: number; key: string; value: unknown }[]>();
  readonly #workers = new Map<string, Worker>();
  readonly #tasks = new Map<string, Set<string>>();
  readonly #said: { afterMs: number; control: ControlMessage }[] = [];
  readonly #set: { afterMs: number; key: string; value: unknown }[] = [];
  readonly #answers = new Map<string, { afterMs: number; control: ControlMessage }[]>();
  readonly #recoveries = new Map<string, DecisionMessage & { type: "recover" }>();
  #results = 0;
  #lastTs = 0;

  constructor(run: string) {
    this.#run = run;
    this.#fold = new RunFold(run);
  }

  read(records: Iterable<LogRecord>): Recording {
    for (const record of records) {
      this.#lastTs = Math.max(this.#lastTs, record.ts);
      this.#before(record);
      this.#fold.apply(record);
      if (record.kind === "env") this.#afterUpdate(record);
    }
    const { submission, graph, status, environment, startedAt = 0 } = this.#fold;
    if (submission === undefined || graph === undefined) {
      throw new InvalidInputError("E_NOTHING_TO_SIMULATE", `run "${this.#run}" never had a workflow`, {
        remedy: "Choose a run that was carried out: `datahammer runs` lists them.",
        data: { run: this.#run },
      });
    }
    const { workflow, nested } = withoutNested(standIn(graph.document) as WorkflowDocument);
    for (const { agent, task } of workflow.steps) this.#knowTask(agent, task);
    const { inputs, environment: given = {}, timeout, budget, origin } = submission;
    return {
      run: this.#run,
      submission: {
        workflow,
        inputs: standIn(inputs) as Record<string, unknown>,
        environment: standIn(given) as Record<string, unknown>,
        ...(timeout === undefined ? {} : { timeout }),
        ...(budget === undefined ? {} : { budget }),
        ...(origin === undefined ? {} : { origin: standIn(origin) as RunOrigin }),
      },
      status,
      durationMs: Math.max(0, this.#lastTs - startedAt),
      results: this.#results,
      environment: standIn({ ...environment.values }) as Record<string, unknown>,
      scripts: this.#scripts,
      seats: this.#seats(),
      tasks: this.#tasks,
      said: this.#said,
      set: this.#set,
      answers: this.#answers,
      recoveries: this.#recoveries,
      leftOut: nested.map((step) => `${step} is played as one task: its nested run is not lived again`),
    };
  }

  /** What a record says about the state that it meets. */
  #before(record: LogRecord): void {
    if (record.kind === "result") this.#result(record.role, record.body, record.ts);
    else if (record.kind === "control") this.#control(record.body, record.ts);
    else if (record.kind === "decision") this.#decision(record.body);
  }

  #result(role: string, result: ResultMessage, ts: number): void {
    const { step, n, agent, status } = result;
    // Each nested run is an agent of its own; one process plays them all.
    const isNested = role === ORCHESTRATOR_ROLE;
    const name = isNested ? STAND_IN : agent;
    const worker = this.#workers.get(name) ?? { roles: new Set(), spans: [] };
    this.#workers.set(name, worker);
    worker.roles.add(isNested ? STAND_IN : role);
    const startedAt = result.startedAt ?? this.#fold.dispatches.get(step)?.startedAt ?? ts;
    const endedAt = result.endedAt ?? ts;
    worker.spans.push({ from: startedAt, to: endedAt });
    if (!this.#fold.isOpen({ run: this.#run, step, n, role })) return;
    this.#results++;
    const ms = Math.max(0, endedAt - startedAt);
    const sets = this.#sets.get(`${step}#${n}`)?.map(({ ts: at, key, value }) => {
      // By the broker's clock, where the task's own begin is by its machine's: kept within the task.
      return { afterMs: Math.min(ms, Math.max(0, at - startedAt)), key, value };
    });
    const handoff = status === "handoff" ? result.handoff : undefined;
    if (handoff !== undefined) this.#knowTask(handoff.role, handoff.task);
    const end: ScriptedDispatch["end"] =
      status === "done"
        ? { status, outputs: standIn(result.outputs ?? {}) as Record<string, unknown> }
        : handoff !== undefined
          ? {
              status: "handoff",
              handoff: { ...handoff, inputs: standIn(handoff.inputs) as Record<string, unknown> },
            }
          : { status: "failed", error: result.error ?? { message: "the agent gave no reason" } };
    this.#script(step, {
      ms,
      end,
      ...(sets ? { sets } : {}),
      ...(result.usage ? { usage: result.usage } : {}),
    });
  }

  #script(step: string, script: ScriptedDispatch): void {
    const { idempotencyKey, attempt } = this.#fold.taskOf(step);
    const scripts = this.#scripts.get(step) ?? new Map<string, ScriptedDispatch>();
    this.#scripts.set(step, scripts.set(dispatchKey(idempotencyKey, attempt), script));
  }

  #decision(decision: DecisionMessage): void {
    if (decision.type === "recover") {
      this.#recoveries.set(decision.step, decision);
      if (decision.role !== undefined && decision.task !== undefined)
        this.#knowTask(decision.role, decision.task);
    }
    if (decision.type !== "timed-out" || !this.#fold.steps?.has(decision.step)) return;
    const { role } = this.#fold.step(decision.step).context;
    const ref = { run: this.#run, step: decision.step, n: decision.n, role };
    if (this.#fold.isOpen(ref)) this.#script(decision.step, { ms: 0, end: { status: "silent" } });
  }

  #control(control: ControlMessage, ts: number): void {
    const { verb, step } = control;
    if ((verb === "approve" || verb === "reject") && step !== undefined) {
      const wait = this.#fold.waits.get(step);
      if (wait === undefined) return;
      const answers = this.#answers.get(step) ?? [];
      this.#answers.set(step, [...answers, { afterMs: Math.max(0, ts - wait.since), control }]);
    } else this.#said.push({ afterMs: this.#sinceStart(ts), control });
  }

  #afterUpdate({ seq, ts, body }: LogRecord & { kind: "env" }): void {
    if (this.#fold.verdict(seq)?.applied !== true) return;
    const value = standIn(body.value);
    if (body.step === undefined) {
      this.#set.push({ afterMs: this.#sinceStart(ts), key: body.key, value });
      return;
    }
    const name = `${body.step}#${body.n}`;
    this.#sets.set(name, [...(this.#sets.get(name) ?? []), { ts, key: body.key, value }]);
  }

  #sinceStart(ts: number): number {
    return Math.max(0, ts - (this.#fold.startedAt ?? ts));
  }

  #knowTask(role: string, task: string): void {
    if (isAnswered(role)) return;
    this.#tasks.set(role, (this.#tasks.get(role) ?? new Set()).add(task));
  }

  /** As many processes as were seen, each as busy as it was; what nobody was seen to do, one more can do. */
  #seats(): Seat[] {
    const seats = [...this.#workers.values()].map(({ roles, spans }) => {
      const known = [...roles].filter((role) => this.#tasks.has(role));
      return { roles: known, concurrency: mostAtOnce(spans) };
    });
    const served = new Set(seats.flatMap(({ roles }) => roles));
    const unserved = [...this.#tasks.keys()].filter((role) => !served.has(role));
    if (unserved.length > 0) seats.push({ roles: unserved, concurrency: 4 });
    return seats.filter(({ roles }) => roles.length > 0);
  }
}

/** The same workflow with an agent's task for each nested run. */
function withoutNested(workflow: WorkflowDocument): { workflow: WorkflowDocument; nested: string[] } {
  const nested = workflow.steps.filter(({ agent }) => agent === ORCHESTRATOR_ROLE).map(({ id }) => id);
  if (nested.length === 0) return { workflow, nested };
  const steps = workflow.steps.map((step) =>
    step.agent === ORCHESTRATOR_ROLE ? { ...step, agent: STAND_IN, inputs: {} } : step,
  );
  return { workflow: { ...workflow, steps }, nested };
}

function mostAtOnce(spans: readonly { from: number; to: number }[]): number {
  const edges = spans.flatMap(({ from, to }) => [
    { at: from, by: 1 },
    { at: Math.max(to, from + 1), by: -1 },
  ]);
  edges.sort((a, b) => a.at - b.at || a.by - b.by);
  let now = 0;
  let most = 1;
  for (const { by } of edges) {
    now += by;
    most = Math.max(most, now);
  }
  return most;
}

/** Large values lie in the artifact store, out of reach of a simulation: their names stand in for them. */
function standIn(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(standIn);
  if (typeof value !== "object" || value === null) return value;
  if ("$artifact" in value) {
    const { name, holds } = (value as { $artifact: { name: string; holds?: string } }).$artifact;
    return holds === "value" ? `(large value ${name})` : value;
  }
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, standIn(inner)]));
}
