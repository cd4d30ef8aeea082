/**
 * Would catch a follower that delivers twice, out of order or not at all when live copies are lost, doubled,
 * late or reordered, or when the log cannot be read for a while.
 */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { LogRecord } from "../../src/bus/bus.ts";
import { type LiveCopy, RunFollower, type StoredRecord } from "../../src/bus/follower.ts";
import { settle, VirtualClock } from "./virtual-clock.ts";

/** A log of one run over a few subjects, and what its followers would be sent. */
class FakeLog {
  readonly stored: StoredRecord[] = [];
  readonly #last = new Map<string, number>();
  failing = false;
  reads = 0;

  append(subject: string): LiveCopy {
    const seq = (this.stored.at(-1)?.record.seq ?? 0) + 1;
    const record: LogRecord = { run: "r", seq, ts: seq, kind: "unreadable", subject, problem: "" };
    const lastOnSubject = this.#last.get(subject) ?? 0;
    this.#last.set(subject, seq);
    this.stored.push({ subject, record });
    return { subject, record, lastOnSubject };
  }

  async *read(_run: string, from: number): AsyncGenerator<StoredRecord> {
    this.reads++;
    if (this.failing) throw new Error("the broker is away");
    for (const stored of this.stored.filter(({ record }) => record.seq >= from)) {
      await undefined;
      yield stored;
    }
  }
}

function follow(log: FakeLog, options: { from?: number; onDisorder?: (seq: number) => void } = {}) {
  const clock = new VirtualClock();
  const seen: number[] = [];
  const follower = new RunFollower({
    source: log,
    clock,
    run: "r",
    from: options.from ?? 1,
    onRecord: ({ seq }) => seen.push(seq),
    onDisorder: options.onDisorder,
    onClose: () => undefined,
  });
  return { clock, seen, follower };
}

const upTo = (last: number, from = 1): number[] =>
  Array.from({ length: last - from + 1 }, (_, index) => from + index);

describe("a follower", () => {
  test("sees every record once and in order, whichever live copies are lost or doubled, once it has synced", async () => {
    const fate = fc.constantFrom("arrives", "lost", "doubled");
    const event = fc.record({ subject: fc.constantFrom("a", "b", "c"), fate, sync: fc.boolean() });
    await fc.assert(
      fc.asyncProperty(fc.array(event, { maxLength: 40 }), async (events) => {
        const log = new FakeLog();
        let disorder: number | undefined;
        const { seen, follower } = follow(log, { onDisorder: (seq) => (disorder = seq) });
        await follower.caughtUp;
        for (const { subject, fate: how, sync } of events) {
          const copy = log.append(subject);
          if (how !== "lost") follower.offer(copy);
          if (how === "doubled") follower.offer(copy);
          if (sync && disorder === undefined) await follower.sync().then(undefined, () => undefined);
        }
        if (disorder === undefined) await follower.sync().then(undefined, () => undefined);
        // Either all is there, or the loss was found and nothing went on as if it had not been.
        if (disorder === undefined) expect(seen).toEqual(upTo(events.length));
        else expect(seen).not.toContain(disorder);
        expect(seen).toEqual([...new Set(seen)].sort((left, right) => left - right));
      }),
    );
  });

  test("healing the gap of one subject does not hide the gap of another", async () => {
    const log = new FakeLog();
    let disorder: number | undefined;
    const { follower } = follow(log, { onDisorder: (seq) => (disorder = seq) });
    await follower.caughtUp;
    log.append("a");
    follower.offer(log.append("b"));
    log.append("b");
    log.append("a");
    follower.offer(log.append("b"));
    await settle();
    expect(disorder).toBe(1);
  });

  test("heals a gap that the next copy on the subject reveals, without being asked", async () => {
    const log = new FakeLog();
    const { seen, follower } = follow(log);
    await follower.caughtUp;
    follower.offer(log.append("a"));
    log.append("a");
    log.append("b");
    follower.offer(log.append("a"));
    await settle();
    expect(seen).toEqual([1, 2, 3, 4]);
  });

  test("finds at a sync what was lost in the middle without a trace", async () => {
    const log = new FakeLog();
    const missed: number[] = [];
    const { follower } = follow(log, { onDisorder: (seq) => missed.push(seq) });
    await follower.caughtUp;
    log.append("a");
    follower.offer(log.append("b"));
    await expect(follower.sync()).rejects.toMatchObject({ code: "E_CLOSED" });
    expect(missed).toEqual([1]);
  });

  test("vouches for no more than what was read, though younger copies came while the read was on its way", async () => {
    const log = new FakeLog();
    const { seen, follower } = follow(log);
    await follower.caughtUp;
    follower.offer(log.append("a"));
    const { reads } = log;
    const synced = follower.sync();
    while (log.reads === reads) await undefined;
    log.append("b");
    follower.offer(log.append("a"));
    expect(await synced).toBe(1);
    expect(seen).toEqual([1, 3]);
    expect(await follower.sync()).toBe(3);
  });

  test("without a listener for disorder delivers the late record late", async () => {
    const log = new FakeLog();
    const { seen, follower } = follow(log);
    await follower.caughtUp;
    log.append("a");
    follower.offer(log.append("b"));
    await follower.sync();
    expect(seen).toEqual([2, 1]);
  });

  test("takes no gap in what came before its beginning", async () => {
    const log = new FakeLog();
    for (let count = 0; count < 5; count++) log.append("a");
    const { seen, follower } = follow(log, { from: 4 });
    await follower.caughtUp;
    const reads = log.reads;
    follower.offer(log.append("a"));
    follower.offer(log.append("b"));
    expect(seen).toEqual([4, 5, 6, 7]);
    expect(log.reads).toBe(reads);
  });

  test("keeps trying while the log cannot be read, and then has it all", async () => {
    const log = new FakeLog();
    log.failing = true;
    log.append("a");
    const { clock, seen, follower } = follow(log);
    await clock.advance(10_000);
    expect(log.reads).toBeGreaterThan(3);
    expect(seen).toEqual([]);
    follower.offer(log.append("a"));
    log.failing = false;
    await clock.advance(5_000);
    expect(await follower.caughtUp).toBe(2);
    expect(seen).toEqual([1, 2]);
  });

  test("reads the log once more when more copies came during a read than it keeps", async () => {
    const log = new FakeLog();
    const { seen, follower } = follow(log);
    for (let count = 0; count < 10_050; count++) follower.offer(log.append("a"));
    await follower.sync();
    expect(seen).toEqual(upTo(10_050));
  });

  test("that is closed before it has caught up says so and is silent", async () => {
    const log = new FakeLog();
    log.failing = true;
    const { clock, seen, follower } = follow(log);
    await settle();
    follower.close();
    await expect(follower.caughtUp).rejects.toMatchObject({ code: "E_CLOSED" });
    log.failing = false;
    follower.offer(log.append("a"));
    await clock.advance(10_000);
    expect(seen).toEqual([]);
  });
});
