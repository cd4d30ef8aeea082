/**
 * A broker that has no room, for tasks or for the log.
 * Catches: a task that is taken for queued although it was refused, a result that is dropped, a run that does not go
 * on when there is room again, and a daemon that calls itself ready meanwhile.
 */
import { connect, type NatsConnection } from "nats";
import { pino } from "pino";
import { afterEach, beforeEach, expect, it } from "vitest";
import { serveAgent } from "../../src/agent/host.ts";
import type { Bus, LogRecord } from "../../src/bus/bus.ts";
import { connectNatsBus } from "../../src/bus/nats/bus.ts";
import { systemClock } from "../../src/bus/system-clock.ts";
import { type Daemon, startDaemon } from "../../src/daemon/daemon.ts";
import { columns, expectWhole, results } from "../e2e/stage.ts";
import { startTestNats, type TestNats } from "../support/nats.ts";
import { counterAgent } from "./counter.ts";

const log = pino({ level: "silent" });
let nats: TestNats;
let raw: NatsConnection;
let daemon: Daemon;
let bus: Bus;
beforeEach(async () => {
  nats = await startTestNats();
  raw = await connect({ servers: nats.url, token: nats.token });
  const http = "127.0.0.1:0";
  daemon = await startDaemon({ swarm: "main", store: nats.store, env: {}, log, product: "0", nats, http });
  bus = await connectNatsBus({ url: nats.url, token: nats.token });
});
afterEach(async () => {
  await bus.close();
  await daemon.stop();
  await raw.close();
  await nats.stop();
});

/** @param limits of the stream, from how many messages it holds */
async function limit(stream: string, limits: (messages: number) => object): Promise<void> {
  const api = async (verb: string, body: unknown) =>
    (await raw.request(`$JS.API.STREAM.${verb}.${stream}`, JSON.stringify(body))).json() as {
      config: object;
      state: { messages: number };
    };
  const { config, state } = await api("INFO", {});
  expect(await api("UPDATE", { ...config, ...limits(state.messages) })).not.toHaveProperty("error");
}

/** Resolves with what the daemon says of itself once it is (not) ready. */
async function readiness(ready: boolean): Promise<{ reason: string }> {
  for (;;) {
    const page = await fetch(`${daemon.http}/readyz`);
    const told = (await page.json()) as { ready: boolean; reason: string };
    expect(page.status).toBe(told.ready ? 200 : 503);
    if (told.ready === ready) return told;
    await new Promise(setImmediate);
  }
}

async function stored(run: string): Promise<LogRecord[]> {
  const records: LogRecord[] = [];
  for await (const record of bus.log.read(run)) records.push(record);
  return records;
}

for (const [stream, room] of [
  // Below what is stored by the time that it comes, the limit would make the server remove the oldest records; and
  // near a limit in bytes nats-server 2.9 does so too, since it forgets what a record costs beside its content. The
  // rest of the run needs several times as much.
  ["dh_main_log", (messages: number) => ({ max_msgs: messages + 100 })],
  ["dh_main_tasks", () => ({ max_bytes: 1 })],
] as const) {
  it(`work waits while ${stream} is full, visibly, and goes on when there is room`, async () => {
    const starts: string[] = [];
    let goOn = (): void => undefined;
    const limited = new Promise<void>((resolve) => {
      goOn = resolve;
    });
    const counter = counterAgent(async (step) => {
      starts.push(step);
      // Or the run may have stored more than the limit by the time that this comes.
      if (starts.length > 40) await limited;
    });
    const about = { pid: 1, host: "h", version: "0" };
    const agent = await serveAgent([counter], { bus, clock: systemClock, log, id: "counter-1", about });
    await agent.joined;
    const workflow = columns(400, 4, 0);
    await bus.log.append("r1", { kind: "submit", body: { v: 1, workflow, inputs: {} } }, { expectLast: 0 });
    await results(bus, "r1", 40);
    await limit(stream, room);
    goOn();
    expect((await readiness(false)).reason).toMatch(/has no room/);
    const reply = await bus.live.hello({ v: 1, id: "somebody", roles: [] }, 5_000);
    expect(reply?.problem).toMatch(/has no room/);
    const kept = await stored("r1");
    await limit(stream, () => ({ max_msgs: -1, max_bytes: -1 }));
    await results(bus, "r1", 400);
    await readiness(true);
    await ended("r1");
    const records = await stored("r1");
    expect(records.slice(0, kept.length)).toEqual(kept);
    expectWhole(records, 400);
    expect(new Set(starts).size).toBe(starts.length);
    await agent.stop();
  });
}

async function ended(run: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    bus.log
      .follow(run, (record) => {
        if (record.kind === "decision" && record.body.type === "end") resolve();
      })
      .catch(reject);
  });
}
