/**
 * When a run's records were stored, by the broker's own clock, to the nanosecond.
 *
 * Both subjects of the comparison are timed by the same stamps, read after the run: nothing is watched while
 * it runs, and neither side times itself.
 */
import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import type { NatsConnection } from "nats";
import { subjectsOf } from "../src/bus/subjects.ts";

export interface StoredTimes {
  /** Of the results, in order, in ms after the submission. */
  results: number[];
  /** Of the last record, in ms after the submission. */
  ended: number;
}

/** Reads the times and removes the records. */
export async function takeStoredTimes(nc: NatsConnection, swarm: string, run: string): Promise<StoredTimes> {
  const subjects = subjectsOf(swarm);
  const records = subjects.recordsOf(run);
  const consumer = await jetstream(nc).consumers.get(subjects.logStream, {
    filter_subjects: records,
    headers_only: true,
  });
  const resultKind = `${records.slice(0, -1)}result.`;
  let submitted: bigint | undefined;
  let ended = 0;
  const results: number[] = [];
  const messages = await consumer.consume();
  for await (const { subject, timestampNanos, info } of messages) {
    submitted ??= timestampNanos;
    ended = Number(timestampNanos - submitted) / 1e6;
    if (subject.startsWith(resultKind)) results.push(ended);
    if (info.pending === 0) break;
  }
  await messages.close();
  const manager = await jetstreamManager(nc);
  await manager.streams.purge(subjects.logStream, { filter: records });
  return { results, ended };
}
