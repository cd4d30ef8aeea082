/**
 * A swarm on a cluster of three servers with three copies of everything.
 * Catches: a stream, bucket or queue that is kept on one server only, and a run that stops, loses a step or does one
 * twice when a server dies, the leader of its log included.
 */
import { pino } from "pino";
import { afterEach, beforeEach, expect, it } from "vitest";
import { serveAgent } from "../../src/agent/host.ts";
import type { LogRecord } from "../../src/bus/bus.ts";
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
  const { url, token } = cluster;
  const common = { swarm: "main", store: "unused", env: {}, log, product: "0" };
  const daemon = await startDaemon({ ...common, nats: { url, token }, replicas: 3 });
  undo.push(() => daemon.stop());
  const bus = await connectNatsBus({ url, token });
  undo.push(() => bus.close());
  const counter = counterAgent();
  const about = { pid: 1, host: "h", version: "0" };
  const agent = await serveAgent([counter], { bus, clock: systemClock, log, id: "counter-1", about });
  undo.push(() => agent.stop());
  await agent.joined;
  await expectCopies(3);

  const end = new Promise<void>((resolve) => {
    void bus.log.follow("r1", (record) => {
      if (record.kind === "decision" && record.body.type === "end") resolve();
    });
  });
  const workflow = columns(STEPS, 4, 0);
  await bus.log.append("r1", { kind: "submit", body: { v: 1, workflow, inputs: {} } }, { expectLast: 0 });
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
  await end;
  const records: LogRecord[] = [];
  for await (const record of bus.log.read("r1")) records.push(record);
  expectWhole(records, STEPS);
  // Who comes later without saying how many copies there are leaves them.
  const second = await startDaemon({ ...common, nats: { url, token } });
  undo.push(() => second.stop());
  await expectCopies(3);
}, 180_000);

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
