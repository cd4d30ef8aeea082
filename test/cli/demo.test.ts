/**
 * The main job by its one command: would catch a demo that does not come to a report, runs its agents in fewer
 * processes than it says, or leaves any of them behind.
 */
import { access, readFile } from "node:fs/promises";
import { afterEach, beforeEach, expect, it } from "vitest";
import { isRunning, processesUnder } from "../support/cli.ts";
import { jsonOf, Workspace } from "./workspace.ts";

const BOUND_MS = 180_000;

interface DemoResult {
  run: string;
  status: string;
  goal: string;
  steps: { done: number; failed: number };
  agents: { role: string; pid: number }[];
  report: string;
  durationMs: number;
}

let work: Workspace;
beforeEach(async () => {
  work = await Workspace.make();
});
afterEach(() => work.remove());

it("makes a report with one process for each role, and leaves none of them behind", {
  timeout: BOUND_MS,
}, async () => {
  const demo = work.start(["demo", "--json"]);
  await demo.waitForLine((line) => line.startsWith("run running"), { stream: "stderr" });
  const children = await processesUnder(demo.pid);
  const result = await demo.exited;
  expect(result.code, result.stderr).toBe(0);
  const made = jsonOf(result) as DemoResult;
  expect(made).toMatchObject({ status: "done", steps: { failed: 0 } });
  expect(made.agents.map(({ role }) => role).sort()).toEqual([
    "analyst",
    "cleaner",
    "explorer",
    "loader",
    "modeler",
    "reporter",
    "visualizer",
  ]);
  const pids = new Set(made.agents.map(({ pid }) => pid));
  expect(pids.size).toBe(7);
  for (const pid of pids) expect(children.map((child) => child.pid)).toContain(pid);
  for (const { pid, command } of children) expect(await isRunning(pid), command).toBe(false);
  const report = await readFile(made.report, "utf8");
  expect(report).toContain("Trace");
  expect(report).toContain("pending → ready");
});

it("works on the daemon that runs already, twice, and with data of one's own", {
  timeout: BOUND_MS,
}, async () => {
  const rows = Array.from(
    { length: 60 },
    (_, n) => `${n},${n % 3 === 0 ? "" : n * 2},${["red", "blue"][n % 2]}`,
  );
  await work.write("numbers.csv", `id,double,colour\n${rows.join("\n")}\n`);
  await work.up();
  const runs = new Set<string>();
  for (const out of ["one", "two"]) {
    const result = await work.run(
      ["demo", "--data", "numbers.csv", "--goal", "only profile it", "--out", out, "--json"],
      {
        timeoutMs: BOUND_MS,
      },
    );
    expect(result.code, result.stderr).toBe(0);
    const made = jsonOf(result) as DemoResult;
    expect(made.steps.done).toBe(3);
    await access(work.path(`${out}/report.html`));
    runs.add(made.run);
  }
  const listed = jsonOf(await work.run(["runs", "--json"])) as { run: string }[];
  expect(new Set(listed.map(({ run }) => run))).toEqual(runs);
  expect(jsonOf(await work.run(["agents", "--json"]))).toEqual([]);
});

it("refuses data that is no table before it starts anything", async () => {
  await work.write("empty.csv", "");
  for (const [args, code] of [
    [["demo", "--data", "empty.csv"], 2],
    [["demo", "--data", "missing.csv"], 3],
  ] as const) {
    const result = await work.run(args);
    expect(result.code, result.stderr).toBe(code);
    expect(result.stderr).toMatch(/error: .*\.csv/);
    expect(result.stderr).toContain("remedy: ");
    expect(result.stderr).not.toContain("broker");
  }
});
