/** A run's log that is told as slowly as a test likes, and a library that reads it. */
import type { Bus, LogRecord } from "../../src/bus/bus.ts";
import { RunLibrary } from "../../src/http/run-library.ts";
import { VirtualClock } from "../bus/virtual-clock.ts";
import { LogWriter } from "../fold/log-writer.ts";

export const workflow = {
  steps: [
    { id: "a", agent: "x", task: "t" },
    { id: "b", agent: "x", task: "t", dependsOn: ["a"] },
  ],
};

export function slowLog(document: unknown, ended = false) {
  const writer = new LogWriter().submit(document);
  writer.result("a");
  if (ended) {
    writer.result("b");
    writer.decide({ type: "end", status: "done", outputs: {} });
  }
  const clock = new VirtualClock();
  let tell = (_: LogRecord): void => {};
  let finish = (): void => {};
  let closed = 0;
  const caughtUp = new Promise<number>((resolve) => {
    finish = () => resolve(writer.records.at(-1)?.seq ?? 0);
  });
  const bus = {
    live: { onLive: () => ({ close: () => undefined }) },
    log: {
      exists: async () => true,
      read: async function* () {
        yield* writer.records.slice(0, 1);
      },
      follow: async (_run: string, onRecord: (record: LogRecord) => void) => {
        tell = onRecord;
        const close = (): void => {
          closed += 1;
        };
        return { caughtUp, sync: () => caughtUp, close };
      },
    },
    // Only what readings and feeds ask for.
  } as unknown as Bus;
  const library = new RunLibrary({ bus, clock });
  return {
    ...{ bus, library, clock, records: writer.records, finish: () => finish() },
    tell: (record: LogRecord | undefined) => record !== undefined && tell(record),
    closed: () => closed,
  };
}

/** Lets everything that can go on go on. */
export const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
