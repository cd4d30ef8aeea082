/**
 * Purging finished runs. It would catch: an open run that is purged; a run that is left half there when the
 * purge is cut off at any call, or that a later purge cannot finish; an id that a purged run still blocks, and a
 * new run of that id that loses its task, its log or its place in the list.
 */
import { beforeEach, describe, expect, test } from "vitest";
import type { Bus, SeqRange } from "../../src/bus/bus.ts";
import { createMemoryBroker } from "../../src/bus/memory/broker.ts";
import { systemClock } from "../../src/bus/system-clock.ts";
import { connectSwarm } from "../../src/client/connect.ts";
import { RunRemoval } from "../../src/client/run-removal.ts";
import { InvalidInputError, NotFoundError } from "../../src/workflow/errors.ts";
import { NOTHING, standingRun, traces } from "./finished-runs.ts";

let bus: Bus;
let laterByMs = 0;
const clock = { ...systemClock, now: () => Date.now() + laterByMs };
beforeEach(async () => {
  bus = createMemoryBroker({ clock }).connect("main");
  laterByMs = 0;
  await bus.tasks.ensureRole({ role: "worker" });
});

const removal = (on: Bus = bus, now = Date.now()) => new RunRemoval(on, { ...systemClock, now: () => now });

/** The bus, but its `limit`-th change and all after it fail, as when the process was killed there. */
function dyingAfter(inner: Bus, limit: number): Bus {
  let changes = 0;
  const part = <Part extends object>(owner: Part, changing: readonly (keyof Part)[]): Part =>
    new Proxy(owner, {
      get(target, name) {
        const value = Reflect.get(target, name, target) as unknown;
        if (typeof value !== "function") return value;
        return (...given: unknown[]) => {
          if (changing.includes(name as keyof Part) && ++changes > limit) throw new Error("killed");
          return Reflect.apply(value, target, given);
        };
      },
    });
  return {
    ...inner,
    log: part(inner.log, ["purge", "append"]),
    tasks: part(inner.tasks, ["removeRun", "remove", "push"]),
    runs: part(inner.runs, ["remove", "push"]),
    artifacts: part(inner.artifacts, ["remove", "put"]),
    index: part(inner.index, ["remove", "put"]),
    status: () => inner.status(),
  };
}

describe("a purge", () => {
  test("removes what has ended with all that belongs to it, and leaves what is open", async () => {
    await standingRun(bus, "r-done", "done");
    await standingRun(bus, "r-cancelled", "cancelled");
    await standingRun(bus, "r-open", "running");
    const before = await traces(bus, "r-open");
    const report = await removal().purge({});
    expect(report.runs).toBe(2);
    // Five records, two tasks and two artifacts of the one; four records and two tasks of the other.
    expect(report.messages).toBe(5 + 2 + 2 + 4 + 2);
    expect(report.bytes).toBeGreaterThan(600_000);
    expect(await traces(bus, "r-done")).toEqual(NOTHING);
    expect(await traces(bus, "r-cancelled")).toEqual(NOTHING);
    expect(await traces(bus, "r-open")).toEqual(before);
    expect(await removal().purge({})).toEqual({ runs: 0, messages: 0, bytes: 0 });
  });

  test("takes only the age and the status that were asked for", async () => {
    for (const standing of ["done", "failed"] as const) await standingRun(bus, standing, standing);
    const inAnHour = Date.now() + 3_600_000;
    expect(await removal(bus, inAnHour).purge({ olderMs: 7_200_000 })).toMatchObject({ runs: 0 });
    expect(await removal(bus, inAnHour).purge({ olderMs: 1_800_000, status: "failed" })).toMatchObject({
      runs: 1,
    });
    expect(await traces(bus, "failed")).toEqual(NOTHING);
    expect(await traces(bus, "done")).toMatchObject({ submitted: true, listed: true });
  });

  test("finds finished runs that the list of runs has lost", async () => {
    await standingRun(bus, "r", "done");
    for (const entry of await bus.index.list()) await bus.index.remove(entry);
    expect(await removal().purge({})).toMatchObject({ runs: 1 });
    expect(await traces(bus, "r")).toEqual(NOTHING);
  });

  test("refuses an open or an unknown run that was named", async () => {
    await standingRun(bus, "r-open", "running");
    await expect(removal().purge({ runs: ["r-open"] })).rejects.toThrow(InvalidInputError);
    await expect(removal().purge({ runs: ["nobody"] })).rejects.toThrow(NotFoundError);
    expect(await traces(bus, "r-open")).toMatchObject({ submitted: true, listed: true });
  });

  test("that is cut off anywhere leaves the run whole or no run at all, and the next one ends it", async () => {
    let cuts = 0;
    for (let limit = 0; ; limit++) {
      const run = `r-${limit}`;
      await standingRun(bus, run, "done");
      const whole = await traces(bus, run);
      const cut = await removal(dyingAfter(bus, limit))
        .purge({})
        .then(
          () => false,
          () => true,
        );
      const left = await traces(bus, run);
      if (left.submitted) expect(left.records).toBe(whole.records);
      else expect(left).toMatchObject({ task: false, artifacts: 0 });
      expect(await removal().purge({})).toMatchObject({ runs: cut ? 1 : 0 });
      expect(await traces(bus, run)).toEqual(NOTHING);
      if (!cut) break;
      cuts++;
    }
    // The run's task, its step's task, two artifacts or more, its log, its entry.
    expect(cuts).toBeGreaterThanOrEqual(6);
  });

  test("removes the rest of a log whose purge was cut off between two of its messages", async () => {
    await standingRun(bus, "r", "done");
    let first = 0;
    for await (const { seq } of bus.log.read("r")) first ||= seq;
    await bus.log.purge("r", { from: first, to: first });
    const client = await connectSwarm({ bus });
    expect(await removal().purge({})).toMatchObject({ runs: 1 });
    expect(await traces(bus, "r")).toEqual(NOTHING);
    expect(await client.submit({ run: "r", want: ["x"] })).toEqual({ run: "r" });
  });

  test("leaves a failed run that a person retries while it is being purged", async () => {
    await standingRun(bus, "r", "failed");
    const retrying: Bus = {
      ...bus,
      tasks: new Proxy(bus.tasks, {
        get: (target, name) =>
          name === "removeRun"
            ? async (run: string) => {
                await bus.log.append(run, { kind: "control", body: { v: 1, verb: "retry", by: "person" } });
                return target.removeRun(run);
              }
            : Reflect.get(target, name, target).bind(target),
      }),
    };
    expect(await removal(retrying).purge({})).toMatchObject({ runs: 0 });
    expect(await traces(bus, "r")).toMatchObject({ submitted: true, artifacts: 2 });
    expect(await bus.runs.push("r")).toBe("present");
  });

  test("does not touch a new run that took the id while the old one was being removed", async () => {
    await standingRun(bus, "r", "done");
    const reused: Bus = {
      ...bus,
      log: new Proxy(bus.log, {
        get: (target, name) =>
          name === "purge"
            ? async (run: string, range: SeqRange) => {
                const removed = await target.purge(run, range);
                await standingRun(bus, run, "running");
                return removed;
              }
            : Reflect.get(target, name, target).bind(target),
      }),
    };
    laterByMs = 10; // The list tells the two lives by their start.
    expect(await removal(reused).purge({})).toMatchObject({ runs: 1 });
    expect(await traces(bus, "r")).toMatchObject({ submitted: true, records: 2, listed: true });
  });

  test("goes no further with a run whose archive could not be written", async () => {
    await standingRun(bus, "r", "done");
    const before = await traces(bus, "r");
    await expect(removal().purge({}, () => Promise.reject(new Error("disk full")))).rejects.toThrow(
      "disk full",
    );
    expect(await traces(bus, "r")).toEqual(before);
  });
});
