/** The whole report as one self-contained HTML page. */
import { bytesText, count, percent, sentenceCase } from "../wording.ts";
import { type Html, html, trusted } from "./html.ts";
import type { ReportParts } from "./parts.ts";
import { dataSection, findingsSection, madeSection, modelSection, qualitySection } from "./sections.ts";
import { STYLE } from "./style.ts";
import { summarise } from "./summary.ts";

/** Where the state-machine trace goes once the run has ended. */
export const TRACE_MARK = "<!--datahammer:trace-->";

/**
 * @returns a page that needs no network and runs no script: its own policy forbids both, so that markup in
 *   the data stays text even if it were not escaped
 */
export function reportPage(parts: ReportParts): string {
  const { loaded } = parts;
  const cells = loaded.rows * loaded.columns.length;
  const sections: { id: string; title: string; body: Html | undefined }[] = [
    { id: "data", title: "What the data is", body: dataSection(parts) },
    { id: "quality", title: "Quality, and what was done about it", body: qualitySection(parts) },
    { id: "findings", title: "Findings", body: findingsSection(parts) },
    { id: "model", title: "Model", body: modelSection(parts) },
    { id: "made", title: "How this report was made", body: madeSection(parts, trusted(TRACE_MARK)) },
  ];
  const shown = sections.filter((section) => section.body !== undefined);
  const page = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'">
<meta name="generator" content="DataHammer">
<title>Report on ${parts.name}</title>
<style>${trusted(STYLE)}</style>
</head>
<body>
<main>
<header>
<h1>Report on ${parts.name}</h1>
<p class="goal">${parts.goal ? html`Asked for: ${parts.goal}<br>` : ""}${dateText(parts.madeAt)}</p>
<div class="facts">
<div><b>${loaded.rows.toLocaleString("en-US")}</b><span>${loaded.rows === 1 ? "row" : "rows"}</span></div>
<div><b>${loaded.columns.length.toLocaleString("en-US")}</b><span>${loaded.columns.length === 1 ? "column" : "columns"}</span></div>
<div><b>${percent(cells > 0 ? loaded.missingCells / cells : 0)}</b><span>of cells missing</span></div>
<div><b>${loaded.problems.length.toLocaleString("en-US")}</b><span>quality ${loaded.problems.length === 1 ? "problem" : "problems"} found</span></div>
<div><b>${bytesText(loaded.bytes)}</b><span>${parts.format.toUpperCase()} file</span></div>
</div>
</header>
<section class="summary">
<h2>In short</h2>
<ul>${summarise(parts).map((sentence) => html`<li>${sentence}</li>`)}</ul>
</section>
<nav aria-label="Sections">${shown.map(({ id, title }) => html`<a href="#${id}">${title.split(",")[0]}</a> `)}</nav>
${shown.map(
  ({ id, title, body }) => html`<section id="${id}">
<h2>${title}</h2>
${body}
</section>
`,
)}
<footer>Made by a DataHammer swarm (run <code>${parts.run}</code>, ${count(parts.steps.length, "step")} before this page). All figures come from the queries listed above and in the logbook beside this file; ${sentenceCase("correlation")} is not causation.</footer>
</main>
</body>
</html>
`;
  return page.text;
}

function dateText(date: Date): string {
  return date.toLocaleDateString("en-GB", {
    day: "numeric",
    month: "long",
    year: "numeric",
    timeZone: "UTC",
  });
}
