/**
 * A broker that has lost consumers: a cluster of nats-server 2.9 does when its servers are killed one after the other.
 * Catches: queues that are waited for by everybody and made by nobody, so that a run stands still for ever; one that is
 * made with other settings than it had; and a task that runs again although its result is stored.
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
  const declared = { role: "counter", encoding: "json", inFlight: 7, ackWaitMs: 20_000 } as const;
  await bus.tasks.ensureRole(declared);
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
  expect(await bus.tasks.roles()).toMatchObject([declared]);
});

it("what a queue held before it was lost is delivered as if it had been delivered before", async () => {
  const bus = await connectNatsBus({ url: nats.url, token: nats.token, provision: true });
  undo.push(() => bus.close());
  await bus.tasks.ensureRole({ role: "counter" });
  const task = { v: 1, run: "r1", role: "counter", task: "count", inputs: {}, attempt: 1 } as const;
  const push = (step: string) =>
    bus.tasks.push({ ...task, step, n: 1, outputs: [], idempotencyKey: `r1:${step}` });
  await push("old");
  expect(await api("CONSUMER.DELETE.dh_main_tasks.counter")).toMatchObject({ success: true });
  await bus.tasks.ensureRole({ role: "counter" });
  await push("new");
  const counts = new Map<string, number>();
  await new Promise<void>((resolve) => {
    const puller = bus.tasks.pull("counter", {
      slots: () => 2 - counts.size,
      onDelivery: ({ task: { step }, deliveryCount }) => {
        if (counts.set(step, deliveryCount).size === 2) resolve();
      },
    });
    undo.push(() => puller.stop());
  });
  expect(Object.fromEntries(counts)).toEqual({ old: 2, new: 1 });
});
