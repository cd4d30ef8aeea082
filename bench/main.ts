/**
 * `npm run bench`: the floor and the runtime in one run, as ratios; and how costs grow with a graph's steps.
 * JSON lines on stdout, the same as a table on stderr.
 *
 * Owns the broker, the processes and their end, also on Ctrl-C. See docs/benchmarks.md.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect } from "nats";
import { pino } from "pino";
import { startManagedBroker } from "../src/daemon/broker/managed-broker.ts";
import { InvalidInputError } from "../src/workflow/errors.ts";
import { BenchProcess, peakMemoryBytes } from "./child-process.ts";
import { compare } from "./comparison.ts";
import { startFloor } from "./floor.ts";
import { growth } from "./growth.ts";
import { type BenchOptions, parseOptions } from "./options.ts";
import { type PlannerLine, plannerLines, plannerTable } from "./planner.ts";
import { chainLines, fanLines, growthLines, jsonLine, type Line, memoryLines, table } from "./report.ts";
import { resume } from "./resume.ts";
import { startRuntime } from "./runtime.ts";
import { GRAPHS, type GraphCost } from "./scaling-graph.ts";

/** Of each run in the growing swarm. */
const GROWTH_STEPS = 10;
const EXIT_FAILED = 1;
const EXIT_USAGE = 2;
const EXIT_INTERRUPTED = 130;

const undo: (() => Promise<unknown>)[] = [];
let interrupted = false;
let undone: Promise<void> | undefined;

/** Ends everything, youngest first. Once. */
function undoAll(): Promise<void> {
  undone ??= (async () => {
    for (const step of undo.splice(0).reverse()) await step();
  })();
  return undone;
}

async function main(options: BenchOptions): Promise<void> {
  const lines: Line[] = [];
  const add = (more: readonly Line[]) => {
    lines.push(...more);
    for (const line of more) process.stdout.write(`${jsonLine(line)}\n`);
  };
  const { only } = options;
  if (only.includes("chain") || only.includes("fan")) await overBroker(options, add);
  await undoAll();
  if (only.includes("scaling") && !interrupted) await scaling(options, add);
  const onStart = (stop: () => Promise<void>) => {
    undone = undefined;
    undo.push(stop);
  };
  const isOver = () => interrupted;
  if (only.includes("growth") && !interrupted) {
    const { runs, samples } = options;
    await growth({ runs, samples, steps: GROWTH_STEPS }, add, onStart, isOver);
    await undoAll();
  }
  if (only.includes("resume") && !interrupted) {
    await resume(options.resume, add, onStart, isOver);
    await undoAll();
  }
  if (lines.length > 0 && !interrupted) process.stderr.write(`${table(lines)}\n`);
  if (only.includes("planner") && !interrupted) await planner(options);
}

async function planner({ smoke }: BenchOptions): Promise<void> {
  const lines: PlannerLine[] = [];
  for (const line of plannerLines(smoke, () => interrupted)) {
    lines.push(line);
    process.stdout.write(`${JSON.stringify(line)}\n`);
    // Planning does not wait for anything: a signal is heard here.
    await new Promise((resolve) => setImmediate(resolve));
  }
  if (!interrupted) process.stderr.write(`${plannerTable(lines)}\n`);
}

async function overBroker(options: BenchOptions, add: (lines: readonly Line[]) => void): Promise<void> {
  const { rounds, chain, fan, inFlight, only, profile } = options;
  const store = await mkdtemp(join(tmpdir(), "datahammer-bench-"));
  undo.push(() => rm(store, { recursive: true, force: true }));
  const broker = await startManagedBroker({
    store,
    env: process.env,
    log: pino({ level: "warn" }, process.stderr),
    product: "bench",
  });
  undo.push(() => broker.stop());
  process.stderr.write(`nats-server ${broker.version}, Node ${process.version}, ${rounds} rounds\n`);
  const address = { url: broker.url, token: broker.token };
  const nc = await connect({ servers: address.url, token: address.token });
  undo.push(() => nc.close());
  const floor = await startFloor(address, inFlight, profile);
  undo.push(floor.stop);
  const thorough = await startFloor(address, inFlight, profile, "thorough");
  undo.push(thorough.stop);
  const runtime = await startRuntime(address, nc, inFlight, profile);
  undo.push(runtime.stop);

  const isOver = () => interrupted;
  if (only.includes("chain")) {
    const shape = { kind: "chain", steps: chain } as const;
    add(chainLines(await compare(nc, { floor, thorough, runtime }, shape, rounds, isOver), chain));
  }
  if (only.includes("fan") && !interrupted) {
    const shape = { kind: "fan", steps: fan, inFlight } as const;
    add(fanLines(await compare(nc, { floor, thorough, runtime }, shape, rounds, isOver), fan, inFlight));
  }
  if (interrupted) return;
  const peaks = { floor: floor.peakMemory(), runtime: runtime.peakMemory() };
  add(memoryLines(peaks, peakMemoryBytes(broker.pid)));
}

async function scaling({ graph }: BenchOptions, add: (lines: readonly Line[]) => void): Promise<void> {
  undone = undefined;
  const child = new BenchProcess("scaling");
  undo.push(() => child.stop());
  for (const kind of GRAPHS) {
    const small = await child.call<GraphCost>("cost", { kind, steps: graph });
    const large = await child.call<GraphCost>("cost", { kind, steps: graph * 10 });
    add(growthLines(kind, graph, small, large));
  }
  await undoAll();
}

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.on(signal, () => {
    interrupted = true;
    process.exitCode = EXIT_INTERRUPTED;
    void undoAll();
  });
}

try {
  await main(parseOptions(process.argv.slice(2)));
} catch (error) {
  // What ends because it was interrupted has nothing to say.
  if (!interrupted) {
    const usage = error instanceof InvalidInputError;
    process.stderr.write(`${usage ? `${error.message}\n${error.remedy ?? ""}` : (error as Error).stack}\n`);
    process.exitCode = usage ? EXIT_USAGE : EXIT_FAILED;
  }
} finally {
  await undoAll();
}
