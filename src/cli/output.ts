/**
 * What a command says, and where: data on stdout, everything else on stderr.
 *
 * With `--json` stdout carries JSON and nothing else; notices for people stay, on stderr.
 */
import pc from "picocolors";
import type { Colors } from "../trace/palette.ts";
import { fill, textWidth } from "../trace/text-width.ts";
import { DataHammerError, InvalidWorkflowError, NoPlanError } from "../workflow/errors.ts";
import { type Shell, usesColor } from "./shell.ts";

export class Output {
  readonly json: boolean;
  /** For stdout. */
  readonly colors: Colors;
  /** For stderr. */
  readonly noticeColors: Colors;
  readonly #shell: Shell;
  /** Set while a live view owns the end of stderr: notices go through it. */
  #above: ((line: string) => void) | undefined;

  constructor(shell: Shell, json: boolean) {
    this.#shell = shell;
    this.json = json;
    this.colors = pc.createColors(!json && usesColor(shell, shell.stdout));
    this.noticeColors = pc.createColors(usesColor(shell, shell.stderr));
  }

  /** The command's answer: one JSON value, or a text for people that ends with a newline. */
  data(value: unknown, text: () => string): void {
    this.#shell.stdout.write(this.json ? `${JSON.stringify(value)}\n` : text());
  }

  /** One of several JSON lines, or lines for people. */
  line(value: unknown, text: () => string): void {
    this.data(value, () => `${text()}\n`);
  }

  /** Something to know that is no data. */
  notice(line: string): void {
    if (this.#above) this.#above(line);
    else this.#shell.stderr.write(`${line}\n`);
  }

  /** Sends notices above a live view until the returned function is called. */
  divert(above: (line: string) => void): () => void {
    this.#above = above;
    return () => {
      if (this.#above === above) this.#above = undefined;
    };
  }

  error(error: unknown): void {
    if (this.json) {
      this.notice(JSON.stringify({ error: errorView(error) }));
      return;
    }
    const { red, cyan, dim, bold } = this.noticeColors;
    const { message, remedy } = errorView(error);
    this.notice(`${red(bold("error:"))} ${message}`);
    if (error instanceof InvalidWorkflowError) {
      for (const issue of error.issues) {
        const line = issue.line === undefined ? "" : dim(` (line ${issue.line})`);
        this.notice(`  ${red(issue.code)} ${issue.message}${line}`);
      }
    }
    if (remedy !== undefined) this.notice(`${cyan(bold("remedy:"))} ${remedy}`);
  }
}

/** An error as `{code, message, remedy}`; what was not raised on purpose is `E_INTERNAL`. */
export function errorView(error: unknown): {
  code: string;
  message: string;
  remedy?: string;
  issues?: unknown;
  details?: unknown;
} {
  if (error instanceof DataHammerError) {
    return {
      code: error.code,
      message: error.message,
      ...(error.remedy === undefined ? {} : { remedy: error.remedy }),
      ...(error instanceof InvalidWorkflowError ? { issues: error.issues } : {}),
      // What is missing, what comes nearest, which tasks could be meant: for programs that ask back.
      ...(error instanceof NoPlanError ? { details: error.data } : {}),
    };
  }
  const message = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  return {
    code: "E_INTERNAL",
    message,
    remedy:
      "This is a fault of datahammer: please report it with what you did (--log-level debug shows where).",
  };
}

/** Columns side by side, as wide as their widest cell; the last one is not filled up. */
export function table(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  colors: Colors,
  paint: (cell: string, column: number, row: readonly string[]) => string = (cell) => cell,
): string {
  const widths = head.map((title, column) =>
    Math.max(textWidth(title), ...rows.map((row) => textWidth(row[column] ?? ""))),
  );
  const line = (cells: readonly string[], painted: (cell: string, column: number) => string): string =>
    cells
      .map((cell, column) => {
        const filled = column === cells.length - 1 ? cell : fill(cell, widths[column] ?? 0);
        return painted(filled, column);
      })
      .join("  ")
      .trimEnd();
  const lines = [
    line(head, (cell) => colors.dim(cell)),
    ...rows.map((row) => line(row, (cell, column) => paint(cell, column, row))),
  ];
  return `${lines.join("\n")}\n`;
}
