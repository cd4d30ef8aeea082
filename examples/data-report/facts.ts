/**
 * Cheap facts about a data file, for the planner: a plan depends on the data because its tasks' guards and
 * costs are expressions over these.
 */
import { withDatabase } from "./database.ts";
import { namedTarget, readGoal } from "./goal.ts";
import { recogniseSource } from "./source.ts";
import type { ColumnProfile, Profile } from "./table/column.ts";
import { loadTable } from "./table/load.ts";
import { profileTable } from "./table/profile.ts";

/** Flat and free of nulls, so that CEL guards stay short. Column names are "" where there is none. */
export interface DataFacts {
  rows: number;
  columns: number;
  bytes: number;
  format: string;
  nullCells: number;
  /** Problems that cleaning can treat. */
  problems: number;
  numericColumns: number;
  categoricalColumns: number;
  textColumns: number;
  /** Date or year columns with enough different values for a trend. */
  dateColumns: number;
  timeColumn: string;
  /** The column to predict: named by the goal, or the likeliest. */
  target: string;
  targetKind: "number" | "category" | "";
  targetChosen: "goal" | "guess" | "";
  /** Rows in which the target is known; 0 when there is none or no other column could predict it. */
  modelRows: number;
}

/** Different points in time that a trend needs. */
const MIN_TREND_POINTS = 5;

/**
 * @param goalText names the target, perhaps
 * @throws NonRetryableError when the file cannot be read as a table
 */
export async function inspectData(path: string, goalText = ""): Promise<DataFacts> {
  return withDatabase({}, async (db) => {
    const source = await recogniseSource(db, path);
    const table = await loadTable(db, source);
    const profile = await profileTable(db, { ...table, bytes: source.bytes, detail: "facts" });
    return factsOf(profile, source.format, goalText);
  });
}

function factsOf(profile: Profile, format: string, goalText: string): DataFacts {
  const { columns, rows } = profile;
  const times = timeColumns(columns);
  const target = readGoal(goalText).noModel ? undefined : chooseTarget(columns, rows, goalText);
  const known = target ? rows - target.column.missing : 0;
  const predictors = target ? columns.filter((c) => c !== target.column && isPredictor(c)).length : 0;
  return {
    rows,
    columns: columns.length,
    bytes: profile.bytes,
    format,
    nullCells: profile.missingCells,
    problems: profile.problems.filter((problem) => problem.treatable).length,
    numericColumns: columns.filter((c) => c.kind === "number").length,
    categoricalColumns: columns.filter((c) => c.kind === "category" || c.kind === "boolean").length,
    textColumns: columns.filter((c) => c.kind === "text").length,
    dateColumns: times.length,
    timeColumn: times[0]?.name ?? "",
    target: target?.column.name ?? "",
    targetKind: target?.kind ?? "",
    targetChosen: target?.chosen ?? "",
    modelRows: predictors > 0 ? known : 0,
  };
}

/** Columns that can carry a trend, best first: real dates before years, fuller before emptier. */
export function timeColumns(columns: readonly ColumnProfile[]): ColumnProfile[] {
  return columns
    .filter((c) => (c.kind === "date" || c.kind === "year") && c.distinct >= MIN_TREND_POINTS)
    .sort((a, b) => Number(b.kind === "date") - Number(a.kind === "date") || a.missing - b.missing);
}

/** Whether a column can be given to a model. */
export function isPredictor(column: ColumnProfile): boolean {
  return ["number", "year", "date", "category", "boolean"].includes(column.kind);
}

const LIKELY_TARGET =
  /(target|label|class|outcome|result|score|rating|price|quality|surviv|species|churn|delay|income|salary|sales|revenue|profit|value|cost|amount|mpg|miles|mass|life|grade|damage|temp|rate)/i;
/** Levels that a target may have for a classification. */
const MAX_CLASSES = 12;

function chooseTarget(
  columns: readonly ColumnProfile[],
  rows: number,
  goalText: string,
): { column: ColumnProfile; kind: "number" | "category"; chosen: "goal" | "guess" } | undefined {
  const named = namedTarget(
    goalText,
    columns.map((c) => c.name),
  );
  const wanted = columns.find((c) => c.name === named);
  if (wanted) {
    const kind = targetKind(wanted);
    return kind && { column: wanted, kind, chosen: "goal" };
  }
  const candidates = columns.filter((c) => {
    const filled = rows - c.missing;
    if (filled < rows * 0.3) return false;
    return targetKind(c) === "category" || (targetKind(c) === "number" && c.distinct >= 10);
  });
  const best =
    candidates.find((c) => c.kind === "number" && LIKELY_TARGET.test(c.name)) ??
    candidates.find((c) => LIKELY_TARGET.test(c.name)) ??
    candidates.findLast((c) => c.kind === "number") ??
    candidates.findLast((c) => c.kind === "category" || c.kind === "boolean");
  const kind = best && targetKind(best);
  return best && kind ? { column: best, kind, chosen: "guess" } : undefined;
}

function targetKind(column: ColumnProfile): "number" | "category" | undefined {
  if (column.kind === "boolean") return "category";
  if (column.kind === "category")
    return column.distinct >= 2 && column.distinct <= MAX_CLASSES ? "category" : undefined;
  if (column.kind !== "number") return undefined;
  // A whole number with two values is a yes or no.
  return column.distinct === 2 ? "category" : column.distinct > 2 ? "number" : undefined;
}
