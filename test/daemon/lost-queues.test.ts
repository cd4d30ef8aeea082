/**
 * A broker that has lost consumers: a cluster of nats-server 2.9 does when its servers are killed one after the other.
 * Catches: queues that are waited for by everybody and made by nobody, so that a run stands still for ever.
 */
import { connect, type NatsConnection } from "nats";
import { pino } from "pino";
import { afterEach, beforeEach, expect, it } from "vitest";
import { serveAgent } from "../../src/agent/host.ts";
import { connectNatsBus } from "../../src/bus/nats/bus.ts";
import { systemClock } from "../../src/bus/system-clock.ts";
import { startDaemon } from "../../src/daemon/daemon.ts";
import { columns, expectWhole } from "../e2e/stage.ts";
import { startTestNats, type TestNats } from "../support/nats.ts";
import { counterAgent } from "./counter.ts";
import { begin } from "./whole-run.ts";

const STEPS = 12;
const log = pino({ level: "silent" });
const undo: (() => Promise<unknown>)[] = [];
let raw: NatsConnection;
let nats: TestNats;
beforeEach(async () => {
  nats = await startTestNats();
  undo.push(() => nats.stop());
  raw = await connect({ servers: nats.url, token: nats.token });
  undo.push(() => raw.close());
});
afterEach(async () => {
  for (const act of undo.splice(0).reverse()) await act();
});

async function api<Answer>(subject: string): Promise<Answer> {
  return (await raw.request(`$JS.API.${subject}`, "")).json() as Answer;
}

const STREAMS = ["dh_main_log", "dh_main_tasks", "dh_main_orchestrate"];

it("queues that the broker has lost are made again, and runs go on", async () => {
  const daemon = await startDaemon({ swarm: "main", store: nats.store, env: {}, log, product: "0", nats });
  undo.push(() => daemon.stop());
  const bus = await connectNatsBus({ url: nats.url, token: nats.token });
  undo.push(() => bus.close());
  const about = { pid: 1, host: "h", version: "0" };
  const agent = await serveAgent([counterAgent()], { bus, clock: systemClock, log, id: "counter-1", about });
  undo.push(() => agent.stop());
  await agent.joined;

  const lost: string[] = [];
  for (const stream of STREAMS) {
    const { consumers } = await api<{ consumers: string[] }>(`CONSUMER.NAMES.${stream}`);
    for (const consumer of consumers) {
      expect(await api(`CONSUMER.DELETE.${stream}.${consumer}`)).toMatchObject({ success: true });
      lost.push(consumer);
    }
  }
  expect(lost.sort()).toEqual(["counter", "dh_control", "dh_submit", "dh_timer", "orchestrator"]);
  const ended = await begin(bus, columns(STEPS, 4, 0));
  expectWhole(await ended(), STEPS);
});
