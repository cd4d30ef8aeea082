/**
 * What each column holds, counted in SQL: missing, distinct, ranges, quartiles, frequent values, kinds.
 *
 * The same code gives the cheap facts that shape the plan (`detail: "facts"`) and the explorer's profile,
 * so that plan and report never disagree about what is in the data.
 */
import { type Database, ident, literal, num, numOrNull, type Row } from "../database.ts";
import type { SourceNote } from "../source.ts";
import type {
  ColumnKind,
  ColumnProfile,
  DateProfile,
  NumberProfile,
  Profile,
  TextProfile,
} from "./column.ts";
import { findProblems } from "./problems.ts";
import { MISSING_TOKENS, type TextReading } from "./typing.ts";

/** Above this many rows distinct values are estimated (HyperLogLog) instead of counted. */
const EXACT_DISTINCT_ROWS = 500_000;
const COLUMNS_PER_QUERY = 12;
/** Columns whose frequent values are listed. */
const TOP_COLUMNS = 120;
const TOP_VALUES = 10;

export interface ProfileRequest {
  relation: string;
  rows: number;
  bytes: number;
  columns: readonly { name: string; type: string }[];
  readings: ReadonlyMap<string, TextReading>;
  notes: readonly SourceNote[];
  detail: "facts" | "full";
}

export async function profileTable(db: Database, request: ProfileRequest): Promise<Profile> {
  const { relation, rows, columns } = request;
  const approximate = rows > EXACT_DISTINCT_ROWS;
  const profiles: ColumnProfile[] = [];
  for (let at = 0; at < columns.length; at += COLUMNS_PER_QUERY) {
    const chunk = columns.slice(at, at + COLUMNS_PER_QUERY);
    const sql = chunk.flatMap((column, index) => measures(column, index, approximate, request.detail));
    const range = columns.length > COLUMNS_PER_QUERY ? ` (${at + 1} to ${at + chunk.length})` : "";
    const row = await db.one(
      `Measure each column${range}`,
      `SELECT\n  ${sql.join(",\n  ")}\nFROM ${relation}`,
    );
    for (const [index, column] of chunk.entries()) {
      profiles.push(readColumn(column, index, row, rows, approximate, request.readings.get(column.name)));
    }
  }
  if (request.detail === "full") {
    await addFarOut(db, relation, profiles);
    await addTop(db, relation, profiles);
  }
  await countVariants(db, relation, profiles);
  const duplicates = await countDuplicates(db, relation, rows, columns.length);
  return {
    rows,
    bytes: request.bytes,
    columns: profiles,
    missingCells: profiles.reduce((sum, column) => sum + column.missing, 0),
    problems: findProblems({ rows, columns: profiles, duplicates, notes: request.notes }),
  };
}

const isNumeric = (type: string) => type === "BIGINT" || type === "DOUBLE";
const isDate = (type: string) => type === "DATE" || type === "TIMESTAMP";

function measures(
  column: { name: string; type: string },
  index: number,
  approximate: boolean,
  detail: "facts" | "full",
): string[] {
  const c = ident(column.name);
  const as = (expression: string, key: string) => `${expression} AS ${key}${index}`;
  const list = [
    as(`count(${c})`, "filled"),
    as(approximate ? `approx_count_distinct(${c})` : `count(DISTINCT ${c})`, "distinct"),
  ];
  if (isNumeric(column.type)) {
    const ok = `FILTER (WHERE isfinite(CAST(${c} AS DOUBLE)))`;
    const d = `CAST(${c} AS DOUBLE)`;
    list.push(
      as(`min(${d}) ${ok}`, "min"),
      as(`max(${d}) ${ok}`, "max"),
      as(`count(*) FILTER (WHERE NOT isfinite(${d}))`, "nonfinite"),
      as(`count(*) FILTER (WHERE ${c} = floor(${c}) AND isfinite(${d}))`, "whole"),
    );
    if (detail === "full") {
      list.push(
        as(`avg(${d}) ${ok}`, "mean"),
        as(`stddev_samp(${d}) ${ok}`, "sd"),
        as(`quantile_cont(${d}, [0.05, 0.25, 0.5, 0.75, 0.95]) ${ok}`, "q"),
        as(`count(*) FILTER (WHERE ${c} = 0)`, "zeros"),
        as(`count(*) FILTER (WHERE ${c} < 0)`, "negatives"),
      );
    }
  } else if (isDate(column.type)) {
    list.push(
      as(`CAST(min(${c}) AS VARCHAR)`, "min"),
      as(`CAST(max(${c}) AS VARCHAR)`, "max"),
      as(`count(*) FILTER (WHERE CAST(${c} AS DATE) > current_date)`, "future"),
      as(column.type === "DATE" ? "0" : `count(*) FILTER (WHERE ${c} <> date_trunc('day', ${c}))`, "timed"),
    );
  } else if (column.type === "VARCHAR") {
    const tokens = MISSING_TOKENS.filter((token) => token !== "" && token !== "none")
      .map(literal)
      .join(", ");
    list.push(
      as(`min(length(${c}))`, "minlength"),
      as(`max(length(${c}))`, "maxlength"),
      as(`avg(length(${c}))`, "meanlength"),
      as(`count(*) FILTER (WHERE ${c} <> trim(${c}))`, "padded"),
      as(`count(*) FILTER (WHERE lower(trim(${c})) IN (${tokens}) OR trim(${c}) = '')`, "tokens"),
    );
  }
  return list;
}

function readColumn(
  column: { name: string; type: string },
  index: number,
  row: Row,
  rows: number,
  approximate: boolean,
  reading: TextReading | undefined,
): ColumnProfile {
  const get = (key: string) => row[`${key}${index}`];
  const filled = num(get("filled"));
  const profile: ColumnProfile = {
    name: column.name,
    type: column.type,
    kind: "text",
    missing: rows - filled,
    distinct: Math.min(num(get("distinct")), filled),
    approximate,
    top: [],
  };
  if (isNumeric(column.type)) profile.number = readNumber(get, filled);
  else if (isDate(column.type) && filled > 0) profile.date = readDate(get);
  else if (column.type === "VARCHAR") profile.text = readText(get);
  if (reading) {
    const { as, expression, form, readable } = reading;
    profile.mostly = { as, expression, form, readable, filled: reading.filled };
  }
  profile.kind = kindOf(profile, filled);
  return profile;
}

type Get = (key: string) => Row[string] | undefined;

function readNumber(get: Get, filled: number): NumberProfile {
  const quantiles = JSON.parse(String(get("q") ?? "null")) as number[] | { items: number[] } | null;
  const q = Array.isArray(quantiles) ? quantiles : (quantiles?.items ?? []);
  const nonFinite = num(get("nonfinite"));
  return {
    min: numOrNull(get("min")) ?? 0,
    max: numOrNull(get("max")) ?? 0,
    mean: numOrNull(get("mean")) ?? 0,
    sd: numOrNull(get("sd")) ?? 0,
    q05: q[0] ?? 0,
    q25: q[1] ?? 0,
    median: q[2] ?? 0,
    q75: q[3] ?? 0,
    q95: q[4] ?? 0,
    zeros: num(get("zeros")),
    negatives: num(get("negatives")),
    nonFinite,
    farOut: 0,
    whole: num(get("whole")) === filled - nonFinite,
  };
}

function readDate(get: Get): DateProfile {
  return {
    min: String(get("min") ?? ""),
    max: String(get("max") ?? ""),
    future: num(get("future")),
    daysOnly: num(get("timed")) === 0,
  };
}

function readText(get: Get): TextProfile {
  return {
    minLength: num(get("minlength")),
    maxLength: num(get("maxlength")),
    meanLength: num(get("meanlength")),
    padded: num(get("padded")),
    tokens: num(get("tokens")),
    variants: 0,
  };
}

const ID_NAME =
  /(^|[\s_\-.])(id|ids|uuid|guid|key|index|idx|rownum|row|serial|no|nr|zip|zipcode|postcode|phone|fips)$|[a-z](Id|ID|Key)$|^unnamed/;
const YEAR_NAME = /(^|[^a-z])(year|yr|yyyy)([^a-z]|$)/i;

function kindOf(column: ColumnProfile, filled: number): ColumnKind {
  if (filled === 0) return "empty";
  if (column.mostly) {
    if (column.mostly.as === "date" || column.mostly.as === "timestamp") return "date";
    return column.mostly.as === "boolean" ? "boolean" : "number";
  }
  if (column.distinct === 1 && filled > 1) return "constant";
  if (column.type === "BOOLEAN") return "boolean";
  if (column.date) return "date";
  if (column.number) {
    const { whole, min, max } = column.number;
    if (whole && YEAR_NAME.test(column.name) && min >= 1000 && max <= 2999) return "year";
    const unique = column.distinct >= filled * (column.approximate ? 0.97 : 1) && filled > 2;
    if (whole && ID_NAME.test(column.name) && column.distinct > Math.min(20, filled * 0.5)) return "id";
    if (whole && unique && max - min === filled - 1 && filled >= 10) return "id";
    return "number";
  }
  const { distinct } = column;
  const meanLength = column.text?.meanLength ?? 0;
  const repeats = distinct <= filled * 0.9;
  const few =
    distinct <= 30 ||
    (distinct <= 200 && distinct <= filled * 0.3) ||
    (distinct <= 1_000 && distinct <= filled * 0.05);
  if (repeats && few && meanLength <= 80) return "category";
  if (distinct === filled && filled > 2 && ID_NAME.test(column.name) && meanLength <= 40) return "id";
  return "text";
}

/** Values beyond three interquartile ranges: needs the quartiles first. */
async function addFarOut(db: Database, relation: string, columns: readonly ColumnProfile[]): Promise<void> {
  const numbers = columns.filter((c) => c.number && c.kind === "number" && c.number.q75 > c.number.q25);
  for (let at = 0; at < numbers.length; at += COLUMNS_PER_QUERY) {
    const chunk = numbers.slice(at, at + COLUMNS_PER_QUERY);
    const sql = chunk.map((column, index) => {
      const { low, high } = fences(column.number as NumberProfile);
      const c = ident(column.name);
      return `count(*) FILTER (WHERE isfinite(CAST(${c} AS DOUBLE)) AND (${c} < ${low} OR ${c} > ${high})) AS n${index}`;
    });
    const row = await db.one(
      "Count values far from the rest",
      `SELECT\n  ${sql.join(",\n  ")}\nFROM ${relation}`,
    );
    for (const [index, column] of chunk.entries())
      (column.number as NumberProfile).farOut = num(row[`n${index}`]);
  }
}

/** Tukey's outer fences. */
function fences(profile: NumberProfile): { low: number; high: number } {
  const spread = profile.q75 - profile.q25;
  return { low: profile.q25 - 3 * spread, high: profile.q75 + 3 * spread };
}

async function addTop(db: Database, relation: string, columns: readonly ColumnProfile[]): Promise<void> {
  const listed = columns.filter(
    (c) =>
      c.kind === "category" ||
      c.kind === "boolean" ||
      (c.number?.whole === true && c.distinct <= 20) ||
      c.kind === "constant",
  );
  for (const column of listed.slice(0, TOP_COLUMNS)) {
    const c = ident(column.name);
    const rows = await db.query(
      `Most frequent values of ${column.name}`,
      `SELECT CAST(${c} AS VARCHAR) AS value, count(*) AS n FROM ${relation}\nWHERE ${c} IS NOT NULL GROUP BY ALL ORDER BY n DESC, value LIMIT ${TOP_VALUES}`,
    );
    column.top = rows.map((row) => ({ value: String(row.value), count: num(row.n) }));
  }
}

/** Spellings of one category that differ in case or blanks only. */
async function countVariants(
  db: Database,
  relation: string,
  columns: readonly ColumnProfile[],
): Promise<void> {
  for (const column of columns) {
    if (column.kind !== "category" || !column.text) continue;
    const c = ident(column.name);
    const [row] = await db.rows(
      `SELECT coalesce(sum(n) - sum(top), 0) AS n FROM (
        SELECT sum(n) AS n, max(n) AS top, count(*) AS forms FROM (
          SELECT trim(${c}) AS v, count(*) AS n FROM ${relation} WHERE ${c} IS NOT NULL GROUP BY ALL
        ) GROUP BY lower(v)) WHERE forms > 1`,
    );
    column.text.variants = num(row?.n);
  }
}

/** Rows that repeat an earlier row in every column. */
async function countDuplicates(
  db: Database,
  relation: string,
  rows: number,
  columns: number,
): Promise<number> {
  if (columns > 300) return 0;
  const row = await db.one(
    "Count rows that repeat another row",
    `SELECT count(*) AS distinct_rows FROM (SELECT DISTINCT * FROM ${relation})`,
  );
  return rows - num(row.distinct_rows);
}
