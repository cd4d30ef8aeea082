/** Which columns may predict a target: all but those that name rows or give the answer away. */
import { type Database, ident, num, numOrNull } from "../database.ts";
import { isPredictor } from "../facts.ts";
import type { ColumnProfile, Profile } from "../table/column.ts";
import { percent } from "../wording.ts";
import type { LeftOut } from "./features.ts";
import { NEAR_COPY } from "./findings.ts";

const MAX_FEATURES = 40;
/** A feature that is missing more often than this says little. */
const MAX_MISSING = 0.8;
/** A category that determines the target beyond this gives the answer away. */
const GIVES_AWAY = 0.98;

export async function chooseFeatures(
  db: Database,
  profile: Profile,
  target: ColumnProfile,
  kind: "number" | "category",
): Promise<{ features: ColumnProfile[]; leftOut: LeftOut[] }> {
  const leftOut: LeftOut[] = [];
  let features: ColumnProfile[] = [];
  for (const column of profile.columns) {
    if (column === target) continue;
    const reason = unusable(column, profile.rows);
    if (reason) leftOut.push({ column: column.name, reason });
    else features.push(column);
  }
  const leaks =
    kind === "number" ? await numberLeaks(db, features, target) : await classLeaks(db, features, target);
  for (const [column, reason] of leaks) leftOut.push({ column, reason });
  features = features.filter((column) => !leaks.has(column.name));
  if (features.length > MAX_FEATURES) {
    const fullest = [...features].sort((a, b) => a.missing - b.missing).slice(0, MAX_FEATURES);
    for (const column of features) {
      if (!fullest.includes(column))
        leftOut.push({ column: column.name, reason: `only ${MAX_FEATURES} columns are used, the fullest` });
    }
    features = features.filter((column) => fullest.includes(column));
  }
  return { features, leftOut };
}

function unusable(column: ColumnProfile, rows: number): string | undefined {
  if (column.kind === "id") return "names rows";
  if (column.kind === "text") return "text that hardly repeats";
  if (column.kind === "constant") return "has one value only";
  if (column.kind === "empty") return "has no value";
  if (!isPredictor(column)) return "cannot be used";
  if (column.missing > rows * MAX_MISSING) return `missing in ${percent(column.missing / rows)} of the rows`;
  return undefined;
}

async function numberLeaks(
  db: Database,
  features: readonly ColumnProfile[],
  target: ColumnProfile,
): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  const t = finite(target);
  const numbers = features.filter((column) => column.number);
  if (numbers.length > 0) {
    const sql = numbers.map((column, index) => `corr(${finite(column)}, ${t}) AS r${index}`);
    const row = await db.one(
      `Columns that copy ${target.name}`,
      `SELECT\n  ${sql.join(",\n  ")}\nFROM "table"`,
    );
    for (const [index, column] of numbers.entries()) {
      const r = numOrNull(row[`r${index}`]) ?? 0;
      if (Math.abs(r) >= NEAR_COPY)
        found.set(column.name, `almost a copy of the target (r = ${r.toFixed(3)})`);
    }
  }
  for (const column of features.filter((c) => c.kind === "category" && c.distinct > 2)) {
    const row = await db.one(
      `Does ${column.name} determine ${target.name}?`,
      `SELECT sum(n * (m - g) * (m - g)) / nullif(any_value(total), 0) AS share FROM (\n  SELECT count(${t}) AS n, avg(${t}) AS m, (SELECT avg(${t}) FROM "table") AS g,\n    (SELECT var_pop(${t}) * count(${t}) FROM "table" WHERE ${ident(column.name)} IS NOT NULL) AS total\n  FROM "table" WHERE ${ident(column.name)} IS NOT NULL GROUP BY ${ident(column.name)})`,
    );
    if (num(row.share) >= GIVES_AWAY) found.set(column.name, "nearly determines the target");
  }
  return found;
}

async function classLeaks(
  db: Database,
  features: readonly ColumnProfile[],
  target: ColumnProfile,
): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  const t = ident(target.name);
  for (const column of features.filter((c) => c.kind === "category" || c.kind === "boolean")) {
    const c = ident(column.name);
    const row = await db.one(
      `Does ${column.name} determine ${target.name}?`,
      `SELECT sum(most) / sum(n) AS share, (SELECT max(n) / sum(n) FROM (SELECT count(*) AS n FROM "table" WHERE ${t} IS NOT NULL GROUP BY ${t})) AS usual\nFROM (SELECT max(n) AS most, sum(n) AS n FROM (\n  SELECT ${c} AS c, count(*) AS n FROM "table" WHERE ${c} IS NOT NULL AND ${t} IS NOT NULL GROUP BY ${c}, ${t}) GROUP BY c)`,
    );
    if (num(row.share) >= GIVES_AWAY && num(row.usual) < 0.9)
      found.set(column.name, "nearly determines the target");
  }
  return found;
}

function finite(column: ColumnProfile): string {
  const c = `CAST(${ident(column.name)} AS DOUBLE)`;
  return (column.number?.nonFinite ?? 0) > 0 ? `CASE WHEN isfinite(${c}) THEN ${c} END` : c;
}
