/**
 * A run in a file: its log and its artifacts as JSON lines, to be looked at after the run was purged.
 *
 * Owns the format. The first line says what it is, the last one how much came before it; between them stand the
 * records in their order, then the artifacts in pieces:
 *
 *     {"archive":"datahammer-run","version":1,"swarm":…,"run":…,"name":…,"status":…,"startedAt":…,"endedAt":…}
 *     {"seq":…,"ts":…,"subject":…,"body":…}       `packed` (MessagePack as base64) where a body holds bytes
 *     {"seq":…,"ts":…,"subject":…,"problem":…}    a record that could not be read; `newer`: its wire version
 *     {"artifact":…,"data":…}                     base64; several lines of one name follow each other
 *     {"records":…,"artifacts":…}
 *
 * A record is checked when it is read as if it came from the wire (L9), so an archive folds as the log did (L1).
 */
import { z } from "zod";
import type { ArtifactRef, ArtifactStore, LogRecord, ReadOptions } from "../bus/bus.ts";
import { decodeBody, encodeBody } from "../bus/codec.ts";
import { RUN_STATUSES } from "../bus/messages.ts";
import { addressOf, recordOf } from "../bus/record.ts";
import { subjectsOf } from "../bus/subjects.ts";
import { InvalidInputError, NotFoundError } from "../workflow/errors.ts";
import { idSchema } from "../workflow/names.ts";
import type { RunSource } from "./run-reader.ts";

const VERSION = 1;
/** Bytes of an artifact in one line (L8). */
const PIECE_BYTES = 512 * 1024;

const headerSchema = z.object({
  archive: z.literal("datahammer-run"),
  version: z.literal(VERSION),
  swarm: idSchema,
  run: idSchema,
  name: z.string(),
  status: z.enum(RUN_STATUSES),
  startedAt: z.string(),
  endedAt: z.string(),
});
export type ArchiveHeader = z.infer<typeof headerSchema>;

const recordLineSchema = z.object({
  seq: z.int(),
  ts: z.number(),
  subject: z.string(),
  body: z.unknown().optional(),
  packed: z.base64().optional(),
  problem: z.string().optional(),
  newer: z.int().optional(),
});
const lineSchema = z.union([
  recordLineSchema,
  z.object({ artifact: z.string(), data: z.base64() }),
  z.object({ records: z.int(), artifacts: z.int() }),
]);

/** What is archived of a run. */
export interface ArchiveInput {
  header: Omit<ArchiveHeader, "archive" | "version">;
  records: AsyncIterable<LogRecord>;
  artifacts: readonly ArtifactRef[];
  store: Pick<ArtifactStore, "get">;
}

/** The lines of an archive, without line ends. */
export async function* archiveLines(input: ArchiveInput): AsyncGenerator<string> {
  const { header, records, artifacts, store } = input;
  yield JSON.stringify({ archive: "datahammer-run", version: VERSION, ...header } satisfies ArchiveHeader);
  const subjects = subjectsOf(header.swarm);
  let count = 0;
  for await (const record of records) {
    const { seq, ts, run } = record;
    count++;
    if (record.kind === "unreadable") {
      const { subject, problem, newer } = record;
      yield JSON.stringify({ seq, ts, subject, problem, newer });
    } else yield recordLine({ seq, ts, subject: subjects.record(run, addressOf(record)) }, record.body);
  }
  for (const ref of artifacts) {
    const { name } = ref.$artifact;
    const bytes = await store.get(ref);
    for (let at = 0; at === 0 || at < bytes.length; at += PIECE_BYTES) {
      const piece = Buffer.from(bytes.subarray(at, at + PIECE_BYTES));
      yield JSON.stringify({ artifact: name, data: piece.toString("base64") });
    }
  }
  yield JSON.stringify({ records: count, artifacts: artifacts.length });
}

function recordLine(place: { seq: number; ts: number; subject: string }, body: unknown): string {
  let holdsBytes = false;
  const line = JSON.stringify({ ...place, body }, function (this: Record<string, unknown>, key, value) {
    // A Buffer has been turned into something else by its `toJSON` when it arrives as `value`.
    if (this[key] instanceof Uint8Array) holdsBytes = true;
    return value;
  });
  if (!holdsBytes) return line;
  return JSON.stringify({ ...place, packed: Buffer.from(encodeBody(body)).toString("base64") });
}

/** A run whose log is in a file. */
export class RunArchive implements RunSource {
  readonly header: ArchiveHeader;
  readonly #path: string;
  readonly #lines: () => AsyncIterable<string>;

  private constructor(header: ArchiveHeader, path: string, lines: () => AsyncIterable<string>) {
    this.header = header;
    this.#path = path;
    this.#lines = lines;
  }

  /**
   * @param lines gives the file's lines anew at each call
   * @throws InvalidInputError `E_ARCHIVE` when the first line is not that of an archive
   */
  static async open(path: string, lines: () => AsyncIterable<string>): Promise<RunArchive> {
    for await (const line of lines()) {
      const header = headerSchema.safeParse(jsonIn(line));
      if (!header.success) throw broken(path, "its first line is not that of a run's archive");
      return new RunArchive(header.data, path, lines);
    }
    throw broken(path, "it is empty");
  }

  /** @throws NotFoundError for another run; InvalidInputError `E_ARCHIVE` for a file that is damaged or cut off */
  async *read(run: string, { from = 1, to = Number.POSITIVE_INFINITY }: ReadOptions = {}) {
    this.#assertHolds(run);
    let records = 0;
    let ended = false;
    let number = 0;
    for await (const text of this.#lines()) {
      if (++number === 1) continue;
      const line = this.#line(text, number);
      if ("records" in line) {
        if (line.records !== records) {
          throw broken(this.#path, `it holds ${records} records, its last line says ${line.records}`);
        }
        ended = true;
      } else if ("seq" in line) {
        records++;
        if (line.seq >= from && line.seq <= to) yield this.#record(line);
      }
    }
    if (!ended) throw broken(this.#path, "its end is missing");
  }

  readonly artifacts = {
    get: async ({ $artifact: { name } }: ArtifactRef): Promise<Uint8Array> => {
      const pieces: Buffer[] = [];
      let number = 0;
      for await (const text of this.#lines()) {
        if (++number === 1) continue;
        const line = this.#line(text, number);
        if ("artifact" in line && line.artifact === name) pieces.push(Buffer.from(line.data, "base64"));
      }
      if (pieces.length > 0) return Buffer.concat(pieces);
      throw new NotFoundError("E_ARTIFACT_GONE", `${this.#path} does not hold artifact ${name}`, {
        remedy: "It was gone before the run was archived.",
        data: { name },
      });
    },
  };

  #assertHolds(run: string): void {
    if (run === this.header.run) return;
    throw new NotFoundError(
      "E_RUN_NOT_FOUND",
      `${this.#path} holds run "${this.header.run}", not run "${run}"`,
      { remedy: "Name its run, or the file of the other.", data: { run } },
    );
  }

  #line(text: string, number: number): z.infer<typeof lineSchema> {
    const line = lineSchema.safeParse(jsonIn(text));
    if (line.success) return line.data;
    throw broken(this.#path, `line ${number} is damaged`);
  }

  #record({ seq, ts, subject, body, packed, ...unread }: z.infer<typeof recordLineSchema>): LogRecord {
    const { problem, newer } = unread;
    const at = { run: this.header.run, seq, ts, subject };
    if (problem !== undefined)
      return recordOf(at, { ok: false, problem, ...(newer === undefined ? {} : { newer }) });
    if (packed !== undefined) return recordOf(at, decodeBody(Buffer.from(packed, "base64")));
    return recordOf(at, { ok: true, value: body });
  }
}

function jsonIn(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // No JSON: the schema that looks at it next says so.
  }
}

function broken(path: string, what: string): InvalidInputError {
  return new InvalidInputError("E_ARCHIVE", `${path} is no whole archive of a run: ${what}`, {
    remedy: "Archive the run again, or give a file that `datahammer archive` wrote to its end.",
    data: { path },
  });
}
