/**
 * The last record of a log whose live copy is never sent: its server died between storing and telling it.
 * Catches: a watcher that waits for ever for the end of a run that has ended, and one that asks for it without pause.
 */
import { afterEach, expect, it } from "vitest";
import type { LogEntry } from "../../src/bus/bus.ts";
import { createMemoryBroker } from "../../src/bus/memory/broker.ts";
import { connectSwarm } from "../../src/client/connect.ts";
import { RunReading } from "../../src/http/run-reading.ts";
import { settle, VirtualClock } from "../bus/virtual-clock.ts";
import { LogWriter } from "../fold/log-writer.ts";

const RUN = "r1";
const undo: (() => unknown)[] = [];
afterEach(async () => {
  for (const act of undo.splice(0).reverse()) await act();
});

/** A run that is about to end, on a bus that from then on tells nobody of what is stored. */
async function beforeItsEnd() {
  const clock = new VirtualClock();
  let tells = true;
  const broker = createMemoryBroker({
    clock,
    deliver: ({ kind }, arrive) => {
      if (kind !== "record" || tells) queueMicrotask(arrive);
    },
  });
  const bus = broker.connect();
  undo.push(() => bus.close());
  const writer = new LogWriter().submit({ steps: [{ id: "a", agent: "x", task: "t" }] });
  writer.result("a");
  writer.decide({ type: "end", status: "done", outputs: {} });
  const entries = writer.records as unknown as LogEntry[];
  const end = entries.at(-1) as LogEntry;
  for (const entry of entries.slice(0, -1)) await bus.log.append(RUN, entry);
  let reads = 0;
  const read = bus.log.read.bind(bus.log);
  bus.log.read = (run, options) => {
    reads += 1;
    return read(run, options);
  };
  const endsUntold = async (): Promise<void> => {
    tells = false;
    await bus.log.append(RUN, end);
    await settle();
  };
  return { bus, clock, endsUntold, reads: () => reads };
}

it("whoever watches a run hears of its end all the same", async () => {
  const { bus, clock, endsUntold } = await beforeItsEnd();
  const client = await connectSwarm({ bus, by: "ada", clock });
  let status: string | undefined;
  const over = client
    .watch(RUN, () => undefined)
    .then((view) => {
      status = view.status;
    });
  await clock.advance(0);
  await endsUntold();
  expect(status).toBeUndefined();
  await clock.advance(60_000);
  await over;
  expect(status).toBe("done");
  expect(clock.pending).toBe(0);
});

it("a page that shows a run hears of its end all the same, and a closed one asks no more", async () => {
  const { bus, clock, endsUntold } = await beforeItsEnd();
  const reading = await RunReading.follow({ bus, clock }, RUN);
  undo.push(() => reading.close());
  await reading.read();
  const page = reading.listen({ onRecord: () => undefined, onReset: () => undefined });
  await endsUntold();
  expect(reading.fold.ended).toBe(false);
  await clock.advance(60_000);
  expect(reading.fold.ended).toBe(true);
  page.close();
  expect(clock.pending).toBe(0);
});
