/**
 * Golden logs: the raw messages of real runs as they were stored, and what they meant when they were written. A file
 * that is there is never rewritten: a later version has to read it as this one did. Features to come get files of
 * their own (`npx tsx scripts/golden-logs.ts`).
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { LogRecord } from "../../src/bus/bus.ts";
import { decodeRecord } from "../../src/bus/record.ts";
import { replay, traceTransition } from "../../src/trace/replay.ts";
import { viewOf } from "../../src/trace/view.ts";

export const GOLDEN_FOLDER = import.meta.dirname;

/** A stored message; `data` is its body, base64. */
export interface GoldenMessage {
  subject: string;
  seq: number;
  ts: number;
  data: string;
}

export interface GoldenLog {
  /** Version of DataHammer that wrote it. */
  version: string;
  run: string;
  /** The run had not ended: a later version goes on with it. */
  half: boolean;
  /** What the version that wrote it made of it. */
  expected: unknown;
  /** And of so many of its first records. */
  halfway?: { records: number; expected: unknown };
  messages: GoldenMessage[];
}

export function readGoldenLogs(): { name: string; log: GoldenLog }[] {
  return readdirSync(GOLDEN_FOLDER)
    .filter((name) => name.endsWith(".jsonl"))
    .sort()
    .map((name) => {
      const [head = "", ...lines] = readFileSync(join(GOLDEN_FOLDER, name), "utf8").trim().split("\n");
      const messages = lines.map((line) => JSON.parse(line) as GoldenMessage);
      return { name, log: { ...(JSON.parse(head) as Omit<GoldenLog, "messages">), messages } };
    });
}

export function recordsOf(run: string, messages: readonly GoldenMessage[]): LogRecord[] {
  return messages.map(({ subject, seq, ts, data }) =>
    decodeRecord({ run, subject, seq, ts }, Buffer.from(data, "base64")),
  );
}

/** What a log means, as far as it is promised: where every step stands, the environment, and every transition. */
export async function meaningOf(run: string, records: readonly LogRecord[]): Promise<unknown> {
  const trace = await replay(run, records);
  const { status, outputs, environment, steps, error } = viewOf(trace.fold, 0);
  const standing = Object.fromEntries(
    Object.entries(steps).map(([id, { state, outcome, attempts, agent }]) => [
      id,
      { state, outcome, attempts, agent },
    ]),
  );
  const transitions = trace.transitions
    .map(traceTransition)
    .map(({ seq, actor, from, to, event }) => `${seq} ${actor} ${from} ${event} ${to}`);
  const voids = trace.voids.map(({ seq, verdict, step }) => `${seq} ${verdict} ${step ?? "run"}`);
  // As JSON keeps it.
  return JSON.parse(
    JSON.stringify({ status, outputs, environment, steps: standing, error, transitions, voids }),
  );
}
