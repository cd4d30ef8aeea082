/**
 * Recognises a data file and says how DuckDB is to read it.
 *
 * Owns the judgement of format, encoding and CSV dialect. A file that is no table is refused here with one
 * `NonRetryableError` that names the file, what was found and what to do. Nothing is trusted: not the
 * extension, not the header, not the encoding.
 */
import { createReadStream } from "node:fs";
import { open, stat } from "node:fs/promises";
import { basename, extname } from "node:path";
import { NonRetryableError } from "../../src/workflow/errors.ts";
import { type Database, ident, literal, num } from "./database.ts";

export type SourceFormat = "csv" | "tsv" | "json" | "parquet";

/** A recognised file. */
export interface Source {
  path: string;
  name: string;
  format: SourceFormat;
  bytes: number;
  /** A FROM clause that yields the file's rows. */
  relation: string;
  /** What a person should know about how the file was read. */
  notes: SourceNote[];
}

export interface SourceNote {
  kind: "encoding" | "header" | "duplicate-names" | "ragged" | "rejected-lines" | "nested" | "blank-names";
  count: number;
  sentence: string;
}

const HEAD_BYTES = 65_536;
/** A line longer than this is refused by the reader. */
const MAX_LINE_BYTES = 32 * 1024 * 1024;
/** Above this share of unreadable lines the file is not a table. */
const MAX_REJECTED_SHARE = 0.1;

/** Columns beyond this are refused: no page could show them. */
const MAX_COLUMNS = 2_000;

/** @throws NonRetryableError when there are more columns than the bound */
export function assertWidth(path: string, columns: number): void {
  if (columns <= MAX_COLUMNS) return;
  throw new NonRetryableError(
    `${path} has ${columns} columns; the bound is ${MAX_COLUMNS}. Select the columns that matter.`,
  );
}

/** @throws NonRetryableError when the file cannot be read as a table */
export async function recogniseSource(db: Database, path: string): Promise<Source> {
  const head = await readHead(path);
  const name = basename(path);
  const extension = extname(path.replace(/\.(gz|zst)$/i, "")).toLowerCase();
  const compressed = /\.(gz|zst)$/i.test(path);
  const base = { path, name, bytes: head.bytes };
  if (head.bytes === 0) {
    throw new NonRetryableError(`${path} is empty (0 bytes). Give a file with a header line and rows.`);
  }
  if (head.text.subarray(0, 4).toString("latin1") === "PAR1") {
    return { ...base, format: "parquet", relation: `read_parquet(${literal(path)})`, notes: [] };
  }
  if (extension === ".parquet") {
    throw new NonRetryableError(`${path} is named .parquet but is no Parquet file. Export it again.`);
  }
  const encoding = compressed ? "utf-8" : await encodingOf(path, head.text);
  const start = head.text
    .toString("latin1")
    .replace(/^\u00ef\u00bb\u00bf/, "")
    .trimStart();
  if (start === "" && !compressed && head.bytes <= HEAD_BYTES) {
    throw new NonRetryableError(`${path} holds nothing but blanks. Give a file with a header line and rows.`);
  }
  const isJson =
    [".json", ".ndjson", ".jsonl"].includes(extension) ||
    (extension !== ".csv" && extension !== ".tsv" && /^(\[\s*[[{]|\{\s*")/.test(start));
  if (isJson) return readJson(db, base, start, compressed);
  return readDelimited(db, base, extension === ".tsv" ? "\t" : undefined, encoding);
}

async function readHead(path: string): Promise<{ bytes: number; text: Buffer }> {
  try {
    const facts = await stat(path);
    if (facts.isDirectory()) {
      throw new NonRetryableError(
        `${path} is a folder. Give the path of one CSV, TSV, JSON or Parquet file.`,
      );
    }
    const file = await open(path, "r");
    try {
      const buffer = Buffer.alloc(HEAD_BYTES);
      const { bytesRead } = await file.read(buffer, 0, HEAD_BYTES, 0);
      return { bytes: facts.size, text: buffer.subarray(0, bytesRead) };
    } finally {
      await file.close();
    }
  } catch (cause) {
    if (cause instanceof NonRetryableError) throw cause;
    const code = (cause as NodeJS.ErrnoException).code;
    const what =
      code === "ENOENT"
        ? "does not exist. Check the path; it is read on the machine of the loader."
        : code === "EACCES"
          ? "may not be read by this user. Change its rights, or copy it."
          : `cannot be read (${code ?? String(cause)}). Check the path.`;
    throw new NonRetryableError(`${path} ${what}`, { cause });
  }
}

type Encoding = "utf-8" | "utf-16" | "latin-1";

async function encodingOf(path: string, head: Buffer): Promise<Encoding> {
  if ((head[0] === 0xff && head[1] === 0xfe) || (head[0] === 0xfe && head[1] === 0xff)) return "utf-16";
  if (head.includes(0)) {
    throw new NonRetryableError(
      `${path} is a binary file (it holds zero bytes), not text. Give a CSV, TSV, JSON or Parquet file; ` +
        "export a spreadsheet as CSV first.",
    );
  }
  const decoder = new TextDecoder("utf-8", { fatal: true });
  try {
    for await (const chunk of createReadStream(path)) decoder.decode(chunk as Buffer, { stream: true });
    decoder.decode();
    return "utf-8";
  } catch {
    // Not UTF-8. Latin-1 accepts every byte, so a file of mostly unprintable bytes is refused here.
    const strange = head.filter((byte) => byte < 9 || (byte > 13 && byte < 32) || byte === 127).length;
    if (strange > head.length * 0.02) {
      throw new NonRetryableError(
        `${path} is a binary file (${strange} of its first ${head.length} bytes are control characters). ` +
          "Give a CSV, TSV, JSON or Parquet file.",
      );
    }
    return "latin-1";
  }
}

interface Base {
  path: string;
  name: string;
  bytes: number;
}

async function readJson(db: Database, base: Base, start: string, compressed: boolean): Promise<Source> {
  if (!compressed && !/^[[{]/.test(start)) {
    throw new NonRetryableError(
      `${base.path} is named as JSON but does not begin with a list or an object. Give an array of objects, or one object a line.`,
    );
  }
  const options = "sample_size = -1, maximum_object_size = 268435456";
  const relation = `read_json(${literal(base.path)}, ${options})`;
  let columns: { name: string; type: string }[];
  try {
    columns = await db.describe(relation);
  } catch (cause) {
    throw new NonRetryableError(
      `${base.path} is not valid JSON: ${firstLine(cause)}. Give an array of objects, or one object a line.`,
      { cause },
    );
  }
  const source: Source = { ...base, format: "json", relation, notes: [] };
  const [counted] = await db.rows(`SELECT count(*) AS n FROM (SELECT 1 FROM ${relation} LIMIT 2)`);
  if (num(counted?.n) === 1) {
    // One object that wraps the rows, as {"data": [{…}, …]}: its only list of objects is the table.
    const lists = columns.filter((column) => /^STRUCT.*\[\]$/s.test(column.type));
    const only = lists[0];
    if (only && lists.length === 1) {
      source.relation = `(SELECT unnest(${ident(only.name)}, max_depth := 2) FROM ${relation})`;
      source.notes.push({
        kind: "nested",
        count: 1,
        sentence: `The rows were taken from the list "${only.name}" inside the file's one object.`,
      });
    } else if (lists.length > 1 || columns.some((column) => /\[\]$|^MAP|^STRUCT|^JSON/.test(column.type))) {
      const found = lists.map((column) => `"${column.name}"`).join(", ");
      throw new NonRetryableError(
        `${base.path} holds one JSON object, not a table${found ? ` (it has the lists ${found})` : ""}. ` +
          "Save the list of objects that you mean as a file of its own.",
      );
    }
  }
  return source;
}

async function readDelimited(
  db: Database,
  base: Base,
  delimiter: string | undefined,
  encoding: Encoding,
): Promise<Source> {
  const { path } = base;
  const common = [
    "all_varchar = true",
    `max_line_size = ${MAX_LINE_BYTES}`,
    "strict_mode = false",
    // The sniffer would otherwise skip lines until all have one length, and lose the table before.
    "skip = 0",
    "quote = '\"'",
    "escape = '\"'",
    `encoding = ${literal(encoding)}`,
  ];
  const notes: SourceNote[] = [];
  if (encoding !== "utf-8") {
    notes.push({
      kind: "encoding",
      count: 1,
      sentence: `The file is not UTF-8; it was read as ${encoding}.`,
    });
  }
  const attempts = [
    [...common, ...(delimiter ? [`delim = ${literal(delimiter)}`] : [])],
    [...common, `delim = ${literal(delimiter ?? ",")}`, "null_padding = true", "parallel = false"],
  ];
  let failure: unknown;
  for (const [index, options] of attempts.entries()) {
    const relation = `read_csv(${literal(path)}, ${options.join(", ")})`;
    try {
      const columns = await db.describe(relation);
      assertWidth(path, columns.length);
      // A ragged file makes the sniffer see one column; padding short lines reads it as it was meant.
      if (index === 0 && columns.length === 1 && /[,;\t]/.test(columns[0]?.name ?? "")) continue;
      await db.rows(`SELECT count(*) FROM (SELECT * FROM ${relation})`);
      await db.rows(`SELECT count(COLUMNS(*)) FROM ${relation}`);
      if (index === 1) {
        notes.push({
          kind: "ragged",
          count: 1,
          sentence: "Lines of the file differ in length; missing fields at their ends were read as missing.",
        });
      }
      notes.push(...(await headerNotes(db, path, options, columns)));
      return { ...base, format: delimiter ? "tsv" : "csv", relation, notes };
    } catch (cause) {
      if (cause instanceof NonRetryableError) throw cause;
      failure = cause;
    }
  }
  return readDespiteErrors(
    db,
    base,
    [...common, ...(delimiter ? [`delim = ${literal(delimiter)}`] : [])],
    notes,
    failure,
  );
}

/** What a reader must know about the header: that there is none, or that names were made unique. */
async function headerNotes(
  db: Database,
  path: string,
  options: readonly string[],
  columns: readonly { name: string }[],
): Promise<SourceNote[]> {
  const [first] = await db.rows(
    `SELECT * FROM read_csv(${literal(path)}, ${[...options, "header = false"].join(", ")}) LIMIT 1`,
  );
  const written = Object.values(first ?? {}).map((cell) =>
    String(cell ?? "")
      .trim()
      .toLowerCase(),
  );
  if (columns.every((column, index) => column.name === `column${index}`) && !written.includes("column0")) {
    return [
      {
        kind: "header",
        count: 1,
        sentence: "The file has no header line; its columns were named column0, column1, ….",
      },
    ];
  }
  const repeated = written.length - new Set(written).size;
  if (repeated === 0) return [];
  return [
    {
      kind: "duplicate-names",
      count: repeated,
      sentence: `${repeated} column name(s) of the file repeat another or are empty; they were made unique with a number.`,
    },
  ];
}

/** The last try: leave unreadable lines out, count them, and give up when they are many. */
async function readDespiteErrors(
  db: Database,
  base: Base,
  options: string[],
  notes: SourceNote[],
  failure: unknown,
): Promise<Source> {
  const { path } = base;
  const lenient = [...options, "null_padding = true", "parallel = false", "ignore_errors = true"];
  const relation = `read_csv(${literal(path)}, ${lenient.join(", ")})`;
  try {
    const counting = [...lenient, "store_rejects = true", "rejects_limit = 100000"];
    const [good] = await db.rows(
      `SELECT count(*) AS n FROM (SELECT * FROM read_csv(${literal(path)}, ${counting.join(", ")}))`,
    );
    const [bad] = await db.rows("SELECT count(DISTINCT line) AS n FROM reject_errors");
    const rejected = num(bad?.n);
    const read = num(good?.n);
    if (read === 0 || rejected > (read + rejected) * MAX_REJECTED_SHARE) {
      throw new Error(`${rejected} of ${read + rejected} lines do not fit the columns`);
    }
    notes.push({
      kind: "rejected-lines",
      count: rejected,
      sentence: `${rejected} of ${read + rejected} lines did not fit the columns and were left out.`,
    });
    return { ...base, format: "csv", relation, notes };
  } catch (cause) {
    throw new NonRetryableError(
      `${path} cannot be read as a table: ${firstLine(failure ?? cause)}. ` +
        "Check that it is CSV, TSV, JSON or Parquet with one header line and the same columns in every line.",
      { cause },
    );
  }
}

function firstLine(cause: unknown): string {
  const text = cause instanceof Error ? cause.message : String(cause);
  return (text.split("\n")[0] ?? "").slice(0, 300);
}
