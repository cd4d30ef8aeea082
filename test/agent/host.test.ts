/**
 * One agent process in its swarm. Catches: more at once than allowed, work that is started by a draining
 * process or lost by it, an agent that gives up on a daemon that comes late, one bad task taking the
 * others down.
 */
import { describe, expect, it } from "vitest";
import type { AgentDefinition } from "../../src/agent/define.ts";
import { serveAgent } from "../../src/agent/host.ts";
import type { BusStatus } from "../../src/bus/bus.ts";
import { createMemoryBroker } from "../../src/bus/memory/broker.ts";
import { InvalidInputError } from "../../src/workflow/errors.ts";
import { gate, ManualClock, type Stage, setStage, settle } from "./stage.ts";

/** Tasks that run until told, counting how many do so at once. */
function gated() {
  const open: (() => void)[] = [];
  const counts = { running: 0, most: 0 };
  const run = async () => {
    counts.running++;
    counts.most = Math.max(counts.most, counts.running);
    await new Promise<void>((resolve) => open.push(resolve));
    counts.running--;
    return {};
  };
  return { run, open, counts };
}

async function pushMany(stage: Stage, count: number, role = "worker"): Promise<void> {
  for (let index = 0; index < count; index++) await stage.push({ role, step: `${role}${index}` });
}

describe("an agent process", () => {
  it("runs at most its concurrency at once and takes the next when a slot is free", async () => {
    const work = gated();
    const stage = await setStage({ tasks: { work: { run: work.run } }, serve: { concurrency: 3 } });
    await pushMany(stage, 5);
    expect(work.counts.running).toBe(3);
    expect(await stage.daemonBus.tasks.roles()).toEqual([expect.objectContaining({ queued: 2, held: 3 })]);
    work.open[0]?.();
    await settle();
    expect(work.counts.running).toBe(3);
    for (let index = 1; index < 5; index++) {
      work.open[index]?.();
      await settle();
    }
    expect(stage.results).toHaveLength(5);
    expect(work.counts.most).toBe(3);
    expect(stage.agent.stats()).toEqual({ running: 0, done: 5, failed: 0 });
  });

  it("shares its concurrency among its roles", async () => {
    const work = gated();
    const agent = (role: string): AgentDefinition => ({ role, tasks: { work: { run: work.run } } });
    const stage = await setStage({ agents: [agent("worker"), agent("helper")], serve: { concurrency: 2 } });
    await pushMany(stage, 2, "worker");
    await pushMany(stage, 2, "helper");
    expect(work.counts.running).toBe(2);
    while (stage.results.length < 4) {
      work.open.shift()?.();
      await settle();
    }
    expect(work.counts.most).toBe(2);
  });

  it("keeps a running task for as long as it takes, so that nobody else gets it", async () => {
    const running = gate();
    const stage = await setStage({ tasks: { work: { run: () => running.promise } } });
    let stolen = 0;
    await stage.push();
    stage.daemonBus.tasks.pull("worker", { slots: () => 1, onDelivery: () => void stolen++ });
    await stage.clock.advance(60_000);
    expect(stolen).toBe(0);
    running.open();
    await settle();
    expect(stage.results).toHaveLength(1);
  });

  it("keeps a task whose result waits for the broker, though its code was given up", async () => {
    const deaf = gate();
    const stage = await setStage({
      tasks: { work: { timeout: "10s", run: () => deaf.promise } },
      tamper: withoutLog,
    });
    await stage.push();
    await stage.clock.advance(30_000);
    expect((await stage.daemonBus.tasks.roles())[0]).toMatchObject({ held: 1, queued: 0 });
    deaf.open();
  });

  it("goes on with other work after a task that throws, and counts it", async () => {
    const stage = await setStage({
      tasks: {
        work: {
          run: ({ bad }: { bad?: boolean }) => {
            if (bad) throw new Error("bad");
            return {};
          },
        },
      },
      serve: { concurrency: 1 },
    });
    await stage.push({ inputs: { bad: true } });
    await stage.push();
    expect(stage.results.map(({ status }) => status)).toEqual(["failed", "done"]);
    expect(stage.agent.stats()).toEqual({ running: 0, done: 1, failed: 1 });
  });

  it("still has free slots after as many hung tasks as its concurrency, and none beyond twice that", async () => {
    const stage = await setStage({
      tasks: { work: { timeout: "1s", run: () => new Promise<never>(() => undefined) } },
      serve: { concurrency: 2 },
    });
    await pushMany(stage, 8);
    await stage.clock.advance(60_000);
    expect(stage.results).toHaveLength(4);
    expect((await stage.daemonBus.tasks.roles())[0]?.queued).toBe(4);
  });

  it("takes a delivery of a dispatch that it already runs as the same work", async () => {
    let runs = 0;
    const running = gate();
    const stage = await setStage({
      tasks: {
        work: {
          run: async () => {
            runs++;
            await running.promise;
            return {};
          },
        },
      },
      deliver: twice("task"),
    });
    const task = await stage.push();
    expect(runs).toBe(1);
    running.open();
    await settle();
    expect(stage.results).toHaveLength(1);
    expect(await stage.daemonBus.tasks.has(task)).toBe(false);
  });

  it("is on the presence list with its roles, tasks and load until it has drained", async () => {
    const work = gated();
    const stage = await setStage({
      agents: [
        { role: "worker", description: "works", tasks: { work: { description: "does it", run: work.run } } },
      ],
    });
    await stage.push();
    const [listed] = await list(stage);
    expect(listed).toMatchObject({
      id: "agent-1",
      running: 1,
      concurrency: 8,
      roles: [{ role: "worker", description: "works", tasks: [{ name: "work", description: "does it" }] }],
    });
    work.open[0]?.();
    await settle();
    await stage.agent.drain();
    expect(await list(stage)).toEqual([]);
  });
});

describe("a second process of a role", () => {
  it("gets what the first has no slots for", async () => {
    const first = gated();
    const second = gated();
    const stage = await setStage({ tasks: { work: { run: first.run } }, serve: { concurrency: 2 } });
    await pushMany(stage, 4);
    await stage.join([{ role: "worker", tasks: { work: { run: second.run } } }], { id: "agent-2" });
    expect(first.counts.running).toBe(2);
    expect(second.counts.running).toBe(2);
  });
});

describe("joining", () => {
  it("announces again and again until a daemon comes, and then gets the work that was waiting", async () => {
    const clock = new ManualClock();
    const broker = createMemoryBroker({ clock });
    const { agent, daemonBus } = await early(clock, broker);
    await daemonBus.tasks.push({
      v: 1,
      run: "r",
      step: "s",
      n: 1,
      role: "worker",
      task: "work",
      inputs: {},
      attempt: 1,
      idempotencyKey: "r:s",
      outputs: [],
    });
    await clock.advance(120_000);
    expect(agent.state()).toBe("starting");
    let hellos = 0;
    daemonBus.live.onHello(async ({ roles }) => {
      hellos++;
      return {
        ok: true,
        roles: await Promise.all(roles.map(({ role }) => daemonBus.tasks.ensureRole({ role }))),
      };
    });
    await clock.advance(5_000);
    await agent.joined;
    expect(agent.state()).toBe("serving");
    expect(agent.stats().done).toBe(1);
    await clock.advance(60_000);
    expect(hellos).toBe(1);
    await agent.stop();
    expect(clock.pending()).toBe(0);
  });
});

describe("a promise that a task left behind", () => {
  it("is logged when it is rejected, and the other tasks go on", async () => {
    const stage = await setStage({
      tasks: {
        work: {
          run: ({ careless }: { careless?: boolean }) => {
            if (careless) void Promise.reject(new Error("left behind"));
            return {};
          },
        },
      },
    });
    await stage.push({ inputs: { careless: true } });
    await stage.push();
    expect(stage.results.map(({ status }) => status)).toEqual(["done", "done"]);
    expect(JSON.stringify(stage.logLines)).toContain("left behind");
  });
});

describe("a broker that was out of reach", () => {
  it("is told of the agent again when it is back, and work goes on meanwhile", async () => {
    let tell: (status: BusStatus, reason: string) => void = () => undefined;
    const running = gate();
    const stage = await setStage({
      tasks: { work: { run: () => running.promise } },
      tamper: (bus) =>
        Object.create(bus, {
          onStatus: {
            value: (listener: typeof tell) => {
              tell = listener;
              return { close: () => undefined };
            },
          },
        }),
    });
    const hellos: string[] = [];
    stage.daemonBus.live.onHello(async ({ id }) => {
      hellos.push(id);
      return { ok: true, roles: [] };
    });
    await stage.push();
    tell("reconnecting", "lost");
    expect(stage.agent.state()).toBe("disconnected");
    running.open();
    await settle();
    expect(stage.results).toHaveLength(1);
    expect(hellos).toEqual([]);
    tell("connected", "back");
    await settle();
    expect(hellos).toEqual(["agent-1"]);
    expect(stage.agent.state()).toBe("serving");
  });
});

describe("draining", () => {
  it("finishes what runs, gives back what it has not started, and takes nothing more", async () => {
    const work = gated();
    const agent = (role: string): AgentDefinition => ({ role, tasks: { work: { run: work.run } } });
    const stage = await setStage({ agents: [agent("worker"), agent("helper")], serve: { concurrency: 1 } });
    await stage.push({ role: "worker", step: "running" });
    await stage.push({ role: "helper", step: "waiting" });
    const drained = stage.agent.drain();
    expect(stage.agent.state()).toBe("draining");
    await stage.push({ role: "worker", step: "late" });
    expect(work.counts.running).toBe(1);
    work.open[0]?.();
    await drained;
    expect(stage.agent.state()).toBe("stopped");
    expect(stage.results.map(({ step }) => step)).toEqual(["running"]);
    await stage.clock.advance(1_000);
    const statuses = await stage.daemonBus.tasks.roles();
    expect(statuses.map(({ queued, held }) => ({ queued, held }))).toEqual([
      { queued: 1, held: 0 },
      { queued: 1, held: 0 },
    ]);
  });

  it("fires the signals after its bound and gives the work back without a result", async () => {
    const causes: unknown[] = [];
    const stage = await setStage({
      tasks: {
        work: {
          run: (_inputs: unknown, { signal }) =>
            new Promise<never>((_resolve, reject) => {
              signal.addEventListener("abort", () => {
                causes.push(signal.reason);
                reject(signal.reason);
              });
            }),
        },
      },
    });
    await stage.push();
    const drained = stage.agent.drain(5_000);
    await stage.clock.advance(4_999);
    expect(causes).toEqual([]);
    await stage.clock.advance(1);
    await drained;
    expect(causes).toEqual([expect.objectContaining({ name: "AbortError", why: "drain" })]);
    await stage.clock.advance(1_000);
    expect(stage.results).toEqual([]);
    expect((await stage.daemonBus.tasks.roles())[0]).toMatchObject({ queued: 1, held: 0 });
  });

  it("ends though a task ignores its signal, and gives that task back", async () => {
    const stage = await setStage({ tasks: { work: { run: () => new Promise<never>(() => undefined) } } });
    await stage.push();
    const stopped = stage.agent.stop();
    await stage.clock.advance(2_000);
    await stopped;
    await stage.agent.ended;
    expect(stage.agent.state()).toBe("stopped");
    await stage.clock.advance(1_000);
    expect(stage.results).toEqual([]);
    expect((await stage.daemonBus.tasks.roles())[0]).toMatchObject({ queued: 1, held: 0 });
  });

  it("twice is draining once", async () => {
    const stage = await setStage({ tasks: { work: { run: () => ({}) } } });
    await Promise.all([stage.agent.drain(), stage.agent.drain(), stage.agent.stop()]);
    expect(stage.agent.state()).toBe("stopped");
  });
});

describe("a bus that is closed under the agent", () => {
  it("stops it instead of leaving it there without work", async () => {
    const stage = await setStage({ tasks: { work: { run: () => ({}) } } });
    await stage.agentBus.close();
    await stage.agent.ended;
    expect(stage.agent.state()).toBe("stopped");
    await stage.agent.drain();
  });
});

describe("serveAgent refuses", () => {
  const run = () => ({});
  it.each([
    ["no agent at all", [], {}, /no agent/],
    ["two agents for one role", [agent("a"), agent("a")], {}, /two agents .* role "a"/],
    ["a bad definition", [{ role: "a b", tasks: { t: { run } } }], {}, /role must match/],
    ["a concurrency of nothing", [agent("a")], { concurrency: 0 }, /whole number from 1, but is 0/],
  ])("%s, saying why", async (_what, agents, options, message) => {
    const clock = new ManualClock();
    const bus = createMemoryBroker({ clock }).connect();
    const log = (await import("pino")).pino({ level: "silent" });
    const about = { pid: 1, host: "h", version: "0" };
    const serving = serveAgent(agents, { bus, clock, log, id: "x", about, ...options });
    await expect(serving).rejects.toThrow(InvalidInputError);
    await expect(serving).rejects.toThrow(message);
    expect(clock.pending()).toBe(0);
  });

  function agent(role: string): AgentDefinition {
    return { role, tasks: { t: { run: () => ({}) } } };
  }
});

async function list(stage: Stage) {
  const listing = stage.daemonBus.presence.list();
  await stage.clock.advance(1_000);
  return listing;
}

/** An agent that is there before its daemon. */
async function early(clock: ManualClock, broker: ReturnType<typeof createMemoryBroker>) {
  const { pino } = await import("pino");
  const agent = await serveAgent([{ role: "worker", tasks: { work: { run: () => ({}) } } }], {
    bus: broker.connect(),
    clock,
    log: pino({ level: "silent" }),
    id: "early",
    about: { pid: 1, host: "h", version: "0" },
  });
  return { agent, daemonBus: broker.connect() };
}

function twice(kind: string) {
  return (parcel: { kind: string }, arrive: () => void) => {
    queueMicrotask(arrive);
    if (parcel.kind === kind) queueMicrotask(arrive);
  };
}

/** A bus whose log never answers. */
function withoutLog(bus: Stage["agentBus"]): Stage["agentBus"] {
  const append = () => new Promise<never>(() => undefined);
  return Object.create(bus, { log: { value: Object.create(bus.log, { append: { value: append } }) } });
}
