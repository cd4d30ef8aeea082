/**
 * The logbook as a Jupyter notebook (nbformat 4.5): every step with what it did, the SQL it ran, and the
 * results that it saw. The cells run again with Python and the duckdb package.
 */
import type { Row, SqlEntry } from "../database.ts";
import type { StepLog } from "../logbook.ts";
import { escaped } from "./html.ts";

export interface NotebookCell {
  cell_type: "markdown" | "code";
  id: string;
  metadata: Record<string, unknown>;
  source: string[];
  execution_count?: number | null;
  outputs?: Record<string, unknown>[];
}

export interface Notebook {
  nbformat: 4;
  nbformat_minor: 5;
  metadata: Record<string, unknown>;
  cells: NotebookCell[];
}

export function notebookOf(title: string, goal: string, steps: readonly StepLog[]): Notebook {
  const cells: NotebookCell[] = [];
  let executed = 0;
  const add = (cell: Omit<NotebookCell, "id" | "metadata">) =>
    cells.push({ ...cell, id: `cell-${cells.length + 1}`, metadata: {} });
  const text = (source: string) => add({ cell_type: "markdown", source: lines(source) });
  const code = (source: string, outputs: Record<string, unknown>[]) => {
    executed += 1;
    add({
      cell_type: "code",
      source: lines(source),
      execution_count: executed,
      outputs: outputs.map((output) => ({ ...output, execution_count: executed })),
    });
  };
  text(
    `# ${markdown(title)}: logbook\n\n${goal ? `Goal: ${markdown(goal)}\n\n` : ""}Every step of the run with the SQL that it ran and what came back. Run the cells again with Python and the \`duckdb\` package.`,
  );
  code("import duckdb\n\ndb = duckdb.connect()", []);
  for (const step of steps) {
    const took = `${step.role}.${step.task}, ${step.startedAt}, ${(step.durationMs / 1000).toFixed(2)} s`;
    text(
      `## ${markdown(step.step)}\n\n${took}\n\n${step.summary.map((sentence) => `- ${markdown(sentence)}`).join("\n")}`,
    );
    for (const entry of step.sql) code(cellSource(entry), entry.rows.length > 0 ? [resultOf(entry)] : []);
  }
  return {
    nbformat: 4,
    nbformat_minor: 5,
    metadata: {
      kernelspec: { display_name: "Python 3", language: "python", name: "python3" },
      language_info: { name: "python" },
    },
    cells,
  };
}

function cellSource(entry: SqlEntry): string {
  const comment = entry.title.replaceAll(/[\r\n]+/g, " ");
  // A raw string keeps SQL readable, but cannot hold its own quotes or end in a backslash.
  const raw = !entry.sql.includes('"""') && !/["\\]$/.test(entry.sql);
  const sql = raw ? `r"""${entry.sql}"""` : JSON.stringify(entry.sql);
  return `# ${comment}\ndb.sql(${sql})`;
}

function resultOf(entry: SqlEntry): Record<string, unknown> {
  const names = Object.keys(entry.rows[0] ?? {});
  const more = entry.rowCount > entry.rows.length ? `(${entry.rowCount - entry.rows.length} more rows)` : "";
  const cell = (row: Row, name: string) =>
    row[name] === null || row[name] === undefined ? "" : String(row[name]);
  const head = `<tr>${names.map((name) => `<th>${escaped(name)}</th>`).join("")}</tr>`;
  const body = entry.rows.map(
    (row) => `<tr>${names.map((name) => `<td>${escaped(cell(row, name))}</td>`).join("")}</tr>`,
  );
  const plain = [
    names.join("\t"),
    ...entry.rows.map((row) => names.map((name) => cell(row, name)).join("\t")),
    more,
  ];
  return {
    output_type: "execute_result",
    metadata: {},
    data: {
      "text/plain": lines(plain.filter((line) => line !== "").join("\n")),
      "text/html": lines(`<table>\n${head}\n${body.join("\n")}\n</table>${more ? `\n<p>${more}</p>` : ""}`),
    },
  };
}

/** nbformat keeps text as lines that carry their own line ends. */
function lines(text: string): string[] {
  const parts = text.split("\n");
  return parts
    .map((line, index) => (index < parts.length - 1 ? `${line}\n` : line))
    .filter((line) => line !== "");
}

/** Text from data must not become markup in a notebook's page. */
function markdown(text: string): string {
  return escaped(text)
    .replace(/([\\`*_[\]#|~])/g, "\\$1")
    .replace(/[\r\n]+/g, " ");
}
