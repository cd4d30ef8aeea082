/**
 * A swarm on the memory bus under a clock that moves only when told: daemons that can die, and roles whose
 * tasks the test takes and answers by hand.
 */

import { pino } from "pino";
import { OrchestratorAgent } from "../../src/actors/orchestrator-agent.ts";
import type { ShareWindow } from "../../src/actors/role-shares.ts";
import type { RunPlanning } from "../../src/actors/run-planning.ts";
import { SwarmPlanning } from "../../src/actors/swarm-planning.ts";
import type { Bus, Clock, TaskDelivery } from "../../src/bus/bus.ts";
import { createMemoryBroker } from "../../src/bus/memory/broker.ts";
import type { ResultMessage } from "../../src/bus/messages.ts";
import { connectSwarm } from "../../src/client/connect.ts";
import { RunFold } from "../../src/fold/run-fold.ts";
import type { Capability } from "../../src/workflow/capability.ts";
import { VirtualClock } from "../bus/virtual-clock.ts";

const log = pino({ level: "silent" });
/** Of the virtual clock; well below the roles' ack-wait. */
const KEEP_EVERY_MS = 1_000;

export class SwarmStage {
  readonly clock = new VirtualClock();
  readonly broker = createMemoryBroker({
    clock: this.clock,
    runAckWaitMs: 10_000,
    deliver: ({ kind, subject }, arrive) => {
      if (kind !== "record" || !this.lost(subject)) queueMicrotask(arrive);
    },
  });
  /** Which live copies of log records are lost. */
  lost: (subject: string) => boolean = () => false;
  /** How long the daemons' processes have slept: time that passed without their timers. */
  sleptMs = 0;
  /** The test's own connection. */
  readonly bus: Bus = this.broker.connect();
  readonly daemons: { agent: OrchestratorAgent; bus: Bus }[] = [];
  /** Tasks in hand, by role, in order of delivery. */
  readonly taken = new Map<string, TaskDelivery[]>();
  #ids = 0;

  /** @param window how many tasks of a role it lets wait; default: as many as a real one */
  async daemon(
    planning?: (bus: Bus) => RunPlanning,
    window?: ShareWindow,
  ): Promise<{ agent: OrchestratorAgent; bus: Bus }> {
    const bus = this.broker.connect();
    const agent = new OrchestratorAgent({
      bus,
      clock: this.#daemonClock(),
      log,
      planning: planning?.(bus) ?? new SwarmPlanning(bus, this.clock, log),
      ...(window && { window }),
      id: `daemon-${this.daemons.length + 1}`,
      newId: () => `id-${++this.#ids}`,
    });
    await bus.runs.serveArrivals();
    agent.start();
    const daemon = { agent, bus };
    this.daemons.push(daemon);
    return daemon;
  }

  #daemonClock(): Clock {
    const { clock } = this;
    return {
      now: () => clock.now() + this.sleptMs,
      monotonic: () => clock.monotonic() + this.sleptMs,
      setTimeout: (callback, delayMs) => clock.setTimeout(callback, delayMs),
      clearTimeout: (timer) => clock.clearTimeout(timer),
    };
  }

  /** Serves a role; tasks wait in `taken`, kept in progress, for the test's answer. */
  async serve(role: string, slots = 100): Promise<void> {
    await this.bus.tasks.ensureRole({ role, ackWaitMs: 5_000 });
    const taken: TaskDelivery[] = [];
    this.taken.set(role, taken);
    this.bus.tasks.pull(role, { slots: () => slots - taken.length, onDelivery: (one) => taken.push(one) });
    const keep = () => {
      for (const delivery of taken) delivery.working();
      this.clock.setTimeout(keep, KEEP_EVERY_MS);
    };
    keep();
  }

  /** Serves a role, and is present with the card of these tasks: a planner sees them. */
  async join(role: string, tasks: readonly (Partial<Capability> & { name: string })[]): Promise<void> {
    await this.serve(role);
    const card = { role, tasks: tasks.map((task) => ({ needs: [], gives: [], ...task })) };
    const about = { id: `${role}-1`, pid: 1, host: "here", version: "1.0.0", startedAt: 0, concurrency: 1 };
    await this.bus.presence.announce({ ...about, roles: [card] }, () => ({ running: 0, done: 0, failed: 0 }));
  }

  async submit(workflow: unknown, run = "r1"): Promise<void> {
    const body = { v: 1 as const, workflow, inputs: {} };
    await this.bus.log.append(run, { kind: "submit", body }, { expectLast: 0 });
    await this.clock.advance(0);
  }

  /** A person lets the paused run go on, with these limits. */
  async resume(budget: Record<string, unknown>): Promise<void> {
    const body = { v: 1 as const, verb: "resume" as const, value: { budget }, by: "ada" };
    await this.bus.log.append("r1", { kind: "control", body });
    await this.clock.advance(0);
  }

  /** Answers what comes, and gives more budget where the run waits for it: as long as a run that can end may take. */
  async untilEnd(role: string): Promise<RunFold> {
    for (let turn = 0; turn < 60 && !(await this.fold()).ended; turn++) {
      if ((await this.fold()).status === "paused") await this.resume({ dispatches: 10_000 });
      while (this.inHand(role).length > 0) await this.answer(role);
      await this.clock.advance(15_000);
    }
    return this.fold();
  }

  /** Reports the first task in hand that fits, then acks it. */
  async answer(role: string, result: Partial<ResultMessage> = {}): Promise<TaskDelivery> {
    const taken = this.taken.get(role) ?? [];
    const at = taken.findIndex(({ task }) => result.step === undefined || task.step === result.step);
    const [delivery] = taken.splice(at, 1);
    if (!delivery || at < 0) throw new Error(`no task of ${role} is in hand`);
    await this.report(delivery, role, result);
    delivery.ack();
    await this.clock.advance(0);
    return delivery;
  }

  async report(delivery: TaskDelivery, role: string, result: Partial<ResultMessage> = {}): Promise<void> {
    const { run, step, n } = delivery.task;
    const body: ResultMessage = { v: 1, run, step, n, agent: `${role}-1`, status: "done", ...result };
    await this.bus.log.append(run, { kind: "result", role, body });
    await this.clock.advance(0);
  }

  async fold(run = "r1"): Promise<RunFold> {
    const fold = new RunFold(run);
    for await (const record of this.bus.log.read(run)) fold.apply(record);
    return fold;
  }

  inHand(role: string): string[] {
    return (this.taken.get(role) ?? []).map(({ task }) => `${task.step}#${task.n}`);
  }
}

/** A stage with a daemon, somebody who works, and a client. */
export async function workingSwarm() {
  const stage = new SwarmStage();
  await stage.serve("worker");
  const daemon = await stage.daemon();
  const client = await connectSwarm({ bus: stage.bus, by: "ada" });
  return { stage, daemon, client };
}
