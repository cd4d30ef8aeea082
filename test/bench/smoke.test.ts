/**
 * The benchmark with tiny sizes, as it was built. No number is judged: machines differ.
 * Catches: a benchmark that no longer starts, hangs, measures nothing, prints what no program can read, or
 * takes a wrong flag for a right one.
 */
import { resolve } from "node:path";
import { expect, test } from "vitest";
import { z } from "zod";
import { startNode } from "../support/cli.ts";

const MAIN = resolve(import.meta.dirname, "../../dist/bench/main.js");
const line = z.strictObject({
  measure: z.string(),
  unit: z.string(),
  floor: z.number().positive().optional(),
  thorough: z.number().positive().optional(),
  runtime: z.number().positive(),
  ratio: z.number().positive().optional(),
  aim: z.string().optional(),
});

const bench = (...flags: string[]) => startNode([MAIN, ...flags]);

test("a run prints every measure as a JSON line, and a table for people beside it", async () => {
  const { code, stdout, stderr } = await bench("--smoke").exited;
  expect(stderr).toContain("steps/s");
  expect(code).toBe(0);
  const lines = stdout
    .trimEnd()
    .split("\n")
    .map((text) => line.parse(JSON.parse(text)));
  const measures = lines.map(({ measure }) => measure);
  expect(measures).toContain("chain of 5: p50");
  expect(measures).toContain("20 parallel, 4 in flight");
  expect(measures).toContain("wide graph: run 200 steps");
  expect(lines.filter(({ aim }) => aim !== undefined).every(({ ratio }) => ratio !== undefined)).toBe(true);
});

test("a swarm grows, is purged, and a long run is taken on again after its daemon was killed", async () => {
  const { code, stdout, stderr } = await bench("growth", "resume", "--smoke").exited;
  expect(code, stderr).toBe(0);
  const measures = stdout
    .trimEnd()
    .split("\n")
    .map((text) => line.parse(JSON.parse(text)).measure);
  expect(measures).toContain("after 6 runs: daemon, live heap");
  expect(measures).toContain("after 6 runs: daemon starts");
  expect(measures).toContain("after 6 runs: purge of all");
  expect(measures).toContain("log of 40 steps: taken on again");
}, 180_000);

test("the planner's part says for every shape how fast plans are found and proven", async () => {
  const { code, stdout, stderr } = await bench("planner", "--smoke").exited;
  expect(stderr).toContain("worst gap");
  expect(code).toBe(0);
  const share = z.number().min(0).max(1);
  const plannerLine = z.strictObject({
    measure: z.string(),
    problems: z.number().positive(),
    p50Ms: z.number().positive(),
    p99Ms: z.number().positive(),
    proven: share,
    provenIn100Ms: share,
    worstGap: share,
    sameAsExhaustive: z.literal(1).optional(),
    exhaustiveP50Ms: z.number().positive().optional(),
  });
  const lines = stdout
    .trimEnd()
    .split("\n")
    .map((text) => plannerLine.parse(JSON.parse(text)));
  expect(lines.filter(({ sameAsExhaustive }) => sameAsExhaustive !== undefined)).toHaveLength(1);
});

test("Ctrl-C ends the run with its exit code and leaves nothing behind", async () => {
  const running = bench("--only", "chain", "--chain", "20", "--rounds", "100000");
  await running.waitForLine((text) => text.startsWith("nats-server"), { stream: "stderr" });
  const { code, stdout } = await running.kill("SIGINT");
  expect(code).toBe(130);
  expect(stdout).toBe("");
});

test.each([
  ["an unknown flag", ["--fast"]],
  ["an unknown part", ["--only", "speed"]],
  ["a number that is none", ["--rounds", "many"]],
])("%s is refused with the usage", async (_, flags) => {
  const { code, stderr } = await bench(...flags).exited;
  expect(code).toBe(2);
  expect(stderr).toContain("npm run bench --");
});
