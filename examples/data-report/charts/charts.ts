/** Which charts a report gets, and what each shows: chosen from the findings, drawn from SQL. */
import type { Findings } from "../analysis/findings.ts";
import type { Model } from "../analysis/model.ts";
import type { Trend } from "../analysis/trend.ts";
import { type Cell, type Database, ident, num } from "../database.ts";
import type { ColumnProfile, Profile } from "../table/column.ts";
import { count, percent, rough, short, signed } from "../wording.ts";
import { type Chart, type Draft, numberAxis } from "./draft.ts";
import { modelCharts } from "./model-charts.ts";
import { ACCENT, GRID, MUTED, renderChart, SOFT, WARM } from "./render.ts";
import { trendCharts } from "./trend-charts.ts";

const MAX_HISTOGRAMS = 6;
const MAX_BARS = 4;
const MAX_SCATTER_POINTS = 900;
const MAX_HEATMAP = 12;

export interface ChartRequest {
  profile: Profile;
  /** The table as it was loaded, where cleaning changed it. */
  loaded: Profile;
  findings: Findings;
  trend: Trend | null;
  model: Model | null;
  target: string;
}

export async function drawCharts(db: Database, request: ChartRequest): Promise<Chart[]> {
  const drafts: Draft[] = [
    ...missingChart(request.loaded),
    ...(await histograms(db, request)),
    ...categoryBars(request),
    ...heatmap(request.findings),
    ...(await scatters(db, request)),
    ...groupCharts(request.findings),
    ...(request.trend ? trendCharts(request.trend) : []),
    ...(request.model ? modelCharts(request.model) : []),
  ];
  const charts: Chart[] = [];
  for (const [index, { section, title, caption, ...spec }] of drafts.entries()) {
    charts.push({
      id: `chart-${index + 1}`,
      section,
      title,
      caption,
      svg: await renderChart(spec, `${title}. ${caption}`),
    });
  }
  return charts;
}

function missingChart(profile: Profile): Draft[] {
  const missing = profile.columns.filter((c) => c.missing > 0).sort((a, b) => b.missing - a.missing);
  if (missing.length < 2) return [];
  const shown = missing.slice(0, 15);
  return [
    {
      section: "quality",
      title: "Missing values by column",
      caption:
        missing.length > shown.length
          ? `The ${shown.length} of ${missing.length} columns with most missing values.`
          : "Columns without missing values are not shown.",
      height: { step: 18 } as unknown as number,
      data: shown.map((c) => ({
        name: short(c.name, 26),
        share: c.missing / profile.rows,
        label: percent(c.missing / profile.rows),
      })),
      spec: {
        encoding: {
          y: {
            field: "name",
            type: "nominal",
            sort: null,
            axis: { title: null, domain: false, ticks: false },
          },
          x: {
            field: "share",
            type: "quantitative",
            scale: { domain: [0, 1] },
            axis: { title: "Share of rows", format: "%", tickCount: 5 },
          },
        },
        layer: [
          { mark: { type: "bar", color: ACCENT, height: 11 } },
          {
            mark: { type: "text", align: "left", dx: 4, color: MUTED, fontSize: 10.5 },
            encoding: { text: { field: "label" } },
          },
        ],
      },
    },
  ];
}

async function histograms(db: Database, { profile, target }: ChartRequest): Promise<Draft[]> {
  const columns = profile.columns
    .filter((c) => c.kind === "number" && c.number && c.distinct > 3)
    .sort((a, b) => Number(b.name === target) - Number(a.name === target) || a.missing - b.missing)
    .slice(0, MAX_HISTOGRAMS)
    .sort((a, b) => profile.columns.indexOf(a) - profile.columns.indexOf(b));
  const drafts: Draft[] = [];
  for (const column of columns) drafts.push(await histogram(db, column));
  return drafts;
}

async function histogram(db: Database, column: ColumnProfile): Promise<Draft> {
  const facts = column.number as NonNullable<ColumnProfile["number"]>;
  const c = `CAST(${ident(column.name)} AS DOUBLE)`;
  const quantiles = await db.one(
    `Bulk of ${column.name}`,
    `SELECT quantile_cont(${c}, 0.01) AS lo, quantile_cont(${c}, 0.99) AS hi FROM "table" WHERE isfinite(${c})`,
  );
  const spread = facts.q95 - facts.q05;
  // A few extreme values would press all the others into one bar.
  const cutHigh = facts.max - facts.q95 > 2 * spread;
  const cutLow = facts.q05 - facts.min > 2 * spread;
  const low = cutLow ? num(quantiles.lo) : facts.min;
  const high = cutHigh ? num(quantiles.hi) : facts.max;
  const bins = binning(low, high, facts.whole && high - low <= 40 ? 1 : 0);
  const rows = await db.query(
    `Histogram of ${column.name}`,
    `SELECT least(floor((${c} - ${bins.start}) / ${bins.step}), ${bins.count - 1}) AS bin, count(*) AS n FROM "table"\nWHERE isfinite(${c}) AND ${c} BETWEEN ${low} AND ${high} GROUP BY ALL ORDER BY bin`,
  );
  const data = rows.map((row) => ({
    from: bins.start + num(row.bin) * bins.step - (bins.unit ? 0.5 : 0),
    to: bins.start + (num(row.bin) + 1) * bins.step - (bins.unit ? 0.5 : 0),
    n: num(row.n),
  }));
  const cut =
    cutHigh || cutLow
      ? ` The outermost 1% at ${cutHigh && cutLow ? "each end" : cutHigh ? "the top" : "the bottom"} (${cutHigh && cutLow ? `from ${rough(facts.min)} to ${rough(facts.max)}` : cutHigh ? `up to ${rough(facts.max)}` : `down to ${rough(facts.min)}`}) is not shown.`
      : "";
  return {
    section: "distribution",
    title: short(column.name, 60),
    caption: `Median ${rough(facts.median)}; the middle half lies between ${rough(facts.q25)} and ${rough(facts.q75)}.${cut}`,
    height: 150,
    data,
    spec: {
      layer: [
        {
          mark: { type: "bar", color: ACCENT, binSpacing: data.length > 60 ? 0 : 1 },
          encoding: {
            x: {
              field: "from",
              type: "quantitative",
              bin: { binned: true },
              axis: numberAxis(column.name, { grid: false }),
              scale: { zero: false, nice: false },
            },
            x2: { field: "to" },
            y: { field: "n", type: "quantitative", axis: numberAxis("Rows") },
          },
        },
        {
          data: { values: [{ median: facts.median }] },
          mark: { type: "rule", color: WARM, strokeWidth: 1.5, strokeDash: [4, 3] },
          encoding: { x: { field: "median", type: "quantitative" } },
        },
      ],
    },
  };
}

/** About 30 bins whose edges are round numbers. */
function binning(
  low: number,
  high: number,
  unit: number,
): { start: number; step: number; count: number; unit: boolean } {
  if (unit === 1) return { start: low, step: 1, count: Math.round(high - low) + 1, unit: true };
  const raw = (high - low) / 28 || 1;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = ([1, 2, 2.5, 5, 10].find((m) => m * power >= raw) ?? 10) * power;
  const start = Math.floor(low / step) * step;
  return { start, step, count: Math.max(1, Math.ceil((high - start) / step + 1e-9)), unit: false };
}

function categoryBars({ profile }: ChartRequest): Draft[] {
  return profile.columns
    .filter((c) => (c.kind === "category" || c.kind === "boolean") && c.top.length >= 2)
    .slice(0, MAX_BARS)
    .map((column) => {
      const filled = profile.rows - column.missing;
      const shown = column.top.slice(0, 8);
      const rest = filled - shown.reduce((sum, value) => sum + value.count, 0);
      const data = shown.map((value) => ({
        name: short(value.value, 24),
        n: value.count,
        label: percent(value.count / filled),
      }));
      return {
        section: "category",
        title: short(column.name, 60),
        caption:
          rest > 0
            ? `The ${shown.length} most frequent of ${count(column.distinct, "value")}; the others have ${count(rest, "row")}.`
            : `${count(filled, "row")} have a value.`,
        height: { step: 20 } as unknown as number,
        data,
        spec: {
          encoding: {
            y: {
              field: "name",
              type: "nominal",
              sort: null,
              axis: { title: null, domain: false, ticks: false },
            },
            x: {
              field: "n",
              type: "quantitative",
              axis: numberAxis("Rows"),
              scale: { domainMax: Math.max(...data.map((d) => d.n)) * 1.15 },
            },
          },
          layer: [
            { mark: { type: "bar", color: ACCENT, height: 13 } },
            {
              mark: { type: "text", align: "left", dx: 4, color: MUTED, fontSize: 10.5 },
              encoding: { text: { field: "label" } },
            },
          ],
        },
      };
    });
}

function heatmap(findings: Findings): Draft[] {
  const strongest = [...findings.numbers]
    .map((name) => ({
      name,
      most: Math.max(
        0,
        ...findings.correlations.filter((p) => p.a === name || p.b === name).map((p) => Math.abs(p.r)),
      ),
    }))
    .sort((a, b) => b.most - a.most)
    .slice(0, MAX_HEATMAP)
    .map(({ name }) => name);
  const names = findings.numbers.filter((name) => strongest.includes(name));
  if (names.length < 3) return [];
  const data = findings.correlations
    .filter((p) => names.includes(p.a) && names.includes(p.b))
    .flatMap((p) => [
      { a: short(p.a, 18), b: short(p.b, 18), i: names.indexOf(p.a), j: names.indexOf(p.b), r: p.r },
      { a: short(p.b, 18), b: short(p.a, 18), i: names.indexOf(p.b), j: names.indexOf(p.a), r: p.r },
    ])
    .map((cell) => ({ ...cell, label: signed(cell.r) }));
  const order = names.map((name) => short(name, 18));
  const axis = { title: null, domain: false, ticks: false };
  return [
    {
      section: "relation",
      title: "Correlations between numbers",
      caption: `Pearson's r from −1 (red) to 1 (blue), over the rows that have both values.`,
      height: 34 * names.length,
      data,
      spec: {
        encoding: {
          x: { field: "a", type: "nominal", sort: order, axis: { ...axis, labelAngle: -40, labelLimit: 90 } },
          y: { field: "b", type: "nominal", sort: order, axis: { ...axis, labelLimit: 110 } },
        },
        layer: [
          {
            mark: { type: "rect", stroke: GRID, strokeWidth: 1 },
            encoding: {
              color: {
                field: "r",
                type: "quantitative",
                scale: { domain: [-1, 0, 1], range: [WARM, "#f3f4f6", ACCENT] },
                legend: null,
              },
            },
          },
          ...(names.length <= 9
            ? [
                {
                  mark: { type: "text", fontSize: names.length > 7 ? 9 : 10 },
                  encoding: {
                    text: { field: "label" },
                    color: { condition: { test: "abs(datum.r) > 0.55", value: "#ffffff" }, value: "#22272f" },
                  },
                },
              ]
            : []),
        ],
      },
    },
  ];
}

async function scatters(db: Database, { findings, profile }: ChartRequest): Promise<Draft[]> {
  const told = findings.findings.filter((finding) => finding.kind === "correlation").slice(0, 3);
  const drafts: Draft[] = [];
  for (const finding of told) {
    const a = profile.columns.find((c) => c.name === finding.columns[0]);
    const b = profile.columns.find((c) => c.name === finding.columns[1]);
    const pair = findings.correlations.find((p) => p.a === a?.name && p.b === b?.name);
    if (!a?.number || !b?.number || !pair) continue;
    const [x, y] = [ident(a.name), ident(b.name)];
    const rows = await db.query(
      `Points of ${a.name} and ${b.name}`,
      `SELECT x, y FROM (SELECT CAST(${x} AS DOUBLE) AS x, CAST(${y} AS DOUBLE) AS y, row_number() OVER () AS row_number FROM "table")\nWHERE isfinite(x) AND isfinite(y) ORDER BY hash(row_number), row_number LIMIT ${MAX_SCATTER_POINTS}`,
    );
    const thinned = pair.n > rows.length;
    const scaleOf = (column: ColumnProfile, values: Cell[]) => {
      const facts = column.number as NonNullable<ColumnProfile["number"]>;
      const wide = facts.min >= 0 && facts.mean > facts.median * 1.6 && values.every((v) => num(v) >= 0);
      return wide ? { type: "sqrt" } : { zero: false };
    };
    const xScale = scaleOf(
      a,
      rows.map((row) => row.x ?? null),
    );
    const yScale = scaleOf(
      b,
      rows.map((row) => row.y ?? null),
    );
    const root = [xScale, yScale].some((scale) => "type" in scale)
      ? " Square-root scale where values spread widely."
      : "";
    drafts.push({
      section: "relation",
      title: `${short(a.name, 30)} and ${short(b.name, 30)}`,
      caption: `r = ${signed(pair.r)} over ${count(pair.n, "row")}.${thinned ? ` A random ${rows.length.toLocaleString("en-US")} of them are drawn.` : ""}${root}`,
      height: 220,
      data: rows,
      spec: {
        mark: { type: "circle", color: ACCENT, opacity: 0.35, size: 16 },
        encoding: {
          x: { field: "x", type: "quantitative", scale: xScale, axis: numberAxis(a.name, { grid: true }) },
          y: { field: "y", type: "quantitative", scale: yScale, axis: numberAxis(b.name) },
        },
      },
    });
  }
  return drafts;
}

function groupCharts(findings: Findings): Draft[] {
  const told = findings.findings.filter((finding) => finding.kind === "group").slice(0, 3);
  return told.flatMap((finding) => {
    const difference = findings.groups.find(
      (g) => g.number === finding.columns[0] && g.category === finding.columns[1],
    );
    if (!difference) return [];
    const largest = [...difference.groups].sort((a, b) => b.n - a.n).slice(0, 12);
    const shown = largest.sort((a, b) => b.median - a.median);
    const data = shown.map((g) => ({
      name: `${short(g.name, 20)}`,
      q25: g.q25,
      median: g.median,
      q75: g.q75,
      n: g.n,
    }));
    return [
      {
        section: "group" as const,
        title: `${short(difference.number, 30)} by ${short(difference.category, 30)}`,
        caption: `Dots are medians, bars the middle half of each group.${difference.groups.length > shown.length ? ` The ${shown.length} largest of ${difference.groups.length} groups.` : ""} Groups under 10 rows are left out.`,
        height: { step: 20 } as unknown as number,
        data,
        spec: {
          encoding: {
            y: {
              field: "name",
              type: "nominal",
              sort: null,
              axis: { title: null, domain: false, ticks: false },
            },
          },
          layer: [
            {
              mark: { type: "bar", color: SOFT, height: 8, cornerRadius: 4 },
              encoding: {
                x: {
                  field: "q25",
                  type: "quantitative",
                  scale: { zero: false },
                  axis: numberAxis(difference.number, { grid: true }),
                },
                x2: { field: "q75" },
              },
            },
            {
              mark: { type: "circle", color: ACCENT, size: 60, opacity: 1 },
              encoding: { x: { field: "median", type: "quantitative" } },
            },
          ],
        },
      },
    ];
  });
}
