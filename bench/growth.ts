/**
 * What grows with the runs that a swarm has done: memory of each process, the store, the time to start again, and
 * what questions cost. A swarm that has done twenty thousand runs should be as light as a new one.
 */
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Bus } from "../src/bus/bus.ts";
import { connectNatsBus } from "../src/bus/nats/bus.ts";
import { connectSwarm } from "../src/client/connect.ts";
import { memoryBytes } from "./child-process.ts";
import type { Line } from "./report.ts";
import { ROLE, TASK } from "./subject.ts";
import { SWARM, SwarmLife } from "./swarm-life.ts";

export interface GrowthOptions {
  runs: number;
  /** Of each run, one after the other. */
  steps: number;
  samples: number;
}

/** Runs that are open at the same time. */
const OPEN_RUNS = 64;
const CONCURRENCY = 256;
const LIST_LIMIT = 20;

export async function growth(
  { runs, steps, samples }: GrowthOptions,
  add: (lines: readonly Line[]) => void,
  onStart: (stop: () => Promise<void>) => void,
  isOver: () => boolean,
): Promise<void> {
  const life = await SwarmLife.start(CONCURRENCY);
  onStart(() => life.stop());
  const workflow = chainOf(steps);
  let done = 0;
  for (let sample = 0; sample <= samples && !isOver(); sample++) {
    const goal = Math.round((runs * sample) / samples);
    const from = done;
    const start = performance.now();
    const worker = async () => {
      while (done < goal && !isOver()) {
        const run = `run-${done++}`;
        const status = await life.run(run, workflow);
        if (status !== "done") throw new Error(`${run} ended as ${status}`);
      }
    };
    await Promise.all(Array.from({ length: OPEN_RUNS }, worker));
    const seconds = (performance.now() - start) / 1_000;
    if (isOver()) return;
    if (goal > from) add([line(goal, "throughput", "steps/s", ((goal - from) * steps) / seconds)]);
    add(await measure(life, goal));
    // In between everything goes on, so that what a process keeps of ended runs can be seen.
    if (sample === 0 || sample === samples) add(await restart(life, goal));
  }
  if (!isOver()) add(await purge(life, runs));
}

async function restart(life: SwarmLife, runs: number): Promise<Line[]> {
  const { brokerMs, daemonMs } = await life.restart();
  return [line(runs, "nats-server starts", "ms", brokerMs), line(runs, "daemon starts", "ms", daemonMs)];
}

async function purge(life: SwarmLife, runs: number): Promise<Line[]> {
  return withBus(life, async (bus) => {
    const start = performance.now();
    const removed = await (await connectSwarm({ bus })).purge();
    const seconds = (performance.now() - start) / 1_000;
    return [
      line(runs, "purge of all", "runs/s", removed.runs / seconds),
      line(runs, "purge of all: store on disk", "MiB", mebibytes(await bytesUnder(life.store))),
    ];
  });
}

async function measure(life: SwarmLife, runs: number): Promise<Line[]> {
  return withBus(life, async (bus) => [
    line(runs, "daemon, live heap", "MiB", mebibytes(await life.daemon.call<number>("liveHeap"))),
    line(runs, "daemon, resident", "MiB", mebibytes(life.daemon.residentBytes())),
    line(runs, "agent, resident", "MiB", mebibytes(life.agent.residentBytes())),
    line(runs, "nats-server, resident", "MiB", mebibytes(memoryBytes(life.broker.pid, "VmRSS"))),
    line(runs, "store on disk", "MiB", mebibytes(await bytesUnder(life.store))),
    ...(await questions(bus, life, runs)),
  ]);
}

async function withBus<Result>(life: SwarmLife, work: (bus: Bus) => Promise<Result>): Promise<Result> {
  const bus = await connectNatsBus({ ...life.address, swarm: SWARM, name: "bench-client" });
  try {
    return await work(bus);
  } finally {
    await bus.close();
  }
}

async function questions(bus: Bus, life: SwarmLife, runs: number): Promise<Line[]> {
  const client = await connectSwarm({ bus });
  const timed = async (what: string, ask: () => Promise<unknown>): Promise<Line> => {
    await ask();
    const start = performance.now();
    await ask();
    return line(runs, what, "ms", performance.now() - start);
  };
  const alone = await timed("a run of one step", () => life.run(`alone-${alones++}`, chainOf(1)));
  if (runs === 0) return [alone];
  return [
    alone,
    await timed(`list of the last ${LIST_LIMIT} runs`, () => client.runs({ limit: LIST_LIMIT })),
    await timed("list of all runs", () => client.runs()),
    await timed("show of the first run", () => client.show("run-0")),
    await timed("show of the last run", () => client.show(`run-${runs - 1}`)),
  ];
}

let alones = 0;

function chainOf(steps: number): object {
  return {
    name: "growth",
    steps: Array.from({ length: steps }, (_, index) => ({
      id: `s${index}`,
      agent: ROLE,
      task: TASK,
      ...(index === 0 ? {} : { dependsOn: [`s${index - 1}`] }),
    })),
  };
}

const line = (runs: number, measure: string, unit: string, runtime: number): Line => ({
  measure: `after ${runs} runs: ${measure}`,
  unit,
  runtime,
});

const mebibytes = (bytes: number) => bytes / 1024 / 1024;

async function bytesUnder(folder: string): Promise<number> {
  let bytes = 0;
  for (const entry of await readdir(folder, { withFileTypes: true, recursive: true })) {
    if (!entry.isFile()) continue;
    // The server removes files while this looks.
    bytes += await stat(join(entry.parentPath, entry.name)).then(
      ({ size }) => size,
      () => 0,
    );
  }
  return bytes;
}
