/**
 * A collector that takes connections and never answers. Would catch a daemon that cannot be stopped for it, and a
 * sender that waits for it without end.
 */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { pino } from "pino";
import { afterEach, beforeEach, expect, it } from "vitest";
import { createMemoryBroker } from "../../src/bus/memory/broker.ts";
import { SpanExport } from "../../src/daemon/span-export.ts";
import { VirtualClock } from "../bus/virtual-clock.ts";

let collector: Server;
let asked = 0;
let hear: () => void = () => {};

/** Resolves at the next request. */
const nextRequest = () =>
  new Promise<void>((resolve) => {
    hear = resolve;
  });

beforeEach(async () => {
  asked = 0;
  collector = createServer(() => {
    asked += 1;
    hear();
  });
  await new Promise<void>((resolve) => collector.listen(0, "127.0.0.1", resolve));
});
afterEach(() => {
  collector.closeAllConnections();
  collector.close();
});

async function sending(...runs: string[]) {
  const clock = new VirtualClock();
  const { log } = createMemoryBroker({ clock }).connect();
  const workflow = { name: "w", steps: [{ id: "a", agent: "worker", task: "work" }] };
  for (const run of runs)
    await log.append(run, { kind: "submit", body: { v: 1, workflow, inputs: {} } }, { expectLast: 0 });
  const warnings: string[] = [];
  const logger = pino({ level: "warn" }, { write: (line) => warnings.push(JSON.parse(line).msg) });
  const url = `http://127.0.0.1:${(collector.address() as AddressInfo).port}/v1/traces`;
  const spans = new SpanExport(log, clock, logger, { url, headers: {} });
  const first = nextRequest();
  for (const run of runs) spans.add(run);
  await first;
  return { clock, spans, warnings };
}

it("a stop waits for all runs that are left as long as for one, and says when some were not sent", async () => {
  const { clock, spans, warnings } = await sending("one", "two", "three");
  const stopped = spans.stop();
  await clock.advance(10_000);
  await stopped;
  expect(asked).toBeLessThan(3);
  expect(warnings.at(-1)).toBe("stopped before the spans of these runs were sent");
});

it("a run whose spans are not taken in time is given up, and the next one has its turn", async () => {
  const { clock, spans } = await sending("one", "two");
  const second = nextRequest();
  await clock.advance(10_000);
  await second;
  expect(asked).toBe(2);
  const stopped = spans.stop();
  await clock.advance(10_000);
  await stopped;
});
