/** Charts over time: lines, rows per period, cycles. */
import { cycleName, largestSeries, type Trend } from "../analysis/trend.ts";
import { listed, short } from "../wording.ts";
import { type Draft, numberAxis } from "./draft.ts";
import { ACCENT, SOFT } from "./render.ts";

export function trendCharts(trend: Trend): Draft[] {
  const drafts: Draft[] = [];
  const time = (t: string) => (t.length <= 4 ? `${t.padStart(4, "0")}-01-01` : t.replace(" ", "T"));
  const several = trend.series !== "";
  const names = several ? largestSeries(trend.points) : [""];
  const x = {
    field: "t",
    type: "temporal",
    axis: {
      title: short(trend.column, 50),
      tickCount: 6,
      labelOverlap: true,
      ...(trend.period === "year" ? { format: "%Y" } : {}),
    },
  };
  for (const [index, measure] of trend.measures.entries()) {
    const points = trend.points.filter((p) => names.includes(p.series) && p.values[index] !== null);
    if (points.length < 5) continue;
    const seriesTotal = new Set(trend.points.map((p) => p.series)).size;
    const only =
      several && seriesTotal > names.length
        ? ` ${names.length} of ${seriesTotal} series are drawn: ${listed(
            names.map((n) => short(n, 20)),
            8,
          )}.`
        : "";
    const tooFew = several ? "" : ` A ${trend.period} with fewer than five values is left out.`;
    drafts.push({
      section: "trend",
      title: `${short(measure, 40)} over time`,
      caption: `Median by ${trend.period}${several ? ` for each ${short(trend.series, 30)}` : ""}.${only}${tooFew}`,
      height: 190,
      data: points.map((p) => ({ t: time(p.t), v: p.values[index], s: short(p.series, 22) })),
      spec: {
        mark: {
          type: "line",
          ...(several ? {} : { color: ACCENT }),
          interpolate: "linear",
          strokeWidth: points.length > 150 ? 1.3 : 2,
          ...(points.length <= 40 && !several ? { point: { size: 22, color: ACCENT } } : {}),
        },
        encoding: {
          x,
          y: {
            field: "v",
            type: "quantitative",
            scale: { zero: false },
            axis: numberAxis(`Median ${measure}`),
          },
          ...(several
            ? {
                color: {
                  field: "s",
                  type: "nominal",
                  sort: names.map((n) => short(n, 22)),
                  legend: { title: null },
                },
              }
            : {}),
        },
      },
    });
  }
  if (trend.countsMatter) {
    const sums = new Map<string, number>();
    for (const point of trend.points) sums.set(point.t, (sums.get(point.t) ?? 0) + point.n);
    drafts.push({
      section: "trend",
      title: "Rows over time",
      caption: `Rows per ${trend.period}, from ${trend.from.slice(0, 10)} to ${trend.to.slice(0, 10)}.`,
      height: 190,
      data: [...sums].map(([t, n]) => ({ t: time(t), n })),
      spec: {
        mark: { type: "area", color: SOFT, line: { color: ACCENT, strokeWidth: 1.5 }, interpolate: "linear" },
        encoding: { x, y: { field: "n", type: "quantitative", axis: numberAxis("Rows") } },
      },
    });
  }
  for (const cycle of trend.cycles) {
    const names = { month: "month of the year", hour: "hour of the day", weekday: "day of the week" };
    const data = cycle.points.map((p) => ({
      ...p,
      name:
        cycle.of === "month"
          ? cycleName("month", p.at).slice(0, 3)
          : cycle.of === "hour"
            ? String(p.at)
            : cycleName(cycle.of, p.at).slice(0, 3),
    }));
    drafts.push({
      section: "trend",
      title: `${short(cycle.measure, 40)} by ${names[cycle.of]}`,
      caption: "Line: median. Band: middle half of the values.",
      height: 190,
      data,
      spec: {
        encoding: {
          x: {
            field: "name",
            type: "ordinal",
            sort: null,
            axis: {
              title: names[cycle.of].replace(/^./, (c) => c.toUpperCase()),
              labelAngle: 0,
              labelOverlap: true,
            },
          },
        },
        layer: [
          {
            mark: { type: "area", color: SOFT, opacity: 0.5 },
            encoding: {
              y: {
                field: "q25",
                type: "quantitative",
                scale: { zero: false },
                axis: numberAxis(cycle.measure),
              },
              y2: { field: "q75" },
            },
          },
          {
            mark: { type: "line", color: ACCENT, point: { size: 22, color: ACCENT } },
            encoding: { y: { field: "median", type: "quantitative" } },
          },
        ],
      },
    });
  }
  return drafts;
}
