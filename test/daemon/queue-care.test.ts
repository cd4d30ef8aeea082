/**
 * What a daemon says of queues that are short of copies.
 * Catches: a daemon that calls itself ready while a queue gives nothing out, one that calls itself unready for a queue
 * that works, a log that is filled at every look, and a trouble forgotten because nobody answered.
 */
import { pino } from "pino";
import { afterEach, expect, it } from "vitest";
import type { QueueTrouble } from "../../src/bus/bus.ts";
import { careForQueues, type QueueCare } from "../../src/daemon/queue-care.ts";
import { VirtualClock } from "../bus/virtual-clock.ts";

const thinned = (helped: number): QueueTrouble => ({
  queue: "q",
  kind: "thinned",
  reason: "one short",
  helped,
});
const stalled = (helped: number): QueueTrouble => ({
  queue: "q",
  kind: "stalled",
  reason: "no leader",
  helped,
});

let care: QueueCare | undefined;
afterEach(() => care?.stop());

/** Lets the daemon see these, one look each (an error: nobody answered), and tells what it said by then. */
async function afterLooks(looks: (QueueTrouble[] | Error)[]) {
  const clock = new VirtualClock();
  const told: string[] = [];
  const log = pino({ level: "info" }, { write: (line) => told.push(JSON.parse(line).msg) });
  const left = [...looks];
  const tendQueues = async (): Promise<QueueTrouble[]> => {
    const seen = left.shift() ?? [];
    if (seen instanceof Error) throw seen;
    return seen;
  };
  care = careForQueues({ bus: { tendQueues }, clock, log });
  const stop = care.stop.bind(care);
  for (;;) {
    await new Promise(setImmediate);
    if (left.length === 0) break;
    await clock.advance(1_000);
  }
  stop();
  return { problem: care.problem, told };
}

it("a queue that gives nothing out is a problem, told once", async () => {
  expect(await afterLooks([[], [stalled(0)], [stalled(1)], [stalled(1)]])).toEqual({
    problem: "no leader",
    told: ["queue stalled"],
  });
});

it("a queue that works with a copy less is no problem, and the log has one line when it has healed", async () => {
  expect(await afterLooks([[thinned(0)], [thinned(1)]])).toEqual({ problem: undefined, told: [] });
  expect((await afterLooks([[thinned(0)], [thinned(1)], [], []])).told).toEqual(["queue healed"]);
});

it("help in vain is told once", async () => {
  const helped = [1, 2, 3, 4, 5].map((times) => [thinned(times)]);
  expect((await afterLooks(helped)).told).toEqual(["queue does not heal"]);
});

it("what was found stands while nobody answers", async () => {
  expect(await afterLooks([[stalled(1)], new Error("no answer"), new Error("no answer")])).toEqual({
    problem: "no leader",
    told: ["queue stalled"],
  });
});

it("a bus whose queues have no copies needs no care", () => {
  care = careForQueues({ bus: {}, clock: new VirtualClock(), log: pino({ level: "silent" }) });
  expect(care.problem).toBeUndefined();
});
