/**
 * `purge`, `archive` and `up --keep` as commands, against a real broker: would catch a purge that asks nobody, an
 * archive that cannot be read without a daemon, a run that comes back after its purge, and a daemon that removes
 * old runs before they are archived, or young ones.
 */
import { readdir, rm } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ECHO_AGENT, jsonOf, Workspace } from "./workspace.ts";

const HELLO = {
  name: "hello",
  steps: [{ id: "first", agent: "echo", task: "say", inputs: { text: "hi" }, outputs: ["said"] }],
  outputs: { said: "${env.said}" },
};

describe("removing finished runs", () => {
  let work: Workspace;
  beforeAll(async () => {
    work = await Workspace.make();
    await work.write("hello.yaml", HELLO);
    await work.write("waiting.yaml", { steps: [{ id: "wait", agent: "nobody", task: "come" }] });
    await work.up(["--agents", ECHO_AGENT]);
    for (const run of ["r-1", "r-2"]) await work.ask(["run", "hello.yaml", "--run", run]);
    await work.ask(["run", "waiting.yaml", "--run", "r-open", "--detach"]);
  });
  afterAll(() => work.remove());
  const runs = async () => {
    const listed = jsonOf(await work.ask(["runs", "--json"])) as { run: string }[];
    return listed.map(({ run }) => run).sort();
  };

  it("asks, and where nobody can answer refuses with 2 and the remedy", async () => {
    const refused = await work.ask(["purge"]);
    expect(refused.code).toBe(2);
    expect(refused.stderr).toContain("--yes");
    expect(await runs()).toEqual(["r-1", "r-2", "r-open"]);
  });

  it("refuses an open run, an unknown run, the status of an open run, and an archive of nothing", async () => {
    for (const [args, code, says] of [
      [["purge", "r-open", "--yes"], 2, "has not ended"],
      [["purge", "nobody", "--yes"], 3, "no run"],
      [["purge", "--status", "running", "--yes"], 2, "open run"],
      [["purge", "--older", "soon", "--yes"], 2, "no duration"],
      [["archive", "--out", "kept"], 2, "--older"],
      [["archive", "r-1"], 2, "--out"],
    ] as const) {
      const result = await work.ask([...args]);
      expect([args, result.code]).toEqual([args, code]);
      expect(result.stderr).toContain(says);
    }
  });

  it("archives runs to files that show, trace and env read, and purges what was asked for", async () => {
    const shown = jsonOf(await work.ask(["show", "r-1", "--json"]));
    const traced = jsonOf(await work.ask(["trace", "r-1", "--json"]));
    const written = jsonOf(await work.ask(["archive", "r-1", "--out", "kept", "--json"]));
    expect(written).toMatchObject({ runs: 1, files: [work.path("kept/r-1.jsonl")] });
    expect(jsonOf(await work.ask(["purge", "--older", "1h", "--yes", "--json"]))).toMatchObject({ runs: 0 });
    const report = jsonOf(await work.ask(["purge", "r-1", "--yes", "--json"])) as Record<string, number>;
    expect(report).toMatchObject({ runs: 1 });
    expect(report.messages).toBeGreaterThanOrEqual(4);
    expect(report.bytes).toBeGreaterThan(100);
    expect(await runs()).toEqual(["r-2", "r-open"]);
    expect((await work.ask(["show", "r-1"])).code).toBe(3);
    const archived = ["--archive", "kept", "--json", "--nats", "nats://127.0.0.1:1"];
    expect(jsonOf(await work.ask(["show", "r-1", ...archived]))).toEqual(shown);
    expect(jsonOf(await work.ask(["trace", "r-1", ...archived]))).toEqual(traced);
    expect(jsonOf(await work.ask(["env", "r-1", "said", ...archived]))).toMatchObject({
      values: { said: "hi" },
    });
    expect((await work.ask(["env", "r-1", "set", "said", "1", "--archive", "kept"])).code).toBe(2);
  });

  it("lets a purged run's id be used again", async () => {
    const again = await work.ask(["run", "hello.yaml", "--run", "r-1", "--json"]);
    expect(jsonOf(again)).toMatchObject({ run: "r-1", status: "done", steps: { first: { attempts: 1 } } });
  });

  it("removes all that has ended and nothing else", async () => {
    expect(jsonOf(await work.ask(["purge", "--yes", "--json"]))).toMatchObject({ runs: 2 });
    expect(await runs()).toEqual(["r-open"]);
    expect(jsonOf(await work.ask(["show", "r-open", "--json"]))).toMatchObject({ status: "running" });
  });
});

describe("a daemon that keeps runs for a while", () => {
  let work: Workspace;
  beforeAll(async () => {
    work = await Workspace.make();
    await work.write("hello.yaml", HELLO);
  });
  afterAll(() => work.remove());

  it("archives and removes older ones, and leaves younger ones", async () => {
    const first = await work.up(["--agents", ECHO_AGENT]);
    await work.ask(["run", "hello.yaml", "--run", "r-old"]);
    expect((await first.kill("SIGTERM")).code).toBe(0);
    await work.up(["--keep", "1d"]).then((daemon) => daemon.kill("SIGTERM"));
    const second = await work.up(["--keep", "10ms", "--archive-to", "kept", "--log-level", "info"]);
    await second.waitForLine((line) => line.includes("old runs removed"), { stream: "stderr" });
    expect(jsonOf(await work.ask(["runs", "--json"]))).toEqual([]);
    expect(await readdir(work.path("kept"))).toEqual(["r-old.jsonl"]);
    expect((await work.ask(["show", "r-old", "--archive", "kept"])).code).toBe(0);
    expect((await second.kill("SIGTERM")).code).toBe(0);
    await rm(work.path("kept"), { recursive: true });
  });
});
