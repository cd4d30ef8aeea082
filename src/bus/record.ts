/**
 * Log entries as bytes and back: which schema belongs to which kind, shared by every adapter.
 *
 * A record whose body does not parse, or whose body names another run than its subject, keeps its place in
 * the log as `unreadable` and changes nothing (L9).
 */
import type { z } from "zod";
import type { LogEntry, LogRecord } from "./bus.ts";
import { checkBody, decodeBody, encodeBody, type Parsed } from "./codec.ts";
import { decisionSchema } from "./decisions.ts";
import { controlSchema, envUpdateSchema, observedSchema, resultSchema, submitSchema } from "./messages.ts";
import { type LogAddress, type ParsedSubject, parseSubject } from "./subjects.ts";

const SCHEMAS = {
  submit: submitSchema,
  result: resultSchema,
  env: envUpdateSchema,
  control: controlSchema,
  observed: observedSchema,
  decision: decisionSchema,
} satisfies Record<LogEntry["kind"], z.ZodType>;

export function addressOf(entry: LogEntry): LogAddress {
  return entry.kind === "result" ? { kind: "result", role: entry.role } : { kind: entry.kind };
}

export function encodeEntry(entry: LogEntry): Uint8Array {
  return encodeBody(entry.body);
}

/** Where a message is stored. `subject` is the stored or the republished one. */
export interface StoredPlace {
  run: string;
  subject: string;
  seq: number;
  ts: number;
}

/** A stored message as a record. */
export function decodeRecord(stored: StoredPlace, bytes: Uint8Array): LogRecord {
  return recordOf(stored, decodeBody(bytes));
}

/** A record from a body that was decoded elsewhere. */
export function recordOf({ run, subject, seq, ts }: StoredPlace, decoded: Parsed<unknown>): LogRecord {
  const parsedSubject = addressIn(subject);
  const address =
    parsedSubject?.is === "record" || parsedSubject?.is === "live-record" ? parsedSubject : undefined;
  const unreadable = (problem: string, newer?: number): LogRecord => {
    const of = address === undefined ? undefined : { of: address.kind };
    const version = newer === undefined ? undefined : { newer };
    return { run, seq, ts, kind: "unreadable", ...of, subject, problem, ...version };
  };
  if (address === undefined) return unreadable("not a subject of the log");
  const parsed = decoded.ok ? checkBody<z.ZodType>(SCHEMAS[address.kind], decoded.value) : decoded;
  if (!parsed.ok) return unreadable(parsed.problem, parsed.newer);
  // The schema of a kind and the body type of that kind are paired by SCHEMAS; TypeScript cannot follow
  // the pair through the union, hence the one cast.
  const place = { run, seq, ts, kind: address.kind, body: parsed.value };
  const record = (address.kind === "result" ? { role: address.role, ...place } : place) as LogRecord;
  if (record.kind === "result" && record.body.run !== run)
    return unreadable(`the body names run ${record.body.run}`);
  return record;
}

/** A run's records come by few subjects, one after another by the same: the last one is remembered. */
let lastParsed: { subject: string; address: ParsedSubject | undefined } = { subject: "", address: undefined };

function addressIn(subject: string): ParsedSubject | undefined {
  if (lastParsed.subject !== subject) lastParsed = { subject, address: parseSubject(subject) };
  return lastParsed.address;
}
