/**
 * How the numbers move over time: one value a period, a test for a lasting rise or fall, yearly cycles.
 *
 * The period is chosen so that the line has tens of points. The first and the last period are left out of
 * the test when the data covers only a part of them: half a year looks like a fall.
 */
import { median } from "simple-statistics";
import { type Database, ident, num, numOrNull } from "../database.ts";
import type { ColumnProfile, Profile } from "../table/column.ts";
import { count, figure, percent, pValue, rough, short } from "../wording.ts";
import { trendTest } from "./statistics.ts";

export type Period = "year" | "quarter" | "month" | "week" | "day" | "hour";

export interface TrendPoint {
  /** ISO text of the period's start, or the year. */
  t: string;
  /** Series, where the table holds several; else "". */
  series: string;
  n: number;
  /** Medians of the measures, in their order; null where too few rows have a value. */
  values: (number | null)[];
}

export interface Cycle {
  measure: string;
  /** `month` 1–12, `hour` 0–23, `weekday` 1–7 from Monday. */
  of: "month" | "hour" | "weekday";
  points: { at: number; median: number; q25: number; q75: number; n: number }[];
}

export interface Trend {
  column: string;
  period: Period;
  measures: string[];
  /** The column that separates series, or "". */
  series: string;
  points: TrendPoint[];
  from: string;
  to: string;
  /** Rows per period tell something: the table lists events. */
  countsMatter: boolean;
  cycles: Cycle[];
  sentences: string[];
}

const MAX_MEASURES = 3;
const MAX_SERIES = 8;
/** Rows that a period needs for a median, where a usual period has as many; else each row is a measurement. */
const MIN_ROWS = 5;
const MAX_P = 0.01;
const YEAR_MS = 365.25 * 86_400_000;

export async function findTrend(
  db: Database,
  profile: Profile,
  column: ColumnProfile,
  target: string,
): Promise<Trend> {
  const series = await seriesColumn(db, profile, column);
  const measures = chooseMeasures(profile, target);
  const span = await spanOf(db, column);
  const period = column.kind === "year" ? "year" : choosePeriod(span, column.date?.daysOnly ?? true);
  const points = await readPoints(db, column, period, measures, series);
  const complete = completePeriods(points, period, span, column.kind === "year");
  const counts = totals(complete).map((point) => point.n);
  const countsMatter = series === "" && variation(counts) > 0.15;
  const trend: Trend = {
    column: column.name,
    period,
    measures: measures.map((measure) => measure.name),
    series,
    points,
    from: span.from,
    to: span.to,
    countsMatter,
    cycles: column.kind === "year" ? [] : await findCycles(db, column, measures, span),
    sentences: [],
  };
  trend.sentences = tell(trend, complete);
  return trend;
}

/** A category whose levels each have at most one row a point in time: the table is several series. */
async function seriesColumn(db: Database, profile: Profile, time: ColumnProfile): Promise<string> {
  if (time.distinct >= (profile.rows - time.missing) * 0.9) return "";
  const candidates = profile.columns.filter(
    (c) =>
      (c.kind === "category" || c.kind === "text") && c.distinct >= 2 && c.distinct <= 200 && c.missing === 0,
  );
  for (const candidate of candidates) {
    const [row] = await db.rows(
      `SELECT count(*) AS n, count(DISTINCT (${ident(time.name)}, ${ident(candidate.name)})) AS pairs FROM "table" WHERE ${ident(time.name)} IS NOT NULL`,
    );
    if (num(row?.n) === num(row?.pairs)) return candidate.name;
  }
  return "";
}

function chooseMeasures(profile: Profile, target: string): ColumnProfile[] {
  return profile.columns
    .filter((c) => c.kind === "number" && c.distinct >= 5 && c.missing <= profile.rows * 0.7)
    .filter((c) => !/^(lat|lon|lng|latitude|longitude|x|y)$/i.test(c.name))
    .sort((a, b) => Number(b.name === target) - Number(a.name === target) || a.missing - b.missing)
    .slice(0, MAX_MEASURES);
}

interface Span {
  from: string;
  to: string;
  fromMs: number;
  toMs: number;
}

async function spanOf(db: Database, column: ColumnProfile): Promise<Span> {
  const c = ident(column.name);
  const row = await db.one(
    `Span of ${column.name}`,
    `SELECT CAST(min(${c}) AS VARCHAR) AS lo, CAST(max(${c}) AS VARCHAR) AS hi FROM "table"`,
  );
  const iso = (text: string) =>
    column.kind === "year" ? `${Math.trunc(Number(text))}-01-01` : text.replace(" ", "T");
  const parse = (text: string) => Date.parse(`${iso(text)}${text.includes(":") ? "Z" : ""}`);
  const from = String(row.lo ?? "");
  const to = String(row.hi ?? "");
  return { from, to, fromMs: parse(from), toMs: parse(to) };
}

function choosePeriod(span: Span, daysOnly: boolean): Period {
  const years = (span.toMs - span.fromMs) / YEAR_MS;
  if (years > 12) return "year";
  if (years > 1.6) return "month";
  if (years > 0.4) return "week";
  return daysOnly || years > 0.03 ? "day" : "hour";
}

async function readPoints(
  db: Database,
  column: ColumnProfile,
  period: Period,
  measures: readonly ColumnProfile[],
  series: string,
): Promise<TrendPoint[]> {
  const c = ident(column.name);
  const bucket = column.kind === "year" ? `CAST(${c} AS BIGINT)` : `date_trunc('${period}', ${c})`;
  const [usual] = await db.rows(
    `SELECT median(n) AS n FROM (SELECT count(*) AS n FROM "table" WHERE ${c} IS NOT NULL GROUP BY ${bucket})`,
  );
  const one = series === "" && num(usual?.n) >= MIN_ROWS ? MIN_ROWS : 1;
  const medians = measures.map((measure, index) => {
    const m = ident(measure.name);
    return `CASE WHEN count(${m}) >= ${one} THEN median(${m}) END AS m${index}`;
  });
  const rows = await db.query(
    `${series === "" ? "Median" : `Median for each ${series}`} by ${period}`,
    `SELECT CAST(${bucket} AS VARCHAR) AS t, ${series === "" ? "''" : `CAST(${ident(series)} AS VARCHAR)`} AS series, count(*) AS n${medians.map((m) => `,\n  ${m}`).join("")}\nFROM "table" WHERE ${c} IS NOT NULL GROUP BY ALL ORDER BY t, series`,
  );
  return rows.map((row) => ({
    t: String(row.t),
    series: String(row.series),
    n: num(row.n),
    values: measures.map((_, index) => numOrNull(row[`m${index}`])),
  }));
}

/** Leaves out a first or last period that the data covers in part only. */
function completePeriods(
  points: readonly TrendPoint[],
  period: Period,
  span: Span,
  years: boolean,
): TrendPoint[] {
  if (years || period === "day" || period === "hour" || points.length < 4) return [...points];
  const length = { year: YEAR_MS, quarter: YEAR_MS / 4, month: YEAR_MS / 12, week: 7 * 86_400_000 }[period];
  const first = points[0]?.t ?? "";
  const last = points.at(-1)?.t ?? "";
  const start = (text: string) => Date.parse(`${text.slice(0, 10)}T00:00:00Z`);
  const rows = totals(points);
  const usual = median(rows.map((point) => point.n));
  // A series with one value a month looks partial by its last date, but has as many rows as any month.
  const fewer = (point: { n: number } | undefined) => (point?.n ?? 0) < usual * 0.8;
  const partFirst = (span.fromMs - start(first)) / length > 0.2 && fewer(rows[0]);
  const partLast = (start(last) + length - span.toMs) / length > 0.2 && fewer(rows.at(-1));
  return points.filter((point) => !(partFirst && point.t === first) && !(partLast && point.t === last));
}

function totals(points: readonly TrendPoint[]): { t: string; n: number }[] {
  const sums = new Map<string, number>();
  for (const point of points) sums.set(point.t, (sums.get(point.t) ?? 0) + point.n);
  return [...sums].map(([t, n]) => ({ t, n }));
}

function variation(values: readonly number[]): number {
  const mean = values.reduce((sum, v) => sum + v, 0) / Math.max(1, values.length);
  const spread = values.reduce((sum, v) => sum + (v - mean) ** 2, 0) / Math.max(1, values.length);
  return mean > 0 ? Math.sqrt(spread) / mean : 0;
}

/** Months of the year, hours of the day, days of the week: told where the medians differ clearly. */
async function findCycles(
  db: Database,
  column: ColumnProfile,
  measures: readonly ColumnProfile[],
  span: Span,
): Promise<Cycle[]> {
  const c = ident(column.name);
  const wanted: { of: Cycle["of"]; sql: string }[] = [];
  const years = (span.toMs - span.fromMs) / YEAR_MS;
  if (years >= 2) wanted.push({ of: "month", sql: `month(${c})` });
  if (!(column.date?.daysOnly ?? true)) wanted.push({ of: "hour", sql: `hour(${c})` });
  const cycles: Cycle[] = [];
  for (const { of, sql } of wanted) {
    for (const measure of measures) {
      const m = ident(measure.name);
      const rows = await db.query(
        `${measure.name} by ${of}`,
        `SELECT ${sql} AS place, count(${m}) AS n, median(${m}) AS median, quantile_cont(${m}, 0.25) AS q25, quantile_cont(${m}, 0.75) AS q75,\n  avg(${m}) AS mean, var_samp(${m}) AS variance FROM "table"\nWHERE ${c} IS NOT NULL AND ${m} IS NOT NULL GROUP BY ALL HAVING count(${m}) >= 10 ORDER BY place`,
      );
      if (rows.length < 6) continue;
      const n = rows.reduce((sum, row) => sum + num(row.n), 0);
      const mean = rows.reduce((sum, row) => sum + num(row.n) * num(row.mean), 0) / n;
      const between = rows.reduce((sum, row) => sum + num(row.n) * (num(row.mean) - mean) ** 2, 0);
      const within = rows.reduce((sum, row) => sum + (num(row.n) - 1) * num(row.variance), 0);
      if (between / (between + within) < 0.05) continue;
      cycles.push({
        measure: measure.name,
        of,
        points: rows.map((row) => ({
          at: num(row.place),
          median: num(row.median),
          q25: num(row.q25),
          q75: num(row.q75),
          n: num(row.n),
        })),
      });
    }
  }
  return cycles.slice(0, 2);
}

const MONTHS = [
  "January",
  "February",
  "March",
  "April",
  "May",
  "June",
  "July",
  "August",
  "September",
  "October",
  "November",
  "December",
];

export function cycleName(of: Cycle["of"], at: number): string {
  if (of === "month") return MONTHS[at - 1] ?? String(at);
  if (of === "hour") return `${String(at).padStart(2, "0")}:00`;
  return ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"][at - 1] ?? String(at);
}

/** A period's start as people write it. */
function periodName(t: string, period: Period): string {
  if (period === "year") return t.slice(0, 4);
  if (period === "quarter") return `Q${Math.floor((Number(t.slice(5, 7)) - 1) / 3) + 1} ${t.slice(0, 4)}`;
  if (period === "month") return `${MONTHS[Number(t.slice(5, 7)) - 1] ?? ""} ${t.slice(0, 4)}`;
  return period === "hour" ? t.slice(0, 16) : t.slice(0, 10);
}

const EVERY: Record<Period, string> = {
  year: "yearly",
  quarter: "quarterly",
  month: "monthly",
  week: "weekly",
  day: "daily",
  hour: "hourly",
};

function tell(trend: Trend, complete: readonly TrendPoint[]): string[] {
  const { period, measures, series } = trend;
  const sentences: string[] = [];
  const names = series === "" ? [""] : largestSeries(complete);
  for (const [index, measure] of measures.entries()) {
    const told: string[] = [];
    for (const name of names) {
      const line = complete.filter((point) => point.series === name && point.values[index] !== null);
      const sentence = tellLine(line, index, measure, name, trend);
      if (sentence) told.push(sentence);
    }
    sentences.push(...told.slice(0, series === "" ? 1 : 5));
  }
  if (trend.countsMatter) {
    const perPeriod = totals(complete);
    const peak = perPeriod.reduce((a, b) => (b.n > a.n ? b : a), perPeriod[0] ?? { t: "", n: 0 });
    sentences.push(
      `The number of rows per ${period} is not even: it peaks in ${periodName(peak.t, period)} with ${count(peak.n, "row")}. This may say more about how the data was collected than about its subject.`,
    );
  }
  for (const cycle of trend.cycles) {
    const ordered = [...cycle.points].sort((a, b) => b.median - a.median);
    const top = ordered[0];
    const bottom = ordered.at(-1);
    if (!top || !bottom) continue;
    const unit = cycle.of === "month" ? "time of year" : "time of day";
    sentences.push(
      `${cycle.measure} varies with the ${unit}: its median is highest in ${at(cycle.of, top.at)} (${rough(top.median)}) and lowest in ${at(cycle.of, bottom.at)} (${rough(bottom.median)}).`,
    );
  }
  return sentences;
}

function at(of: Cycle["of"], value: number): string {
  return of === "hour" ? `the hour from ${cycleName(of, value)}` : cycleName(of, value);
}

function tellLine(
  line: readonly TrendPoint[],
  index: number,
  measure: string,
  name: string,
  trend: Trend,
): string | undefined {
  const values = line.map((point) => point.values[index] ?? null);
  const test = trendTest(values);
  const first = line[0];
  const last = line.at(-1);
  if (!test || !first || !last) return undefined;
  const who = name === "" ? measure : `${measure} of ${short(name)}`;
  const from = periodName(first.t, trend.period);
  const to = periodName(last.t, trend.period);
  const edge = Math.max(1, Math.min(3, Math.floor(line.length / 4)));
  const early = mean(values.slice(0, edge));
  const late = mean(values.slice(-edge));
  const ends = `from ${rough(early)} in the first ${edge === 1 ? trend.period : `${edge} ${trend.period}s`} to ${rough(late)} in the last`;
  if (test.p > MAX_P || test.slope === 0) {
    const known = line.flatMap((point) =>
      point.values[index] === null ? [] : [{ t: point.t, v: point.values[index] as number }],
    );
    const top = known.reduce((a, b) => (b.v > a.v ? b : a));
    const bottom = known.reduce((a, b) => (b.v < a.v ? b : a));
    if (top.v === bottom.v)
      return `The ${EVERY[trend.period]} median of ${who} is ${rough(top.v)} throughout, from ${from} to ${to}.`;
    return (
      `The ${EVERY[trend.period]} median of ${who} went ${ends} between ${from} and ${to}, with its lowest value in ${periodName(bottom.t, trend.period)} (${rough(bottom.v)}) and its highest in ${periodName(top.t, trend.period)} (${rough(top.v)}); ` +
      `a lasting rise or fall cannot be told from chance (Mann–Kendall test allowing for autocorrelation, ${pValue(test.p)}).`
    );
  }
  const way = test.slope > 0 ? "rose" : "fell";
  const agrees = Math.sign(late - early) === Math.sign(test.slope);
  const change = early > 0 && agrees ? changeText(late / early) : "";
  return (
    `The ${EVERY[trend.period]} median of ${who} ${way} between ${from} and ${to}${agrees ? `, ${ends}` : ""}${change}: about ${figure(Math.abs(test.slope))} per ${trend.period} ` +
    `(Theil–Sen slope over ${count(values.length, trend.period)}; Mann–Kendall test allowing for autocorrelation, ${pValue(test.p)}).`
  );
}

/** 1.12 → (+12%); 15.6 → (16 times as much). */
function changeText(ratio: number): string {
  if (ratio > 2.5)
    return ` (${figure(ratio < 10 ? Math.round(ratio * 10) / 10 : Math.round(ratio))} times as much)`;
  return ratio >= 1 ? ` (+${percent(ratio - 1)})` : ` (−${percent(1 - ratio)})`;
}

function mean(values: readonly (number | null)[]): number {
  const known = values.filter((value): value is number => value !== null);
  return known.reduce((sum, value) => sum + value, 0) / Math.max(1, known.length);
}

/** The series with most rows, for a chart that can be read. */
export function largestSeries(points: readonly TrendPoint[]): string[] {
  const rows = new Map<string, number>();
  for (const point of points) rows.set(point.series, (rows.get(point.series) ?? 0) + point.n);
  return [...rows]
    .sort((a, b) => b[1] - a[1] || a[0].localeCompare(b[0]))
    .slice(0, MAX_SERIES)
    .map(([name]) => name);
}
