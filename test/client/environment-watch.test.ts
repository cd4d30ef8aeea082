/**
 * Watching a run's environment. Catches: an update that is lost with its live copy, told twice or out of order,
 * a watcher that comes back and misses what happened meanwhile, and one that holds everything in memory because
 * nobody takes it.
 */
import fc from "fast-check";
import { expect, it } from "vitest";
import { checkIn } from "../../src/bus/claim-check.ts";
import { createMemoryBroker } from "../../src/bus/memory/broker.ts";
import { connectSwarm } from "../../src/client/connect.ts";
import type { EnvironmentChange, SwarmClient, WatchEnvironmentOptions } from "../../src/client/swarm.ts";
import { SwarmStage } from "../actors/swarm-stage.ts";
import { VirtualClock } from "../bus/virtual-clock.ts";

const RUN = "r1";
const waits = { steps: [{ id: "wait", agent: "human", task: "look" }] };

interface Taken {
  readonly changes: EnvironmentChange[];
  stop(): Promise<void>;
}

/** Takes what a watch gives, until it is stopped. */
function take(client: SwarmClient, options: WatchEnvironmentOptions = {}): Taken {
  const over = new AbortController();
  const changes: EnvironmentChange[] = [];
  const done = (async () => {
    for await (const change of client.watchEnvironment(RUN, { ...options, signal: over.signal })) {
      changes.push(change);
    }
  })();
  return {
    changes,
    stop: async () => {
      over.abort();
      await done;
    },
  };
}

const told = (changes: readonly EnvironmentChange[]) =>
  changes.map(({ key, value, revision }) => ({ key, value, revision }));

it("gives every update once and in order, whatever is lost or doubled, and to whoever comes back", async () => {
  const fates = fc.array(fc.constantFrom("lost", "once", "twice"), { minLength: 1, maxLength: 7 });
  const updates = fc.array(
    fc.record({
      key: fc.constantFrom("a", "b", "c"),
      value: fc.nat(),
      leaves: fc.boolean(),
      pauseMs: fc.constantFrom(0, 0, 10, 6_000),
    }),
    { minLength: 1, maxLength: 20 },
  );
  await fc.assert(
    fc.asyncProperty(fates, updates, fc.nat({ max: 19 }), async (fate, list, lateAt) => {
      const clock = new VirtualClock();
      let copies = 0;
      const broker = createMemoryBroker({
        clock,
        deliver: ({ kind }, arrive) => {
          const how = kind === "record" ? fate[copies++ % fate.length] : "once";
          if (how === "lost") return;
          queueMicrotask(arrive);
          if (how === "twice") queueMicrotask(arrive);
        },
      });
      const bus = broker.connect();
      const client = await connectSwarm({ bus, by: "ada", clock });
      await bus.log.append(RUN, { kind: "submit", body: { v: 1, workflow: waits, inputs: {} } });
      const all: { key: string; value: number; revision: number }[] = [];
      const constant = take(client, { after: 0 });
      let visits = [take(client, { after: 0 })];
      const seen: EnvironmentChange[] = [];
      let late: Taken | undefined;
      for (const [at, { key, value, leaves, pauseMs }] of list.entries()) {
        if (at === lateAt) {
          late = take(client);
          await clock.advance(0);
        }
        const outcome = await bus.log.append(RUN, { kind: "env", body: { v: 1, key, value, by: "ada" } });
        if (!outcome.ok) throw new Error("not stored");
        all.push({ key, value, revision: outcome.seq });
        await clock.advance(pauseMs);
        const [visit] = visits;
        if (leaves && visit) {
          await visit.stop();
          seen.push(...visit.changes);
          visits = [take(client, { after: seen.at(-1)?.revision ?? 0 })];
        }
      }
      await clock.advance(15_000);
      for (const visit of visits) {
        await visit.stop();
        seen.push(...visit.changes);
      }
      await constant.stop();
      expect(told(constant.changes)).toEqual(all);
      expect(told(seen)).toEqual(all);
      if (late) {
        await late.stop();
        const before = new Map(all.slice(0, lateAt).map((one) => [one.key, one]));
        const there = late.changes.filter(({ current }) => current);
        // What came between the subscription and the end of its reading may be in either part.
        const revision = there.at(-1)?.revision ?? 0;
        expect(new Set(there.map(({ key }) => key))).toEqual(
          new Set([...before.keys(), ...all.filter((one) => one.revision <= revision).map(({ key }) => key)]),
        );
        expect(told(late.changes.slice(there.length))).toEqual(all.filter((one) => one.revision > revision));
      }
    }),
    { numRuns: 60 },
  );
});

it("goes over a failover of the daemon, and ends with its run", async () => {
  const stage = new SwarmStage();
  await stage.serve("worker");
  const first = await stage.daemon();
  await stage.submit({
    steps: [
      { id: "a", agent: "worker", task: "t", outputs: ["one", "two"] },
      { id: "b", agent: "worker", task: "t", dependsOn: ["a"], outputs: ["one"] },
    ],
  });
  const client = await connectSwarm({ bus: stage.bus, by: "ada", clock: stage.clock });
  const changes: EnvironmentChange[] = [];
  const done = (async () => {
    for await (const change of client.watchEnvironment(RUN)) changes.push(change);
  })();
  await stage.answer("worker", { outputs: { one: 1, two: "x".repeat(300_000) } });
  await first.bus.close();
  await stage.daemon();
  await stage.clock.advance(30_000);
  await stage.answer("worker", {
    outputs: await checkIn(stage.bus.artifacts, RUN, { one: "y".repeat(300_000) }),
  });
  await stage.clock.advance(1_000);
  await done;
  expect(changes.map(({ key, value, writer }) => [key, String(value).length, writer.step])).toEqual([
    ["one", 1, "a"],
    ["two", 300_000, "a"],
    ["one", 300_000, "b"],
  ]);
});

it("does not keep more than its bound for a watcher that is slow, and loses nothing", async () => {
  const stage = new SwarmStage();
  await stage.submit(waits);
  const client = await connectSwarm({ bus: stage.bus, by: "ada", clock: stage.clock });
  const watch = client.watchEnvironment(RUN, { after: 0 })[Symbol.asyncIterator]();
  const count = 25_000;
  const waiting = watch.next();
  for (let value = 0; value < count; value++) {
    await stage.bus.log.append(RUN, { kind: "env", body: { v: 1, key: "n", value, by: "ada" } });
  }
  await stage.clock.advance(0);
  const values = [(await waiting).value?.value];
  while (values.length < count) values.push((await watch.next()).value?.value);
  expect(values).toEqual(Array.from({ length: count }, (_, n) => n));
});
