/**
 * Parties whose way to the broker is cut for longer than anybody waits for them, or that read too slowly for it.
 * Catches: a run that waits for who cannot come, a step that completes twice when they are back, one who never finds
 * back into the swarm, and a watcher that misses what was said while it was thrown out.
 */
import { connect } from "nats";
import { pino } from "pino";
import { afterEach, beforeEach, expect, it } from "vitest";
import { serveAgent } from "../../src/agent/host.ts";
import type { Bus, LogRecord } from "../../src/bus/bus.ts";
import { connectNatsBus } from "../../src/bus/nats/bus.ts";
import { systemClock } from "../../src/bus/system-clock.ts";
import { type Daemon, startDaemon } from "../../src/daemon/daemon.ts";
import { CuttableProxy } from "../bus/proxy.ts";
import { columns, expectWhole, results } from "../e2e/stage.ts";
import { startTestNats, type TestNats } from "../support/nats.ts";
import { counterAgent } from "./counter.ts";

const STEPS = 80;
const log = pino({ level: "silent" });
/** A reader that holds up this much is thrown out: the least that the server allows beside our messages. */
const MAX_PENDING = 8 * 1_024 * 1_024;

let undo: (() => Promise<unknown>)[];
let nats: TestNats;
let bus: Bus;
beforeEach(async () => {
  undo = [];
  nats = await startTestNats({ config: `max_pending: ${MAX_PENDING}` });
  undo.push(() => nats.stop());
  await (await connectNatsBus({ url: nats.url, token: nats.token, provision: true })).close();
  bus = await connected(nats.url);
  await bus.tasks.ensureRole({ role: "counter", ackWaitMs: 1_000 });
});
afterEach(async () => {
  for (const act of undo.reverse()) await act();
});

async function connected(url: string): Promise<Bus> {
  const own = await connectNatsBus({ url, token: nats.token });
  undo.push(() => own.close());
  return own;
}

async function proxied(): Promise<CuttableProxy> {
  const proxy = await CuttableProxy.inFrontOf(nats.url);
  undo.push(() => proxy.close());
  return proxy;
}

async function daemonAt(url: string): Promise<Daemon> {
  const place = {
    swarm: "main",
    store: nats.store,
    env: {},
    log,
    product: "0",
    nats: { url, token: nats.token },
  };
  const daemon = await startDaemon({ ...place, ackWaitMs: 1_000 });
  undo.push(() => daemon.stop());
  return daemon;
}

/** An agent that tells `ran` of each of its tasks. */
async function agentAt(url: string, id: string, ran: () => void = () => undefined): Promise<void> {
  const counter = counterAgent(ran);
  const about = { pid: 1, host: "h", version: "0" };
  const agent = await serveAgent([counter], {
    bus: await connected(url),
    clock: systemClock,
    log,
    id,
    about,
  });
  undo.push(() => agent.stop());
  await agent.joined;
}

const submit = (run: string) =>
  bus.log.append(
    run,
    { kind: "submit", body: { v: 1, workflow: columns(STEPS, 4, 0), inputs: {} } },
    { expectLast: 0 },
  );

/** Resolves with the first record that is what is looked for, past or to come. */
function seen(run: string, wanted: (record: LogRecord) => boolean): Promise<void> {
  return new Promise((resolve, reject) => {
    const following = bus.log.follow(run, (record) => {
      if (wanted(record)) resolve();
    });
    following.then((follower) => undo.push(async () => follower.close()), reject);
  });
}

const ended = (run: string) =>
  seen(run, (record) => record.kind === "decision" && record.body.type === "end");
const claimedBy = (run: string, id: string) =>
  seen(
    run,
    (record) => record.kind === "decision" && record.body.type === "claim" && record.body.holder === id,
  );

async function stored(run: string): Promise<LogRecord[]> {
  const records: LogRecord[] = [];
  for await (const record of bus.log.read(run)) records.push(record);
  return records;
}

it("an agent that is cut off has its tasks done by another, and works again when it is back", async () => {
  await daemonAt(nats.url);
  const proxy = await proxied();
  let farRan = 0;
  await agentAt(proxy.url, "far", () => {
    farRan++;
  });
  await submit("r1");
  await results(bus, "r1", 10);
  proxy.cut();
  await agentAt(nats.url, "near");
  await ended("r1");
  expectWhole(await stored("r1"), STEPS);

  const before = farRan;
  proxy.mend();
  // However the tasks fall to the two, the one that is back gets some in the end.
  for (let run = 2; farRan === before; run++) {
    await submit(`r${run}`);
    await ended(`r${run}`);
    expectWhole(await stored(`r${run}`), STEPS);
  }
});

it("a daemon that is cut off loses its runs to another, does no harm when it is back, and serves again", async () => {
  const proxy = await proxied();
  const far = await daemonAt(proxy.url);
  await agentAt(nats.url, "near");
  await submit("r1");
  await claimedBy("r1", far.id);
  await results(bus, "r1", 10);
  const near = await daemonAt(nats.url);
  proxy.cut();
  await claimedBy("r1", near.id);
  proxy.mend();
  await ended("r1");
  expectWhole(await stored("r1"), STEPS);

  await near.stop();
  await submit("r2");
  await claimedBy("r2", far.id);
  await ended("r2");
  expectWhole(await stored("r2"), STEPS);
});

it("a watcher that reads too slowly is thrown out by the server, and misses nothing", async () => {
  const proxy = await proxied();
  const watcher = await connected(proxy.url);
  const seqs: number[] = [];
  let lookAgain: () => void = () => undefined;
  const follower = await watcher.log.follow("r1", ({ seq }) => {
    seqs.push(seq);
    lookAgain();
  });
  undo.push(async () => follower.close());
  const thrownOut = new Promise<void>((resolve) => {
    watcher.onStatus((now) => {
      if (now !== "connected") resolve();
    });
  });

  proxy.stall();
  const batches = 16;
  const batch = 50;
  const records = batches * batch;
  const raw = await connect({ servers: nats.url, token: nats.token });
  undo.push(() => raw.close());
  // Far more than the server and the sockets between hold for a reader.
  const padding = "x".repeat(32_768);
  const record = JSON.stringify({ v: 1, padding });
  // From the acks: who read all of it back through this server could be thrown out as well.
  const expected: number[] = [];
  for (let index = 0; index < batches; index++) {
    const acks = Array.from({ length: batch }, () =>
      raw.request("dh.main.run.r1.observed", record, { timeout: 30_000 }),
    );
    for (const ack of await Promise.all(acks)) expected.push(ack.json<{ seq: number }>().seq);
  }
  expect(seqs.length).toBeLessThan(records);
  proxy.flow();
  await thrownOut;

  await new Promise<void>((resolve) => {
    lookAgain = () => {
      if (seqs.length >= records) resolve();
    };
    lookAgain();
  });
  expect(seqs).toEqual(expected);
}, 120_000);
