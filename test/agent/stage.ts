/**
 * A stage for one agent process: the memory bus under a clock that moves only when told, a daemon that
 * answers as told, and ways to give work and to wait for what comes of it. No real time passes.
 */
import { pino } from "pino";
import type { AgentDefinition, TaskDefinition } from "../../src/agent/define.ts";
import { type RunningAgent, type ServeOptions, serveAgent } from "../../src/agent/host.ts";
import type { Bus, Clock, LogRecord } from "../../src/bus/bus.ts";
import { createMemoryBroker } from "../../src/bus/memory/broker.ts";
import type { Parcel } from "../../src/bus/memory/network.ts";
import type { Answer, LiveMessage, Question, ResultMessage, TaskMessage } from "../../src/bus/messages.ts";

/** Time that stands still until `advance`. */
export class ManualClock implements Clock {
  #now = 1_700_000_000_000;
  #timers: { at: number; callback: () => void }[] = [];

  now(): number {
    return this.#now;
  }
  monotonic(): number {
    return this.#now;
  }
  setTimeout(callback: () => void, delayMs: number): unknown {
    const timer = { at: this.#now + delayMs, callback };
    this.#timers.push(timer);
    return timer;
  }
  clearTimeout(timer: unknown): void {
    this.#timers = this.#timers.filter((other) => other !== timer);
  }
  pending(): number {
    return this.#timers.length;
  }

  /** Fires what is due, in order, letting everything that follows from one timer happen before the next. */
  async advance(ms: number): Promise<void> {
    const until = this.#now + ms;
    await settle();
    while (true) {
      const next = this.#timers.filter(({ at }) => at <= until).sort((a, b) => a.at - b.at)[0];
      if (next === undefined) break;
      this.clearTimeout(next);
      this.#now = Math.max(this.#now, next.at);
      next.callback();
      await settle();
    }
    this.#now = until;
  }
}

/** Lets every promise that can go on do so. */
export async function settle(): Promise<void> {
  for (let round = 0; round < 4; round++) await new Promise((resolve) => setImmediate(resolve));
}

export interface Stage {
  readonly clock: ManualClock;
  readonly agent: RunningAgent;
  readonly agentBus: Bus;
  readonly daemonBus: Bus;
  readonly results: (ResultMessage & { role: string })[];
  readonly live: (LiveMessage & { role: string })[];
  readonly questions: Question[];
  readonly logLines: Record<string, unknown>[];
  /** Everything appended to the run's log. */
  readonly records: LogRecord[];
  push(task?: Partial<TaskMessage>): Promise<TaskMessage>;
  /** Starts another process on the same swarm. */
  join(
    agents: AgentDefinition[],
    options?: Partial<ServeOptions>,
  ): Promise<{ agent: RunningAgent; bus: Bus }>;
}

export interface StageOptions {
  tasks?: Record<string, TaskDefinition>;
  agents?: AgentDefinition[];
  serve?: Partial<ServeOptions>;
  /** What the daemon answers; default: nothing, as if there were none. */
  answer?: (question: Question) => Answer | undefined;
  deliver?: (parcel: Parcel, arrive: () => void) => void;
  /** Changes the agent's bus before it is used: to make its parts fail. */
  tamper?: (bus: Bus) => Bus;
  maxPayloadBytes?: number;
}

export const RUN = "r1";
const ACK_WAIT_MS = 3_000;

export async function setStage(options: StageOptions): Promise<Stage> {
  const clock = new ManualClock();
  const { deliver, maxPayloadBytes } = options;
  const broker = createMemoryBroker({
    clock,
    ...(deliver === undefined ? {} : { deliver }),
    ...(maxPayloadBytes === undefined ? {} : { maxPayloadBytes }),
  });
  const daemonBus = broker.connect();
  const logLines: Record<string, unknown>[] = [];
  const log = pino({ level: "debug" }, { write: (line) => void logLines.push(JSON.parse(line)) });

  daemonBus.live.onHello(async ({ roles }) => ({
    ok: true,
    roles: await Promise.all(
      roles.map(({ role }) => daemonBus.tasks.ensureRole({ role, ackWaitMs: ACK_WAIT_MS })),
    ),
  }));
  const questions: Question[] = [];
  daemonBus.live.onAsk((_ref, question) => {
    questions.push(question);
    const answer = options.answer?.(question);
    return answer === undefined ? undefined : Promise.resolve(answer);
  });

  const results: Stage["results"] = [];
  const records: LogRecord[] = [];
  await daemonBus.log.follow(RUN, (record) => {
    records.push(record);
    if (record.kind === "result") results.push({ ...record.body, role: record.role });
  });
  const live: Stage["live"] = [];
  daemonBus.live.onLive(undefined, (message) => void live.push(message));

  const join = async (agents: AgentDefinition[], serve: Partial<ServeOptions> = {}) => {
    const connected = broker.connect();
    const bus = options.tamper?.(connected) ?? connected;
    const about = { pid: 1, host: "stage", version: "0" };
    const agent = await serveAgent(agents, { bus, clock, log, id: "agent-1", about, ...serve });
    await settle();
    return { agent, bus };
  };
  const agents = options.agents ?? [{ role: "worker", tasks: options.tasks ?? {} }];
  const first = await join(agents, options.serve);

  let steps = 0;
  return {
    clock,
    agent: first.agent,
    agentBus: first.bus,
    daemonBus,
    results,
    live,
    questions,
    logLines,
    records,
    join,
    async push(task = {}) {
      const step = task.step ?? `s${++steps}`;
      const whole: TaskMessage = {
        v: 1,
        run: RUN,
        step,
        n: 1,
        role: "worker",
        task: "work",
        inputs: {},
        attempt: 1,
        idempotencyKey: `${RUN}:${step}`,
        outputs: [],
        ...task,
      };
      await daemonBus.tasks.push(whole);
      await settle();
      return whole;
    },
  };
}

/** A promise and its handles, for tasks that wait for the test. */
export function gate<Value = void>(): { promise: Promise<Value>; open: (value: Value) => void } {
  let open: (value: Value) => void = () => undefined;
  const promise = new Promise<Value>((resolve) => {
    open = resolve;
  });
  return { promise, open };
}
