/**
 * What every bus promises. Each adapter runs this suite against its own broker.
 *
 * It would catch: a log that stores a second writer's record, replays out of order, or leaves a gap after a
 * break; a queue that holds a dispatch twice, forgets it with its holder, or hands out more than was asked
 * for; a message that nobody can read stopping those behind it; and one swarm hearing another.
 */
import { describe, expect, test } from "vitest";
import type { Bus, RunDelivery } from "../../src/bus/bus.ts";
import { NotFoundError, UnreachableError } from "../../src/workflow/errors.ts";
import { Arrivals } from "./arrivals.ts";
import { type BusStage, type OpenStage, setUpBus } from "./bus-fixture.ts";
import { describeLive } from "./conformance-live.ts";
import { describeLog } from "./conformance-log.ts";
import { describeRuns } from "./conformance-runs.ts";
import { describeTasks } from "./conformance-tasks.ts";
import { card, control, ROLE, submit, task } from "./messages.ts";

export function describeBus(name: string, openStage: OpenStage): void {
  describe(name, () => {
    describeLog(openStage);
    describeTasks(openStage);
    describeRuns(openStage);
    describeLive(openStage);
    describeWhole(openStage);
  });
}

function describeWhole(openStage: OpenStage): void {
  describe("as a whole", () => {
    let stage: BusStage;
    let bus: Bus;
    let other: Bus;
    const { append, pull, role } = setUpBus(openStage, (made) => {
      ({ stage, bus, other } = made);
    });

    test("removing a run makes no daemon miss the submission of another", async () => {
      const listening = await bus.runs.serveArrivals();
      await listening.stop();
      await append("run-1", submit());
      await append("run-2", submit());
      await append("run-1", control());
      expect(await other.log.purge("run-1", { from: 1, to: Number.MAX_SAFE_INTEGER })).toBe(2);
      await bus.runs.serveArrivals();
      const runs = new Arrivals<string>();
      other.runs.pull({ slots: () => 1, onDelivery: ({ run }) => runs.add(run) });
      await append("run-3", submit());
      await stage.until(runs.when(() => runs.all.includes("run-2") && runs.all.includes("run-3")));
    });

    test("removing a held task frees its place in the role's limit", async () => {
      await role({ inFlight: 1 });
      await bus.tasks.push(task("removed"));
      const { deliveries } = pull(other, 5);
      await stage.until(deliveries.count(1));
      await bus.tasks.push(task("next"));
      expect(await bus.tasks.remove(task("removed"))).toBe(true);
      await stage.until(deliveries.count(2));
      expect(deliveries.all.map(({ task: { step } }) => step)).toEqual(["removed", "next"]);
    });

    test("agents are listed while they are there, with the numbers of the moment", async () => {
      expect(await stage.until(bus.presence.list(2_000))).toEqual([]);
      let done = 0;
      const first = await other.presence.announce(card("agent-1"), () => ({ running: 1, done, failed: 0 }));
      await bus.presence.announce(card("agent-2"), () => ({ running: 0, done: 0, failed: 2 }));
      done = 5;
      const agents = await stage.until(bus.presence.list(2_000));
      expect(agents).toEqual([
        { ...card("agent-1"), running: 1, done: 5, failed: 0 },
        { ...card("agent-2"), running: 0, done: 0, failed: 2 },
      ]);
      await first.withdraw();
      expect((await stage.until(bus.presence.list(2_000))).map(({ id }) => id)).toEqual(["agent-2"]);
    });

    test("an artifact of five megabytes comes back byte for byte, until it is removed", async () => {
      const bytes = new Uint8Array(5_000_000).map((_, index) => (index * 31) % 251);
      const ref = await bus.artifacts.put("run-1", bytes);
      const kept = await bus.artifacts.put("run-2", bytes.subarray(0, 10));
      expect(ref.$artifact.bytes).toBe(5_000_000);
      expect(Buffer.compare(await other.artifacts.get(ref), bytes)).toBe(0);
      expect(await other.artifacts.list()).toEqual(
        new Map([
          ["run-1", [ref]],
          ["run-2", [kept]],
        ]),
      );
      await other.artifacts.remove(ref);
      await expect(bus.artifacts.get(ref)).rejects.toThrow(NotFoundError);
      expect(await other.artifacts.list()).toEqual(new Map([["run-2", [kept]]]));
      expect(await other.artifacts.get(kept)).toHaveLength(10);
      await other.artifacts.remove(ref);
      await other.artifacts.remove(kept);
      expect(await other.artifacts.list()).toEqual(new Map());
    });

    test("the list of runs has the newest summary of each", async () => {
      const summary = {
        run: "run-1",
        name: "report",
        startedAt: "2026-01-01T00:00:00.000Z",
        endedAt: null,
        steps: { total: 3, done: 0, failed: 0, running: 1 },
      };
      expect(await bus.index.list()).toEqual([]);
      await bus.index.put({ ...summary, status: "running" });
      await bus.index.put({ ...summary, run: "run-2", status: "running" });
      await bus.index.put({ ...summary, status: "done" });
      const byId = (await other.index.list()).sort((left, right) => (left.run < right.run ? -1 : 1));
      expect(byId.map(({ run, status }) => [run, status])).toEqual([
        ["run-1", "done"],
        ["run-2", "running"],
      ]);
      await other.index.remove({ ...summary, startedAt: "2025-01-01T00:00:00.000Z" });
      expect(await bus.index.list()).toHaveLength(2);
      await other.index.remove(summary);
      await other.index.remove({ ...summary, run: "run-2" });
      await other.index.remove({ ...summary, run: "nobody" });
      expect(await bus.index.list()).toEqual([]);
    });

    test("a limited list has the runs that started last, the latest first", async () => {
      const base = Date.now();
      const startedAt = (index: number) => new Date(base + index).toISOString();
      const put = (index: number, status: "running" | "done") =>
        bus.index.put({
          run: `run-${index}`,
          name: "report",
          status,
          startedAt: startedAt(index),
          endedAt: null,
          steps: { total: 3, done: 0, failed: 0, running: 1 },
        });
      for (let index = 0; index < 600; index++) await put(index, "running");
      // The eldest change last, so that the order of changes is not that of starting.
      for (let index = 9; index >= 0; index--) await put(index, "done");
      const ids = async (query: { status?: "running" | "done"; limit?: number }) =>
        (await other.index.list(query)).map(({ run }) => run);
      expect(await ids({ limit: 3 })).toEqual(["run-599", "run-598", "run-597"]);
      expect(await ids({ limit: 2, status: "done" })).toEqual(["run-9", "run-8"]);
      expect(await ids({ limit: 1_000 })).toHaveLength(600);
      expect(await ids({ status: "running" })).toHaveLength(590);
    });

    test("a run's task can be removed while it is queued and while it is held", async () => {
      expect(await bus.runs.remove("run-1")).toBe(false);
      await bus.runs.push("run-1");
      expect(await other.runs.remove("run-1")).toBe(true);
      const runs = new Arrivals<RunDelivery>();
      other.runs.pull({ slots: () => 2 - runs.all.length, onDelivery: runs.add });
      await bus.runs.push("run-2");
      await stage.until(runs.count(1));
      expect(await bus.runs.remove("run-2")).toBe(true);
      expect(await bus.runs.push("run-2")).toBe("queued");
      await stage.until(runs.count(2));
      expect(runs.all.map(({ run }) => run)).toEqual(["run-2", "run-2"]);
    });

    test("two swarms on one broker do not hear each other", async () => {
      const stranger = await stage.connect("second");
      await role();
      await stranger.tasks.ensureRole({ role: ROLE });
      const heard: unknown[] = [];
      stranger.live.onLive(undefined, (message) => heard.push(message));
      await stranger.log.follow("run-1", (record) => heard.push(record));
      const strangers = pull(stranger, 10);
      await stranger.presence.announce(card("stranger"), () => ({ running: 0, done: 0, failed: 0 }));
      await append("run-1", submit());
      await bus.tasks.push(task("load"));
      await bus.runs.push("run-1");
      bus.live.publish({ type: "started", run: "run-1", step: "load", n: 1, agent: "agent-1", role: ROLE });
      const own = pull(bus, 1);
      await stage.until(own.deliveries.next());
      expect(await stranger.log.list()).toEqual([]);
      expect(await stranger.tasks.push(task("load"))).toBe("queued");
      expect(await stage.until(strangers.deliveries.next())).toMatchObject({ deliveryCount: 1 });
      expect(heard).toEqual([]);
      expect(await stage.until(bus.presence.list(2_000))).toEqual([]);
    });

    test("a closed bus refuses every call with one error, and closing it again is no error", async () => {
      const changes: string[] = [];
      bus.onStatus((status) => changes.push(status));
      const follower = await bus.log.follow("run-1", () => undefined);
      expect(bus.status()).toBe("connected");
      await Promise.all([bus.close(), bus.close()]);
      await bus.close();
      expect(bus.status()).toBe("closed");
      expect(changes).toEqual(["closed"]);
      await expect(bus.log.append("run-1", submit())).rejects.toThrow(UnreachableError);
      await expect(bus.tasks.push(task("load"))).rejects.toThrow(UnreachableError);
      await expect(bus.log.exists("run-1")).rejects.toThrow(UnreachableError);
      await expect(bus.presence.list()).rejects.toThrow(UnreachableError);
      await expect(bus.artifacts.put("run-1", new Uint8Array(1))).rejects.toThrow(UnreachableError);
      await expect(follower.sync()).rejects.toThrow(UnreachableError);
    });
  });
}
