/** Catches a lock that two processes hold at once, or that nobody can take after its holder was killed. */
import { spawn } from "node:child_process";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { isAlive, processMark } from "../../src/daemon/broker/process-identity.ts";
import { lockOwner, tryLock } from "../../src/daemon/broker/process-lock.ts";
import { startNode } from "../support/cli.ts";

const PROGRAM = join(import.meta.dirname, "lock-program.ts");

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "datahammer-lock-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const leave = (owner: object) => writeFile(join(folder, "1-left.owner"), JSON.stringify(owner));
const LEFT = { host: hostname(), since: "2026-01-01T00:00:00.000Z" };

/** A process that has ended although its number still shows: its parent never collects it. */
const startZombie = async () => {
  const parent = spawn("/bin/sh", ["-c", "true & echo $!; exec sleep 600"], {
    stdio: ["ignore", "pipe", "ignore"],
  });
  const pid = await new Promise<number>((resolve) =>
    parent.stdout.once("data", (text) => resolve(Number(text))),
  );
  return { pid, end: () => parent.kill("SIGKILL") };
};

describe("a lock between processes", () => {
  it("is held by one, and by the next after its release", async () => {
    const first = await tryLock(folder);
    expect(first.held).toBe(true);
    expect(await tryLock(folder)).toMatchObject({ held: false, owner: { pid: process.pid } });
    if (first.held) await first.lock.release();
    expect(await lockOwner(folder)).toBeUndefined();
    const second = await tryLock(folder);
    expect(second.held).toBe(true);
    if (second.held) await second.lock.release();
    expect(await readdir(folder)).toEqual([]);
  });

  it("is held by exactly one of many who come at once, round after round", async () => {
    for (let round = 0; round < 5; round++) {
      const outcomes = await Promise.all(Array.from({ length: 12 }, () => tryLock(folder)));
      const held = outcomes.filter((outcome) => outcome.held);
      expect(held).toHaveLength(1);
      for (const outcome of held) await outcome.lock.release();
    }
  });

  it("is held by exactly one of several processes that start at the same moment", async () => {
    const contenders = Array.from({ length: 4 }, () => startNode(["--import", "tsx", PROGRAM, folder]));
    try {
      await Promise.all(contenders.map((contender) => contender.waitForLine((line) => line === "ready")));
      for (const contender of contenders) contender.child.stdin?.write("go\n");
      const said = await Promise.all(
        contenders.map((contender) => contender.waitForLine((line) => line[0] === "{")),
      );
      expect(said.filter((line) => (JSON.parse(line) as { held: boolean }).held)).toHaveLength(1);
    } finally {
      await Promise.all(contenders.map((contender) => contender.kill("SIGKILL")));
    }
    // The one that held it was killed, so it is free.
    const outcome = await tryLock(folder);
    expect(outcome.held).toBe(true);
  });

  it("is free when its holder has ended, has given its number to another process, or is not collected yet", async () => {
    const gone = startNode(["-e", "0"]);
    await gone.exited;
    const zombie = await startZombie();
    try {
      await expect.poll(() => isAlive(zombie.pid, undefined)).toBe(false);
      for (const owner of [
        { pid: gone.pid },
        { pid: process.pid, mark: "another start" },
        { pid: zombie.pid },
      ]) {
        await leave({ ...LEFT, ...owner });
        const outcome = await tryLock(folder);
        expect(outcome.held, JSON.stringify(owner)).toBe(true);
        if (outcome.held) await outcome.lock.release();
      }
    } finally {
      zombie.end();
    }
  });

  it("is not taken from a holder that cannot be asked: on another machine, or behind a damaged file", async () => {
    await leave({ ...LEFT, host: "elsewhere", pid: 1 });
    expect(await tryLock(folder)).toMatchObject({ held: false, owner: { host: "elsewhere" } });
    await writeFile(join(folder, "1-left.owner"), "{");
    expect(await tryLock(folder)).toMatchObject({
      held: false,
      owner: { host: expect.stringContaining("1-left") },
    });
  });

  it("knows a process by when it began, and no process by a number that nobody has", async () => {
    const mark = await processMark(process.pid);
    expect(mark).toBeDefined();
    expect(await isAlive(process.pid, mark)).toBe(true);
    expect(await isAlive(process.pid, `${mark}0`)).toBe(false);
    expect(await processMark(2 ** 30)).toBeUndefined();
    expect(await isAlive(2 ** 30, undefined)).toBe(false);
  });
});
