/**
 * Reading logs out of a stream that holds thousands of other runs' records: would catch a replay that waits for
 * messages which the server only believes to have (nats-server 2.9 counts too many), one that ends before the
 * log does, and a list of runs that misses some.
 */
import { connect } from "nats";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Bus, Clock } from "../../src/bus/bus.ts";
import { connectNatsBus } from "../../src/bus/nats/bus.ts";
import { systemClock } from "../../src/bus/system-clock.ts";
import { startTestNats, type TestNats } from "../support/nats.ts";

const RUNS = 2_000;
const RECORDS = 21;
/** Runs whose records lie among each other. */
const OPEN = 64;

/** No timer ever fires: whoever needs one to go on hangs, and the test with it. */
const timeless: Clock = { ...systemClock, setTimeout: () => undefined, clearTimeout: () => undefined };

let server: TestNats;
let bus: Bus;
beforeAll(async () => {
  server = await startTestNats();
  const { url, token } = server;
  await (await connectNatsBus({ url, token, provision: true })).close();
  const nc = await connect({ servers: url, token });
  let next = 0;
  const write = async (): Promise<void> => {
    for (let run = next++; run < RUNS; run = next++) {
      nc.publish(`dh.main.run.run-${run}.submit`, '{"v":1,"inputs":{}}');
      for (let index = 1; index < RECORDS; index++) {
        const kind = ["decision", "observed", "result.noop"][index % 3];
        nc.publish(`dh.main.run.run-${run}.${kind}`, "{}");
        if (index % 5 === 0) await nc.flush();
      }
    }
  };
  await Promise.all(Array.from({ length: OPEN }, write));
  await nc.close();
  bus = await connectNatsBus({ url, token, clock: timeless });
}, 60_000);
afterAll(async () => {
  await bus.close();
  await server.stop();
});

test("every run's log is read to its end and no further, without waiting for anything", async () => {
  const some = [...Array.from({ length: 40 }, (_, index) => index * 50), RUNS - 2, RUNS - 1];
  for (const run of some) {
    const kinds: string[] = [];
    const seqs: number[] = [];
    for await (const { kind, seq } of bus.log.read(`run-${run}`)) {
      kinds.push(kind);
      seqs.push(seq);
    }
    expect([run, kinds.length, kinds[0]]).toEqual([run, RECORDS, "submit"]);
    expect(seqs).toEqual([...new Set(seqs)].sort((a, b) => a - b));
  }
}, 60_000);

test("every run is listed", async () => {
  expect(await bus.log.list()).toHaveLength(RUNS);
});
