/**
 * A swarm on a cluster of three servers with three copies of everything.
 * Catches: a stream, bucket or queue that is kept on one server only, and a run that stops, loses a step or does one
 * twice when a server dies or is restarted, the leader of its log included.
 */
import { pino } from "pino";
import { afterEach, beforeEach, expect, it } from "vitest";
import { serveAgent } from "../../src/agent/host.ts";
import type { Bus, LogRecord } from "../../src/bus/bus.ts";
import { connectNatsBus } from "../../src/bus/nats/bus.ts";
import { systemClock } from "../../src/bus/system-clock.ts";
import { startDaemon } from "../../src/daemon/daemon.ts";
import { columns, expectWhole, results } from "../e2e/stage.ts";
import { startTestCluster, type TestCluster } from "../support/nats-cluster.ts";
import { counterAgent } from "./counter.ts";

const STEPS = 300;
const log = pino({ level: process.env.DEBUG_CLUSTER ?? "silent" });
const undo: (() => Promise<unknown>)[] = [];
let cluster: TestCluster;
beforeEach(async () => {
  cluster = await startTestCluster();
  undo.push(() => cluster.stop());
});
afterEach(async () => {
  for (const act of undo.splice(0).reverse()) await act();
});

it("a run goes on whichever server dies, one at a time, also the leader of its log", async () => {
  const bus = await swarm({ daemons: 1, agents: 1 });
  await expectCopies(3);
  const ended = await begin(bus);
  let reached = 0;
  for (const stream of ["dh_main_log", "dh_main_tasks", "dh_main_orchestrate"]) {
    reached += 40;
    await results(bus, "r1", reached);
    await cluster.whole();
    const leader = await cluster.leaderOf(stream);
    await cluster.kill9(leader);
    // Two of three are enough.
    reached += 40;
    await results(bus, "r1", reached);
    await cluster.restart(leader);
  }
  expectWhole(await ended(), STEPS);
  // Who comes later without saying how many copies there are leaves them.
  await daemon();
  await expectCopies(3);
}, 180_000);

it("a run goes on while every server is restarted, one after the other, the leader of its log first", async () => {
  const bus = await swarm({ daemons: 2, agents: 2 });
  const ended = await begin(bus);
  const leader = await cluster.leaderOf("dh_main_log");
  let reached = 0;
  for (const server of [leader, (leader + 1) % 3, (leader + 2) % 3]) {
    reached += 40;
    await results(bus, "r1", reached);
    await cluster.whole();
    await cluster.shutDown(server);
    await cluster.restart(server);
  }
  expectWhole(await ended(), STEPS);
}, 180_000);

/** Daemons that keep three copies of everything, and agents for their steps. */
async function swarm({ daemons, agents }: { daemons: number; agents: number }): Promise<Bus> {
  const { url, token } = cluster;
  for (let count = 0; count < daemons; count++) await daemon({ replicas: 3 });
  const bus = await connectNatsBus({ url, token });
  undo.push(() => bus.close());
  const about = { pid: 1, host: "h", version: "0" };
  for (let count = 1; count <= agents; count++) {
    const id = `counter-${count}`;
    const agent = await serveAgent([counterAgent()], { bus, clock: systemClock, log, id, about });
    undo.push(() => agent.stop());
    await agent.joined;
  }
  return bus;
}

async function daemon(more: { replicas?: number } = {}): Promise<void> {
  const { url, token } = cluster;
  const common = { swarm: "main", store: "unused", env: {}, log, product: "0" };
  const started = await startDaemon({ ...common, nats: { url, token }, ...more });
  undo.push(() => started.stop());
}

/** Submits the run. What it gives resolves with its log, once that has its end. */
async function begin(bus: Bus): Promise<() => Promise<LogRecord[]>> {
  const end = new Promise<void>((resolve) => {
    void bus.log.follow("r1", (record) => {
      if (record.kind === "decision" && record.body.type === "end") resolve();
    });
  });
  const workflow = columns(STEPS, 4, 0);
  await bus.log.append("r1", { kind: "submit", body: { v: 1, workflow, inputs: {} } }, { expectLast: 0 });
  return async () => {
    await end;
    const records: LogRecord[] = [];
    for await (const record of bus.log.read("r1")) records.push(record);
    return records;
  };
}

async function expectCopies(copies: number): Promise<void> {
  const names = await cluster.raw.request("$JS.API.STREAM.NAMES", "", { timeout: 5_000 });
  const { streams } = names.json() as { streams: string[] };
  expect(streams.sort()).toEqual(
    [
      "KV_dh_main_runs",
      "OBJ_dh_main_artifacts",
      "dh_main_log",
      "dh_main_orchestrate",
      "dh_main_tasks",
    ].sort(),
  );
  for (const stream of streams) {
    const info = await cluster.raw.request(`$JS.API.STREAM.INFO.${stream}`, "", { timeout: 5_000 });
    expect(info.json(), stream).toMatchObject({ config: { num_replicas: copies } });
  }
}
