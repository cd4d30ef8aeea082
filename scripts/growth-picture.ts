/**
 * The curve of `npm run bench -- growth` as a picture: memory over the runs that a swarm has done.
 *
 *     npm run bench -- growth > growth.jsonl && npx tsx scripts/growth-picture.ts growth.jsonl
 *
 * Writes docs/images/growth.svg, which follows the reader's light or dark theme.
 */
import { readFileSync, writeFileSync } from "node:fs";

const SERIES = [
  { measure: "daemon, live heap", label: "daemon, live", color: "#2563eb" },
  { measure: "daemon, resident", label: "daemon, resident", color: "#7c3aed" },
  { measure: "nats-server, resident", label: "nats-server, resident", color: "#ea580c" },
] as const;
const SIZE = { width: 720, height: 320 };
const PLOT = { left: 60, top: 20, right: 560, bottom: 270 };
const GRID_MIB = 50;

interface Point {
  runs: number;
  mebibytes: number;
}

const [input = ""] = process.argv.slice(2);
const points = new Map<string, Point[]>();
for (const text of readFileSync(input, "utf8").trimEnd().split("\n")) {
  const { measure, runtime } = JSON.parse(text) as { measure: string; runtime: number };
  const [, runs, what = ""] = /^after (\d+) runs: (.+)$/.exec(measure) ?? [];
  if (runs === undefined || !SERIES.some((series) => series.measure === what)) continue;
  points.set(what, [...(points.get(what) ?? []), { runs: Number(runs), mebibytes: runtime }]);
}

const all = [...points.values()].flat();
const most = { runs: Math.max(...all.map(({ runs }) => runs)), mebibytes: 0 };
most.mebibytes = GRID_MIB * Math.ceil(Math.max(...all.map(({ mebibytes }) => mebibytes)) / GRID_MIB);
const x = (runs: number): number => PLOT.left + ((PLOT.right - PLOT.left) * runs) / most.runs;
const y = (mebibytes: number): number =>
  PLOT.bottom - ((PLOT.bottom - PLOT.top) * mebibytes) / most.mebibytes;

const parts: string[] = [];
for (let mebibytes = 0; mebibytes <= most.mebibytes; mebibytes += GRID_MIB) {
  const at = y(mebibytes).toFixed(1);
  parts.push(`<line class="grid" x1="${PLOT.left}" x2="${PLOT.right}" y1="${at}" y2="${at}"/>`);
  parts.push(`<text x="${PLOT.left - 8}" y="${at}" text-anchor="end" dy="4">${mebibytes}</text>`);
}
for (const share of [0, 0.25, 0.5, 0.75, 1]) {
  const runs = most.runs * share;
  const label = runs.toLocaleString("en");
  parts.push(`<text x="${x(runs).toFixed(1)}" y="${PLOT.bottom + 20}" text-anchor="middle">${label}</text>`);
}
const middle = (PLOT.left + PLOT.right) / 2;
parts.push(`<text x="${middle}" y="${PLOT.bottom + 42}" text-anchor="middle">runs of ten steps</text>`);
parts.push(`<text x="${PLOT.left - 8}" y="${PLOT.top - 8}" text-anchor="end">MiB</text>`);
for (const { measure, label, color } of SERIES) {
  const line = points.get(measure) ?? [];
  const last = line.at(-1);
  if (last === undefined) throw new Error(`${input} has no "${measure}"`);
  const path = line
    .map(({ runs, mebibytes }) => `${x(runs).toFixed(1)},${y(mebibytes).toFixed(1)}`)
    .join(" ");
  parts.push(`<polyline points="${path}" fill="none" stroke="${color}" stroke-width="2"/>`);
  parts.push(
    `<text x="${PLOT.right + 8}" y="${y(last.mebibytes).toFixed(1)}" dy="4" style="fill:${color}">${label}</text>`,
  );
}

const style =
  "text{font:13px system-ui,sans-serif;fill:#444}.grid{stroke:#8884}" +
  "@media(prefers-color-scheme:dark){text{fill:#bbb}}";
const { width, height } = SIZE;
const svg = [
  `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img">`,
  "<title>Memory over the runs that a swarm has done</title>",
  `<style>${style}</style>`,
  ...parts,
  "</svg>",
];
writeFileSync(new URL("../docs/images/growth.svg", import.meta.url), `${svg.join("\n")}\n`);
