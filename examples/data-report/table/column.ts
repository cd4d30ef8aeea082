/** The words in which all agents speak about a table: kinds of columns, their profile, the problems found. */
import { z } from "zod";

/**
 * What a column is good for, which its SQL type does not say: `id` names rows, `year` is time in whole
 * years, `category` repeats few values, `text` does not repeat enough to group by.
 */
export const COLUMN_KINDS = [
  "number",
  "year",
  "date",
  "category",
  "boolean",
  "text",
  "id",
  "constant",
  "empty",
] as const;
export type ColumnKind = (typeof COLUMN_KINDS)[number];

export interface NumberProfile {
  min: number;
  max: number;
  mean: number;
  /** Sample standard deviation; 0 for one value. */
  sd: number;
  q05: number;
  q25: number;
  median: number;
  q75: number;
  q95: number;
  zeros: number;
  negatives: number;
  /** Values that are infinite or not a number; no other figure counts them. */
  nonFinite: number;
  /** Values beyond three interquartile ranges from the quartiles. */
  farOut: number;
  whole: boolean;
}

export interface DateProfile {
  /** ISO text. */
  min: string;
  max: string;
  /** Values later than the day on which the profile was made. */
  future: number;
  /** Every value is at midnight, or the column has no time of day. */
  daysOnly: boolean;
}

export interface TextProfile {
  minLength: number;
  maxLength: number;
  meanLength: number;
  /** Values with blanks at an end. */
  padded: number;
  /** Values such as `N/A` that mean "missing". */
  tokens: number;
  /** Values that differ from another only in case or blanks. */
  variants: number;
}

/** A text column that is mostly numbers, dates or truth values. */
export interface Mostly {
  as: "number" | "integer" | "date" | "timestamp" | "boolean";
  expression: string;
  form: string;
  readable: number;
  filled: number;
}

export interface ColumnProfile {
  name: string;
  /** DuckDB's type. */
  type: string;
  kind: ColumnKind;
  missing: number;
  distinct: number;
  /** `distinct` is an estimate: the table is large. */
  approximate: boolean;
  number?: NumberProfile;
  date?: DateProfile;
  text?: TextProfile;
  mostly?: Mostly;
  /** The most frequent values. */
  top: { value: string; count: number }[];
}

export const PROBLEM_KINDS = [
  "missing",
  "missing-token",
  "empty-column",
  "duplicate-rows",
  "repeated-rows",
  "number-as-text",
  "date-as-text",
  "boolean-as-text",
  "padded",
  "variants",
  "non-finite",
  "future-dates",
  "constant-column",
  "far-out",
  "near-copy",
  "reading",
] as const;

/** Something about the data that a reader must know. */
export interface Problem {
  kind: (typeof PROBLEM_KINDS)[number];
  column?: string;
  /** Cells, rows or columns concerned; `unit` says which. */
  count: number;
  unit: "cells" | "rows" | "columns" | "file";
  sentence: string;
  /** The cleaner has something to do about it. */
  treatable: boolean;
}

export interface Profile {
  rows: number;
  bytes: number;
  columns: ColumnProfile[];
  missingCells: number;
  problems: Problem[];
}

/** A table in the work folder, as it travels in the environment: small, whatever the table's size. */
export const tableSchema = z.object({
  file: z.string(),
  rows: z.int(),
  columns: z.int(),
  /** Its own profile, where it differs from the loaded table's. */
  profile: z.string().optional(),
  /** The step's logbook entry. */
  log: z.string(),
});
export type TableRef = z.infer<typeof tableSchema>;

/** The explorer's work, as it travels in the environment. */
export const profileSchema = z.object({
  file: z.string(),
  rows: z.int(),
  columns: z.int(),
  missingCells: z.int(),
  problems: z.int(),
  treatable: z.int(),
  log: z.string(),
});
