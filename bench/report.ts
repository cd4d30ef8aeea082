/** What the benchmark says: JSON lines for programs, the same as a table for people. */
import type { Measurement, Round } from "./comparison.ts";
import type { GraphCost } from "./scaling-graph.ts";
import { median } from "./statistics.ts";

/** Bounds that the runtime is built to keep. */
const AIMS = { throughput: 0.7, latency: 1.4, growth: 12 };

export interface Line {
  /** What is measured. */
  measure: string;
  unit: string;
  floor?: number;
  /** The floor with decoding, checking and machines: what the libraries leave to be had. */
  thorough?: number;
  runtime?: number;
  /** Runtime over floor (median of the rounds' ratios), or ten times the steps over the plain number. */
  ratio?: number;
  aim?: string;
}

export function chainLines(rounds: readonly Round[], steps: number): Line[] {
  const aim = `≤ ${AIMS.latency}`;
  return [
    { ...compared(rounds, `chain of ${steps}: p50`, "ms/step", ({ p50Ms }) => p50Ms), aim },
    { ...compared(rounds, `chain of ${steps}: p99`, "ms/step", ({ p99Ms }) => p99Ms), aim },
    ...effort(rounds, `chain of ${steps}`),
  ];
}

export function fanLines(rounds: readonly Round[], steps: number, inFlight: number): Line[] {
  const what = `${steps} parallel, ${inFlight} in flight`;
  const aim = `≥ ${AIMS.throughput}`;
  return [
    { ...compared(rounds, what, "steps/s", ({ steadyStepsPerSecond }) => steadyStepsPerSecond), aim },
    { ...compared(rounds, `${what}, from submission to end`, "steps/s", (one) => one.stepsPerSecond), aim },
    ...effort(rounds, what),
  ];
}

export function memoryLines(
  peaks: Record<"floor" | "runtime", { orchestrator: number; worker: number }>,
  brokerBytes: number,
): Line[] {
  const mebibytes = (bytes: number) => bytes / 1024 / 1024;
  const of = (measure: string, role: "orchestrator" | "worker"): Line => ({
    measure,
    unit: "MiB",
    floor: mebibytes(peaks.floor[role]),
    runtime: mebibytes(peaks.runtime[role]),
  });
  return [
    of("peak memory: orchestrating process", "orchestrator"),
    of("peak memory: working process", "worker"),
    { measure: "peak memory: nats-server, both together", unit: "MiB", runtime: mebibytes(brokerBytes) },
  ];
}

/** The aim is for the whole: a graph is validated once for every time that it is run. */
export function growthLines(kind: string, steps: number, small: GraphCost, large: GraphCost): Line[] {
  const lines = (what: string, cost: (of: GraphCost) => number, aim?: string): Line[] => [
    { measure: `${kind} graph: ${what} ${steps} steps`, unit: "ms CPU", runtime: cost(small) },
    {
      measure: `${kind} graph: ${what} ${steps * 10} steps`,
      unit: "ms CPU",
      runtime: cost(large),
      ratio: cost(large) / cost(small),
      ...(aim === undefined ? {} : { aim }),
    },
  ];
  return [
    ...lines("validate", (of) => of.validateMs),
    ...lines("run", (of) => of.runMs),
    ...lines("validate and run", (of) => of.validateMs + of.runMs, `≤ ${AIMS.growth}`),
  ];
}

function compared(
  rounds: readonly Round[],
  measure: string,
  unit: string,
  value: (of: Measurement) => number,
): Line {
  return {
    measure,
    unit,
    floor: median(rounds.map(({ floor }) => value(floor))),
    thorough: median(rounds.map(({ thorough }) => value(thorough))),
    runtime: median(rounds.map(({ runtime }) => value(runtime))),
    ratio: median(rounds.map(({ floor, runtime }) => value(runtime) / value(floor))),
  };
}

function effort(rounds: readonly Round[], what: string): Line[] {
  return [
    compared(rounds, `${what}: CPU, orchestrating`, "µs/step", (one) => one.orchestratorCpuMicros),
    compared(rounds, `${what}: CPU, working`, "µs/step", (one) => one.workerCpuMicros),
  ];
}

export function jsonLine(line: Line): string {
  return JSON.stringify(line, (_, value) => (typeof value === "number" ? significant(value) : value));
}

export function table(lines: readonly Line[]): string {
  const head = ["", "unit", "floor", "thorough", "runtime", "ratio", "aim"];
  const rows = lines.map((line) => [
    line.measure,
    line.unit,
    ...[line.floor, line.thorough, line.runtime, line.ratio].map((value) =>
      value === undefined ? "" : shown(value),
    ),
    line.aim ?? "",
  ]);
  const widths = head.map((_, column) => Math.max(...[head, ...rows].map((row) => row[column]?.length ?? 0)));
  return [head, ...rows]
    .map((row) =>
      row
        .map((cell, column) => {
          const width = widths[column] ?? 0;
          return column < 2 ? cell.padEnd(width) : cell.padStart(width);
        })
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

function significant(value: number): number | null {
  return Number.isFinite(value) ? Number(value.toPrecision(4)) : null;
}

function shown(value: number): string {
  if (!Number.isFinite(value)) return "–";
  return value >= 1_000 ? Math.round(value).toLocaleString("en") : String(Number(value.toPrecision(3)));
}
