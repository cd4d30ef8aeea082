/**
 * What a daemon says of itself while nothing can be stored.
 * Catches: a full disk that is told as a server that does not answer, and a server that is started again on it or
 * stays deaf after it; a full disk that a daemon without work does not tell; a server that is only busy, and is started
 * again so often that it never gets anywhere.
 */
import { mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { afterEach, expect, it } from "vitest";
import type { StorageProblem } from "../../src/bus/bus.ts";
import { createMemoryBroker } from "../../src/bus/memory/broker.ts";
import type { ManagedBroker } from "../../src/daemon/broker/managed-broker.ts";
import { type Readiness, watchReadiness } from "../../src/daemon/readiness.ts";
import { VirtualClock } from "../bus/virtual-clock.ts";

/** No file system of its kind has room. */
const FULL_DISK = "/proc";
const SILENT = { kind: "silent", reason: "JetStream does not answer" } as const;

let readiness: Readiness | undefined;
afterEach(() => readiness?.stop());

async function looked(
  store: string,
  {
    problem,
    untilLooks = 6,
    onLook,
  }: { problem?: StorageProblem; untilLooks?: number; onLook?: (look: number) => void },
) {
  const clock = new VirtualClock();
  const told: string[] = [];
  const log = pino({ level: "warn" }, { write: (line) => told.push(JSON.parse(line).msg) });
  const bus = createMemoryBroker({ clock }).connect();
  let looks = 0;
  bus.storageProblem = async () => {
    looks += 1;
    onLook?.(looks);
    return problem;
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

const silentBroker = (store: string, untilLooks = 6) => looked(store, { problem: SILENT, untilLooks });

it("a server that is silent on a full disk is not ready for that reason, told once, and not started again", async () => {
  const { problem, starts, told } = await silentBroker(FULL_DISK);
  expect(problem).toMatch(/^the disk of the store \/proc is full: fewer than \d+ bytes are free; JetStream/);
  expect(starts).toBe(0);
  expect(told).toEqual(["nothing can be stored; work waits"]);
});

it("a full disk is told also while nothing is stored, and its server is started again once there is room", async () => {
  const folder = mkdtempSync(join(tmpdir(), "dh-readiness-"));
  const store = join(folder, "store");
  symlinkSync(FULL_DISK, store);
  const full = await looked(store, {});
  expect(full.problem).toMatch(/^the disk of the store .* is full: fewer than \d+ bytes are free$/);
  expect(full).toMatchObject({ starts: 0, told: ["nothing can be stored; work waits"] });
  readiness?.stop();
  const onLook = (look: number): void => {
    if (look !== 3) return;
    rmSync(store);
    symlinkSync(folder, store);
  };
  const { starts, problem } = await looked(store, { onLook, untilLooks: 12 });
  rmSync(folder, { recursive: true });
  expect({ starts, problem }).toEqual({ starts: 1, problem: undefined });
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
