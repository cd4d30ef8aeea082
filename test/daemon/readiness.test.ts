/**
 * What a daemon says of itself while nothing can be stored.
 * Catches: a full disk that is told as a server that does not answer, and a server that is started again on it; one
 * that is only busy, and is started again so often that it never gets anywhere.
 */
import { pino } from "pino";
import { afterEach, expect, it } from "vitest";
import { createMemoryBroker } from "../../src/bus/memory/broker.ts";
import type { ManagedBroker } from "../../src/daemon/broker/managed-broker.ts";
import { type Readiness, watchReadiness } from "../../src/daemon/readiness.ts";
import { VirtualClock } from "../bus/virtual-clock.ts";

/** No file system of its kind has room. */
const FULL_DISK = "/proc";
const SILENT = { kind: "silent", reason: "JetStream does not answer" } as const;

let readiness: Readiness | undefined;
afterEach(() => readiness?.stop());

async function silentBroker(store: string, untilLooks = 6) {
  const clock = new VirtualClock();
  const told: string[] = [];
  const log = pino({ level: "warn" }, { write: (line) => told.push(JSON.parse(line).msg) });
  const bus = createMemoryBroker({ clock }).connect();
  let looks = 0;
  bus.storageProblem = async () => {
    looks += 1;
    return SILENT;
  };
  let starts = 0;
  const restart = async () => {
    starts += 1;
  };
  const broker = { pid: 1, restart } as unknown as ManagedBroker;
  readiness = watchReadiness({ bus, clock, log, store, broker });
  // The one before the last has come to its end by then.
  while (looks < untilLooks) {
    await clock.advance(1_000);
    await new Promise(setImmediate);
  }
  return { problem: readiness.problem, starts, told };
}

it("a server that is silent on a full disk is not ready for that reason, told once, and not started again", async () => {
  const { problem, starts, told } = await silentBroker(FULL_DISK);
  expect(problem).toMatch(/^the disk of the store \/proc is full: fewer than \d+ bytes are free; JetStream/);
  expect(starts).toBe(0);
  expect(told).toEqual(["nothing can be stored; work waits"]);
});

it("a server that is silent although its disk has room is started again", async () => {
  const { problem, starts } = await silentBroker("/tmp");
  expect(problem).toBe(SILENT.reason);
  expect(starts).toBeGreaterThan(0);
});

it("a server whose start did not help is left in peace for longer every time", async () => {
  // After 3 looks, 6 more, 12 more.
  expect((await silentBroker("/tmp", 8)).starts).toBe(1);
  readiness?.stop();
  expect((await silentBroker("/tmp", 20)).starts).toBe(2);
});
