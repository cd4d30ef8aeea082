/** Charts of a model: predicted against actual, and what it uses. */
import type { Model } from "../analysis/model.ts";
import { short } from "../wording.ts";
import { type Draft, numberAxis } from "./draft.ts";
import { ACCENT, GRID, WARM } from "./render.ts";

export function modelCharts(model: Model): Draft[] {
  const drafts: Draft[] = [];
  if (model.kind === "number" && model.points.length > 0) {
    const all = model.points.flatMap((p) => [p.actual, p.predicted]);
    const low = Math.min(...all);
    const high = Math.max(...all);
    const scale =
      model.compressed && low >= 0
        ? { type: "sqrt", domain: [low, high] }
        : { zero: false, domain: [low, high] };
    drafts.push({
      section: "model",
      title: `Predicted and actual ${short(model.target, 40)}`,
      caption: `Each dot is one of ${model.points.length.toLocaleString("en-US")} rows held out; on the line the prediction is right.`,
      height: 240,
      data: model.points.map((p) => ({ a: p.actual, p: Math.max(low, p.predicted) })),
      spec: {
        layer: [
          {
            mark: { type: "circle", color: ACCENT, opacity: 0.4, size: 18 },
            encoding: {
              x: {
                field: "a",
                type: "quantitative",
                scale,
                axis: numberAxis(`Actual ${model.target}`, { grid: true }),
              },
              y: { field: "p", type: "quantitative", scale, axis: numberAxis(`Predicted ${model.target}`) },
            },
          },
          {
            data: {
              values: [
                { a: low, p: low },
                { a: high, p: high },
              ],
            },
            mark: { type: "line", color: WARM, strokeDash: [5, 4], strokeWidth: 1.5 },
            encoding: { x: { field: "a", type: "quantitative" }, y: { field: "p", type: "quantitative" } },
          },
        ],
      },
    });
  }
  if (model.kind === "category" && model.classes.length > 0) {
    const data = model.confusion.flatMap((line, i) => {
      const all = line.reduce((sum, n) => sum + n, 0);
      return line.map((n, j) => ({
        actual: short(model.classes[i] ?? "", 18),
        predicted: short(model.classes[j] ?? "", 18),
        n,
        share: all > 0 ? n / all : 0,
      }));
    });
    const order = model.classes.map((name) => short(name, 18));
    const axis = { domain: false, ticks: false };
    drafts.push({
      section: "model",
      title: `Predicted and actual ${short(model.target, 40)}`,
      caption: `Rows held out, counted; each line is an actual class, and the diagonal is right.`,
      height: Math.max(120, 34 * order.length),
      data,
      spec: {
        encoding: {
          x: {
            field: "predicted",
            type: "nominal",
            sort: order,
            axis: { ...axis, title: "Predicted", labelAngle: order.length > 4 ? -40 : 0 },
          },
          y: { field: "actual", type: "nominal", sort: order, axis: { ...axis, title: "Actual" } },
        },
        layer: [
          {
            mark: { type: "rect", stroke: GRID },
            encoding: {
              color: {
                field: "share",
                type: "quantitative",
                scale: { domain: [0, 1], range: ["#f3f4f6", ACCENT] },
                legend: null,
              },
            },
          },
          {
            mark: { type: "text", fontSize: 11 },
            encoding: {
              text: { field: "n", format: "," },
              color: { condition: { test: "datum.share > 0.5", value: "#ffffff" }, value: "#22272f" },
            },
          },
        ],
      },
    });
  }
  const useful = model.importance.filter((item) => item.increase > 0).slice(0, 10);
  if (useful.length >= 2) {
    drafts.push({
      section: "model",
      title: "What the model uses",
      caption: `How much the error on the rows held out grows when a column's values are shuffled.`,
      height: { step: 20 } as unknown as number,
      data: useful.map((item) => ({ name: short(item.column, 24), v: item.increase })),
      spec: {
        mark: { type: "bar", color: ACCENT, height: 13 },
        encoding: {
          y: {
            field: "name",
            type: "nominal",
            sort: null,
            axis: { title: null, domain: false, ticks: false },
          },
          x: {
            field: "v",
            type: "quantitative",
            axis:
              model.kind === "number"
                ? numberAxis("Growth of the mean absolute error")
                : { title: "Growth of the error rate", format: ".1~%", tickCount: 5 },
          },
        },
      },
    });
  }
  return drafts;
}
