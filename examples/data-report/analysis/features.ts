/**
 * From a table to the matrix that a model takes: which columns may predict the target, and how each becomes
 * numbers.
 *
 * Owns the guard against leakage: columns that name rows, copy the target or nearly determine it are left
 * out, each with its reason. What a column's encoding needs to learn (medians, frequent levels) is learned
 * on the training rows only.
 */
import { median } from "simple-statistics";
import type { Cell, Row } from "../database.ts";
import type { ColumnProfile } from "../table/column.ts";

export interface LeftOut {
  column: string;
  reason: string;
}

/** Levels of a category that get a column of their own. */
const MAX_LEVELS = 8;

/** One input column with what it became. */
export interface Encoder {
  column: string;
  /** Names of the numbers that it yields. */
  outputs: string[];
  encode(value: Cell): number[];
}

/** Learns how to encode each column from the training rows. */
export function learnEncoders(columns: readonly ColumnProfile[], training: readonly Row[]): Encoder[] {
  return columns.flatMap((column) => {
    const values = training.map((row) => row[column.name] ?? null);
    if (column.kind === "date") return [dateEncoder(column.name, values)];
    if (column.kind === "category" || column.kind === "boolean") return [levelEncoder(column.name, values)];
    return [numberEncoder(column.name, values)];
  });
}

function numberEncoder(column: string, values: readonly Cell[]): Encoder {
  const known = values.flatMap((value) =>
    typeof value === "number" && Number.isFinite(value) ? [value] : [],
  );
  const fill = medianOf(known);
  const gaps = known.length < values.length;
  return {
    column,
    outputs: gaps ? [column, `${column} is missing`] : [column],
    encode(value) {
      const ok = typeof value === "number" && Number.isFinite(value);
      const number = ok ? value : fill;
      return gaps ? [number, ok ? 0 : 1] : [number];
    },
  };
}

/** Dates become their year with a fraction, and the month. */
function dateEncoder(column: string, values: readonly Cell[]): Encoder {
  const year = (value: Cell) => {
    const ms = typeof value === "string" ? Date.parse(value) : Number.NaN;
    return Number.isNaN(ms) ? null : 1970 + ms / (365.25 * 86_400_000);
  };
  const fill = medianOf(values.flatMap((value) => year(value) ?? []));
  return {
    column,
    outputs: [`${column} (time)`, `${column} (month)`],
    encode(value) {
      const at = year(value);
      return at === null ? [fill, 0] : [at, new Date(Date.parse(String(value))).getUTCMonth() + 1];
    },
  };
}

function levelEncoder(column: string, values: readonly Cell[]): Encoder {
  const counts = new Map<string, number>();
  for (const value of values) counts.set(levelOf(value), (counts.get(levelOf(value)) ?? 0) + 1);
  const levels = [...counts]
    .filter(([, n]) => n >= 5)
    .sort((a, b) => b[1] - a[1] || a[0].localeCompare(b[0]))
    .slice(0, MAX_LEVELS)
    .map(([level]) => level);
  // Two levels are one question.
  const asked = levels.length === 2 && counts.size === 2 ? levels.slice(0, 1) : levels;
  return {
    column,
    outputs: asked.map((level) => `${column} = ${level}`),
    encode(value) {
      const own = levelOf(value);
      return asked.map((level) => (own === level ? 1 : 0));
    },
  };
}

/** A category's level as text; missing is a level of its own. */
export function levelOf(value: Cell): string {
  return value === null ? "(missing)" : String(value);
}

function medianOf(values: readonly number[]): number {
  return values.length === 0 ? 0 : median([...values]);
}

/** A small random source with a seed (mulberry32): the same split and the same model every time. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}
