/**
 * Vega-Lite specifications to SVG text, on the server, without a canvas.
 *
 * Every chart uses the same few colours; the report's style sheet maps them to the reader's light or dark
 * scheme by attribute selectors, so that one drawing serves both. Fields in the data have neutral names:
 * Vega reads dots and brackets in a field's name as paths, and columns of real data have both.
 */
import * as vega from "vega";
import { compile, type TopLevelSpec } from "vega-lite";

/** Vega-Lite's remarks are for authors of specifications (it drops what a discrete axis cannot use). */
const quiet = vega.logger(vega.None);

/** The colours that a style sheet can map. */
export const INK = "#22272e";
export const MUTED = "#68727d";
export const GRID = "#e3e6ea";
export const ACCENT = "#2b6cb0";
export const SOFT = "#a9c6e3";
export const WARM = "#c8553d";
const SERIES = ["#2b6cb0", "#c8553d", "#3a8f6b", "#8a5fb0", "#b7862c", "#3b98a8", "#b34a7d", "#68727d"];

/** Width with all labels, so that letters are of one size: charts stand two abreast on a desk and one on a phone. */
const WIDTH = 390;

const FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif";

/** Numbers on an axis: 10k, 2.5M, 1B. */
export const SHORT_NUMBER =
  "abs(datum.value) >= 1000 ? replace(format(datum.value, '~s'), 'G', 'B') : format(datum.value, ',~g')";

export interface ChartSpec {
  data: Record<string, unknown>[];
  /** The rest of the specification: mark, encoding, layers. */
  spec: Record<string, unknown>;
  height?: number;
}

/**
 * Width of a text in a humanist sans-serif, by classes of letters. Vega's own estimate without a canvas is
 * half as wide again, and would cut labels that fit and leave gaps beside the others.
 */
function textWidth(item: { fontSize?: number }, text: unknown): number {
  const size = item.fontSize ?? 11;
  let units = 0;
  for (const letter of String(text ?? "")) {
    if (/[iljtfr.,:;|!'’ ()[\]]/.test(letter)) units += 0.34;
    else if (/[mwMW@%…]/.test(letter)) units += 0.9;
    else if (/[A-Z0-9]/.test(letter)) units += 0.66;
    else units += (letter.codePointAt(0) ?? 0) > 0x2e80 ? 1.05 : 0.58;
  }
  return units * size;
}

(vega as unknown as { textMetrics: { width: typeof textWidth } }).textMetrics.width = textWidth;

/** @returns an `svg` element that scales to the width it is given */
export async function renderChart({ data, spec, height }: ChartSpec, label: string): Promise<string> {
  const full = {
    width: WIDTH,
    height: height ?? 200,
    data: { values: data },
    background: "transparent",
    padding: 4,
    autosize: { type: "fit-x", contains: "padding" },
    config: {
      font: FONT,
      view: { stroke: null },
      axis: {
        labelColor: MUTED,
        titleColor: INK,
        gridColor: GRID,
        domainColor: MUTED,
        tickColor: MUTED,
        labelFontSize: 11,
        titleFontSize: 11.5,
        titleFontWeight: 500,
        labelLimit: 190,
        titleLimit: 320,
        titlePadding: 8,
      },
      axisX: { grid: false },
      legend: {
        labelColor: INK,
        titleColor: INK,
        labelFontSize: 11,
        titleFontSize: 11.5,
        symbolSize: 70,
        labelLimit: 140,
        orient: "bottom",
        columns: 4,
      },
      header: { labelColor: INK, titleColor: INK },
      range: { category: SERIES },
      bar: { color: ACCENT },
      line: { color: ACCENT, strokeWidth: 2 },
      point: { color: ACCENT, filled: true },
      text: { color: INK, fontSize: 11 },
      rule: { color: MUTED },
    },
    ...spec,
  };
  const view = new vega.View(vega.parse(compile(full as unknown as TopLevelSpec, { logger: quiet }).spec), {
    renderer: "none",
    logLevel: vega.None,
  });
  try {
    return scalable(await view.toSVG(), label);
  } finally {
    view.finalize();
  }
}

/** Replaces the fixed size by a view box, and names the picture for those who cannot see it. */
function scalable(svg: string, label: string): string {
  const width = /\bwidth="([\d.]+)"/.exec(svg)?.[1] ?? "400";
  const name = label.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll('"', "&quot;");
  return svg
    .replace(/<svg [^>]*?>/, (tag) =>
      tag
        .replace(/\swidth="[\d.]+"/, "")
        .replace(/\sheight="[\d.]+"/, "")
        .replace(
          "<svg ",
          `<svg role="img" aria-label="${name}" style="max-width:${Math.ceil(Number(width) * 1.1)}px" `,
        ),
    )
    .replaceAll(/ aria-roledescription="[^"]*"/g, "")
    .replaceAll(/(<g|<path|<text)([^>]*?) aria-label="[^"]*"/g, "$1$2");
}
