/**
 * Workflow files: YAML or JSON text to a validated graph, every issue with its line.
 *
 * JSON is read as JSON, which is much faster for large files, and read again as YAML, of which it is a
 * subset, only to find lines when there is something to report. A property that is given twice is an error
 * in both.
 */
import { type Document, isMap, isPair, isScalar, isSeq, LineCounter, parseDocument } from "yaml";
import type { WorkflowIssue } from "./errors.ts";
import { type Validation, validateWorkflow } from "./graph.ts";
import type { LineLookup } from "./issues.ts";

/** Characters of a workflow file (L8). */
export const WORKFLOW_TEXT_LIMIT = 64 * 1024 * 1024;
/** How often aliases may multiply what they stand for, before a file is taken for an attack (L8). */
export const YAML_ALIAS_LIMIT = 1_000;

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
  const json = readJson(body);
  if (json) {
    const validation = validateWorkflow(json.value, options);
    if (validation.graph) return validation;
  }
  const lines = new LineCounter();
  const yaml = readYaml(body, lines);
  if ("issues" in yaml) return { graph: undefined, issues: yaml.issues };
  if (yaml.isEmpty)
    return refused("E_PARSE", "The file holds only comments. A workflow needs at least a list of steps.", 1);
  return validateWorkflow(yaml.value, { ...options, lineOf: lineLookup(yaml.document, lines) });
}

function refused(code: "E_PARSE" | "E_LIMIT", message: string, line?: number): Validation {
  return { graph: undefined, issues: [{ code, path: "", message, ...(line !== undefined && { line }) }] };
}

/** The value of a JSON text; undefined when it is none, or gives a property twice. */
function readJson(text: string): { value: unknown } | undefined {
  if (!/^\s*\{/.test(text)) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    return hasRepeatedKey(text) ? undefined : { value };
  } catch {
    // Not JSON, so it is for the YAML parser to read it, or to say what is wrong and where.
    return undefined;
  }
}

/** Whether an object of a valid JSON text has a key twice, of which `JSON.parse` says nothing. */
function hasRepeatedKey(text: string): boolean {
  const tokens = /"(?:[^"\\]|\\.)*"(\s*:)?|[{}]/gs;
  const objects: Set<string>[] = [];
  for (let match = tokens.exec(text); match; match = tokens.exec(text)) {
    const [token, colon] = match;
    if (token === "{") objects.push(new Set());
    else if (token === "}") objects.pop();
    else if (colon !== undefined) {
      const key: string = JSON.parse(token.slice(0, -colon.length));
      const keys = objects.at(-1);
      if (keys?.has(key)) return true;
      keys?.add(key);
    }
  }
  return false;
}

type YamlReading =
  | { document: Document.Parsed; value: unknown; isEmpty: boolean }
  | { issues: readonly WorkflowIssue[] };

function readYaml(text: string, lineCounter: LineCounter): YamlReading {
  try {
    const document = parseDocument(text, {
      lineCounter,
      prettyErrors: false,
      uniqueKeys: true,
      version: "1.2",
      schema: "core",
      logLevel: "error",
    });
    if (document.errors.some(({ message }) => message.includes(STACK_OVERFLOW)))
      return { issues: [TOO_DEEP] };
    if (document.errors.length > 0) {
      return {
        issues: document.errors.slice(0, PARSE_ERRORS_SHOWN).map((error) => ({
          code: "E_PARSE",
          path: "",
          message: describeYamlError(error.code, error.message, text.slice(error.pos[0], error.pos[0] + 80)),
          line: lineCounter.linePos(error.pos[0]).line,
        })),
      };
    }
    const value: unknown = document.toJS({ maxAliasCount: YAML_ALIAS_LIMIT });
    return { document, value, isEmpty: document.contents === null };
  } catch (error) {
    return { issues: [describeYamlFailure(error)] };
  }
}

function describeYamlError(code: string, message: string, excerpt: string): string {
  if (code === "DUPLICATE_KEY") {
    const key = /^["']?([^:"'\s]+)/.exec(excerpt)?.[1];
    return `${key ?? "A property"} is given twice. Remove one of the two.`;
  }
  if (code === "TAB_AS_INDENT") return "A tab is used to indent. Use spaces.";
  if (code === "MULTIPLE_DOCS")
    return "The file holds several documents. Put each workflow into its own file.";
  return `${message.endsWith(".") ? message.slice(0, -1) : message}.`;
}

/** What the parser throws, instead of noting it: nesting beyond the stack, aliases that do not resolve or explode. */
function describeYamlFailure(error: unknown): WorkflowIssue {
  const message = error instanceof Error ? error.message : String(error);
  if (message.includes(STACK_OVERFLOW)) return TOO_DEEP;
  if (message.startsWith("Excessive alias count")) {
    return {
      code: "E_LIMIT",
      path: "",
      message: `Aliases repeat parts of the file more than the ${YAML_ALIAS_LIMIT} times allowed. Write the parts out.`,
    };
  }
  return { code: "E_PARSE", path: "", message };
}

/** Finds the line where a path is, or where the nearest part of it that exists is. */
function lineLookup(document: Document.Parsed, lines: LineCounter): LineLookup {
  return (path) => {
    let node: unknown = document.contents;
    let offset = startOf(node);
    for (const part of path) {
      if (isMap(node)) {
        const pair = node.items.find((item) => isScalar(item.key) && String(item.key.value) === String(part));
        if (!isPair(pair)) break;
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
