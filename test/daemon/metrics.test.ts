/**
 * The numbers of a daemon that runs work for real. Catches: a number that counts what a replay repeats, that
 * counts twice or not at all, names that the operations page does not explain, and a scrape that fails or hangs
 * while the broker is away.
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { pino } from "pino";
import { afterEach, beforeEach, expect, test } from "vitest";
import { defineAgent } from "../../src/agent/define-agent.ts";
import { serveAgent } from "../../src/agent/host.ts";
import { connectNatsBus } from "../../src/bus/nats/bus.ts";
import { systemClock } from "../../src/bus/system-clock.ts";
import { connectSwarm } from "../../src/client/connect.ts";
import { type Daemon, startDaemon } from "../../src/daemon/daemon.ts";
import { startTestNats, type TestNats } from "../support/nats.ts";

const PAGE = resolve(import.meta.dirname, "../../docs/operations.md");
const log = pino({ level: "silent" });

let store: string;
let server: TestNats;
const closing: (() => Promise<unknown>)[] = [];
beforeEach(async () => {
  store = mkdtempSync(join(tmpdir(), "dh-metrics-"));
  server = await startTestNats();
  closing.push(async () => rmSync(store, { recursive: true, force: true }));
  closing.push(() => server.stop());
});
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

async function daemon(): Promise<Daemon> {
  const { url, token } = server;
  const nats = { url, token };
  const started = await startDaemon({
    swarm: "main",
    store,
    env: process.env,
    log,
    product: "1.2.3",
    nats,
    http: "127.0.0.1:0",
  });
  closing.push(() => started.stop());
  return started;
}

/** Values by series, such as `datahammer_runs_ended_total{status="done"}`. */
async function scrape({ http }: Daemon): Promise<Map<string, number>> {
  const answer = await fetch(`${http}/metrics`);
  expect(answer.status).toBe(200);
  expect(answer.headers.get("content-type")).toContain("text/plain; version=0.0.4");
  const lines = (await answer.text()).split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return new Map(
    lines.map((line) => {
      const at = line.lastIndexOf(" ");
      return [line.slice(0, at), Number(line.slice(at + 1))];
    }),
  );
}

async function workers(): Promise<void> {
  const { url, token } = server;
  const bus = await connectNatsBus({ url, token, name: "worker" });
  closing.push(() => bus.close());
  let failures = 0;
  const definition = defineAgent({
    role: "worker",
    tasks: {
      work: { run: () => ({}) },
      stumble: {
        run: () => {
          if (failures++ === 0) throw new Error("not yet");
          return {};
        },
      },
    },
  });
  const agent = await serveAgent([definition], {
    bus,
    clock: systemClock,
    log,
    id: "w-1",
    about: { pid: 1, host: "h", version: "0" },
  });
  closing.push(() => agent.stop());
  await agent.joined;
}

const step = (id: string, task: string, more: object = {}) => ({ id, agent: "worker", task, ...more });

test("a run is counted once: its dispatches, its steps, its end, by the daemon that saw them", async () => {
  const first = await daemon();
  await workers();
  const { url, token } = server;
  const client = await connectSwarm({ url, token });
  closing.push(() => client.close());
  const retry = { retry: { maxAttempts: 2, initial: "1ms" } };
  const workflow = {
    steps: [step("a", "work"), step("b", "stumble", retry), step("c", "work", { when: "false" })],
  };
  await client.submit({ run: "r", workflow });
  expect((await client.watch("r", () => {})).status).toBe("done");
  const seen = await scrape(first);
  const counted = (series: string) => seen.get(`datahammer_${series}`);
  expect(counted('runs_ended_total{status="done"}')).toBe(1);
  expect(counted('dispatches_opened_total{role="worker"}')).toBe(3);
  expect(counted('dispatches_closed_total{role="worker",by="complete"}')).toBe(2);
  expect(counted('dispatches_closed_total{role="worker",by="fail"}')).toBe(1);
  expect(counted('steps_total{role="worker",outcome="completed"}')).toBe(2);
  expect(counted('steps_total{role="worker",outcome="skipped"}')).toBe(1);
  expect(counted('dispatch_run_seconds_count{role="worker"}')).toBe(3);
  expect(counted('run_duration_seconds_count{status="done"}')).toBe(1);
  expect(counted('tasks_queued{role="worker"}')).toBe(0);
  expect(counted("broker_connected")).toBe(1);
  expect(counted('info{swarm="main",version="1.2.3"}')).toBe(1);
  expect(seen.get("process_resident_memory_bytes")).toBeGreaterThan(1_000_000);

  // A second daemon replays the log when it is woken, and counts only what is new.
  await first.stop();
  const second = await daemon();
  await client.control("r", { verb: "retry" });
  const answer = await client.setEnvironment("r", "x", 1);
  expect(answer.applied).toBe(false);
  const afresh = await scrape(second);
  expect([...afresh.keys()].filter((series) => series.startsWith("datahammer_steps_total"))).toEqual([]);
  expect(afresh.get('datahammer_runs_ended_total{status="done"}')).toBeUndefined();
});

test("an approval closes no dispatch, and the items of a fan-out are counted beside it", async () => {
  const one = await daemon();
  await workers();
  const { url, token } = server;
  const client = await connectSwarm({ url, token });
  closing.push(() => client.close());
  const asked = step("a", "work", { approval: true });
  const workflow = {
    inputs: { list: [1, 2] },
    steps: [asked, step("b", "work", { forEach: "inputs.list" })],
  };
  await client.submit({ run: "r", workflow });
  expect((await client.control("r", { verb: "approve", step: "a" })).applied).toBe(true);
  expect((await client.watch("r", () => {})).status).toBe("done");
  const seen = await scrape(one);
  const closed = [...seen].filter(([series]) => series.startsWith("datahammer_dispatches_closed_total"));
  expect(Object.fromEntries(closed)).toEqual({
    'datahammer_dispatches_closed_total{role="worker",by="complete"}': 3,
    'datahammer_dispatches_closed_total{role="worker",by="fan out"}': 1,
  });
  expect(seen.get('datahammer_dispatches_opened_total{role="worker"}')).toBe(4);
  expect(seen.get('datahammer_dispatch_run_seconds_count{role="worker"}')).toBe(3);
  // By convention only counters end so; a scraper that checks names complains of others.
  const text = await (await fetch(`${one.http}/metrics`)).text();
  for (const [, name, type] of text.matchAll(/^# TYPE (\w+_total) (\w+)$/gm))
    expect([name, type]).toEqual([name, "counter"]);
});

test("every number that is ours stands on the operations page, and none there is made up", async () => {
  const one = await daemon();
  const text = await (await fetch(`${one.http}/metrics`)).text();
  const served = [...text.matchAll(/^# TYPE (datahammer_\w+) /gm)].map(([, name]) => name).sort();
  const page = readFileSync(PAGE, "utf8");
  const explained = [...page.matchAll(/^\| `(datahammer_\w+)/gm)].map(([, name]) => name).sort();
  expect(explained).toEqual(served);
  const rules = readFileSync(resolve(import.meta.dirname, "../../deploy/alerts.yml"), "utf8");
  const used = new Set([...rules.matchAll(/datahammer_[a-z_]+/g)].map(([name]) => name));
  for (const name of used) expect(served).toContain(name.replace(/_(bucket|count|sum)$/, ""));
});

test("a scrape answers while the broker is away, and says so", async () => {
  const one = await daemon();
  await server.kill9();
  await expect.poll(async () => (await scrape(one)).get("datahammer_broker_connected")).toBe(0);
  expect((await fetch(`${one.http}/readyz`)).status).toBe(503);
  await server.restart();
  await expect
    .poll(async () => (await scrape(one)).get("datahammer_broker_connected"), { timeout: 20_000 })
    .toBe(1);
  expect((await scrape(one)).get("datahammer_broker_reconnects_total")).toBe(1);
}, 60_000);
