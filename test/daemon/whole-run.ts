/** A run that is watched to its end, for tests that look at its whole log. */
import type { Bus, LogRecord } from "../../src/bus/bus.ts";

/** Submits a workflow as run `r1`. What it gives resolves with the run's log, once that has its end. */
export async function begin(bus: Bus, workflow: object): Promise<() => Promise<LogRecord[]>> {
  const end = new Promise<void>((resolve) => {
    void bus.log.follow("r1", (record) => {
      if (record.kind === "decision" && record.body.type === "end") resolve();
    });
  });
  await bus.log.append("r1", { kind: "submit", body: { v: 1, workflow, inputs: {} } }, { expectLast: 0 });
  return async () => {
    await end;
    const records: LogRecord[] = [];
    for await (const record of bus.log.read("r1")) records.push(record);
    return records;
  };
}
