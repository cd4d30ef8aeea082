/**
 * What stands out in a table: relations between columns, differences between groups, frequent values,
 * shapes of distributions, extremes. SQL counts; the tests are in statistics.ts.
 *
 * Statistically careful: relations are kept only when they are both clear (adjusted for how many were
 * looked at) and large enough to matter, and no sentence claims a cause.
 */
import { type Database, ident, num, numOrNull, type Row } from "../database.ts";
import type { ColumnProfile, Profile } from "../table/column.ts";
import { count, listed, percent, pValue, rough, short, signed } from "../wording.ts";
import { adjusted, type Correlation, compareGroups, correlation, cramersV } from "./statistics.ts";

export interface Finding {
  kind: "correlation" | "group" | "association" | "category" | "distribution" | "extreme";
  /** A few words. */
  title: string;
  /** HTML-free text with the numbers. */
  sentence: string;
  columns: string[];
  /** 0 to 1, for ranking within a kind. */
  strength: number;
}

export interface CorrelationPair extends Correlation {
  a: string;
  b: string;
  /** Spearman's rank correlation, where it was computed. */
  rho?: number;
}

export interface GroupDifference {
  number: string;
  category: string;
  explained: number;
  p: number;
  groups: { name: string; n: number; mean: number; q25: number; median: number; q75: number }[];
}

export interface Findings {
  rows: number;
  findings: Finding[];
  numbers: string[];
  /** Every pair that was looked at. */
  correlations: CorrelationPair[];
  groups: GroupDifference[];
  /** Relations tested in all; p-values are adjusted for it. */
  tested: number;
}

const MAX_NUMBERS = 24;
const MAX_CATEGORIES = 10;
const MAX_LEVELS = 300;
const MIN_GROUP = 10;
/** Below these a relation is too weak to tell a reader about. */
const MIN_CORRELATION = 0.3;
const MIN_EXPLAINED = 0.06;
const MIN_CRAMERS_V = 0.3;
/** The adjusted p-value above which a relation is not told. */
const MAX_Q = 0.01;
const MAX_SPEARMAN_ROWS = 500_000;
/** Above this correlation two columns say the same thing. */
export const NEAR_COPY = 0.985;

export async function findFindings(db: Database, profile: Profile, target: string): Promise<Findings> {
  const first = (c: ColumnProfile) => (c.name === target ? 0 : 1);
  const numbers = profile.columns
    .filter((c) => (c.kind === "number" || c.kind === "year") && c.distinct > 2)
    .sort((a, b) => first(a) - first(b) || a.missing - b.missing)
    .slice(0, MAX_NUMBERS);
  // The report lists columns in the table's order.
  numbers.sort((a, b) => profile.columns.indexOf(a) - profile.columns.indexOf(b));
  const categories = profile.columns
    .filter(
      (c) => (c.kind === "category" || c.kind === "boolean") && c.distinct >= 2 && c.distinct <= MAX_LEVELS,
    )
    .sort((a, b) => first(a) - first(b) || a.missing - b.missing)
    .slice(0, MAX_CATEGORIES);
  const pairs = await correlate(db, numbers, profile.rows);
  const groups = await differences(db, numbers, categories);
  const associations = await associate(db, categories);
  const q = adjusted([...pairs, ...groups, ...associations].map((test) => test.p));
  const clear = <T>(tests: readonly T[], offset: number) =>
    tests.filter((_, index) => (q[offset + index] ?? 1) <= MAX_Q);
  const toTarget = (columns: readonly string[]) => (columns.includes(target) ? 1 : 0);
  const told = strongestGroups(clear(groups, pairs.length), toTarget);
  const findings: Finding[] = [
    ...(await tellCorrelations(db, clear(pairs, 0), profile.rows, toTarget)),
    ...told.map(tellGroup),
    ...tellAssociations(clear(associations, pairs.length + groups.length)),
    ...tellCategories(categories, profile.rows),
    ...(await tellDistributions(db, numbers)),
    ...(await tellExtremes(db, profile, numbers, target)),
  ];
  return {
    rows: profile.rows,
    findings,
    numbers: numbers.map((c) => c.name),
    correlations: pairs,
    groups: told,
    tested: q.length,
  };
}

/** A number column as SQL sees it: what is not finite counts as missing. */
function value(column: ColumnProfile): string {
  const c = `CAST(${ident(column.name)} AS DOUBLE)`;
  return (column.number?.nonFinite ?? 0) > 0 ? `CASE WHEN isfinite(${c}) THEN ${c} END` : c;
}

async function correlate(
  db: Database,
  numbers: readonly ColumnProfile[],
  rows: number,
): Promise<CorrelationPair[]> {
  const pairs = numbers.flatMap((a, i) => numbers.slice(i + 1).map((b) => ({ a, b })));
  if (pairs.length === 0 || rows < 10) return [];
  const sql = pairs.map(
    ({ a, b }, index) =>
      `corr(${value(a)}, ${value(b)}) AS r${index}, regr_count(${value(a)}, ${value(b)}) AS n${index}`,
  );
  const row = await db.one("Correlate every pair of numbers", `SELECT\n  ${sql.join(",\n  ")}\nFROM "table"`);
  return pairs.flatMap(({ a, b }, index) => {
    const r = numOrNull(row[`r${index}`]);
    const n = num(row[`n${index}`]);
    return r === null || n < 10 ? [] : [{ a: a.name, b: b.name, ...correlation(r, n) }];
  });
}

async function tellCorrelations(
  db: Database,
  clear: readonly CorrelationPair[],
  rows: number,
  toTarget: (columns: readonly string[]) => number,
): Promise<Finding[]> {
  const strong = clear
    .filter((pair) => Math.abs(pair.r) >= MIN_CORRELATION)
    .sort((x, y) => toTarget([y.a, y.b]) - toTarget([x.a, x.b]) || Math.abs(y.r) - Math.abs(x.r));
  const told = [
    ...strong.filter((p) => toTarget([p.a, p.b]) === 1).slice(0, 3),
    ...strong.filter((p) => toTarget([p.a, p.b]) === 0).slice(0, 5),
  ];
  const findings: Finding[] = [];
  for (const pair of told) {
    if (rows <= MAX_SPEARMAN_ROWS) pair.rho = await spearman(db, pair);
    const size = Math.abs(pair.r);
    const how =
      size >= NEAR_COPY
        ? "carry almost the same information"
        : pair.r > 0
          ? "tend to rise together"
          : "tend to move in opposite directions";
    const degree = size >= 0.7 ? "strong" : size >= 0.5 ? "moderate" : "weak to moderate";
    const bent =
      pair.rho !== undefined && Math.abs(pair.rho - pair.r) >= 0.15
        ? ` The rank correlation is ${signed(pair.rho)}: the relation is not a straight line, or a few extreme values shape it.`
        : "";
    findings.push({
      kind: "correlation",
      title: `${pair.a} and ${pair.b}`,
      sentence: `${pair.a} and ${pair.b} ${how}: a ${degree} correlation, r = ${signed(pair.r)} (95% confidence interval ${signed(pair.low)} to ${signed(pair.high)}, ${count(pair.n, "row")}).${bent}`,
      columns: [pair.a, pair.b],
      strength: size,
    });
  }
  return findings;
}

async function spearman(db: Database, pair: { a: string; b: string }): Promise<number> {
  const [a, b] = [ident(pair.a), ident(pair.b)];
  const ranked = (c: string) => `rank() OVER (ORDER BY ${c}) + (count(*) OVER (PARTITION BY ${c}) - 1) / 2.0`;
  const row = await db.one(
    `Rank correlation of ${pair.a} and ${pair.b}`,
    `SELECT corr(ra, rb) AS rho FROM (\n  SELECT ${ranked(a)} AS ra, ${ranked(b)} AS rb FROM "table"\n  WHERE ${a} IS NOT NULL AND ${b} IS NOT NULL)`,
  );
  return num(row.rho);
}

async function differences(
  db: Database,
  numbers: readonly ColumnProfile[],
  categories: readonly ColumnProfile[],
): Promise<GroupDifference[]> {
  const found: GroupDifference[] = [];
  if (numbers.length === 0) return found;
  for (const category of categories) {
    const sql = numbers.map((column, index) => {
      const v = value(column);
      return `count(${v}) AS n${index}, avg(${v}) AS m${index}, var_samp(${v}) AS v${index}, quantile_cont(${v}, [0.25, 0.5, 0.75]) AS q${index}`;
    });
    const c = ident(category.name);
    const rows = await db.query(
      `Compare the numbers between groups of ${category.name}`,
      `SELECT CAST(${c} AS VARCHAR) AS grp,\n  ${sql.join(",\n  ")}\nFROM "table" WHERE ${c} IS NOT NULL GROUP BY ALL ORDER BY count(*) DESC, grp`,
    );
    for (const [index, column] of numbers.entries()) {
      const groups = rows
        .filter((row) => num(row[`n${index}`]) >= MIN_GROUP)
        .map((row) => readGroup(row, index));
      const test = compareGroups(groups);
      if (test) found.push({ number: column.name, category: category.name, ...test, groups });
    }
  }
  return found;
}

function readGroup(row: Row, index: number): GroupDifference["groups"][number] & { variance: number } {
  const parsed = JSON.parse(String(row[`q${index}`] ?? "null")) as number[] | { items: number[] } | null;
  const q = Array.isArray(parsed) ? parsed : (parsed?.items ?? []);
  return {
    name: String(row.grp),
    n: num(row[`n${index}`]),
    mean: num(row[`m${index}`]),
    variance: num(row[`v${index}`]),
    q25: q[0] ?? 0,
    median: q[1] ?? 0,
    q75: q[2] ?? 0,
  };
}

/** The differences worth telling, the target's first; at most two about one number. */
function strongestGroups(
  clear: readonly GroupDifference[],
  toTarget: (columns: readonly string[]) => number,
): GroupDifference[] {
  const strong = clear
    .filter((difference) => difference.explained >= MIN_EXPLAINED && difference.groups.length >= 2)
    .sort((x, y) => toTarget([y.number]) - toTarget([x.number]) || y.explained - x.explained);
  const perNumber = new Map<string, number>();
  const told: GroupDifference[] = [];
  for (const difference of strong) {
    const seen = perNumber.get(difference.number) ?? 0;
    if (seen >= 2 || told.length >= 5) continue;
    perNumber.set(difference.number, seen + 1);
    told.push(difference);
  }
  return told;
}

function tellGroup(difference: GroupDifference): Finding {
  const ordered = [...difference.groups].sort((a, b) => b.median - a.median);
  const top = ordered[0];
  const bottom = ordered.at(-1);
  return {
    kind: "group",
    title: `${difference.number} by ${difference.category}`,
    sentence:
      `${difference.number} differs between groups of ${difference.category}: its median is highest for ${short(top?.name ?? "")} (${rough(top?.median ?? 0)}, ${count(top?.n ?? 0, "row")}) ` +
      `and lowest for ${short(bottom?.name ?? "")} (${rough(bottom?.median ?? 0)}, ${count(bottom?.n ?? 0, "row")}). ` +
      `The groups account for about ${percent(difference.explained)} of its variance (ω²; Welch's test, ${pValue(difference.p)}).`,
    columns: [difference.number, difference.category],
    strength: difference.explained,
  };
}

interface Association {
  a: string;
  b: string;
  v: number;
  p: number;
  n: number;
}

async function associate(db: Database, categories: readonly ColumnProfile[]): Promise<Association[]> {
  const found: Association[] = [];
  const small = categories.filter((c) => c.distinct <= 30).slice(0, 8);
  for (const [i, a] of small.entries()) {
    for (const b of small.slice(i + 1)) {
      const rows = await db.query(
        `Cross ${a.name} with ${b.name}`,
        `SELECT CAST(${ident(a.name)} AS VARCHAR) AS a, CAST(${ident(b.name)} AS VARCHAR) AS b, count(*) AS n FROM "table"\nWHERE ${ident(a.name)} IS NOT NULL AND ${ident(b.name)} IS NOT NULL GROUP BY ALL ORDER BY n DESC, a, b`,
      );
      const left = [...new Set(rows.map((row) => String(row.a)))];
      const right = [...new Set(rows.map((row) => String(row.b)))];
      const table = left.map(() => right.map(() => 0));
      for (const row of rows) {
        const line = table[left.indexOf(String(row.a))];
        if (line) line[right.indexOf(String(row.b))] = num(row.n);
      }
      found.push({ a: a.name, b: b.name, ...cramersV(table) });
    }
  }
  return found;
}

function tellAssociations(clear: readonly Association[]): Finding[] {
  return clear
    .filter((association) => association.v >= MIN_CRAMERS_V)
    .sort((x, y) => y.v - x.v)
    .slice(0, 3)
    .map((association) => ({
      kind: "association",
      title: `${association.a} and ${association.b}`,
      sentence:
        association.v > 0.95
          ? `${association.a} and ${association.b} nearly determine each other (Cramér's V = ${association.v.toFixed(2)}, ${count(association.n, "row")}).`
          : `${association.a} and ${association.b} go together: some combinations are much more frequent than chance would make them (Cramér's V = ${association.v.toFixed(2)}, ${count(association.n, "row")}).`,
      columns: [association.a, association.b],
      strength: association.v,
    }));
}

function tellCategories(categories: readonly ColumnProfile[], rows: number): Finding[] {
  return categories
    .filter((c) => c.top.length >= 2)
    .slice(0, 4)
    .map((column) => {
      const filled = rows - column.missing;
      const [top, second] = column.top;
      const share = (top?.count ?? 0) / filled;
      const rest =
        column.distinct > 2 ? ` of ${column.distinct.toLocaleString("en-US")} different values` : "";
      return {
        kind: "category" as const,
        title: column.name,
        sentence:
          `The most frequent ${column.name} is ${short(top?.value ?? "")} with ${count(top?.count ?? 0, "row")} (${percent(share)} of those that have a value), ` +
          `followed by ${short(second?.value ?? "")} (${percent((second?.count ?? 0) / filled)})${rest}.`,
        columns: [column.name],
        strength: share,
      };
    });
}

/** Columns whose mean and median lie far apart: told with what the top tenth holds. */
async function tellDistributions(db: Database, numbers: readonly ColumnProfile[]): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const column of numbers) {
    const facts = column.number;
    if (!facts || column.kind !== "number" || findings.length >= 3) continue;
    const skewed = facts.sd > 0 && Math.abs(facts.mean - facts.median) / facts.sd > 0.25;
    if (!skewed || facts.negatives > 0 || facts.mean <= 0 || column.distinct < 20) continue;
    const v = value(column);
    const row = await db.one(
      `Share of the top tenth of ${column.name}`,
      `SELECT sum(v) FILTER (WHERE r <= ceil(n * 0.1)) / sum(v) AS share FROM (\n  SELECT ${v} AS v, row_number() OVER (ORDER BY ${v} DESC) AS r, count(*) OVER () AS n FROM "table" WHERE ${v} IS NOT NULL)`,
    );
    const share = num(row.share);
    if (share < 0.25) continue;
    findings.push({
      kind: "distribution",
      title: column.name,
      sentence: `${column.name} is unevenly spread: its median is ${rough(facts.median)} but its mean ${rough(facts.mean)}, because the largest tenth of the values holds ${percent(share)} of the total.`,
      columns: [column.name],
      strength: share,
    });
  }
  return findings;
}

/** Names the rows with the largest values, where a column names rows. */
async function tellExtremes(
  db: Database,
  profile: Profile,
  numbers: readonly ColumnProfile[],
  target: string,
): Promise<Finding[]> {
  const label = labelColumn(profile);
  if (!label) return [];
  const chosen = numbers
    .filter((c) => c.kind === "number" && c.distinct > 20)
    .sort(
      (a, b) =>
        Number(b.name === target) - Number(a.name === target) ||
        (b.number?.farOut ?? 0) - (a.number?.farOut ?? 0),
    )
    .slice(0, 3);
  const findings: Finding[] = [];
  for (const column of chosen) {
    const rows = await db.query(
      `Largest values of ${column.name}`,
      `SELECT CAST(${ident(label)} AS VARCHAR) AS label, ${ident(column.name)} AS value FROM "table"\nWHERE ${value(column)} IS NOT NULL AND ${ident(label)} IS NOT NULL ORDER BY value DESC, label LIMIT 3`,
    );
    if (rows.length < 3) continue;
    const tops = rows.map((row) => `${short(String(row.label), 50)} (${rough(num(row.value))})`);
    findings.push({
      kind: "extreme",
      title: column.name,
      sentence: `The largest values of ${column.name} are those of ${listed(tops)}; the median is ${rough(column.number?.median ?? 0)}.`,
      columns: [column.name, label],
      strength: 0,
    });
  }
  return findings;
}

/** The column that names rows for people: text that hardly repeats. */
function labelColumn(profile: Profile): string | undefined {
  const texts = profile.columns.filter(
    (c) =>
      c.kind === "text" &&
      c.type === "VARCHAR" &&
      (c.text?.meanLength ?? 0) <= 80 &&
      c.distinct >= (profile.rows - c.missing) * 0.6 &&
      c.missing < profile.rows * 0.2,
  );
  return (texts.find((c) => /name|title|label/i.test(c.name)) ?? texts[0])?.name;
}
