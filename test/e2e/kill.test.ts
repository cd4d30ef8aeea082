/**
 * The real command, real processes, kill -9.
 * Catches: a run that stops, loses a step or completes one twice when its agent, its daemon or its broker
 * dies in the middle, and processes that stay behind.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { isRunning, processesUnder } from "../support/cli.ts";
import { COUNTING_AGENT, columns, expectOneCompletionEach, expectWhole, results, Stage } from "./stage.ts";

let stage: Stage;
beforeEach(() => {
  stage = new Stage();
});
afterEach(() => stage.end());

it("an agent that is killed in the middle has its tasks given to another", async () => {
  await stage.daemon();
  await stage.shortAckWait();
  const [first] = await Promise.all([stage.agent(), stage.agent()]);
  const bus = await stage.bus();
  await stage.submit(columns(60, 6, 40, { maxParallel: 4 }));
  await results(bus, "r1", 12);
  process.kill(first.pid, "SIGKILL");
  expect((await stage.run("watch", "r1")).code).toBe(0);
  expectWhole(await stage.log(), 60);
  await expectOneCompletionEach(stage, "r1", 60);
  expect(new Set(stage.executions().map(({ pid }) => pid)).size).toBe(2);
});

it("a broker that is killed is started again and nothing that was done is lost", async () => {
  const { pid } = await stage.daemon();
  await stage.agent();
  const bus = await stage.bus();
  await stage.submit(columns(60, 6, 40, { maxParallel: 4 }));
  await results(bus, "r1", 12);
  const { pid: broker } = JSON.parse(readFileSync(join(stage.folder, "store", "broker.json"), "utf8")) as {
    pid: number;
  };
  process.kill(broker, "SIGKILL");
  expect((await stage.run("watch", "r1")).code).toBe(0);
  expectWhole(await stage.log(), 60);
  await expectOneCompletionEach(stage, "r1", 60);
  expect(await isRunning(pid)).toBe(true);
});

it("400 steps are done once each however often daemon and agents are killed", async () => {
  const steps = 400;
  let daemon = await stage.daemon();
  await stage.shortAckWait();
  let agents = await Promise.all([stage.agent(), stage.agent()]);
  await stage.submit(columns(steps, 8, 5));
  for (const reached of [60, 180, 300]) {
    await results(await stage.bus(), "r1", reached);
    for (const { pid } of [daemon, ...agents]) process.kill(pid, "SIGKILL");
    await daemon.cli.exited;
    daemon = await stage.daemon();
    agents = await Promise.all([stage.agent(), stage.agent()]);
  }
  expect((await stage.run("watch", "r1")).code).toBe(0);
  expectWhole(await stage.log(), steps);
  await expectOneCompletionEach(stage, "r1", steps);
}, 180_000);

it("an interrupted daemon leaves no process behind", async () => {
  const { cli, pid } = await stage.daemon("--agents", COUNTING_AGENT);
  const family = await processesUnder(pid);
  expect(family.length).toBeGreaterThanOrEqual(2);
  expect((await cli.kill("SIGINT")).code).toBe(130);
  for (const { pid: one, command } of family) expect(await isRunning(one), command).toBe(false);
});
