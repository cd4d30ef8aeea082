/** The promises about the log. Would catch a second writer's record stored, a replay out of order, a gap after a break. */
import { describe, expect, test } from "vitest";
import type { Bus, LogRecord } from "../../src/bus/bus.ts";
import { InvalidInputError, UnreachableError } from "../../src/workflow/errors.ts";
import { Arrivals } from "./arrivals.ts";
import { type BusStage, bytesOf, type OpenStage, setUpBus } from "./bus-fixture.ts";
import { claim, control, ROLE, result, submit } from "./messages.ts";

export function describeLog(openStage: OpenStage): void {
  describe("log", () => {
    let stage: BusStage;
    let bus: Bus;
    let other: Bus;
    const { read, append } = setUpBus(openStage, (made) => {
      ({ stage, bus, other } = made);
    });

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
      expect(await read("run-1")).toMatchObject([{ kind: "control", body: { verb: "cancel", by: "curl" } }]);
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
}
