/**
 * From a recognised file to a typed table, without losing a value.
 *
 * A text column becomes numbers or dates only when every value in it reads as such; blanks become missing.
 * Everything that would lose or change a value is the cleaner's work, and is counted there.
 */
import { NonRetryableError } from "../../../src/workflow/errors.ts";
import { type Database, ident, literal, num } from "../database.ts";
import { assertWidth, type Source, type SourceNote } from "../source.ts";
import { dayOf, daysAsNumbers, readTextColumns, type TextReading } from "./typing.ts";

export interface LoadedTable {
  /** The view of the typed table in this database. */
  relation: "dataset";
  rows: number;
  columns: { name: string; type: string }[];
  /** Text columns that are mostly something else. */
  readings: Map<string, TextReading>;
  notes: SourceNote[];
}

/** @throws NonRetryableError when the file has no columns or no rows */
export async function loadTable(db: Database, source: Source): Promise<LoadedTable> {
  const kind = source.format === "parquet" ? "VIEW" : "TABLE";
  try {
    await db.query("Read the file", `CREATE OR REPLACE ${kind} raw AS SELECT * FROM ${source.relation}`);
  } catch (cause) {
    const reason = cause instanceof Error ? (cause.message.split("\n")[0] ?? "") : String(cause);
    throw new NonRetryableError(
      `${source.path} cannot be read as ${source.format.toUpperCase()}: ${reason.slice(0, 300)}. ` +
        "Check that the file is complete and of the format that its name says.",
      { cause },
    );
  }
  const described = await db.describe("raw");
  assertWidth(source.path, described.length);
  const [counted] = await db.rows("SELECT count(*) AS n FROM raw");
  const rows = num(counted?.n);
  if (rows === 0) {
    throw new NonRetryableError(
      `${source.path} has ${described.length} columns but no rows. Give a file with at least one row of data.`,
    );
  }
  const notes = [...source.notes];
  const nested = described.filter((column) => isNested(column.type));
  if (nested.length > 0) {
    notes.push({
      kind: "nested",
      count: nested.length,
      sentence: `${nested.length} column(s) hold lists or objects, kept as JSON text: ${nested
        .map((c) => c.name)
        .slice(0, 5)
        .join(", ")}.`,
    });
  }
  const flat = described.map((column) => ({ ...column, expression: flatten(column.name, column.type) }));
  const texts = flat.filter((column) => column.expression.text);
  await db.rows(
    `CREATE OR REPLACE VIEW flat AS SELECT ${flat
      .map(({ name, expression }) => `${expression.sql} AS ${ident(name)}`)
      .join(", ")} FROM raw`,
  );
  const found = await readTextColumns(
    db,
    "flat",
    texts.map((column) => column.name),
  );
  const days = await daysAsNumbers(
    db,
    "flat",
    flat.flatMap(({ name, expression }) => (expression.whole ? [name] : [])),
  );
  const readings = new Map<string, TextReading>();
  const selected: string[] = [];
  for (const { name, expression } of flat) {
    const reading = found.get(name);
    if (days.has(name)) {
      selected.push(`${dayOf(`CAST(${expression.sql} AS VARCHAR)`)} AS ${ident(name)}`);
    } else if (reading && reading.readable === reading.filled) {
      // The reading trims the column; here it stands for the flattened value of it.
      selected.push(`${reading.expression.replaceAll(ident(name), `(${expression.sql})`)} AS ${ident(name)}`);
      if (reading.ambiguous) {
        notes.push({
          kind: "header",
          count: 1,
          sentence: `The dates in "${name}" could be day-month or month-day; they were read as ${reading.form}.`,
        });
      }
    } else {
      if (reading) readings.set(name, reading);
      selected.push(
        `${expression.text ? `nullif(${expression.sql}, '')` : expression.sql} AS ${ident(name)}`,
      );
    }
  }
  await db.query(
    "Give each column the type that all its values have",
    `CREATE OR REPLACE ${kind} dataset AS SELECT\n  ${selected.join(",\n  ")}\nFROM raw`,
  );
  return { relation: "dataset", rows, columns: await db.describe("dataset"), readings, notes };
}

function isNested(type: string): boolean {
  return /\[\d*\]$|^STRUCT|^MAP|^UNION/.test(type);
}

/** SQL that gives a column one of the types that the agents know; `text` when that is VARCHAR, `whole` when BIGINT. */
function flatten(name: string, type: string): { sql: string; text: boolean; whole?: true } {
  const column = ident(name);
  if (isNested(type)) return { sql: `CAST(to_json(${column}) AS VARCHAR)`, text: true };
  if (type === "JSON") return { sql: `(${column} ->> '$')`, text: true };
  if (type === "VARCHAR") return { sql: column, text: true };
  if (/^(TINYINT|SMALLINT|INTEGER|BIGINT|UTINYINT|USMALLINT|UINTEGER)$/.test(type)) {
    return { sql: `CAST(${column} AS BIGINT)`, text: false, whole: true };
  }
  if (/^(FLOAT|DOUBLE|UBIGINT|HUGEINT|UHUGEINT|DECIMAL.*|BIGNUM)$/.test(type)) {
    return { sql: `CAST(${column} AS DOUBLE)`, text: false };
  }
  if (/^TIMESTAMP/.test(type)) return { sql: `CAST(${column} AS TIMESTAMP)`, text: false };
  if (type === "DATE" || type === "BOOLEAN") return { sql: column, text: false };
  return { sql: `CAST(${column} AS VARCHAR)`, text: true };
}

/** Writes a relation to a Parquet file; the view named `name` reads it from then on. */
export async function saveTable(db: Database, relation: string, file: string): Promise<void> {
  await db.rows(`COPY (SELECT * FROM ${relation}) TO ${literal(file)} (FORMAT parquet)`);
}

/** Makes a table of the work folder readable under a name. */
export async function openTable(db: Database, name: string, file: string): Promise<void> {
  await db.query(
    `Open ${name}`,
    `CREATE OR REPLACE VIEW ${ident(name)} AS SELECT * FROM read_parquet(${literal(file)})`,
  );
}
