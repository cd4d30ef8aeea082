/**
 * Floor and runtime on the same work, in turns: machines are noisy, so what counts is the ratio of neighbours
 * in time, and the median of these ratios over the rounds.
 */
import type { NatsConnection } from "nats";
import { percentile } from "./statistics.ts";
import { takeStoredTimes } from "./stored-times.ts";
import type { Shape, Subject } from "./subject.ts";

/** Unmeasured rounds before the others: all four processes get their code compiled, as a daemon's is. */
const WARM_UP_ROUNDS = 2;

/** One run of one subject, in ms and µs. */
export interface Measurement {
  /** From one result to the next. */
  p50Ms: number;
  p99Ms: number;
  /** From the submission to the end, over all steps. */
  stepsPerSecond: number;
  /** From the first result to the last: without submission, validation, claim and end. */
  steadyStepsPerSecond: number;
  orchestratorCpuMicros: number;
  workerCpuMicros: number;
}

export interface Round {
  floor: Measurement;
  /** The floor with decoding, checking and machines. */
  thorough: Measurement;
  runtime: Measurement;
}

/** @param isOver looked at before every run */
export async function compare(
  nc: NatsConnection,
  subjects: { floor: Subject; thorough: Subject; runtime: Subject },
  shape: Shape,
  rounds: number,
  isOver: () => boolean,
): Promise<Round[]> {
  const measured: Round[] = [];
  for (let round = 1 - WARM_UP_ROUNDS; round <= rounds && !isOver(); round++) {
    const run = `bench-${shape.kind}-${round + WARM_UP_ROUNDS}`;
    const floor = await measure(nc, subjects.floor, run, shape);
    const thorough = await measure(nc, subjects.thorough, run, shape);
    const runtime = await measure(nc, subjects.runtime, run, shape);
    if (round > 0) measured.push({ floor, thorough, runtime });
  }
  return measured;
}

async function measure(
  nc: NatsConnection,
  subject: Subject,
  run: string,
  shape: Shape,
): Promise<Measurement> {
  const before = await subject.effort();
  await subject.run(run, shape);
  const after = await subject.effort();
  const { results, ended } = await takeStoredTimes(nc, subject.swarm, run);
  if (results.length !== shape.steps) {
    throw new Error(`${subject.name}: ${shape.steps} steps have ${results.length} results`);
  }
  const gaps = results.slice(1).map((at, index) => at - (results[index] ?? 0));
  const steadyMs = (results.at(-1) ?? 0) - (results[0] ?? 0);
  return {
    p50Ms: percentile(gaps, 0.5),
    p99Ms: percentile(gaps, 0.99),
    stepsPerSecond: (shape.steps * 1000) / ended,
    steadyStepsPerSecond: ((shape.steps - 1) * 1000) / steadyMs,
    orchestratorCpuMicros: (after.orchestrator.micros - before.orchestrator.micros) / shape.steps,
    workerCpuMicros: (after.worker.micros - before.worker.micros) / shape.steps,
  };
}
