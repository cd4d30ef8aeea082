/**
 * A swarm on a cluster of three servers with three copies of everything.
 * Catches: a stream, bucket or queue that is kept on one server only, and a run that stops, loses a step or does one
 * twice when a server dies or is restarted, the leader of its log included.
 */
import { pino } from "pino";
import { afterEach, beforeEach, expect, it } from "vitest";
import { serveAgent } from "../../src/agent/host.ts";
import type { Bus } from "../../src/bus/bus.ts";
import { connectNatsBus } from "../../src/bus/nats/bus.ts";
import { systemClock } from "../../src/bus/system-clock.ts";
import { startDaemon } from "../../src/daemon/daemon.ts";
import { columns, expectWhole, results } from "../e2e/stage.ts";
import { startTestCluster, type TestCluster } from "../support/nats-cluster.ts";
import { counterAgent } from "./counter.ts";
import { begin } from "./whole-run.ts";

const STEPS = 300;
const log = pino({ level: process.env.DEBUG_CLUSTER ?? "silent" });
const undo: (() => Promise<unknown>)[] = [];
let cluster: TestCluster;
let gate: Gate;
beforeEach(async () => {
  gate = new Gate();
  cluster = await startTestCluster();
  undo.push(() => cluster.stop());
});
afterEach(async () => {
  for (const act of undo.splice(0).reverse()) await act();
});

it.each(["dh_main_log", "dh_main_tasks", "dh_main_orchestrate"])(
  "a run goes on with two of three servers when the leader of %s is killed, and when it is back",
  async (stream) => {
    const bus = await swarm({ daemons: 1, agents: 1 });
    await expectCopies(3);
    const ended = await begin(bus, columns(STEPS, 4, 0));
    gate.openTo(40);
    await results(bus, "r1", 40);
    const leader = await cluster.leaderOf(stream);
    await cluster.kill9(leader);
    gate.openTo(80);
    await results(bus, "r1", 80);
    await cluster.restart(leader);
    gate.openTo(STEPS);
    expectWhole(await ended(), STEPS);
    // Who comes later without saying how many copies there are leaves them.
    await daemon();
    await expectCopies(3);
  },
  180_000,
);

it("a run goes on while every server is restarted, one after the other, the leader of its log first", async () => {
  const bus = await swarm({ daemons: 2, agents: 2 });
  const ended = await begin(bus, columns(STEPS, 4, 0));
  const leader = await cluster.leaderOf("dh_main_log");
  let reached = 0;
  for (const server of [leader, (leader + 1) % 3, (leader + 2) % 3]) {
    reached += 40;
    gate.openTo(reached);
    await results(bus, "r1", reached);
    await cluster.whole();
    await cluster.shutDown(server);
    await cluster.restart(server);
  }
  gate.openTo(STEPS);
  expectWhole(await ended(), STEPS);
}, 180_000);

/** Keeps the run from being over before the servers die: steps from a number on wait in their agents' hands. */
class Gate {
  #open = 0;
  #waiting: (() => void)[] = [];

  openTo(index: number): void {
    this.#open = index;
    for (const go of this.#waiting.splice(0)) go();
  }

  async pass(step: string): Promise<void> {
    const index = Number(step.slice(1));
    while (index >= this.#open) await new Promise<void>((go) => this.#waiting.push(go));
  }
}

/** Daemons that keep three copies of everything, and agents for their steps. */
async function swarm({ daemons, agents }: { daemons: number; agents: number }): Promise<Bus> {
  const { url, token } = cluster;
  for (let count = 0; count < daemons; count++) await daemon({ replicas: 3 });
  const bus = await connectNatsBus({ url, token });
  undo.push(() => bus.close());
  const about = { pid: 1, host: "h", version: "0" };
  for (let count = 1; count <= agents; count++) {
    const id = `counter-${count}`;
    const agent = await serveAgent([counterAgent((step) => gate.pass(step))], {
      bus,
      clock: systemClock,
      log,
      id,
      about,
    });
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
