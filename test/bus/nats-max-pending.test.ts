/**
 * A server that lets little lie unread (`max_pending`) before it ends a connection as a slow consumer. Would catch:
 * a replay that asks for more at once than that, one after the other or together with others, and one that cannot
 * get past a record larger than what it asks for.
 */
import { connect } from "nats";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Bus } from "../../src/bus/bus.ts";
import { connectNatsBus } from "../../src/bus/nats/bus.ts";
import { startTestNats, type TestNats } from "../support/nats.ts";

const MAX_PENDING = 256 * 1_024;
const RUNS = 6;
/** Of each run; together far more than the server and two sockets' buffers hold. */
const RECORDS = 200;
const RECORD_BYTES = 24_000;
const LARGEST_BYTES = 200_000;
/** For so long whoever folds reads nothing. */
const FOLDING_MS = 1;

let server: TestNats;
let bus: Bus;
const ends: string[] = [];

beforeAll(async () => {
  server = await startTestNats({ config: `max_payload: ${MAX_PENDING}\nmax_pending: ${MAX_PENDING}` });
  const { url, token } = server;
  bus = await connectNatsBus({ url, token, provision: true });
  const nc = await connect({ servers: url, token });
  const runs = Array.from({ length: RUNS }, async (_, run) => {
    const write = async (subject: string, body: string): Promise<unknown> =>
      nc.request(`dh.main.run.run-${run}.${subject}`, body, { timeout: 20_000 });
    await write("submit", '{"v":1,"inputs":{}}');
    for (let index = 1; index < RECORDS; index++) {
      const bytes = index % 50 === 0 ? LARGEST_BYTES : RECORD_BYTES;
      await write("result.noop", JSON.stringify({ filling: "x".repeat(bytes) }));
    }
  });
  await Promise.all(runs);
  await nc.close();
  bus.onStatus((status) => ends.push(status));
}, 120_000);
afterAll(async () => {
  await bus.close();
  await server.stop();
});

test("logs far larger than what a server lets lie unread are read at once, over one connection", async () => {
  const cell = new Int32Array(new SharedArrayBuffer(4));
  const counts = await Promise.all(
    Array.from({ length: RUNS }, async (_, run) => {
      let count = 0;
      for await (const _record of bus.log.read(`run-${run}`)) {
        Atomics.wait(cell, 0, 0, FOLDING_MS);
        count += 1;
      }
      return count;
    }),
  );
  expect(counts).toEqual(Array.from({ length: RUNS }, () => RECORDS));
  expect(ends).toEqual([]);
}, 120_000);
