/**
 * Archives of runs. It would catch: an archive that shows another run than the log did, loses bytes or records
 * that nobody could read, overwrites that of an older run with the same id, or passes for whole when it is cut
 * off or damaged.
 */
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Bus, LogRecord } from "../../src/bus/bus.ts";
import { createMemoryBroker } from "../../src/bus/memory/broker.ts";
import { systemClock } from "../../src/bus/system-clock.ts";
import { connectSwarm } from "../../src/client/connect.ts";
import { type ArchivedFile, archiveRun, openArchive } from "../../src/client/run-archive-file.ts";
import { RunReader } from "../../src/client/run-reader.ts";
import { RunRemoval } from "../../src/client/run-removal.ts";
import { InvalidInputError, NotFoundError } from "../../src/workflow/errors.ts";
import { standingRun } from "./finished-runs.ts";

let bus: Bus;
let laterByMs = 0;
const clock = { ...systemClock, now: () => Date.now() + laterByMs };
let folder: string;
beforeEach(async () => {
  bus = createMemoryBroker({ clock }).connect("main");
  laterByMs = 0;
  await bus.tasks.ensureRole({ role: "worker" });
  folder = await mkdtemp(join(tmpdir(), "datahammer-archive-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const removal = () => new RunRemoval(bus, systemClock);

async function archived(run: string): Promise<ArchivedFile> {
  let file: ArchivedFile | undefined;
  await removal().each({ runs: [run] }, async (finished) => {
    file = await archiveRun(bus, finished, folder);
  });
  if (file === undefined) throw new Error(`${run} was not archived`);
  return file;
}

async function all(records: AsyncIterable<LogRecord>): Promise<LogRecord[]> {
  const found: LogRecord[] = [];
  for await (const record of records) found.push(record);
  return found;
}

const reader = async (path: string, run: string) => new RunReader(await openArchive(path, run), systemClock);

describe("an archive", () => {
  test("gives every answer that the log gave, also when the run is purged", async () => {
    await standingRun(bus, "r", "done");
    await bus.log.append("r", { kind: "control", body: { v: 1, verb: "retry", by: "person" } });
    const client = await connectSwarm({ bus });
    const before = {
      records: await all(client.records("r")),
      view: await client.show("r"),
      environment: await client.environment("r"),
      big: await client.environment("r", "big"),
      raw: await client.environment("r", "raw"),
    };
    const { path, bytes } = await archived("r");
    await removal().purge({});
    expect((await readFile(path)).length).toBe(bytes);
    for (const place of [path, folder]) {
      const archive = await reader(place, "r");
      expect(await all(archive.records("r"))).toEqual(before.records);
      expect(await archive.show("r")).toEqual(before.view);
      expect(await archive.environment("r")).toEqual(before.environment);
      expect(await archive.environment("r", "big")).toEqual(before.big);
      expect(await archive.environment("r", "raw")).toEqual(before.raw);
    }
  });

  test("keeps the place of a record that could not be read", async () => {
    const broker = createMemoryBroker({ clock: systemClock });
    bus = broker.connect("main");
    await standingRun(bus, "r", "cancelled");
    broker.inject("dh.main.run.r.control", new TextEncoder().encode('{"v":2,"verb":"dance"}'));
    const before = await all(bus.log.read("r"));
    expect(before.at(-1)).toMatchObject({ kind: "unreadable", of: "control" });
    const archive = await openArchive((await archived("r")).path, "r");
    expect(await all(archive.read("r"))).toEqual(before);
  });

  test("of the same run replaces the older file, of another run with its id stands beside it", async () => {
    await standingRun(bus, "r", "done");
    const first = await archived("r");
    expect((await archived("r")).path).toBe(first.path);
    await removal().purge({});
    laterByMs = 10;
    await standingRun(bus, "r", "cancelled");
    const second = await archived("r");
    expect(second.path).not.toBe(first.path);
    expect((await readdir(folder)).sort()).toHaveLength(2);
    expect((await (await reader(first.path, "r")).show("r")).status).toBe("done");
    expect((await (await reader(second.path, "r")).show("r")).status).toBe("cancelled");
  });

  test("that is cut off, damaged, or none at all is refused with what is wrong", async () => {
    await standingRun(bus, "r", "cancelled");
    const { path } = await archived("r");
    const lines = (await readFile(path, "utf8")).trimEnd().split("\n");
    const show = async (content: string) => {
      const other = join(folder, "other.jsonl");
      await writeFile(other, content);
      return (await reader(other, "r")).show("r");
    };
    expect((await show(lines.join("\n"))).status).toBe("cancelled");
    for (const [content, what] of [
      [lines.slice(0, -1).join("\n"), "its end is missing"],
      [[...lines.slice(0, 2), ...lines.slice(3)].join("\n"), "it holds 3 records, its last line says 4"],
      [lines.join("\n").replace('"seq"', '"sqe"'), "line 2 is damaged"],
      ["name: workflow\n", "its first line is not that of a run's archive"],
      ["", "it is empty"],
    ] as const) {
      const refused = show(content);
      await expect(refused).rejects.toThrow(InvalidInputError);
      await expect(refused).rejects.toThrow(what);
    }
    await expect((await reader(path, "s")).show("s")).rejects.toThrow(NotFoundError);
    await expect(reader(join(folder, "nowhere"), "r")).rejects.toThrow(NotFoundError);
  });

  test("leaves nothing behind when a part of the run cannot be had", async () => {
    await standingRun(bus, "r", "done");
    const whole = bus.artifacts;
    bus = {
      ...bus,
      artifacts: {
        put: (run, bytes) => whole.put(run, bytes),
        list: () => whole.list(),
        remove: (ref) => whole.remove(ref),
        get: () => Promise.reject(new Error("away")),
      },
    };
    await expect(archived("r")).rejects.toThrow("away");
    expect(await readdir(folder)).toEqual([]);
  });
});
