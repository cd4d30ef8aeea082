/**
 * Workflow files: YAML or JSON text to a validated graph, every issue with its line. A property that is
 * given twice is an error in both.
 */
import { type Document, isMap, isScalar, isSeq, LineCounter, parseDocument, visit } from "yaml";
import type { WorkflowIssue } from "./errors.ts";
import { type Validation, validateWorkflow } from "./graph.ts";
import type { LineLookup } from "./issues.ts";
import { findPlaces } from "./json-text.ts";

/** Characters of a workflow file (L8). */
export const WORKFLOW_TEXT_LIMIT = 64 * 1024 * 1024;
/** How often aliases may multiply what they stand for, before a file is taken for an attack (L8). */
const YAML_ALIAS_LIMIT = 1_000;

/** Later syntax errors are mostly echoes of the first ones. */
const PARSE_ERRORS_SHOWN = 5;

/** The parser is recursive, and notes an exhausted stack as if it were a syntax error. */
const STACK_OVERFLOW = "Maximum call stack size exceeded";
const TOO_DEEP: WorkflowIssue = {
  code: "E_LIMIT",
  path: "",
  message: "The file is nested too deeply to be read. Flatten it.",
};

export interface ParseOptions {
  /** Keys in the environment before the run. */
  environmentKeys?: Iterable<string>;
}

/** Parses and validates a workflow file. Never throws for what the text holds. */
export function parseWorkflow(text: string, options: ParseOptions = {}): Validation {
  if (text.length > WORKFLOW_TEXT_LIMIT) {
    return refused(
      "E_LIMIT",
      `The file has ${text.length} characters, more than the ${WORKFLOW_TEXT_LIMIT} allowed.`,
    );
  }
  if (/[\0\uFFFD]/.test(text)) {
    return refused("E_PARSE", "The file is not text in UTF-8, so it is no workflow file.");
  }
  const body = text.startsWith("\uFEFF") ? text.slice(1) : text;
  if (body.trim() === "") {
    return refused("E_PARSE", "The file is empty. A workflow needs at least a list of steps.", 1);
  }
  return parseJson(body, options) ?? parseYaml(body, options);
}

function refused(code: "E_PARSE" | "E_LIMIT", message: string, line?: number): Validation {
  return { graph: undefined, issues: [{ code, path: "", message, ...(line !== undefined && { line }) }] };
}

/** Undefined: the text is not JSON, so it is for the YAML parser to read it, or to say what is wrong. */
function parseJson(text: string, options: ParseOptions): Validation | undefined {
  if (!/^\s*\{/.test(text)) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  const places = findPlaces(text);
  const lines = new LineCounter();
  lines.addNewLine(0);
  for (let end = text.indexOf("\n"); end >= 0; end = text.indexOf("\n", end + 1)) lines.addNewLine(end + 1);
  const lineAt = (offset: number) => lines.linePos(offset).line;
  if (places.repeated) {
    return refused("E_PARSE", describeRepeated(places.repeated.key), lineAt(places.repeated.offset));
  }
  return validateWorkflow(value, { ...options, lineOf: (path) => lineAt(places.offsetOf(path)) });
}

function parseYaml(text: string, options: ParseOptions): Validation {
  const lines = new LineCounter();
  try {
    const document = parseDocument(text, {
      lineCounter: lines,
      prettyErrors: false,
      // Checked below: the parser compares every key of a map with every other.
      uniqueKeys: false,
      stringKeys: true,
      merge: true,
      version: "1.2",
      schema: "core",
      logLevel: "error",
    });
    const problems = [...syntaxErrors(document, text, lines), ...repeatedKeys(document, lines)];
    if (problems.length > 0) return { graph: undefined, issues: problems.slice(0, PARSE_ERRORS_SHOWN) };
    if (document.contents === null) {
      return refused(
        "E_PARSE",
        "The file holds only comments. A workflow needs at least a list of steps.",
        1,
      );
    }
    const value: unknown = document.toJS({ maxAliasCount: YAML_ALIAS_LIMIT });
    return validateWorkflow(value, { ...options, lineOf: lineLookup(document, lines) });
  } catch (error) {
    return { graph: undefined, issues: [describeYamlFailure(error, text, lines)] };
  }
}

function syntaxErrors(document: Document.Parsed, text: string, lines: LineCounter): WorkflowIssue[] {
  if (document.errors.some(({ message }) => message.includes(STACK_OVERFLOW))) return [TOO_DEEP];
  return document.errors.map((error) => ({
    code: "E_PARSE",
    path: "",
    message: describeYamlError(error.code, error.message),
    line: lines.linePos(Math.min(error.pos[0], text.length)).line,
  }));
}

function repeatedKeys(document: Document.Parsed, lines: LineCounter): WorkflowIssue[] {
  const issues: WorkflowIssue[] = [];
  visit(document, {
    Map(_, map) {
      const keys = new Set<unknown>();
      for (const { key } of map.items) {
        if (!isScalar(key)) continue;
        if (keys.has(key.value)) {
          const line = lines.linePos(startOf(key) ?? 0).line;
          issues.push({ code: "E_PARSE", path: "", message: describeRepeated(String(key.value)), line });
        }
        keys.add(key.value);
      }
    },
  });
  return issues;
}

function describeRepeated(key: string): string {
  return `The property ${key} is given twice. Remove one of the two.`;
}

function describeYamlError(code: string, message: string): string {
  if (code === "TAB_AS_INDENT") return "A tab is used to indent. Use spaces.";
  if (code === "MULTIPLE_DOCS")
    return "The file holds several documents. Put each workflow into its own file.";
  return `${message.endsWith(".") ? message.slice(0, -1) : message}.`;
}

/** What the parser throws, instead of noting it: nesting beyond the stack, aliases that do not resolve or explode. */
function describeYamlFailure(error: unknown, text: string, lines: LineCounter): WorkflowIssue {
  const message = error instanceof Error ? error.message : String(error);
  if (message.includes(STACK_OVERFLOW)) return TOO_DEEP;
  if (message.startsWith("Excessive alias count")) {
    return {
      code: "E_LIMIT",
      path: "",
      message: `Aliases repeat parts of the file more than the ${YAML_ALIAS_LIMIT} times allowed. Write the parts out.`,
    };
  }
  const alias = /alias\): (\S+)$/.exec(message)?.[1];
  const offset = alias === undefined ? -1 : text.indexOf(`*${alias}`);
  return { code: "E_PARSE", path: "", message, ...(offset >= 0 && { line: lines.linePos(offset).line }) };
}

/** Finds the line where a path is, or where the nearest part of it that exists is. */
function lineLookup(document: Document.Parsed, lines: LineCounter): LineLookup {
  return (path) => {
    let node: unknown = document.contents;
    let offset = startOf(node);
    for (const part of path) {
      if (isMap(node)) {
        const pair = node.items.find((item) => isScalar(item.key) && String(item.key.value) === String(part));
        if (!pair) break;
        offset = startOf(pair.key) ?? offset;
        node = pair.value;
      } else if (isSeq(node) && typeof part === "number") {
        node = node.items[part];
        offset = startOf(node) ?? offset;
      } else break;
    }
    return offset === undefined ? undefined : lines.linePos(offset).line;
  };
}

function startOf(node: unknown): number | undefined {
  return (node as { range?: readonly number[] | null } | null | undefined)?.range?.[0];
}
