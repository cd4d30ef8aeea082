/**
 * How fast a run goes on after its daemon was killed: a log is read over NATS and folded, by a new process, for
 * runs of growing size. Linear means that records per second stay what they are.
 */
import type { Line } from "./report.ts";
import { ROLE, TASK } from "./subject.ts";
import { SwarmLife } from "./swarm-life.ts";

const CONCURRENCY = 512;
/** A role that nobody serves: its step keeps the run open. */
const ABSENT = "absent";

interface Replayed {
  records: number;
  ms: number;
  cpuMs: number;
}

export async function resume(
  sizes: readonly number[],
  add: (lines: readonly Line[]) => void,
  onStart: (stop: () => Promise<void>) => void,
  isOver: () => boolean,
): Promise<void> {
  const life = await SwarmLife.start(CONCURRENCY);
  onStart(() => life.stop());
  for (const steps of sizes) {
    if (isOver()) return;
    const run = `steps-${steps}`;
    const results = life.results(run, steps - 1);
    const ended = life.run(run, wide(steps));
    await results;
    life.daemon.kill();
    const start = performance.now();
    await life.startDaemon();
    const replayMs = await life.daemon.call<number>("claimed", run);
    const resumedMs = performance.now() - start;
    const read = await life.daemon.call<Replayed>("replay", run);
    add([
      { measure: `log of ${steps} steps`, unit: "records", runtime: read.records },
      { measure: `log of ${steps} steps: read and folded`, unit: "records/s", runtime: rate(read) },
      {
        measure: `log of ${steps} steps: read and folded, CPU`,
        unit: "µs/record",
        runtime: (read.cpuMs / read.records) * 1_000,
      },
      { measure: `log of ${steps} steps: taken on again`, unit: "ms", runtime: replayMs },
      {
        measure: `log of ${steps} steps: from kill -9 to the next claim, ack-wait included`,
        unit: "ms",
        runtime: resumedMs,
      },
    ]);
    await life.daemon.call("cancel", run);
    if ((await ended) !== "cancelled") throw new Error(`${run} could not be cancelled`);
  }
}

const rate = ({ records, ms }: Replayed): number => (records / ms) * 1_000;

function wide(steps: number): object {
  const step = (_: unknown, index: number) => ({ id: `s${index}`, agent: ROLE, task: TASK });
  return {
    name: "resume",
    maxParallel: CONCURRENCY,
    steps: [...Array.from({ length: steps - 1 }, step), { id: "last", agent: ABSENT, task: TASK }],
  };
}
