/**
 * Cleaning: for every treatable problem one rule, and for every rule a count of what it changed.
 *
 * Conservative on purpose. Nothing is invented: a value that cannot be read becomes missing, missing values
 * stay missing, values far from the rest stay. The counts are measured on the tables before and after, not
 * copied from the profile.
 */
import { type Database, ident, literal, num } from "../database.ts";
import { count } from "../wording.ts";
import type { ColumnProfile, Problem, Profile } from "./column.ts";
import { MISSING_TOKENS } from "./typing.ts";

/** One thing that was done, or deliberately not done. */
export interface CleaningAction {
  problem: Problem["kind"];
  column?: string;
  /** What was done, as a sentence. */
  did: string;
  /** Cells or rows that changed. */
  changed: number;
}

export interface Cleaning {
  rowsBefore: number;
  rowsAfter: number;
  droppedColumns: string[];
  actions: CleaningAction[];
}

const TOKENS = MISSING_TOKENS.filter((token) => token !== "none")
  .map(literal)
  .join(", ");

/** Dates are taken for mistakes only while they are few. */
const MAX_MISTAKEN_DATES = 0.02;

/** Makes the table `cleaned` from the view `dataset`. */
export async function cleanTable(db: Database, profile: Profile): Promise<Cleaning> {
  const problems = profile.problems.filter((problem) => problem.treatable);
  const actions: CleaningAction[] = [];
  const dropped = new Set(problems.filter((p) => p.kind === "empty-column").map((p) => String(p.column)));
  const kept = profile.columns.filter((column) => !dropped.has(column.name));
  // A table of nothing but empty columns keeps them: there must be something to show.
  const columns = kept.length > 0 ? kept : profile.columns;
  const selected: string[] = [];
  for (const column of columns) {
    const own = problems.filter((problem) => problem.column === column.name).map((problem) => problem.kind);
    const expression = await cleanExpression(db, column, own);
    selected.push(expression === ident(column.name) ? expression : `${expression} AS ${ident(column.name)}`);
  }
  const duplicates = problems.find((problem) => problem.kind === "duplicate-rows");
  if (duplicates) {
    const names = profile.columns.map((column) => ident(column.name)).join(", ");
    await db.query(
      "Keep the first of equal rows",
      `CREATE OR REPLACE TABLE unique_rows AS SELECT ${names} FROM (\n  SELECT ${names}, min(row_number) AS first_row FROM (SELECT *, row_number() OVER () AS row_number FROM dataset) GROUP BY ${names}\n) ORDER BY first_row`,
    );
  }
  const from = duplicates ? "unique_rows" : "dataset";
  await db.query(
    "Clean each column",
    `CREATE OR REPLACE TABLE cleaned AS SELECT\n  ${selected.join(",\n  ")}\nFROM ${from}`,
  );
  await emptyMistakenDates(db, profile, actions);
  const before = await filledCells(db, from, columns);
  const after = await filledCells(db, "cleaned", columns);
  for (const [index, column] of columns.entries()) {
    const emptied = (before[index] ?? 0) - (after[index] ?? 0);
    actions.push(...describe(column, problems, emptied, actions));
  }
  for (const name of dropped) {
    actions.push({ problem: "empty-column", column: name, did: `"${name}" was left out.`, changed: 1 });
  }
  const [rows] = await db.rows("SELECT count(*) AS n FROM cleaned");
  const rowsAfter = num(rows?.n);
  if (duplicates) {
    const removed = profile.rows - rowsAfter;
    actions.unshift({
      problem: "duplicate-rows",
      did: `${count(removed, "repeated row")} ${removed === 1 ? "was" : "were"} removed; the first of each was kept.`,
      changed: removed,
    });
  }
  return { rowsBefore: profile.rows, rowsAfter, droppedColumns: [...dropped], actions };
}

async function cleanExpression(
  db: Database,
  column: ColumnProfile,
  kinds: Problem["kind"][],
): Promise<string> {
  const c = ident(column.name);
  if (column.mostly) {
    if (column.mostly.as !== "number") return column.mostly.expression;
    return `CASE WHEN isfinite(${column.mostly.expression}) THEN ${column.mostly.expression} END`;
  }
  if (kinds.includes("non-finite")) return `CASE WHEN isfinite(${c}) THEN ${c} END`;
  if (!kinds.some((kind) => kind === "missing-token" || kind === "padded" || kind === "variants")) return c;
  const trimmed = `trim(${c})`;
  const spellings = kinds.includes("variants") ? await mainSpellings(db, c) : [];
  const whens = spellings.map(
    ({ folded, main }) => `WHEN lower(${trimmed}) = ${literal(folded)} THEN ${literal(main)} `,
  );
  return `CASE WHEN lower(${trimmed}) IN (${TOKENS}) THEN NULL ${whens.join("")}ELSE ${trimmed} END`;
}

/** For categories that are spelled in several ways, the most frequent spelling. */
async function mainSpellings(db: Database, c: string): Promise<{ folded: string; main: string }[]> {
  const rows = await db.query(
    "Find spellings of one category",
    `SELECT lower(v) AS folded, arg_max(v, n) AS main, count(*) AS forms\nFROM (SELECT trim(${c}) AS v, count(*) AS n FROM dataset WHERE ${c} IS NOT NULL GROUP BY ALL)\nGROUP BY ALL HAVING count(*) > 1 ORDER BY folded`,
  );
  return rows.map((row) => ({ folded: String(row.folded), main: String(row.main) }));
}

/** A few dates in the future among many in the past are mistakes: they become missing. */
async function emptyMistakenDates(db: Database, profile: Profile, actions: CleaningAction[]): Promise<void> {
  const types = await db.describe("cleaned");
  for (const { name, type } of types) {
    if (type !== "DATE" && type !== "TIMESTAMP") continue;
    const c = ident(name);
    const row = await db.one(
      `Dates of ${name} in the future`,
      `SELECT count(${c}) AS filled, count(*) FILTER (WHERE CAST(${c} AS DATE) > current_date) AS future FROM cleaned`,
    );
    const future = num(row.future);
    const known = profile.problems.some((p) => p.kind === "future-dates" && p.column === name && p.treatable);
    if (future === 0 || !(known || future <= num(row.filled) * MAX_MISTAKEN_DATES)) continue;
    const until = await lastPlausibleYear(db, c, num(row.filled));
    const mistaken = `CAST(${c} AS DATE) > current_date${until === undefined ? "" : ` OR year(${c}) > ${until}`}`;
    const [all] = await db.rows(`SELECT count(*) AS n FROM cleaned WHERE ${mistaken}`);
    const apart = num(all?.n) - future;
    await db.query(`Empty mistaken dates of ${name}`, `UPDATE cleaned SET ${c} = NULL WHERE ${mistaken}`);
    const more =
      apart > 0
        ? `; so ${apart === 1 ? "was" : "were"} ${apart} more after ${until}, which stand${apart === 1 ? "s" : ""} apart with them (a wrong century?)`
        : "";
    actions.push({
      problem: "future-dates",
      column: name,
      did: `${count(future, "date")} of "${name}" in the future ${future === 1 ? "was" : "were"} taken for ${future === 1 ? "a mistake" : "mistakes"} and made missing${more}.`,
      changed: future + apart,
    });
  }
}

/**
 * Mistaken years are rarely all in the future: where some are, the years beyond the first empty one after
 * the last busy year are as doubtful.
 * @returns the last year before that gap, if what lies beyond it is little
 */
async function lastPlausibleYear(db: Database, c: string, filled: number): Promise<number | undefined> {
  const rows = await db.rows(
    `SELECT year(${c}) AS y, count(*) AS n FROM cleaned WHERE ${c} IS NOT NULL GROUP BY ALL ORDER BY y`,
  );
  const years = new Map(rows.map((row) => [num(row.y), num(row.n)]));
  let until = [...years].findLast(([, n]) => n >= filled * 0.005)?.[0];
  if (until === undefined) return undefined;
  while (years.has(until + 1)) until += 1;
  const last = until;
  const beyond = [...years].filter(([year]) => year > last).reduce((sum, [, n]) => sum + n, 0);
  return beyond <= filled * MAX_MISTAKEN_DATES ? until : undefined;
}

async function filledCells(
  db: Database,
  relation: string,
  columns: readonly ColumnProfile[],
): Promise<number[]> {
  const [row] = await db.rows(
    `SELECT ${columns.map((column, index) => `count(${ident(column.name)}) AS n${index}`).join(", ")} FROM ${relation}`,
  );
  return columns.map((_, index) => num(row?.[`n${index}`]));
}

/** What happened to one column. `emptied` cells had a value before and have none now. */
function describe(
  column: ColumnProfile,
  problems: readonly Problem[],
  emptied: number,
  done: readonly CleaningAction[],
): CleaningAction[] {
  const { name } = column;
  const own = problems.filter((problem) => problem.column === name);
  const has = (kind: Problem["kind"]) => own.find((problem) => problem.kind === kind);
  const future =
    done.find((action) => action.column === name && action.problem === "future-dates")?.changed ?? 0;
  const lost = emptied - future;
  const actions: CleaningAction[] = [];
  const add = (problem: Problem["kind"], did: string, changed: number) =>
    actions.push({ problem, column: name, did, changed });
  if (column.mostly) {
    const noun =
      column.mostly.as === "date" || column.mostly.as === "timestamp"
        ? "dates"
        : column.mostly.as === "boolean"
          ? "truth values"
          : "numbers";
    const kind =
      noun === "dates" ? "date-as-text" : noun === "numbers" ? "number-as-text" : "boolean-as-text";
    const rest =
      lost === 0 ? "none was lost" : `${count(lost, "value")} that cannot be read so became missing`;
    add(kind, `"${name}" was read as ${noun}; ${rest}.`, column.mostly.readable);
  } else {
    if (has("missing-token"))
      add(
        "missing-token",
        `${count(lost, "cell")} of "${name}" that said "missing" in words became missing.`,
        lost,
      );
    const padded = has("padded");
    if (padded) add("padded", `Blanks around the values of "${name}" were cut off.`, padded.count);
    const variants = has("variants");
    if (variants)
      add(
        "variants",
        `The spellings of each category of "${name}" were made one, the most frequent.`,
        variants.count,
      );
    if (has("non-finite"))
      add("non-finite", `${count(lost, "value")} of "${name}" that were not finite became missing.`, lost);
  }
  const missing = has("missing");
  if (missing)
    add(
      "missing",
      `Missing values of "${name}" were left missing: each figure counts the rows that have a value.`,
      0,
    );
  return actions;
}
