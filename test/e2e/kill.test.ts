/**
 * The real command, real processes, kill -9.
 * Catches: a run that stops, loses a step or completes one twice when its agent, its daemon or its broker
 * dies in the middle, and processes that stay behind.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { isRunning, processesUnder, type RunningCli, runCli, startCli } from "../support/cli.ts";

const STEPS = 60;
const AGENT = resolve(import.meta.dirname, "counting-agent.mjs");

let folder: string;
let started: RunningCli[];
let env: Record<string, string>;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "dh-kill-"));
  started = [];
  env = {
    DATAHAMMER_STORE: join(folder, "store"),
    DATAHAMMER_ENTRY: resolve(import.meta.dirname, "../../dist/src/index.js"),
    COUNT_FILE: join(folder, "count.txt"),
  };
});

afterEach(async () => {
  // In order, so that no broker still writes to the folder that goes next.
  await Promise.all(started.map((cli) => cli.kill("SIGINT")));
  rmSync(folder, { recursive: true, force: true });
});

function start(args: string[]): RunningCli {
  const cli = startCli(args, { cwd: folder, env });
  started.push(cli);
  return cli;
}

interface Ready {
  pid: number;
  nats: string;
}

async function ready(cli: RunningCli): Promise<Ready> {
  return JSON.parse(await cli.waitForLine((line) => line.includes('"ready"'))) as Ready;
}

/** Layers of six steps; each needs one of the layer before. */
function workflow(): string {
  const steps = Array.from({ length: STEPS }, (_, index) => ({
    id: `s${index}`,
    agent: "counter",
    task: "count",
    inputs: { ms: 40 },
    outputs: [`s${index}_out`],
    dependsOn: index < 6 ? [] : [`s${index - 6}`],
  }));
  return JSON.stringify({ name: "layers", maxParallel: 4, steps });
}

async function cli(...args: string[]) {
  const result = await runCli(args, { cwd: folder, env, timeoutMs: 60_000 });
  return { ...result, json: () => JSON.parse(result.stdout) as Record<string, unknown> };
}

async function submit(): Promise<void> {
  const file = join(folder, "flow.json");
  writeFileSync(file, workflow());
  const result = await cli("run", file, "--run", "r1", "--detach", "--json");
  expect(result.code, result.stderr).toBe(0);
}

/** Resolves when the watched run has done so many steps. */
function done(watch: RunningCli, steps: number): Promise<string> {
  const seen = new Set<string>();
  return watch.waitForLine((line) => {
    const event = JSON.parse(line) as { actor?: string; to?: string };
    if (event.to === "done" && event.actor !== undefined) seen.add(event.actor);
    return seen.size >= steps;
  });
}

/** Every step is done, and the log has one completion for each. */
async function expectWholeRun(): Promise<void> {
  const shown = (await cli("show", "r1", "--json")).json();
  expect(shown.status).toBe("done");
  const trace = JSON.parse((await cli("trace", "r1", "--format", "json")).stdout) as {
    actor: string;
    to: string;
  }[];
  const completed = trace
    .filter(({ actor, to }) => actor !== "run" && to === "done")
    .map(({ actor }) => actor);
  expect(completed.length).toBe(STEPS);
  expect(new Set(completed).size).toBe(STEPS);
}

function executions(): string[] {
  return readFileSync(join(folder, "count.txt"), "utf8").trim().split("\n");
}

it("an agent that is killed in the middle has its tasks given to another", async () => {
  await ready(start(["up", "--json"]));
  const first = await ready(start(["agent", AGENT, "--json"]));
  await ready(start(["agent", AGENT, "--json"]));
  await submit();
  const watch = start(["watch", "r1", "--json"]);
  await done(watch, 12);
  process.kill(first.pid, "SIGKILL");
  expect((await watch.exited).code).toBe(0);
  await expectWholeRun();
  expect(new Set(executions().map((line) => line.split(" ")[2])).size).toBe(2);
});

it("a daemon that is killed goes on where it was when it is started again", async () => {
  const daemon = start(["up", "--json"]);
  const { pid } = await ready(daemon);
  await ready(start(["agent", AGENT, "--json"]));
  await submit();
  const watch = start(["watch", "r1", "--json"]);
  await done(watch, 12);
  process.kill(pid, "SIGKILL");
  await daemon.exited;
  await ready(start(["up", "--json"]));
  expect((await start(["watch", "r1", "--json"]).exited).code).toBe(0);
  await expectWholeRun();
});

it("a broker that is killed is started again and nothing that was done is lost", async () => {
  const daemon = start(["up", "--json"]);
  const { pid } = await ready(daemon);
  await ready(start(["agent", AGENT, "--json"]));
  await submit();
  const watch = start(["watch", "r1", "--json"]);
  await done(watch, 12);
  const broker = JSON.parse(readFileSync(join(folder, "store", "broker.json"), "utf8")) as { pid: number };
  process.kill(broker.pid, "SIGKILL");
  expect((await watch.exited).code).toBe(0);
  await expectWholeRun();
  expect(await isRunning(pid)).toBe(true);
});

it("an interrupted daemon leaves no process behind", async () => {
  const daemon = start(["up", "--json", "--agents", AGENT]);
  const { pid } = await ready(daemon);
  const family = await processesUnder(pid);
  expect(family.length).toBeGreaterThanOrEqual(2);
  expect((await daemon.kill("SIGINT")).code).toBe(130);
  for (const { pid: one, command } of family) expect(await isRunning(one), command).toBe(false);
});
