/**
 * Finds what the text columns of a raw table really hold: numbers, dates, truth values, or text.
 *
 * Reads values, changes none. A column is "entirely" a type when every value that is not blank reads as
 * that type: the loader converts those, since nothing is lost. A column that is mostly a type (at least
 * 90 %) stays text until the cleaner converts it and counts what could not be read.
 */
import { type Database, ident, literal, num } from "../database.ts";

/** What a text column reads as. `readable` of `filled` values can be converted by `expression`. */
export interface TextReading {
  as: "number" | "integer" | "date" | "timestamp" | "boolean";
  /** SQL that converts one value, null where it cannot be read. */
  expression: string;
  /** For people: the form of the values. */
  form: string;
  readable: number;
  filled: number;
  /** The day-month order could not be told from the values. */
  ambiguous: boolean;
}

/** The share of filled values that must read as a type before a column is taken for it. */
const MOSTLY = 0.9;
/** Values looked at to find a date's format, before the whole column is counted. */
const SAMPLE_VALUES = 2_000;
/** Values looked at to see whether a column is plainly text. */
const FIRST_VALUES = 5_000;
const COLUMNS_PER_QUERY = 12;

/** So many numbers that all read as days are no chance: of all numbers of eight digits one in thirty does. */
const MIN_DAYS = 5;

/** Texts that mean "no value" in a column of numbers or dates. */
export const MISSING_TOKENS = ["", "na", "n/a", "#n/a", "nan", "null", "nil", "none", "-", "--", "?", "."];

const DATE_FORMATS = [
  "%Y-%m-%d",
  "%Y/%m/%d",
  "%d.%m.%Y",
  "%m/%d/%Y",
  "%d/%m/%Y",
  "%m/%d/%y",
  "%d/%m/%y",
  "%m-%d-%Y",
  "%d-%m-%Y",
  "%b %d %Y",
  "%B %d %Y",
  "%b %d, %Y",
  "%B %d, %Y",
  "%d %b %Y",
  "%d %B %Y",
  "%d-%b-%Y",
  "%d-%b-%y",
  "%d-%B-%Y",
  "%a %b %d %Y",
  "%Y-%m",
  "%Y/%m",
  "%b %Y",
  "%B %Y",
  "%Y%m%d",
];
const TIME_FORMATS = [
  "%Y-%m-%d %H:%M:%S",
  "%Y-%m-%d %H:%M",
  "%Y/%m/%d %H:%M:%S",
  "%Y/%m/%d %H:%M",
  "%m/%d/%Y %H:%M:%S",
  "%m/%d/%Y %H:%M",
  "%d/%m/%Y %H:%M:%S",
  "%d/%m/%Y %H:%M",
  "%m/%d/%y %H:%M",
  "%d/%m/%y %H:%M",
  "%d.%m.%Y %H:%M",
  "%d.%m.%Y %H:%M:%S",
  "%m/%d/%Y %I:%M:%S %p",
  "%m/%d/%Y %I:%M %p",
  "%b %d %Y %H:%M:%S",
  "%Y-%m-%dT%H:%M:%S",
  "%Y-%m-%dT%H:%M:%S.%f",
  "%Y-%m-%dT%H:%M:%SZ",
  "%Y-%m-%dT%H:%M:%S.%fZ",
  "%Y-%m-%d %H:%M:%S.%f",
];

const NUMBER = String.raw`^[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?$`;
const LEADING_ZERO = String.raw`^[-+]?0\d`;
const DECORATED = String.raw`^[-+]?[$€£]\s?\d{1,3}(,\d{3})*(\.\d+)?$|^[-+]?\d{1,3}(,\d{3})+(\.\d+)?$|^[-+]?[$€£]\s?\d+(\.\d+)?$|^[-+]?\d+(\.\d+)?\s?%$`;
/** Words for numbers that are not finite: the column is one of numbers, but they cannot be read as one. */
const NOT_FINITE = "^[-+]?(inf|infinity)$";

/**
 * @param relation a table or view whose columns `names` are text
 * @returns a reading for every column that is at least mostly something other than text
 */
export async function readTextColumns(
  db: Database,
  relation: string,
  names: readonly string[],
): Promise<Map<string, TextReading>> {
  const readings = new Map<string, TextReading>();
  for (let at = 0; at < names.length; at += COLUMNS_PER_QUERY) {
    const chunk = names.slice(at, at + COLUMNS_PER_QUERY);
    const promising = await promisingColumns(db, relation, chunk);
    if (promising.length > 0) await readChunk(db, relation, promising, readings);
  }
  return readings;
}

/**
 * Leaves out columns whose first values are plainly text, so that long columns of text are not searched for
 * numbers to their ends. Where nothing is filled at the start, nothing is known, and the column stays in.
 */
async function promisingColumns(db: Database, relation: string, names: readonly string[]): Promise<string[]> {
  const head = `(SELECT ${names.map(ident).join(", ")} FROM ${relation} LIMIT ${FIRST_VALUES})`;
  const tokens = MISSING_TOKENS.map(literal).join(", ");
  const counts = names.flatMap((name, index) => {
    const v = `trim(${ident(name)})`;
    const meant = `lower(${v}) NOT IN (${tokens})`;
    const hopeful = `regexp_matches(${v}, '\\d') OR lower(${v}) IN ('true', 'false') OR regexp_matches(${v}, ${literal(NOT_FINITE)}, 'i')`;
    return [
      `count(*) FILTER (WHERE ${meant}) AS n${index}`,
      `count(*) FILTER (WHERE ${meant} AND (${hopeful})) AS h${index}`,
    ];
  });
  const [row] = await db.rows(`SELECT ${counts.join(", ")} FROM ${head}`);
  return names.filter((_, index) => num(row?.[`h${index}`]) >= num(row?.[`n${index}`]) * 0.5);
}

async function readChunk(
  db: Database,
  relation: string,
  names: readonly string[],
  readings: Map<string, TextReading>,
): Promise<void> {
  const counts = names.flatMap((name, index) => {
    const v = `trim(${ident(name)})`;
    const filled = `${v} <> ''`;
    return [
      `count(*) FILTER (WHERE ${filled}) AS f${index}`,
      `count(*) FILTER (WHERE lower(${v}) IN (${MISSING_TOKENS.map(literal).join(", ")}) AND ${filled}) AS t${index}`,
      `count(*) FILTER (WHERE regexp_matches(${v}, ${literal(NUMBER)})) AS n${index}`,
      `count(*) FILTER (WHERE regexp_matches(${v}, ${literal(NOT_FINITE)}, 'i')) AS x${index}`,
      `count(*) FILTER (WHERE TRY_CAST(${v} AS BIGINT) IS NOT NULL AND regexp_matches(${v}, '^[-+]?\\d+$')) AS i${index}`,
      `count(*) FILTER (WHERE ${isDay(v)}) AS c${index}`,
      `count(*) FILTER (WHERE regexp_matches(${v}, ${literal(LEADING_ZERO)}) AND NOT contains(${v}, '.')) AS z${index}`,
      `count(*) FILTER (WHERE regexp_matches(${v}, ${literal(DECORATED)})) AS d${index}`,
      `count(*) FILTER (WHERE lower(${v}) IN ('true', 'false')) AS b${index}`,
    ];
  });
  const [row] = await db.rows(`SELECT ${counts.join(", ")} FROM ${relation}`);
  const undecided: string[] = [];
  for (const [index, name] of names.entries()) {
    const get = (key: string) => num(row?.[`${key}${index}`]);
    const filled = get("f");
    const tokens = get("t");
    if (filled === 0) continue;
    const v = `trim(${ident(name)})`;
    const meant = filled - tokens;
    const enough = (readable: number) => meant > 0 && readable >= meant * MOSTLY;
    const base = { filled, ambiguous: false };
    if (enough(get("b"))) {
      const expression = `CASE lower(${v}) WHEN 'true' THEN true WHEN 'false' THEN false END`;
      readings.set(name, { ...base, as: "boolean", expression, form: "true or false", readable: get("b") });
    } else if (enough(get("n") + get("x")) && get("z") <= meant * 0.01) {
      const integer = get("i") === get("n");
      const type = integer ? "BIGINT" : "DOUBLE";
      const expression = `TRY_CAST(${v} AS ${type})`;
      const as = integer ? "integer" : "number";
      readings.set(name, { ...base, as, expression, form: "number", readable: get("n") });
      if (integer && get("c") === get("n") && get("n") >= MIN_DAYS) undecided.push(name);
    } else if (enough(get("n") + get("d")) && get("z") <= meant * 0.01) {
      const expression = `TRY_CAST(regexp_replace(${v}, '[$€£,%\\s]', '', 'g') AS DOUBLE)`;
      const form = "number with currency, thousands or percent signs";
      readings.set(name, { ...base, as: "number", expression, form, readable: get("n") + get("d") });
    } else {
      undecided.push(name);
    }
  }
  for (const name of undecided) {
    const reading = await readDates(db, relation, name);
    if (reading) readings.set(name, reading);
  }
}

/** Of columns of whole numbers those whose every value is a day written as one, 20240229. */
export async function daysAsNumbers(
  db: Database,
  relation: string,
  names: readonly string[],
): Promise<Set<string>> {
  const days = new Set<string>();
  if (names.length === 0) return days;
  // The ends of most columns of numbers are no days, and they are known at once.
  const ends = names.flatMap((name, index) => [
    `CAST(min(${ident(name)}) AS VARCHAR) AS low${index}`,
    `CAST(max(${ident(name)}) AS VARCHAR) AS high${index}`,
  ]);
  const areDays = names.map(
    (_, index) => `${isDay(`low${index}`)} AND ${isDay(`high${index}`)} AS days${index}`,
  );
  const [likely] = await db.rows(
    `SELECT ${areDays.join(", ")} FROM (SELECT ${ends.join(", ")} FROM ${relation})`,
  );
  for (const [index, name] of names.entries()) {
    if (likely?.[`days${index}`] !== true) continue;
    const v = `CAST(${ident(name)} AS VARCHAR)`;
    const [all] = await db.rows(
      `SELECT count(${ident(name)}) AS filled, count(*) FILTER (WHERE ${isDay(v)}) AS days FROM ${relation}`,
    );
    if (num(all?.days) === num(all?.filled) && num(all?.days) >= MIN_DAYS) days.add(name);
  }
  return days;
}

/** SQL that reads a text of eight digits as a day. */
export function dayOf(text: string): string {
  return `CAST(TRY_STRPTIME(${text}, '%Y%m%d') AS DATE)`;
}

function isDay(text: string): string {
  return `regexp_matches(${text}, '^(1[6-9]|20)\\d{6}$') AND ${dayOf(text)} IS NOT NULL`;
}

/** Finds the format under which most values are dates: on a sample first, then over the whole column. */
async function readDates(db: Database, relation: string, name: string): Promise<TextReading | undefined> {
  const v = `trim(${ident(name)})`;
  const sample = `(SELECT DISTINCT ${v} AS v FROM (SELECT ${ident(name)} FROM ${relation}
    WHERE ${v} <> '' AND length(${v}) BETWEEN 6 AND 40 AND regexp_matches(${v}, '\\d')
    LIMIT ${SAMPLE_VALUES}))`;
  const formats = [...DATE_FORMATS, ...TIME_FORMATS];
  const [hits] = await db.rows(
    `SELECT count(*) AS n, ${formats
      .map((format, index) => `count(TRY_STRPTIME(v, ${literal(format)})) AS f${index}`)
      .join(", ")} FROM ${sample}`,
  );
  const sampled = num(hits?.n);
  if (sampled === 0) return undefined;
  const candidates = formats
    .map((format, index) => ({ format, hits: num(hits?.[`f${index}`]) }))
    .filter((candidate) => candidate.hits >= sampled * 0.8)
    .sort((a, b) => b.hits - a.hits)
    .slice(0, 3);
  if (candidates.length === 0) return undefined;
  const tokens = `lower(${v}) IN (${MISSING_TOKENS.map(literal).join(", ")})`;
  const [full] = await db.rows(
    `SELECT count(*) FILTER (WHERE ${v} <> '') AS filled, count(*) FILTER (WHERE ${v} <> '' AND ${tokens}) AS tokens, ${candidates
      .map(({ format }, index) => `count(TRY_STRPTIME(${v}, ${literal(format)})) AS f${index}`)
      .join(", ")} FROM ${relation}`,
  );
  const filled = num(full?.filled);
  const counted = candidates.map((candidate, index) => ({
    ...candidate,
    readable: num(full?.[`f${index}`]),
  }));
  counted.sort((a, b) => b.readable - a.readable);
  const best = counted[0];
  if (!best || best.readable < (filled - num(full?.tokens)) * MOSTLY) return undefined;
  const swapped = (format: string) =>
    format.replace("%m", "\u0001").replace("%d", "%m").replace("\u0001", "%d");
  const ambiguous = counted.some(
    (c) => c !== best && c.readable === best.readable && c.format === swapped(best.format),
  );
  const stamped = TIME_FORMATS.includes(best.format);
  const parsed = `TRY_STRPTIME(${v}, ${literal(best.format)})`;
  return {
    as: stamped ? "timestamp" : "date",
    expression: stamped ? parsed : `CAST(${parsed} AS DATE)`,
    form: best.format,
    readable: best.readable,
    filled,
    ambiguous,
  };
}
