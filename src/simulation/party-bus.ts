/**
 * One party's bus in a simulation: the memory bus, seen through a process that can stop and die and a network
 * on which calls take time and fail.
 *
 * Owns what happens to calls and to deliveries of tasks; live messages are the network's matter. Writes down
 * what the judges need to know.
 */
import type {
  AppendOptions,
  Bus,
  LogEntry,
  LogFollower,
  LogRecord,
  PullOptions,
  RunDelivery,
  TaskDelivery,
} from "../bus/bus.ts";
import type { MemoryBus } from "../bus/memory/broker.ts";
import type { SubmitMessage, TaskMessage } from "../bus/messages.ts";
import { UnreachableError } from "../workflow/errors.ts";
import type { Evidence } from "./evidence.ts";
import type { Faults } from "./faults.ts";
import type { KeptValues } from "./kept-values.ts";
import type { Party, World } from "./world.ts";

export interface PartyBusScene {
  world: World;
  faults: Faults;
  evidence: Evidence;
  /** Last sequence of a run's log. */
  logEnd(run: string): number;
  /**
   * The party dies in the middle of a call.
   * @returns false: it has no post, and goes on as somebody who starts it again at once
   */
  dies(party: Party): boolean;
  /** The party made more calls at one moment than anything could need. */
  spins(party: string, what: string): void;
  /** Tasks acked lately, which a restarting broker brings back. */
  acked(task: TaskMessage): void;
  /** A run was submitted. */
  submitted(run: string, submission: SubmitMessage): void;
  /** Whether the queue loses the task as soon as it has it. */
  swallows(task: TaskMessage): boolean;
  /** Where the judges find what goes by claim check. */
  kept: KeptValues;
  /** Whether the task came back after its ack. */
  isGhost(task: TaskMessage): boolean;
}

/** A loop that never waits would hang the simulation; it is stopped here and reported. */
const MOST_CALLS_AT_ONCE = 2_000;
/** How much likelier than at other calls a process dies at those where it matters in which order things are done. */
const DELICATE: Readonly<Record<string, number>> = {
  "ack run": 100,
  "append decision": 5,
  "append result": 5,
};
const DIES_IN_A_CALL = 0.01;

export function partyBus(inner: MemoryBus, party: Party, scene: PartyBusScene): Bus {
  const { world, faults, evidence } = scene;
  let sentUntil = 0;
  let sessions = 0;
  let calls = 0;
  let moment = -1;

  const never = new Promise<never>(() => undefined);
  /** An answer to a dead process is heard by nobody. */
  const heard = <Value>(promise: Promise<Value>): Promise<Value> =>
    promise.then(
      (value) => (party.dead ? never : value),
      (error: unknown) => {
        if (party.dead) return never;
        throw error;
      },
    );
  const pause = (delayMs: number, inside: boolean): Promise<void> =>
    new Promise((resolve) => world.after(delayMs, () => (inside ? party.enter(resolve) : resolve())));

  /** A call: it travels, has its effect, the answer travels back; it can be lost either way. */
  async function call<Value>(what: string, act: () => Promise<Value>): Promise<Value> {
    if (party.dead) return never;
    calls = moment === world.happened ? calls + 1 : 1;
    moment = world.happened;
    if (calls > MOST_CALLS_AT_ONCE) {
      if (calls === MOST_CALLS_AT_ONCE + 1) scene.spins(party.name, what);
      return never;
    }
    const slow = faults.has("delay");
    const thereMs = slow && faults.strikes("delay", 2) ? faults.chance("delay").next() ** 3 * 3_000 : 0;
    const lost = faults.strikes("refusal") ? faults.chance("refusal").pick(["before", "after"]) : undefined;
    // What one connection sends arrives in order.
    sentUntil = Math.max(sentUntil, world.now + thereMs);
    if (sentUntil > world.now) await pause(sentUntil - world.now, false);
    if (party.dead) return never;
    if (lost !== undefined) evidence.hindered(party.name, world.now, 0);
    if (lost === "before") {
      world.note(party.name, `${what}: fails`);
      throw unreachable(what);
    }
    const value = await heard(act());
    if (faults.strikes("crash", DIES_IN_A_CALL * (DELICATE[what] ?? 1))) {
      if (scene.dies(party)) return never;
      // Whoever used it starts it again, and says again what was not confirmed.
      world.note(party.name, `dies in ${what}, and is started again`);
      throw unreachable(what);
    }
    const backMs = slow && faults.strikes("delay", 2) ? faults.chance("delay").next() ** 3 * 3_000 : 0;
    if (backMs > 0) await pause(backMs, true);
    else if (party.stopped) await pause(0, true);
    if (party.dead) return never;
    if (lost === "after") {
      world.note(party.name, `${what}: done, but fails`);
      throw unreachable(what);
    }
    return value;
  }

  async function append(run: string, entry: LogEntry, options?: AppendOptions) {
    const outcome = await call(`append ${entry.kind}`, async () => {
      const stored = await inner.log.append(run, entry, options);
      if (stored.ok) {
        if (entry.kind === "submit") scene.submitted(run, entry.body);
        world.note(party.name, `stores ${run} ${stored.seq} ${showEntry(entry)}`);
        if (entry.kind === "decision" && entry.body.type === "claim") {
          const claim = { party: party.name, run, epoch: entry.body.epoch, seq: stored.seq };
          evidence.add({ at: world.now, kind: "claimed", ...claim });
        }
      } else world.note(party.name, `refused ${run} ${showEntry(entry)}, the last is ${stored.lastSeq}`);
      return stored;
    });
    if (outcome.ok) {
      const stored = { run, seq: outcome.seq, entry: entry.kind, body: JSON.stringify(entry.body) };
      evidence.add({ at: world.now, party: party.name, kind: "stored", ...stored });
    }
    return outcome;
  }

  async function* read(run: string, options?: { from?: number; to?: number }): AsyncIterable<LogRecord> {
    await call("read", async () => undefined);
    yield* inner.log.read(run, options);
  }

  async function follow(
    run: string,
    onRecord: (record: LogRecord) => void,
    options?: Parameters<Bus["log"]["follow"]>[2],
  ): Promise<LogFollower> {
    const session = ++sessions;
    const fold = (record: LogRecord): void => {
      if (party.dead) return;
      evidence.add({ at: world.now, party: party.name, kind: "folded", run, session, seq: record.seq });
      onRecord(record);
    };
    const follower = await call("follow", () => inner.log.follow(run, fold, options));
    const caughtUp = heard(follower.caughtUp);
    // As with the follower's own: who closes it need not wait for it.
    caughtUp.then(undefined, () => undefined);
    return {
      caughtUp,
      sync: () => call("sync", () => follower.sync()),
      close: () => follower.close(),
    };
  }

  function delivery(given: TaskDelivery): TaskDelivery {
    const { task } = given;
    const ghost = scene.isGhost(task);
    return {
      task,
      deliveryCount: ghost ? Math.max(2, given.deliveryCount) : given.deliveryCount,
      receipt: `${party.name} ${given.receipt}`,
      ack() {
        if (party.dead) return;
        const { run, step, n, role } = task;
        evidence.add({
          at: world.now,
          party: party.name,
          kind: "acked",
          run,
          step,
          n,
          role,
          logEnd: scene.logEnd(run),
        });
        if (faults.strikes("redelivery")) return world.note(party.name, `ack of ${step}#${n} is lost`);
        scene.acked(task);
        given.ack();
      },
      nak: (delayMs) => party.dead || given.nak(delayMs),
      working: () => party.dead || given.working(),
    };
  }

  function pullTasks(role: string, options: PullOptions<TaskDelivery>) {
    return inner.tasks.pull(role, {
      ...options,
      slots: () => (party.dead ? 0 : options.slots()),
      onDelivery(given) {
        const { run, step, n } = given.task;
        if (faults.strikes("redelivery")) return world.note("network", `loses task ${run} ${step}#${n}`);
        world.note(party.name, `gets ${run} ${step}#${n} (${given.deliveryCount})`);
        options.onDelivery(delivery(given));
      },
    });
  }

  function pullRuns(options: PullOptions<RunDelivery>) {
    return inner.runs.pull({
      ...options,
      slots: () => (party.dead ? 0 : options.slots()),
      onDelivery(given) {
        if (faults.strikes("redelivery")) return world.note("network", `loses the task of run ${given.run}`);
        world.note(party.name, `gets run ${given.run} (${given.deliveryCount})`);
        options.onDelivery({
          run: given.run,
          deliveryCount: given.deliveryCount,
          ack: () => call("ack run", () => given.ack()),
          nak: (delayMs) => party.dead || given.nak(delayMs),
          working: () => party.dead || given.working(),
        });
      },
    });
  }

  return {
    swarm: inner.swarm,
    log: {
      append,
      read,
      follow,
      exists: (run) => call("exists", () => inner.log.exists(run)),
      list: () => call("list", () => inner.log.list()),
      scan: (options) => inner.log.scan(options),
      purge: (run, range) => call("purge", () => inner.log.purge(run, range)),
    },
    tasks: {
      ensureRole: (settings) => call("ensureRole", () => inner.tasks.ensureRole(settings)),
      roles: () => call("roles", () => inner.tasks.roles()),
      push: (task) =>
        call(`push ${task.step}#${task.n}`, async () => {
          const swallowed = scene.swallows(task);
          const outcome = swallowed ? "queued" : await inner.tasks.push(task);
          const { run, step, n, role, attempt, inputs, secrets = [] } = task;
          world.note(
            party.name,
            `pushes ${run} ${step}#${n} to ${role}: ${outcome}${swallowed ? ", and it vanishes" : ""}`,
          );
          const fact = { run, step, n, role, attempt, inputs, secrets, logEnd: scene.logEnd(run) };
          evidence.add({ at: world.now, party: party.name, kind: "pushed", ...fact });
          return outcome;
        }),
      pull: pullTasks,
      has: (ref) => call("has", () => inner.tasks.has(ref)),
      isTaken: (ref) => call("is taken", () => inner.tasks.isTaken(ref)),
      ofRun: (run) => call("of run", () => inner.tasks.ofRun(run)),
      stored: (from, limit) => call("stored", () => inner.tasks.stored(from, limit)),
      remove: (ref) => call("remove", () => inner.tasks.remove(ref)),
      removeRun: (run) => call("removeRun", () => inner.tasks.removeRun(run)),
    },
    runs: {
      ackWaitMs: inner.runs.ackWaitMs,
      reclaim: () => call("reclaim", () => inner.runs.reclaim()),
      push: (run) => call("push run", () => inner.runs.push(run)),
      count: () => call("count runs", () => inner.runs.count()),
      remove: (run) => call("remove run", () => inner.runs.remove(run)),
      setTimer: (run, delayMs) => call("set timer", () => inner.runs.setTimer(run, delayMs)),
      clearTimer: (run) => call("clear timer", () => inner.runs.clearTimer(run)),
      pull: pullRuns,
      serveArrivals: () => heard(inner.runs.serveArrivals()),
    },
    live: {
      publish: (message) => party.dead || inner.live.publish(message),
      publishEnv: (change) => party.dead || inner.live.publishEnv(change),
      publishHandoff: (hop) => party.dead || inner.live.publishHandoff(hop),
      onLive: (run, listener) => inner.live.onLive(run, listener),
      onEnv: (run, listener) => inner.live.onEnv(run, listener),
      onHandoff: (run, listener) => inner.live.onHandoff(run, listener),
      cancel: (ref, reason, timeoutMs) => heard(inner.live.cancel(ref, reason, timeoutMs)),
      onCancel: (role, listener) => inner.live.onCancel(role, listener),
      ask: (ref, question, timeoutMs) => heard(inner.live.ask(ref, question, timeoutMs)),
      onAsk: (listener) => inner.live.onAsk(listener),
      hello: (message, timeoutMs) => heard(inner.live.hello(message, timeoutMs)),
      onHello: (listener) => inner.live.onHello(listener),
    },
    presence: {
      announce: (...agent) => heard(inner.presence.announce(...agent)),
      list: (timeoutMs) => call("presence", () => inner.presence.list(timeoutMs)),
    },
    artifacts: {
      claimCheckBytes: inner.artifacts.claimCheckBytes,
      put: (run, bytes) =>
        call("put", async () => {
          const ref = await inner.artifacts.put(run, bytes);
          scene.kept.note(ref.$artifact.name, bytes);
          return ref;
        }),
      get: (ref) => call("get", () => inner.artifacts.get(ref)),
      list: () => call("list artifacts", () => inner.artifacts.list()),
      remove: (ref) => call("remove artifact", () => inner.artifacts.remove(ref)),
    },
    index: {
      put: (summary) => call("index", () => inner.index.put(summary)),
      list: (query) => call("index list", () => inner.index.list(query)),
      remove: (entry) => call("index remove", () => inner.index.remove(entry)),
    },
    status: () => inner.status(),
    onStatus: (listener) => inner.onStatus((status, reason) => party.enter(() => listener(status, reason))),
    storageProblem: () => call("storageProblem", () => inner.storageProblem()),
    unreadableCount: () => inner.unreadableCount(),
    close: () => inner.close(),
  };
}

function unreachable(what: string): UnreachableError {
  return new UnreachableError("E_SIMULATED", `no answer to ${what}`, { remedy: "Try again." });
}

function showEntry(entry: LogEntry): string {
  switch (entry.kind) {
    case "submit": {
      const { parent, origin } = entry.body;
      if (parent) return `submit, below ${parent.run} ${parent.step}#${parent.n}`;
      return origin ? `submit, after ${origin.run} ${origin.from ?? ""} at ${origin.seq}` : "submit";
    }
    case "result": {
      const { step, n, status, agent, error } = entry.body;
      return `result ${step}#${n} ${status} by ${agent} of ${entry.role}${error ? ` (${error.code ?? error.name})` : ""}`;
    }
    case "env":
      return `env ${entry.body.key}=${JSON.stringify(entry.body.value)}`;
    case "control":
      return `control ${entry.body.verb} ${entry.body.step ?? ""}`;
    case "observed": {
      const { epoch, dispatched, started, drawn = [] } = entry.body;
      const draws = drawn.map(
        ({ child, dispatches, wants }) => `; ${child} has ${dispatches}, wants ${wants}`,
      );
      const list = (items: { step: string; n: number }[]) =>
        items.map(({ step, n }) => `${step}#${n}`).join(" ");
      return `observed by ${epoch}: out ${list(dispatched)}; started ${list(started)}${draws.join("")}`;
    }
    case "decision": {
      const { body } = entry;
      const consult = body.type === "consult" ? ` ${body.n} ${body.about}, round ${body.round}` : "";
      const about = "step" in body ? ` ${body.step}${"n" in body ? `#${body.n}` : ""}` : consult;
      return `decision ${body.type}${about} of epoch ${body.epoch}${body.type === "end" ? ` ${body.status}` : ""}`;
    }
  }
}
