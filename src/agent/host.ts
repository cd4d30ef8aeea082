/**
 * The agent host: serves the roles of one process on a swarm.
 *
 * It owns how many dispatches run at once, the pullers, the process's place in the swarm (announcement,
 * presence, drain) and its lifecycle machine. What happens to one dispatch is `dispatch.ts`'s matter; the
 * bus belongs to the caller, who closes it after `drain` or `stop`.
 *
 *  - H1 Over all roles of the process at most `concurrency` dispatches run; what a second role's puller
 *    brought beyond that waits here, kept in progress. The roles take turns (role-turns.ts).
 *  - H2 A dispatch runs here at most once at a time, however often it is delivered.
 *  - H3 A draining host starts nothing; what it has not started goes back to the queue at once.
 *  - H4 A task that may be what ends the process runs alone (suspects.ts).
 *  - H5 Nothing is asked for that could not be kept in progress: what keeps tasks may reach the broker later than
 *    what takes them.
 */
import type { Logger } from "pino";
import { initialTransition, transition } from "xstate";
import type { Bus, Clock, KeepAlive, Puller, Subscription, TaskDelivery } from "../bus/bus.ts";
import type { DispatchRef } from "../bus/messages.ts";
import { type AgentEvent, type AgentState, agentMachine, takesWork } from "../machines/agent.ts";
import { InvalidInputError } from "../workflow/errors.ts";
import { roleCard } from "./card.ts";
import type { AgentDefinition, TaskDefinition } from "./define.ts";
import { checkAgentDefinition } from "./define-agent.ts";
import { Dispatch, type DispatchHost } from "./dispatch.ts";
import { Joining } from "./joining.ts";
import { RoleTurns } from "./role-turns.ts";
import { logStrayRejections } from "./stray-rejections.ts";
import { isSuspect, Suspects } from "./suspects.ts";
import { timerKeepAlive } from "./timer-keep-alive.ts";
import { wait } from "./waiting.ts";

/** Dispatches that one process runs at once, over all of its roles. */
const DEFAULT_CONCURRENCY = 8;
/** How long a drain waits for running tasks before it gives them back. */
const DEFAULT_DRAIN_TIMEOUT_MS = 30_000;
/** How often the host looks after what runs. */
const ROUND_MS = 10_000;
/** How long a task that was told to stop by a drain may take to end. */
const DRAIN_GRACE_MS = 2_000;
/** What keeps tasks is awaited for so long: one that cannot keep them is better than none. */
const KEEPING_WAIT_MS = 10_000;
/** Before a daemon has told a role's ack-wait, tasks are kept as if it were the shortest allowed. */
const SHORTEST_ACK_WAIT_MS = 1_000;

export interface ServeOptions {
  bus: Bus;
  clock: Clock;
  log: Logger;
  /** Unique in the swarm. */
  id: string;
  /** Tasks that run at once, over all roles. Default 8. */
  concurrency?: number;
  /** Facts about the process, for the presence list. */
  about: { pid: number; host: string; version: string };
}

export interface AgentStats {
  running: number;
  done: number;
  failed: number;
}

/** An agent process at work. */
export interface RunningAgent {
  readonly id: string;
  readonly roles: readonly string[];
  /** Resolves when a daemon has answered for the first time: the roles' queues exist. */
  readonly joined: Promise<void>;
  /** Resolves when it has stopped: drained, stopped, or its bus was closed under it. */
  readonly ended: Promise<void>;
  state(): AgentState;
  stats(): AgentStats;
  /**
   * Takes no more work, gives back what has not started, waits for what runs; after `timeoutMs` (default
   * 30 s) fires the signals of what is left and gives it back. Idempotent.
   */
  drain(timeoutMs?: number): Promise<void>;
  /** Drains without waiting for running tasks to end by themselves. */
  stop(): Promise<void>;
}

/**
 * Joins a swarm with the given agents and serves their roles until drained or stopped.
 *
 * Delivery is at least once: a task may run again after a crash, and the first result in the log counts.
 *
 * @throws InvalidInputError when an agent's definition is wrong, two serve one role, or concurrency is.
 */
export async function serveAgent(
  agents: readonly AgentDefinition[],
  options: ServeOptions,
): Promise<RunningAgent> {
  const host = new AgentHost(agents, options);
  try {
    await host.start();
  } catch (error) {
    await host.stop();
    throw error;
  }
  return host;
}

class AgentHost implements RunningAgent, DispatchHost {
  readonly id: string;
  readonly roles: readonly string[];
  readonly joined: Promise<void>;
  readonly ended: Promise<void>;
  readonly bus: Bus;
  readonly clock: Clock;
  readonly log: Logger;
  readonly keepAlive: KeepAlive;
  readonly brisk = new WeakSet<TaskDefinition>();
  readonly #agents: ReadonlyMap<string, AgentDefinition>;
  readonly #concurrency: number;
  readonly #about: ServeOptions["about"];
  readonly #joining: Joining;
  readonly #stopping = new AbortController();
  /** Every dispatch in hand, waiting ones included, by its key. */
  readonly #dispatches = new Map<string, Dispatch>();
  readonly #ended = new Map<string, Promise<void>>();
  /** Delivered beyond the free slots (H1). */
  readonly #turns: RoleTurns<{ key: string; dispatch: Dispatch }>;
  readonly #suspects: Suspects;
  readonly #ackWaits = new Map<string, number>();
  readonly #subscriptions: Subscription[] = [];
  readonly #pullers = new Map<string, Puller>();
  readonly #leaveRejections: () => void;
  #resolveEnded: () => void = () => undefined;
  #snapshot = initialTransition(agentMachine)[0];
  #withdraw: (() => Promise<void>) | undefined;
  #rounds: unknown;
  #draining: Promise<void> | undefined;
  #running = 0;
  /** Waits for what keeps tasks (H5). */
  #unkept = 0;
  #abandoned = 0;
  #done = 0;
  #failed = 0;

  constructor(agents: readonly AgentDefinition[], options: ServeOptions) {
    const { bus, clock, log, id, about, concurrency = DEFAULT_CONCURRENCY } = options;
    this.#agents = byRole(agents);
    if (!Number.isInteger(concurrency) || concurrency < 1) {
      throw new InvalidInputError(
        "E_CONCURRENCY",
        `concurrency must be a whole number from 1, but is ${concurrency}`,
        {
          remedy: "Give how many tasks this process may run at once.",
        },
      );
    }
    this.id = id;
    this.roles = [...this.#agents.keys()];
    this.#turns = new RoleTurns(this.roles);
    this.bus = bus;
    this.clock = clock;
    this.log = log.child({ agent: id });
    this.#concurrency = concurrency;
    this.#about = about;
    this.keepAlive = bus.tasks.keepAlive?.() ?? timerKeepAlive(clock);
    this.#suspects = new Suspects(clock, () => this.#next());
    this.#leaveRejections = logStrayRejections(this.log);
    this.#joining = new Joining({
      bus,
      clock,
      log: this.log,
      hello: { v: 1, id, roles: agents.map(roleCard) },
      onJoined: (settings) => {
        for (const { role, ackWaitMs } of settings) this.#ackWaits.set(role, ackWaitMs);
        this.#send({ type: "joined" });
        this.#wake();
      },
    });
    this.joined = this.#joining.joined;
    this.ended = new Promise((resolve) => {
      this.#resolveEnded = resolve;
    });
  }

  get stopped(): AbortSignal {
    return this.#stopping.signal;
  }

  async start(): Promise<void> {
    const { bus } = this;
    this.#subscriptions.push(bus.onStatus((status, reason) => this.#onStatus(status, reason)));
    for (const role of this.roles) {
      this.#subscriptions.push(bus.live.onCancel(role, (ref, reason) => this.#onCancel(ref, reason)));
    }
    const card = {
      ...this.#about,
      id: this.id,
      roles: [...this.#agents.values()].map(roleCard),
      startedAt: this.clock.now(),
      concurrency: this.#concurrency,
    };
    const presence = await bus.presence.announce(card, () => this.stats(), this.keepAlive);
    this.#withdraw = () => presence.withdraw();
    this.#joining.begin();
    this.#awaitKeeping();
    this.#makeRounds();
    // A daemon that is there makes the queues first; without one, queues that exist are served all the same.
    void this.#joining.tried.then(() => this.#pull());
  }

  /** One timer for all that runs: most dispatches are over before it comes by. */
  #makeRounds(): void {
    this.#rounds = this.clock.setTimeout(() => {
      for (const key of this.#ended.keys()) void this.#dispatches.get(key)?.lookWhetherOpen();
      this.#makeRounds();
    }, ROUND_MS);
  }

  #pull(): void {
    if (!takesWork(this.state()) && this.state() !== "disconnected") return;
    for (const [role, agent] of this.#agents) {
      const puller = this.bus.tasks.pull(role, {
        slots: () => this.#slots(),
        onDelivery: (delivery) => this.#onDelivery(agent, delivery),
        onUnreadable: (problem) => this.log.error(problem, "a task could not be read and was set aside"),
        // The daemon that hears of this agent makes the queue.
        onMissing: () => this.#joining.renew(),
      });
      this.#pullers.set(role, puller);
    }
  }

  state(): AgentState {
    return this.#snapshot.value;
  }

  stats(): AgentStats {
    return { running: this.#running, done: this.#done, failed: this.#failed };
  }

  ackWaitMs(role: string): number {
    return this.#ackWaits.get(role) ?? SHORTEST_ACK_WAIT_MS;
  }

  drain(timeoutMs = DEFAULT_DRAIN_TIMEOUT_MS): Promise<void> {
    this.#draining ??= this.#drain(timeoutMs);
    return this.#draining;
  }

  async stop(): Promise<void> {
    const draining = this.drain(0);
    this.#abortAll("the agent was stopped");
    await draining;
  }

  async #drain(timeoutMs: number): Promise<void> {
    if (this.state() === "stopped") return;
    this.#send({ type: "drain" });
    this.log.info({ running: this.#running, timeoutMs }, "draining");
    this.#joining.end();
    await Promise.all([...this.#pullers.values()].map((puller) => puller.stop()));
    for (const { key, dispatch } of [...this.#turns.takeAll(), ...this.#suspects.takeAll()]) {
      dispatch.giveBack(); // H3
      this.#dispatches.delete(key);
    }
    const allEnded = Promise.all([...this.#ended.values()]).then(() => true);
    const timeUp = (delayMs: number) => wait(this.clock, delayMs, this.stopped).then(() => false);
    if (!(await Promise.race([allEnded, timeUp(timeoutMs)]))) {
      this.#abortAll(`the agent is draining and waited ${timeoutMs} ms`);
      await Promise.race([allEnded, timeUp(DRAIN_GRACE_MS)]);
    }
    this.#stopping.abort();
    // Code that ignored its signal: the task goes back whether or not the code ends with the process.
    for (const dispatch of this.#dispatches.values()) dispatch.giveBack();
    for (const subscription of this.#subscriptions.splice(0)) subscription.close();
    await this.#withdraw?.();
    this.#close({ type: "drained" });
    this.log.info({ done: this.#done, failed: this.#failed }, "stopped");
  }

  #abortAll(message: string): void {
    for (const dispatch of this.#dispatches.values()) dispatch.abort("drain", message);
  }

  /**
   * Slots that are free right now (H1). Code that was given up keeps running: up to `concurrency` of it is
   * borne, what exceeds that holds its slot, so that hung tasks can never pile up without bound (L8).
   */
  #slots(): number {
    if (!takesWork(this.state()) || this.#suspects.some || this.#unkept > 0) return 0;
    const hung = Math.max(0, this.#abandoned - this.#concurrency);
    return Math.max(0, this.#concurrency - this.#dispatches.size - hung);
  }

  /** H5. */
  #awaitKeeping(): void {
    const reached = this.keepAlive.reached?.();
    if (reached === undefined) return;
    this.#unkept++;
    const over = new AbortController();
    void reached.then(() => over.abort());
    void wait(this.clock, KEEPING_WAIT_MS, AbortSignal.any([over.signal, this.stopped])).then(() => {
      if (!over.signal.aborted && !this.stopped.aborted)
        this.log.warn("what keeps tasks in progress does not reach the broker; taking work all the same");
      this.#unkept--;
      this.#wake();
    });
  }

  #onDelivery(agent: AgentDefinition, delivery: TaskDelivery): void {
    const key = dispatchKey(delivery.task);
    const same = this.#dispatches.get(key);
    if (same !== undefined) {
      same.adopt(delivery); // H2
      return;
    }
    const dispatch = new Dispatch(this, agent, delivery);
    if (this.state() === "draining" || this.state() === "stopped") {
      dispatch.giveBack(); // H3
      return;
    }
    this.#dispatches.set(key, dispatch);
    if (isSuspect(delivery.deliveryCount, delivery.task.avoid !== undefined))
      this.#suspects.add(key, dispatch, delivery.deliveryCount); // H4
    else if (this.#hasRoom()) this.#begin(key, dispatch);
    else this.#turns.add(agent.role, { key, dispatch });
  }

  #hasRoom(): boolean {
    return this.#running < this.#concurrency && !this.#suspects.alone;
  }

  #begin(key: string, dispatch: Dispatch, alone = false): void {
    this.#running++;
    this.#turns.began(dispatch.task.role);
    const ended = dispatch.carryOut().then((end) => {
      this.#running--;
      if (alone) this.#suspects.over();
      if (end === "done" || end === "handoff") this.#done++;
      else if (end === "failed") this.#failed++;
      this.#dispatches.delete(key);
      this.#ended.delete(key);
      this.#watchAbandoned(dispatch);
      this.#next();
    });
    this.#ended.set(key, ended);
  }

  /** Counts code that still runs although its dispatch is over. */
  #watchAbandoned(dispatch: Dispatch): void {
    if (dispatch.hanging === undefined) return;
    this.#abandoned++;
    void dispatch.hanging.then(() => {
      this.#abandoned--;
      this.#wake();
    });
  }

  #next(): void {
    if (this.state() === "draining" || this.state() === "stopped") return;
    while (this.#turns.size > 0 && this.#hasRoom()) {
      const waiting = this.#turns.take();
      if (waiting !== undefined) this.#begin(waiting.key, waiting.dispatch);
    }
    const suspect = this.#suspects.take(this.#running);
    if (suspect !== undefined) this.#begin(suspect.key, suspect.dispatch, true);
    else if (this.#turns.size === 0) this.#wake();
  }

  #wake(): void {
    for (const role of this.#turns.roles) this.#pullers.get(role)?.wake();
  }

  #onCancel(ref: DispatchRef, reason: string): Promise<boolean> | undefined {
    const key = dispatchKey(ref);
    const dispatch = this.#dispatches.get(key);
    if (dispatch === undefined) return undefined;
    dispatch.abort("cancelled", reason === "" ? "cancelled" : `cancelled: ${reason}`);
    // Code that goes on has not stopped, though nobody waits for it.
    return (this.#ended.get(key) ?? Promise.resolve()).then(() => dispatch.hanging === undefined);
  }

  #onStatus(status: ReturnType<Bus["status"]>, reason: string): void {
    if (status === "reconnecting") {
      this.log.warn({ reason }, "the broker is out of reach; running tasks go on and their results wait");
      this.#send({ type: "disconnected" });
    } else if (status === "connected") {
      this.#send({ type: "reconnected" });
      this.log.info("connected again");
      // The broker may have lost the queues, or a new daemon may not know this agent.
      this.#joining.begin();
      this.#awaitKeeping();
      this.#wake();
    } else if (this.state() !== "draining") {
      this.log.error({ reason }, "the connection to the broker is closed for good; this agent has stopped");
      this.#joining.end();
      this.#stopping.abort();
      this.#abortAll("the connection to the broker is closed");
      this.#close({ type: "stop" });
    }
  }

  #close(event: AgentEvent): void {
    this.clock.clearTimeout(this.#rounds);
    this.keepAlive.close();
    this.#leaveRejections();
    this.#send(event);
    this.#resolveEnded();
  }

  #send(event: AgentEvent): void {
    [this.#snapshot] = transition(agentMachine, this.#snapshot, event);
  }
}

function byRole(agents: readonly AgentDefinition[]): Map<string, AgentDefinition> {
  if (agents.length === 0) {
    throw new InvalidInputError("E_NO_AGENTS", "there is no agent to serve", {
      remedy: "Give at least one.",
    });
  }
  const roles = new Map<string, AgentDefinition>();
  for (const agent of agents) {
    checkAgentDefinition(agent);
    if (roles.has(agent.role)) {
      throw new InvalidInputError(
        "E_DUPLICATE_ROLE",
        `two agents of one process serve the role "${agent.role}"`,
        {
          remedy: "Put all tasks of a role into one agent, or start a second process.",
          data: { role: agent.role },
        },
      );
    }
    roles.set(agent.role, agent);
  }
  return roles;
}

function dispatchKey({ role, run, step, n }: DispatchRef): string {
  return `${role}:${run}:${step}:${n}`;
}
