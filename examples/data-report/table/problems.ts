/** Judges a profile: which facts about the data are problems, and which of them cleaning can treat. */
import type { SourceNote } from "../source.ts";
import { count, percent } from "../wording.ts";
import type { ColumnProfile, Problem } from "./column.ts";

export interface Evidence {
  rows: number;
  columns: readonly ColumnProfile[];
  /** Rows that repeat an earlier row in every column. */
  duplicates: number;
  notes: readonly SourceNote[];
}

/** Repeated rows are taken for mistakes only while they are few: else equal rows are what the data is like. */
const MAX_MISTAKEN_DUPLICATES = 0.05;
/** And only in tables wide enough that two different things rarely look alike. */
const MIN_COLUMNS_FOR_DUPLICATES = 4;
/** And only where some column tells most rows apart: else two things may well be alike in all columns. */
const MIN_TELLING_SHARE = 0.5;
/** Future dates are taken for mistakes only while they are few. */
const MAX_MISTAKEN_FUTURE = 0.02;

/** Most important first. */
export function findProblems({ rows, columns, duplicates, notes }: Evidence): Problem[] {
  const problems: Problem[] = notes.map((note) => ({
    kind: "reading",
    count: note.count,
    unit: "file",
    sentence: note.sentence,
    treatable: false,
  }));
  if (duplicates > 0) {
    const telling = Math.max(...columns.map((column) => column.distinct)) >= rows * MIN_TELLING_SHARE;
    const mistaken =
      telling && duplicates <= rows * MAX_MISTAKEN_DUPLICATES && columns.length >= MIN_COLUMNS_FOR_DUPLICATES;
    problems.push({
      kind: mistaken ? "duplicate-rows" : "repeated-rows",
      count: duplicates,
      unit: "rows",
      sentence: `${count(duplicates, "row")} (${percent(duplicates / rows)}) ${duplicates === 1 ? "repeats" : "repeat"} an earlier row in every column.`,
      treatable: mistaken,
    });
  }
  for (const column of columns) problems.push(...columnProblems(column, rows));
  return problems;
}

function columnProblems(column: ColumnProfile, rows: number): Problem[] {
  const { name } = column;
  const found: Problem[] = [];
  const cells = (kind: Problem["kind"], n: number, sentence: string, treatable = true) => {
    if (n > 0) found.push({ kind, column: name, count: n, unit: "cells", sentence, treatable });
  };
  if (column.kind === "empty") {
    return [
      {
        kind: "empty-column",
        column: name,
        count: 1,
        unit: "columns",
        sentence: `"${name}" has no value in any row.`,
        treatable: true,
      },
    ];
  }
  if (column.kind === "constant") {
    const value = column.top[0]?.value;
    found.push({
      kind: "constant-column",
      column: name,
      count: 1,
      unit: "columns",
      treatable: false,
      sentence: `"${name}" has the same value${value === undefined ? "" : ` (${value})`} wherever it has one.`,
    });
  }
  if (column.mostly) {
    const { as, readable, filled, form } = column.mostly;
    const kind =
      as === "boolean"
        ? "boolean-as-text"
        : as === "date" || as === "timestamp"
          ? "date-as-text"
          : "number-as-text";
    const noun = kind === "date-as-text" ? "dates" : kind === "boolean-as-text" ? "truth values" : "numbers";
    const rest = filled - readable;
    found.push({
      kind,
      column: name,
      count: rest,
      unit: "cells",
      treatable: true,
      sentence: `"${name}" holds ${noun} as text (${form}); ${count(rest, "value")} of ${filled.toLocaleString("en-US")} cannot be read as such.`,
    });
  } else if (column.text && (column.kind === "category" || column.kind === "text")) {
    const { tokens, padded, variants } = column.text;
    cells(
      "missing-token",
      tokens,
      `"${name}" says "missing" in words (such as N/A) in ${count(tokens, "cell")}.`,
    );
    cells("padded", padded, `"${name}" has blanks around ${count(padded, "value")}.`);
    cells(
      "variants",
      variants,
      `"${name}" spells the same category in several ways in ${count(variants, "cell")} (upper and lower case, blanks).`,
    );
  }
  cells(
    "missing",
    column.missing,
    `"${name}" is missing in ${count(column.missing, "row")} (${percent(column.missing / rows)}).`,
  );
  if (column.number) {
    const { nonFinite, farOut } = column.number;
    cells(
      "non-finite",
      nonFinite,
      `"${name}" has ${count(nonFinite, "value")} that ${nonFinite === 1 ? "is" : "are"} infinite or not a number.`,
    );
    cells(
      "far-out",
      farOut,
      `"${name}" has ${count(farOut, "value")} further than three interquartile ranges from the middle half.`,
      false,
    );
  }
  if (column.date && column.date.future > 0) {
    const few = column.date.future <= Math.max(1, (rows - column.missing) * MAX_MISTAKEN_FUTURE);
    cells(
      "future-dates",
      column.date.future,
      `"${name}" lies in the future in ${count(column.date.future, "row")} (up to ${column.date.max.slice(0, 10)}).`,
      few,
    );
  }
  return found;
}
