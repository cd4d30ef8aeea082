/**
 * What every bus promises. Each adapter runs this suite against its own broker.
 *
 * It would catch: a log that stores a second writer's record, replays out of order, or leaves a gap after a
 * break; a queue that holds a dispatch twice, forgets it with its holder, or hands out more than was asked
 * for; a message that nobody can read stopping those behind it; and one swarm hearing another.
 */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Bus, LogRecord, PullOptions, RunDelivery, TaskDelivery } from "../../src/bus/bus.ts";
import { InvalidInputError, NotFoundError, UnreachableError } from "../../src/workflow/errors.ts";
import { Arrivals } from "./arrivals.ts";
import { card, claim, control, ROLE, result, submit, task } from "./messages.ts";

/** One broker and what a test may do to it. */
export interface BusStage {
  /** A connection; closed when the test ends. */
  connect(swarm?: string): Promise<Bus>;
  /** A connection that can be cut off from the live copies of the log. */
  connectLossy(): Promise<{ bus: Bus; whileCutOff(work: () => Promise<void>): Promise<void> }>;
  /** Publishes bytes as they are. Resolves once the broker has them. */
  inject(subject: string, bytes: Uint8Array): Promise<void>;
  /** Lets time pass until the signal comes, calling `tick` every tenth of a second of it. */
  until<Value>(signal: Promise<Value>, tick?: () => void): Promise<Value>;
  close(): Promise<void>;
}

/** The shortest ack-wait that a role may have. */
const ACK_WAIT_MS = 1_000;
const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);

export function describeBus(name: string, openStage: () => Promise<BusStage>): void {
  describe(name, () => {
    let stage: BusStage;
    let bus: Bus;
    let other: Bus;
    beforeEach(async () => {
      stage = await openStage();
      bus = await stage.connect();
      other = await stage.connect();
    });
    afterEach(() => stage.close());

    async function read(run: string, options?: { from?: number; to?: number }): Promise<LogRecord[]> {
      const records: LogRecord[] = [];
      for await (const record of other.log.read(run, options)) records.push(record);
      return records;
    }
    async function append(run: string, entry: Parameters<Bus["log"]["append"]>[1]): Promise<number> {
      const outcome = await bus.log.append(run, entry);
      if (!outcome.ok) throw new Error("an append without expectation cannot conflict");
      return outcome.seq;
    }
    function pull(from: Bus, slots: number, more: Partial<PullOptions<TaskDelivery>> = {}) {
      const deliveries = new Arrivals<TaskDelivery>();
      const state = { free: slots };
      const puller = from.tasks.pull(ROLE, {
        slots: () => state.free,
        onDelivery: (delivery) => {
          state.free--;
          deliveries.add(delivery);
        },
        ...more,
      });
      const free = (count = 1): void => {
        state.free += count;
        puller.wake();
      };
      return { deliveries, puller, free };
    }
    const role = (settings: object = {}) =>
      bus.tasks.ensureRole({ role: ROLE, ackWaitMs: ACK_WAIT_MS, ...settings });

    describe("log", () => {
      test("an append whose expected sequence has passed is refused and stores nothing", async () => {
        const first = await bus.log.append("run-1", submit(), { expectLast: 0 });
        expect(first).toMatchObject({ ok: true });
        const second = await other.log.append("run-1", submit({ late: true }), { expectLast: 0 });
        expect(second).toEqual({ ok: false, lastSeq: first.ok ? first.seq : Number.NaN });
        expect(await read("run-1")).toHaveLength(1);
      });

      test("of many appends that expect the same sequence exactly one is stored", async () => {
        const outcomes = await Promise.all(
          Array.from({ length: 20 }, (_, index) =>
            (index % 2 ? bus : other).log.append("run-1", claim(`claim-${index}`), { expectLast: 0 }),
          ),
        );
        expect(outcomes.filter(({ ok }) => ok)).toHaveLength(1);
        expect(await read("run-1")).toHaveLength(1);
      });

      test("a chain of decisions, each expecting the one before, is stored whole", async () => {
        let last = 0;
        for (let index = 0; index < 10; index++) {
          const outcome = await bus.log.append("run-1", claim(`claim-${index}`), { expectLast: last });
          if (!outcome.ok) throw new Error(`decision ${index} was refused`);
          last = outcome.seq;
        }
        expect(await read("run-1")).toHaveLength(10);
      });

      test("a replay gives what was stored, in order, with what it said", async () => {
        const seqs = [
          await append("run-1", submit({ path: "a.csv" })),
          await append("run-2", submit()),
          await append("run-1", result("run-1", "load", { rows: 3 })),
          await append("run-1", claim("claim-1")),
          await append("run-1", { kind: "env", body: { v: 1, key: "rows", value: 3, by: "agent-1" } }),
          await append("run-1", control()),
        ];
        const records = await read("run-1");
        expect(records.map(({ kind }) => kind)).toEqual(["submit", "result", "decision", "env", "control"]);
        expect(records.map(({ seq }) => seq)).toEqual(seqs.filter((_, index) => index !== 1));
        expect(records[0]).toMatchObject({ run: "run-1", body: { inputs: { path: "a.csv" } } });
        expect(records[1]).toMatchObject({ role: ROLE, body: { step: "load", outputs: { rows: 3 } } });
        expect(records.every(({ ts }) => ts > 1_600_000_000_000)).toBe(true);
      });

      test("a replay keeps to its bounds, both included", async () => {
        const seqs: number[] = [];
        for (let index = 0; index < 30; index++)
          seqs.push(await append("run-1", result("run-1", `step-${index}`)));
        const from = seqs[5] ?? 0;
        const to = seqs[20] ?? 0;
        expect((await read("run-1", { from, to })).map(({ seq }) => seq)).toEqual(seqs.slice(5, 21));
        expect((await read("run-1", { from: to + 1 })).map(({ seq }) => seq)).toEqual(seqs.slice(21));
        expect((await read("run-1", { to: from - 1 })).map(({ seq }) => seq)).toEqual(seqs.slice(0, 5));
      });

      test("a replay of a run that nobody submitted is empty", async () => {
        expect(await read("nobody")).toEqual([]);
        expect(await bus.log.exists("nobody")).toBe(false);
      });

      test("a result whose message id was seen before is stored all the same", async () => {
        const id = `${ROLE}:run-1:load:1`;
        await bus.log.append("run-1", result("run-1", "load"), { id });
        expect(await bus.log.append("run-2", result("run-2", "load"), { id })).toMatchObject({ ok: true });
        expect(await read("run-2")).toHaveLength(1);
      });

      test("a follower sees each record once, in order, while others write", async () => {
        for (let index = 0; index < 20; index++) await append("run-1", result("run-1", `before-${index}`));
        const seen = new Arrivals<LogRecord>();
        const writing = Promise.all(
          Array.from({ length: 200 }, (_, index) =>
            bus.log.append("run-1", result("run-1", `during-${index}`, {}, `role-${index % 5}`)),
          ),
        );
        const follower = await other.log.follow("run-1", seen.add);
        await writing;
        await stage.until(seen.count(220));
        expect(seen.all).toEqual(
          await read("run-1").then((records) =>
            records.map((record) => ({ ...record, ts: expect.any(Number) })),
          ),
        );
        follower.close();
      });

      test("a follower tells when it has caught up, and up to where", async () => {
        const seen: LogRecord[] = [];
        const empty = await other.log.follow("run-2", () => undefined);
        expect(await empty.caughtUp).toBe(0);
        await append("run-1", submit());
        const last = await append("run-1", claim("claim-1"));
        const follower = await other.log.follow("run-1", (record) => seen.push(record));
        expect(await follower.caughtUp).toBe(last);
        expect(seen).toHaveLength(2);
      });

      test("a follower begins where it is told to", async () => {
        await append("run-1", submit());
        const from = await append("run-1", claim("claim-1"));
        const seen = new Arrivals<LogRecord>();
        await other.log.follow("run-1", seen.add, { from });
        await append("run-1", result("run-1", "load"));
        await stage.until(seen.count(2));
        expect(seen.all.map(({ kind }) => kind)).toEqual(["decision", "result"]);
      });

      test("a follower that was cut off has every record in order afterwards", async () => {
        const lossy = await stage.connectLossy();
        const seen = new Arrivals<LogRecord>();
        const follower = await lossy.bus.log.follow("run-1", seen.add);
        await follower.caughtUp;
        await append("run-1", submit());
        await stage.until(seen.count(1));
        await lossy.whileCutOff(async () => {
          for (let index = 0; index < 50; index++) await append("run-1", result("run-1", `step-${index}`));
          await append("run-1", claim("claim-1"));
        });
        await append("run-1", result("run-1", "last"));
        await stage.until(seen.count(53));
        expect(seen.all.map(({ seq }) => seq)).toEqual((await read("run-1")).map(({ seq }) => seq));
      });

      test("a follower that is asked to sync has delivered all that was stored before", async () => {
        const lossy = await stage.connectLossy();
        const seen: LogRecord[] = [];
        const follower = await lossy.bus.log.follow("run-1", (record) => seen.push(record));
        await follower.caughtUp;
        let last = 0;
        await lossy.whileCutOff(async () => {
          for (let index = 0; index < 5; index++)
            last = await append("run-1", result("run-1", `step-${index}`));
        });
        expect(await stage.until(follower.sync())).toBe(last);
        expect(seen).toHaveLength(5);
      });

      test("a follower that was closed is called no more", async () => {
        const seen: LogRecord[] = [];
        const witness = new Arrivals<LogRecord>();
        const follower = await other.log.follow("run-1", (record) => seen.push(record));
        await other.log.follow("run-1", witness.add);
        await follower.caughtUp;
        follower.close();
        await append("run-1", submit());
        await stage.until(witness.count(1));
        expect(seen).toEqual([]);
        await expect(follower.sync()).rejects.toThrow(UnreachableError);
      });

      test("runs are listed while they have a log and gone when it is purged", async () => {
        await append("run-1", submit());
        await append("run-1", result("run-1", "load"));
        await append("run-2", submit());
        expect((await other.log.list()).sort()).toEqual(["run-1", "run-2"]);
        expect(await other.log.purge("run-1", { from: 1, to: Number.MAX_SAFE_INTEGER })).toBe(2);
        expect(await bus.log.list()).toEqual(["run-2"]);
        expect(await bus.log.exists("run-1")).toBe(false);
        expect(await bus.log.append("run-1", submit(), { expectLast: 0 })).toMatchObject({ ok: true });
      });

      test("purging a log up to a sequence keeps what came after it, and frees the id", async () => {
        await append("run-1", submit({ life: 1 }));
        for (let index = 0; index < 40; index++) await append("run-1", result("run-1", `step-${index}`));
        const last = await append("run-1", claim("claim-1"));
        const late = await append("run-1", result("run-1", "late"));
        await append("run-2", submit());
        expect(await other.log.purge("run-1", { from: 1, to: last })).toBe(42);
        expect((await read("run-1")).map(({ seq }) => seq)).toEqual([late]);
        expect(await bus.log.exists("run-1")).toBe(false);
        expect(await bus.log.append("run-1", submit({ life: 2 }), { expectLast: 0 })).toMatchObject({
          ok: true,
        });
        expect(await bus.log.append("run-1", claim("claim-2"), { expectLast: 0 })).toMatchObject({
          ok: true,
        });
        expect(await other.log.purge("run-1", { from: last, to: late })).toBe(1);
        expect((await read("run-1")).map(({ kind }) => kind)).toEqual(["submit", "decision"]);
        expect(await read("run-2")).toHaveLength(1);
      });

      test("a pass over all runs gives what is wanted of each, in the order of the stream", async () => {
        const seqs: number[] = [];
        for (let index = 0; index < 30; index++) {
          seqs.push(await append(`run-${index % 3}`, result(`run-${index % 3}`, `step-${index}`)));
        }
        const found: number[] = [];
        const asked: number[] = [];
        const wants = (run: string, seq: number) => {
          asked.push(seq);
          return run !== "run-1";
        };
        for await (const { seq, run } of other.log.scan({ wants, from: seqs[6] ?? 0 })) {
          expect(run).not.toBe("run-1");
          found.push(seq);
        }
        expect(asked).toEqual(seqs.slice(6));
        expect(found).toEqual(seqs.filter((_, index) => index >= 6 && index % 3 !== 1));
      });

      test("a replay tells the stored size of every record", async () => {
        await append("run-1", submit({ text: "x".repeat(10_000) }));
        await append("run-1", control());
        const sizes: number[] = [];
        for await (const _ of other.log.read("run-1", { onBytes: (bytes) => sizes.push(bytes) }));
        expect(sizes).toHaveLength(2);
        expect(sizes[0]).toBeGreaterThan(10_000);
        expect(sizes[1]).toBeLessThan(200);
      });

      test("a record in JSON is read like any other", async () => {
        await stage.inject("dh.main.run.run-1.control", bytesOf('{"v":1,"verb":"cancel","by":"curl"}'));
        expect(await read("run-1")).toMatchObject([
          { kind: "control", body: { verb: "cancel", by: "curl" } },
        ]);
      });

      test("a record that nobody can read keeps its place and is counted", async () => {
        const seen = new Arrivals<LogRecord>();
        const follower = await other.log.follow("run-1", seen.add);
        await follower.caughtUp;
        await append("run-1", submit());
        await stage.inject("dh.main.run.run-1.decision", bytesOf('{"v":2,"type":"claim"}'));
        await stage.inject("dh.main.run.run-1.result.worker", new Uint8Array([0xc1, 0xff]));
        await stage.inject(
          "dh.main.run.run-1.result.worker",
          bytesOf('{"v":1,"run":"run-9","step":"s","n":1,"agent":"a","status":"done"}'),
        );
        await append("run-1", control());
        await stage.until(seen.count(5));
        const kinds = ["submit", "unreadable", "unreadable", "unreadable", "control"];
        expect(seen.all.map(({ kind }) => kind)).toEqual(kinds);
        expect(seen.all[3]).toMatchObject({
          subject: "dh.main.run.run-1.result.worker",
          problem: expect.stringContaining("run-9"),
        });
        expect(other.unreadableCount()).toBe(3);
      });

      test("a record that is too large is refused with the bound and its size", async () => {
        const big = result("run-1", "load", { text: "x".repeat(20 * 1024 * 1024) });
        await expect(bus.log.append("run-1", big)).rejects.toMatchObject({
          code: "E_PAYLOAD_TOO_LARGE",
          message: expect.stringMatching(/209\d{5} bytes, the bound is \d+/),
        });
        expect(await read("run-1")).toEqual([]);
      });

      test("a value that cannot travel is refused where it stands", async () => {
        const bad = result("run-1", "load", { model: { predict: () => 1 } });
        await expect(bus.log.append("run-1", bad)).rejects.toMatchObject({
          code: "E_UNSERIALISABLE",
          message: expect.stringContaining("outputs.model.predict"),
        });
      });

      test("a run id that is no id is refused before anything is sent", async () => {
        for (const run of ["a.b", "*", ">", "", "x".repeat(65), "a b"]) {
          await expect(bus.log.append(run, submit())).rejects.toThrow(InvalidInputError);
        }
        expect(await bus.log.list()).toEqual([]);
      });
    });

    describe("tasks", () => {
      test("a dispatch is queued once: as long as it is queued or held, a second push finds it present", async () => {
        await role();
        expect(await bus.tasks.push(task("load"))).toBe("queued");
        expect(await other.tasks.push(task("load"))).toBe("present");
        const { deliveries } = pull(bus, 1);
        const delivery = await stage.until(deliveries.next());
        expect(await other.tasks.push(task("load"))).toBe("present");
        expect(await other.tasks.push(task("load", { n: 2 }))).toBe("queued");
        delivery.ack();
        await gone("load");
        expect(await other.tasks.push(task("load"))).toBe("queued");
      });

      /** Acks are not answered, so that a task is gone is seen by looking. */
      async function gone(step: string): Promise<void> {
        while (await bus.tasks.has(task(step))) await stage.until(Promise.resolve());
      }

      test("a task arrives as it was pushed", async () => {
        await role();
        const sent = task("load~3", {
          inputs: { path: "a.csv", rows: [1, 2] },
          deadline: 5,
          outputs: ["dataset"],
        });
        await bus.tasks.push(sent);
        const { deliveries } = pull(other, 1);
        const delivery = await stage.until(deliveries.next());
        expect(delivery.task).toEqual(sent);
        expect(delivery.deliveryCount).toBe(1);
      });

      test("no more is delivered than there are free slots", async () => {
        await role();
        for (let index = 0; index < 10; index++) await bus.tasks.push(task(`step-${index}`));
        const { deliveries, free } = pull(other, 3);
        await stage.until(deliveries.count(3));
        // Whoever pulls the rest proves that the first three were all that the first one was given.
        const rest = pull(bus, 7);
        await stage.until(rest.deliveries.count(7));
        expect(deliveries.all).toHaveLength(3);
        await bus.tasks.push(task("next"));
        free();
        await stage.until(deliveries.count(4));
        expect(deliveries.all[3]?.task.step).toBe("next");
      });

      test("two pullers of a role share its tasks, and none is given twice", async () => {
        await role();
        const left = pull(bus, 50);
        const right = pull(other, 50);
        await Promise.all(Array.from({ length: 100 }, (_, index) => bus.tasks.push(task(`step-${index}`))));
        await stage.until(Promise.all([left.deliveries.count(50), right.deliveries.count(50)]));
        const steps = [...left.deliveries.all, ...right.deliveries.all].map(({ task: { step } }) => step);
        expect(new Set(steps).size).toBe(100);
      });

      test("a role never has more tasks in hand than its limit", async () => {
        await role({ inFlight: 2 });
        for (let index = 0; index < 4; index++) await bus.tasks.push(task(`step-${index}`));
        const { deliveries } = pull(other, 10);
        await stage.until(deliveries.count(2));
        expect((await bus.tasks.roles()).find((status) => status.role === ROLE)).toMatchObject({
          held: 2,
          queued: 2,
        });
        deliveries.all[0]?.ack();
        await stage.until(deliveries.count(3));
        deliveries.all[1]?.ack();
        await stage.until(deliveries.count(4));
        expect(deliveries.all.map(({ deliveryCount }) => deliveryCount)).toEqual([1, 1, 1, 1]);
      });

      test("a task whose holder dies is given to another, who sees that it is not the first", async () => {
        await role();
        const holder = await stage.connect();
        const first = pull(holder, 1);
        await bus.tasks.push(task("load"));
        await stage.until(first.deliveries.next());
        await holder.close();
        const second = pull(other, 1);
        const again = await stage.until(second.deliveries.next());
        expect(again.task.step).toBe("load");
        expect(again.deliveryCount).toBe(2);
        expect(await bus.tasks.push(task("load"))).toBe("present");
      });

      test("a task whose holder says that it works stays with it, longer than the ack-wait", async () => {
        await role();
        await bus.tasks.push(task("kept"));
        await bus.tasks.push(task("silent"));
        const { deliveries, free } = pull(other, 2);
        await stage.until(deliveries.count(2));
        const kept = deliveries.all.find(({ task: { step } }) => step === "kept");
        free(2);
        // The silent one comes back twice: twice the ack-wait has passed.
        await stage.until(deliveries.count(4), () => kept?.working());
        expect(deliveries.all.slice(2).map(({ task: { step } }) => step)).toEqual(["silent", "silent"]);
      });

      test("a task that is given back comes again after its delay, not before", async () => {
        await role();
        const { deliveries, free } = pull(other, 1);
        await bus.tasks.push(task("load"));
        const first = await stage.until(deliveries.next());
        first.nak(300);
        free();
        await bus.tasks.push(task("between"));
        const between = await stage.until(deliveries.next());
        expect(between.task.step).toBe("between");
        free();
        const again = await stage.until(deliveries.next());
        expect(again.task.step).toBe("load");
        expect(again.deliveryCount).toBe(2);
      });

      test("a queued task that is removed is never delivered", async () => {
        await role();
        await bus.tasks.push(task("removed"));
        await bus.tasks.push(task("kept"));
        expect(await bus.tasks.has(task("removed"))).toBe(true);
        expect(await other.tasks.remove(task("removed"))).toBe(true);
        expect(await other.tasks.remove(task("removed"))).toBe(false);
        expect(await bus.tasks.has(task("removed"))).toBe(false);
        const { deliveries } = pull(other, 2);
        await stage.until(deliveries.next());
        expect(deliveries.all.map(({ task: { step } }) => step)).toEqual(["kept"]);
      });

      test("a held task that is removed does not come back", async () => {
        await role();
        await bus.tasks.push(task("removed"));
        await bus.tasks.push(task("silent"));
        const { deliveries, free } = pull(other, 2);
        await stage.until(deliveries.count(2));
        expect(await bus.tasks.remove(task("removed"))).toBe(true);
        expect(await bus.tasks.push(task("removed", { n: 2 }))).toBe("queued");
        free(3);
        await stage.until(deliveries.count(3));
        expect(deliveries.all[2]?.task).toMatchObject({ step: "removed", n: 2 });
        deliveries.all[2]?.ack();
        // The silent one is back: the ack-wait of the removed one has passed as well.
        await stage.until(deliveries.count(4));
        expect(deliveries.all[3]?.task.step).toBe("silent");
      });

      test("stored tasks are listed from a place on, queued and held, until the end", async () => {
        await role();
        const { deliveries } = pull(other, 1);
        for (const step of ["a", "b", "c"]) await bus.tasks.push(task(step));
        await stage.until(deliveries.next());
        const steps: string[] = [];
        for (let next: number | undefined = 0; next !== undefined; ) {
          const page = await bus.tasks.stored(next, 2);
          expect(page.tasks.length).toBeLessThanOrEqual(2);
          steps.push(...page.tasks.map(({ step }) => step));
          next = page.next;
        }
        expect(steps).toEqual(["a", "b", "c"]);
      });

      test("removing a run's tasks leaves those of others", async () => {
        await role();
        await bus.tasks.ensureRole({ role: "second" });
        await bus.tasks.push(task("a"));
        await bus.tasks.push(task("b", { role: "second" }));
        await bus.tasks.push(task("c", { run: "run-2" }));
        const there = await other.tasks.ofRun("run-1");
        expect(there.map((ref) => `${ref.role} ${ref.step}#${ref.n}`).sort()).toEqual([
          `second b#1`,
          `${task("a").role} a#1`,
        ]);
        expect(await other.tasks.removeRun("run-1")).toBe(2);
        expect(await other.tasks.ofRun("run-1")).toEqual([]);
        expect(await bus.tasks.has(task("a"))).toBe(false);
        expect(await bus.tasks.has(task("c", { run: "run-2" }))).toBe(true);
      });

      test("tasks wait for a role that has no queue yet, and so do its pullers", async () => {
        expect(await bus.tasks.push(task("early"))).toBe("queued");
        expect(await bus.tasks.push(task("early"))).toBe("present");
        const { deliveries } = pull(other, 1);
        await role();
        expect((await stage.until(deliveries.next())).task.step).toBe("early");
      });

      test("a puller that stops leaves what it has not been given to others", async () => {
        await role();
        const first = pull(other, 5);
        await bus.tasks.push(task("one"));
        await stage.until(first.deliveries.next());
        await first.puller.stop();
        await bus.tasks.push(task("two"));
        const second = pull(bus, 1);
        expect((await stage.until(second.deliveries.next())).task.step).toBe("two");
        expect(first.deliveries.all).toHaveLength(1);
      });

      test("a role of JSON gets its tasks as JSON, and reads the same", async () => {
        await role({ encoding: "json" });
        await bus.tasks.push(task("load", { inputs: { rows: 3 } }));
        await stage.inject("dh.main.task.worker.run-1.foreign.1", bytesOf(JSON.stringify(task("foreign"))));
        const { deliveries } = pull(other, 2);
        await stage.until(deliveries.count(2));
        expect(deliveries.all.map((delivery) => delivery.task)).toEqual([
          task("load", { inputs: { rows: 3 } }),
          task("foreign"),
        ]);
      });

      test("a task that nobody can read is set aside, told, and stops none behind it", async () => {
        await role();
        await stage.inject("dh.main.task.worker.run-1.broken.1", bytesOf("{ not json"));
        await stage.inject("dh.main.task.worker.run-1.other.1", bytesOf(JSON.stringify(task("elsewhere"))));
        await bus.tasks.push(task("good"));
        const problems: { subject: string; problem: string }[] = [];
        const { deliveries } = pull(other, 1, { onUnreadable: (problem) => problems.push(problem) });
        expect((await stage.until(deliveries.next())).task.step).toBe("good");
        expect(problems.map(({ subject }) => subject)).toEqual([
          "dh.main.task.worker.run-1.broken.1",
          "dh.main.task.worker.run-1.other.1",
        ]);
        expect(other.unreadableCount()).toBe(2);
        while (await bus.tasks.has({ role: ROLE, run: "run-1", step: "broken", n: 1 }))
          await stage.until(Promise.resolve());
      });

      test("settings of a role that are not given keep their value", async () => {
        const made = await bus.tasks.ensureRole({
          role: ROLE,
          encoding: "json",
          inFlight: 7,
          ackWaitMs: 2_000,
        });
        expect(made).toEqual({ role: ROLE, encoding: "json", inFlight: 7, ackWaitMs: 2_000 });
        expect(await other.tasks.ensureRole({ role: ROLE, inFlight: 9 })).toEqual({ ...made, inFlight: 9 });
        expect(await other.tasks.roles()).toMatchObject([{ ...made, inFlight: 9, queued: 0, held: 0 }]);
      });

      test("settings that no role can have are refused", async () => {
        await expect(bus.tasks.ensureRole({ role: ROLE, inFlight: 0 })).rejects.toMatchObject({
          code: "E_ROLE",
        });
        await expect(bus.tasks.ensureRole({ role: ROLE, ackWaitMs: 10 })).rejects.toMatchObject({
          code: "E_ROLE",
        });
        await expect(bus.tasks.ensureRole({ role: "no.role" })).rejects.toMatchObject({ code: "E_NAME" });
        expect(await bus.tasks.roles()).toEqual([]);
      });
    });

    describe("runs", () => {
      function pullRuns(from: Bus, slots: number): Arrivals<RunDelivery> {
        const deliveries = new Arrivals<RunDelivery>();
        from.runs.pull({ slots: () => slots - deliveries.all.length, onDelivery: deliveries.add });
        return deliveries;
      }

      test("a run waits for one orchestrator, and for the next when that one dies", async () => {
        const holder = await stage.connect();
        expect(await bus.runs.push("run-1")).toBe("queued");
        expect(await other.runs.push("run-1")).toBe("present");
        expect(await stage.until(pullRuns(holder, 1).next())).toMatchObject({
          run: "run-1",
          deliveryCount: 1,
        });
        await holder.close();
        const again = await stage.until(pullRuns(other, 1).next());
        expect(again).toMatchObject({ run: "run-1", deliveryCount: 2 });
        await again.ack();
        expect(await bus.runs.push("run-1")).toBe("queued");
      });

      test("a run that is reclaimed is offered anew at once, and ends for both when one acks", async () => {
        await bus.runs.push("run-1");
        const first = await stage.until(pullRuns(bus, 1).next());
        await other.runs.reclaim();
        const again = pullRuns(other, 1);
        expect(await stage.until(again.next())).toMatchObject({ run: "run-1" });
        await first.ack();
        expect(await bus.runs.push("run-1")).toBe("queued");
      });

      test("a submission becomes one orchestrator task, however many daemons listen", async () => {
        await bus.runs.serveArrivals();
        await other.runs.serveArrivals();
        await append("run-1", submit());
        await append("run-2", submit());
        const deliveries = pullRuns(bus, 10);
        await stage.until(deliveries.count(2));
        expect(deliveries.all.map(({ run }) => run).sort()).toEqual(["run-1", "run-2"]);
      });

      test("a control wakes a run that was parked", async () => {
        await append("run-1", submit());
        await bus.runs.serveArrivals();
        const deliveries = pullRuns(other, 10);
        const first = await stage.until(deliveries.next());
        await first.ack();
        await append("run-1", control("resume"));
        expect(await stage.until(deliveries.next())).toMatchObject({ run: "run-1", deliveryCount: 1 });
      });

      test("a timer wakes its run, later than asked for and after its setter is gone", async () => {
        await bus.runs.serveArrivals();
        const setter = await stage.connect();
        await setter.runs.setTimer("run-1", 300);
        await setter.close();
        expect(await stage.until(pullRuns(other, 1).next())).toMatchObject({
          run: "run-1",
          deliveryCount: 1,
        });
      });

      test("a timer that was set while no daemon was there is not forgotten", async () => {
        const first = await bus.runs.serveArrivals();
        await first.stop();
        await other.runs.setTimer("run-1", 1);
        await bus.runs.serveArrivals();
        expect((await stage.until(pullRuns(other, 1).next())).run).toBe("run-1");
      });

      test("a timer is replaced by a later one of its run, and a cleared one wakes nobody", async () => {
        await bus.runs.serveArrivals();
        await other.runs.setTimer("run-1", 200);
        await other.runs.setTimer("run-1", 3_600_000);
        await other.runs.setTimer("run-2", 200);
        await other.runs.clearTimer("run-2");
        await other.runs.setTimer("run-3", 500);
        const deliveries = pullRuns(bus, 3);
        expect((await stage.until(deliveries.next())).run).toBe("run-3");
        expect(deliveries.all).toHaveLength(1);
      });

      test("those that are queued or held are counted", async () => {
        expect(await bus.runs.count()).toBe(0);
        await bus.runs.push("run-1");
        await bus.runs.push("run-2");
        const held = await stage.until(pullRuns(bus, 1).next());
        expect(await other.runs.count()).toBe(2);
        await held.ack();
        expect(await other.runs.count()).toBe(1);
      });

      test("a timer that fires while its run is held waits until it is not", async () => {
        await bus.runs.serveArrivals();
        await bus.runs.push("run-1");
        const deliveries = pullRuns(bus, 2);
        await stage.until(deliveries.next());
        await bus.runs.setTimer("run-1", 1);
        await bus.runs.push("run-2");
        await stage.until(deliveries.count(2));
        // A run that nobody keeps is offered again, before the timer looks a second time.
        for (const delivery of deliveries.all) await delivery.ack();
        const again = new Arrivals<RunDelivery>();
        other.runs.pull({ slots: () => 1 - again.all.length, onDelivery: again.add });
        expect((await stage.until(again.next())).run).toBe("run-1");
      });

      test("a control that finds the run's task on its way out wakes the run all the same", async () => {
        await bus.runs.serveArrivals();
        await append("run-1", submit());
        const deliveries = pullRuns(other, 1);
        const leaving = await stage.until(deliveries.next());
        // The holder has read the log, and dies after its ack without looking back.
        await append("run-1", control("resume"));
        await leaving.ack();
        const again = new Arrivals<RunDelivery>();
        bus.runs.pull({ slots: () => 1 - again.all.length, onDelivery: again.add });
        expect((await stage.until(again.next())).run).toBe("run-1");
      });

      test("a submission that came while no daemon was there is not forgotten", async () => {
        await append("run-1", submit());
        await bus.runs.serveArrivals();
        expect((await stage.until(pullRuns(other, 1).next())).run).toBe("run-1");
      });
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

    describe("live", () => {
      const ref = { role: ROLE, run: "run-1", step: "load", n: 2 };

      test("live messages, environment changes and handoffs reach who listens to the run or to all", async () => {
        const all = new Arrivals<unknown>();
        const one = new Arrivals<unknown>();
        for (const [run, seen] of [
          [undefined, all],
          ["run-1", one],
        ] as const) {
          other.live.onLive(run, ({ type, role, run: id }) => seen.add([type, role, id]));
          other.live.onEnv(run, ({ key, revision, run: id }) => seen.add(["env", key, revision, id]));
          other.live.onHandoff(run, ({ from, to, run: id }) =>
            seen.add(["handoff", from[0]?.role, to.role, id]),
          );
        }
        await other.log.exists("subscribed");
        for (const run of ["run-2", "run-1"]) {
          bus.live.publish({ type: "started", run, step: "load", n: 1, agent: "agent-1", role: ROLE });
          bus.live.publishEnv({ run, key: "rows", value: 3, revision: 7, writer: { step: "load" } });
          bus.live.publishHandoff({
            run,
            step: "load",
            n: 1,
            kind: "handoff",
            from: [{ step: "load", role: "a" }],
            to: { role: "b", task: "t" },
            reason: "",
          });
        }
        await stage.until(Promise.all([all.count(6), one.count(3)]));
        expect(one.all).toEqual([
          ["started", ROLE, "run-1"],
          ["env", "rows", 7, "run-1"],
          ["handoff", "a", "b", "run-1"],
        ]);
        expect(all.all.slice(3)).toEqual(one.all);
      });

      test("a question is answered by the one who knows; the others leave it alone", async () => {
        bus.live.onAsk(() => undefined);
        bus.live.onAsk(async () => undefined);
        bus.live.onAsk(() => Promise.reject(new Error("broken listener")));
        other.live.onAsk(async (asked, question) => ({ open: asked.n === 2 && question.q === "open" }));
        await other.log.exists("subscribed");
        expect(await stage.until(bus.live.ask(ref, { q: "open" }, 2_000))).toEqual({ open: true });
      });

      test("a question that nobody answers ends", async () => {
        expect(await stage.until(bus.live.ask(ref, { q: "open" }, 500))).toBeUndefined();
        other.live.onAsk(() => undefined);
        await other.log.exists("subscribed");
        expect(await stage.until(bus.live.ask(ref, { q: "open" }, 500))).toBeUndefined();
      });

      test("a cancel is answered when the holder has stopped, and only by the holder", async () => {
        const reasons: string[] = [];
        bus.live.onCancel(ROLE, () => undefined);
        other.live.onCancel(ROLE, async (asked, reason) => {
          reasons.push(`${asked.step}/${asked.n}: ${reason}`);
          return true;
        });
        other.live.onCancel("elsewhere", async () => false);
        await other.log.exists("subscribed");
        expect(await stage.until(bus.live.cancel(ref, "enough", 2_000))).toBe(true);
        expect(reasons).toEqual(["load/2: enough"]);
        expect(await stage.until(bus.live.cancel({ ...ref, role: "nobody" }, "enough", 500))).toBe(false);
      });

      test("an announcement of roles is answered by a daemon, or not at all", async () => {
        const hello = { v: 1 as const, id: "agent-1", roles: card("agent-1").roles };
        expect(await stage.until(bus.live.hello(hello, 500))).toBeUndefined();
        const settings = { role: ROLE, encoding: "json" as const, inFlight: 3, ackWaitMs: 2_000 };
        const served = other.live.onHello(async ({ roles }) => ({
          ok: roles.length === 1,
          roles: [settings],
        }));
        await other.log.exists("subscribed");
        expect(await stage.until(bus.live.hello(hello, 2_000))).toEqual({ ok: true, roles: [settings] });
        served.close();
        await other.log.exists("unsubscribed");
        expect(await stage.until(bus.live.hello(hello, 500))).toBeUndefined();
      });

      test("a live message that nobody can read is counted and goes nowhere", async () => {
        const seen = new Arrivals<string>();
        other.live.onLive(undefined, ({ step }) => seen.add(step));
        await other.log.exists("subscribed");
        await stage.inject("dh.main.live.worker.run-1.load", bytesOf('{"type":"dance"}'));
        await stage.inject(
          "dh.main.live.worker.run-1.load",
          bytesOf('{"type":"started","run":"run-1","step":"good","n":1,"agent":"a"}'),
        );
        expect(await stage.until(seen.next())).toBe("good");
        expect(other.unreadableCount()).toBe(1);
      });
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
