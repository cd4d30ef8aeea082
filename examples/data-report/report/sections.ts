/** The sections of the report. Each gives nothing when the plan had no step for it. */
import type { Chart } from "../charts/draft.ts";
import type { ColumnProfile, Problem } from "../table/column.ts";
import { count, figure, listed, percent, rough, short } from "../wording.ts";
import { type Html, html, trusted } from "./html.ts";
import { chartsOf, type ReportParts } from "./parts.ts";

/** Columns and problems shown before the rest is folded away. */
const SHOWN = 60;

function figures(charts: readonly Chart[]): Html | undefined {
  if (charts.length === 0) return undefined;
  return html`<div class="charts">${charts.map(
    (chart) =>
      html`<figure id="${chart.id}"><h4>${chart.title}</h4>${trusted(chart.svg)}<figcaption>${chart.caption}</figcaption></figure>`,
  )}</div>`;
}

export function dataSection(parts: ReportParts): Html {
  const { loaded } = parts;
  const row = (column: ColumnProfile) => html`<tr>
<td class="name">${short(column.name, 80)}</td>
<td><span class="kind">${kindWord(column)}</span></td>
<td class="n" data-label="missing">${missingCell(column.missing, loaded.rows)}</td>
<td class="n" data-label="different">${column.approximate ? "≈ " : ""}${column.distinct.toLocaleString("en-US")}</td>
<td class="wide">${describeValues(column)}</td></tr>`;
  const table = (columns: readonly ColumnProfile[]) => html`<div class="scroll"><table class="columns">
<thead><tr><th>Column</th><th>Kind</th><th class="n">Missing</th><th class="n">Different values</th><th>Values</th></tr></thead>
<tbody>${columns.map(row)}</tbody></table></div>`;
  const rest = loaded.columns.slice(SHOWN);
  return html`<p>The table as it was read from the file, before any cleaning.</p>
${table(loaded.columns.slice(0, SHOWN))}
${rest.length > 0 ? html`<details><summary>${count(rest.length, "more column")}</summary>${table(rest)}</details>` : ""}
${figures([...chartsOf(parts, "distribution"), ...chartsOf(parts, "category")]) && html`<h3>Distributions${parts.cleaning ? " after cleaning" : ""}</h3>`}
${figures([...chartsOf(parts, "distribution"), ...chartsOf(parts, "category")])}`;
}

function kindWord(column: ColumnProfile): string {
  const words: Record<ColumnProfile["kind"], string> = {
    number: "number",
    year: "year",
    date: "date",
    category: "category",
    boolean: "yes or no",
    text: "text",
    id: "identifier",
    constant: "constant",
    empty: "empty",
  };
  return words[column.kind];
}

function missingCell(missing: number, rows: number): Html | string {
  if (missing === 0) return "0";
  const share = missing / rows;
  return html`${percent(share)}<span class="bar"><i style="width:${Math.max(2, Math.round(share * 100))}%"></i></span>`;
}

function describeValues(column: ColumnProfile): string {
  if (column.kind === "empty") return "no value";
  if (column.mostly)
    return `${column.mostly.form}; ${percent(column.mostly.readable / column.mostly.filled)} of the values read so`;
  const { number, date, text, top } = column;
  if (column.kind === "year" && number) return `${number.min} to ${number.max}`;
  if (column.kind === "id") return number ? `${figure(number.min)} to ${figure(number.max)}` : "names rows";
  if (number && column.kind !== "constant" && column.kind !== "boolean") {
    return `${rough(number.min)} to ${rough(number.max)}, median ${rough(number.median)}, middle half ${rough(number.q25)} to ${rough(number.q75)}`;
  }
  if (date)
    return date.daysOnly
      ? `${date.min.slice(0, 10)} to ${date.max.slice(0, 10)}`
      : `${date.min.slice(0, 16)} to ${date.max.slice(0, 16)}`;
  if (top.length > 0)
    return listed(
      top.slice(0, 4).map((value) => `${short(value.value, 30)} (${value.count.toLocaleString("en-US")})`),
      9,
    );
  if (text)
    return text.minLength === text.maxLength
      ? `${count(text.maxLength, "character")} long`
      : `${text.minLength} to ${count(text.maxLength, "character")} long`;
  return "";
}

export function qualitySection(parts: ReportParts): Html {
  const { loaded, cleaning } = parts;
  if (loaded.problems.length === 0) {
    return html`<p>No quality problem was found: no value is missing, no row is repeated, every column reads as one type. The table was analysed as it is.</p>`;
  }
  const problems = loaded.problems;
  const done = (problem: Problem) => {
    if (!cleaning)
      return html`<span class="kept">${problem.treatable ? "Found, not treated: cleaning was not part of this job." : leftWhy(problem)}</span>`;
    const own = cleaning.actions.filter(
      (action) => action.problem === problem.kind && action.column === problem.column,
    );
    if (own.length === 0) return html`<span class="kept">${leftWhy(problem)}</span>`;
    return own.map(
      (action) => html`<span class="${action.changed > 0 ? "did" : "kept"}">${action.did}</span> `,
    );
  };
  const line = (found: Html | string, treated: Html | string | Html[]) =>
    html`<tr><td>${found}</td><td>${treated}</td></tr>`;
  const grouped = groupedLines(parts, line);
  const single = problems.filter((problem) => !grouped.has(problem.kind));
  const lines = [...grouped.values(), ...single.map((problem) => line(problem.sentence, done(problem)))];
  const table = (body: readonly Html[]) => html`<div class="scroll"><table>
<thead><tr><th>What was found</th><th>What was done</th></tr></thead><tbody>${body}</tbody></table></div>`;
  const more = cleaning?.actions.filter(
    (action) =>
      !problems.some((problem) => problem.kind === action.problem && problem.column === action.column),
  );
  const rest = lines.slice(SHOWN);
  return html`${table(lines.slice(0, SHOWN))}
${rest.length > 0 ? html`<details><summary>${count(rest.length, "more problem")}</summary>${table(rest)}</details>` : ""}
${more && more.length > 0 ? html`<p>Found while cleaning: ${more.map((action) => html`${action.did} `)}</p>` : ""}
${figures(chartsOf(parts, "quality"))}`;
}

/** One line for a kind of problem that many columns share, where what was done is the same for all. */
function groupedLines(
  parts: ReportParts,
  line: (found: string, treated: Html) => Html,
): Map<Problem["kind"], Html> {
  const { loaded, cleaning } = parts;
  const groups: {
    kind: Problem["kind"];
    found: (columns: string) => string;
    detail: (problem: Problem) => string;
    treated: string;
  }[] = [
    {
      kind: "missing",
      found: (columns) => `Values are missing in ${columns}.`,
      detail: (problem) => percent(problem.count / loaded.rows),
      treated: `${cleaning ? "Left missing" : "Found, not treated"}: every figure counts the rows that have a value.${parts.model ? " The model fills gaps in numbers with the median of its training rows, and takes a missing category as a level of its own." : ""}`,
    },
    {
      kind: "far-out",
      found: (columns) =>
        `Some values lie further than three interquartile ranges from the middle half, in ${columns}.`,
      detail: (problem) => problem.count.toLocaleString("en-US"),
      treated:
        "Left as they are: far from the rest is not the same as wrong. Medians are used where such values would mislead.",
    },
    {
      kind: "constant-column",
      found: (columns) => `One value only: ${columns}.`,
      detail: () => "",
      treated: "Left as they are; they can explain nothing.",
    },
    {
      kind: "empty-column",
      found: (columns) => `No value in any row: ${columns}.`,
      detail: () => "",
      treated: cleaning ? "Left out." : "Found, not treated.",
    },
  ];
  const lines = new Map<Problem["kind"], Html>();
  for (const { kind, found, detail, treated } of groups) {
    const own = loaded.problems.filter((problem) => problem.kind === kind).sort((a, b) => b.count - a.count);
    if (own.length < 3) continue;
    const columns = own.map(
      (problem) => `${short(problem.column ?? "", 40)}${detail(problem) ? ` (${detail(problem)})` : ""}`,
    );
    lines.set(
      kind,
      line(
        found(`${count(own.length, "column")}: ${listed(columns, 30)}`),
        html`<span class="kept">${treated}</span>`,
      ),
    );
  }
  return lines;
}

function leftWhy(problem: Problem): string {
  switch (problem.kind) {
    case "far-out":
      return "Left as they are: far from the rest is not the same as wrong. Medians are used where such values would mislead.";
    case "constant-column":
      return "Left as it is; it can explain nothing.";
    case "repeated-rows":
      return "Left as they are: in this table equal rows may well be different observations.";
    case "reading":
      return "Noted.";
    case "future-dates":
      return "Left as they are: too many to be mistakes.";
    default:
      return "Left as it is.";
  }
}

export function findingsSection(parts: ReportParts): Html | undefined {
  const { findings, trend } = parts;
  if (!findings) return undefined;
  const of = (...kinds: string[]) => findings.findings.filter((finding) => kinds.includes(finding.kind));
  const block = (title: string, sentences: readonly string[], charts: readonly Chart[]) =>
    sentences.length + charts.length === 0
      ? undefined
      : html`<h3>${title}</h3><ul class="findings">${sentences.map((sentence) => html`<li>${sentence}</li>`)}</ul>${figures(charts)}`;
  const sentences = (...kinds: string[]) => of(...kinds).map((finding) => finding.sentence);
  const blocks = [
    block("Over time", trend?.sentences ?? [], chartsOf(parts, "trend")),
    block("What goes together", sentences("correlation", "association"), chartsOf(parts, "relation")),
    block("Differences between groups", sentences("group"), chartsOf(parts, "group")),
    block("What is frequent, uneven or extreme", sentences("category", "distribution", "extreme"), []),
  ];
  const none = blocks.every((one) => one === undefined);
  return html`${none ? html`<p>Nothing stands out that could be told from chance.</p>` : blocks}
<p class="note">${findings.tested > 0 ? `${count(findings.tested, "relation")} ${findings.tested === 1 ? "was" : "were"} tested; those told here stay below 1% false discoveries (Benjamini–Hochberg) and are large enough to matter. ` : ""}Relations are observations in this table, not causes.</p>`;
}

export function modelSection(parts: ReportParts): Html | undefined {
  const { model, sample } = parts;
  if (!model) {
    return parts.notDone.length > 0
      ? html`${parts.notDone.map((sentence) => html`<p>${sentence}</p>`)}`
      : undefined;
  }
  const number = model.kind === "number";
  const error = number ? figure : percent;
  const errorName = number ? "Mean absolute error" : "Share of wrong answers";
  const chosen =
    model.chosen === "goal"
      ? html`<b>${model.target}</b> is the column that the goal names.`
      : html`The goal names no column to predict; <b>${model.target}</b> was chosen as the likeliest.`;
  const other = model.compared.find((candidate) => candidate.method !== model.method);
  const own = model.compared.find((candidate) => candidate.method === model.method);
  const gain = `${error(Math.abs(model.gain.value))} (95% interval ${interval(model.gain.low, error)} to ${interval(model.gain.high, error)})`;
  const used = model.importance
    .filter((item) => item.increase > 0)
    .slice(0, 3)
    .map((item) => item.column);
  return html`<p>${chosen} The question is how well it can be told from the other columns of the same row.</p>
<div class="verdict${model.better ? "" : " no"}">${
    model.better
      ? html`<b>Better than guessing.</b> On ${count(model.heldOutRows, "row")} that the model had not seen, ${number ? `its predictions are off by ${error(model.error)} on average; always guessing the median (${figure(Number(model.baseline))}) is off by ${error(model.baselineError)}` : `it is wrong in ${error(model.error)} of the cases; always guessing “${short(model.baseline)}” is wrong in ${error(model.baselineError)}`}. The difference is ${gain}.`
      : html`<b>Not better than guessing.</b> On ${count(model.heldOutRows, "row")} that the model had not seen, ${number ? `its mean absolute error is ${error(model.error)}; always guessing the median (${figure(Number(model.baseline))}) has ${error(model.baselineError)}` : `it is wrong in ${error(model.error)} of the cases; always guessing “${short(model.baseline)}” is wrong in ${error(model.baselineError)}`}. ${model.gain.high < 0 ? "It is measurably worse" : "The difference is within chance"}, so nothing should be built on this model.`
  }</div>
<div class="scroll"><table><tbody>
<tr><td class="name">Method</td><td>${model.method}${model.compressed ? ", on an asinh scale because the target has long tails" : ""}; chosen by cross-validation on the training rows (${errorName.toLowerCase()} ${error(own?.error ?? 0)}; the ${other?.method ?? ""} had ${error(other?.error ?? 0)})</td></tr>
<tr><td class="name">Rows</td><td>${model.trainingRows.toLocaleString("en-US")} to learn from, ${model.heldOutRows.toLocaleString("en-US")} held out at random before anything was learned${sample ? `, out of a random sample of ${count(sample.rows, "row")}` : ""}</td></tr>
<tr><td class="name">${errorName}</td><td>${error(model.error)} on the rows held out; baseline ${error(model.baselineError)}</td></tr>
${model.r2 === null ? "" : html`<tr><td class="name">R²</td><td>${figure(model.r2)}${model.compressed ? " (asinh scale)" : ""}: the share of the variance in the held-out rows that the model explains${model.r2 < 0 ? "; below zero is worse than the mean" : ""}</td></tr>`}
${model.balancedAccuracy === null ? "" : html`<tr><td class="name">Balanced accuracy</td><td>${percent(model.balancedAccuracy)}: the mean over the ${count(model.classes.length, "class", "classes")} of the share that was found; guessing would give ${percent(1 / model.classes.length)}</td></tr>`}
<tr><td class="name">Uses</td><td>${listed(
    model.features.map((name) => short(name)),
    30,
  )}${model.better && used.length > 0 ? html`; most of all ${listed(used)}` : ""}</td></tr>
${
  model.leftOut.length > 0
    ? html`<tr><td class="name">Left out</td><td>${listed(
        model.leftOut.map((left) => `${short(left.column)} (${left.reason})`),
        20,
      )}</td></tr>`
    : ""
}
</tbody></table></div>
${figures(model.better ? chartsOf(parts, "model") : chartsOf(parts, "model").slice(0, 1))}
<h3>Caveats</h3>
<ul class="findings">${model.caveats.map((caveat) => html`<li>${caveat}</li>`)}</ul>`;
}

function interval(value: number, format: (value: number) => string): string {
  return value < 0 ? `−${format(-value)}` : format(value);
}

export function madeSection(parts: ReportParts, traceMark: Html): Html {
  const rows = parts.steps.map(
    (step) =>
      html`<tr><td class="name">${step.step}</td><td>${step.role}.${step.task}</td><td class="n">${(step.durationMs / 1000).toFixed(2)} s</td><td class="n">${step.sql.length}</td><td>${step.summary[0] ?? ""}</td></tr>`,
  );
  return html`<p>The data was read from <code>${parts.source}</code>. A planner chose the steps from the goal and from facts about the data; agents in processes of their own carried them out.</p>
<div class="scroll"><table><thead><tr><th>Step</th><th>Agent and task</th><th class="n">Took</th><th class="n">Queries</th><th>Result</th></tr></thead><tbody>${rows}</tbody></table></div>
${traceMark}
<h3>Queries</h3>
<p class="note">DuckDB SQL, in the order of the steps; the notebook beside this file has them with their results.</p>
${parts.steps.map(
  (step) =>
    html`<details><summary>${step.step}: ${count(step.sql.length, "query", "queries")}</summary>${step.sql
      .slice(0, 80)
      .map(
        (entry) =>
          html`<p class="note">${entry.title} (${count(entry.rowCount, "row")}, ${entry.ms} ms)</p><pre>${short(entry.sql, 4_000)}</pre>`,
      )}${step.sql.length > 80 ? html`<p class="note">${step.sql.length - 80} more are in the notebook.</p>` : ""}</details>`,
)}`;
}
