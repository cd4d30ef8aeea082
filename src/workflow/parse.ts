/**
 * Workflow files: YAML or JSON text to a validated graph, every issue with its line.
 *
 * JSON is a subset of YAML and goes the same way, so that both have lines, and a property that is given
 * twice is an error in both.
 */
import { type Document, isMap, isPair, isScalar, isSeq, LineCounter, parseDocument } from "yaml";
import type { WorkflowIssue } from "./errors.ts";
import { type GraphOptions, type Validation, validateWorkflow } from "./graph.ts";

/** Characters of a workflow file (L8). */
export const WORKFLOW_TEXT_LIMIT = 64 * 1024 * 1024;
/** How often aliases may multiply what they stand for, before a file is taken for an attack (L8). */
export const YAML_ALIAS_LIMIT = 1_000;

export interface ParseOptions {
  /** Keys in the environment before the run. */
  environmentKeys?: GraphOptions["environmentKeys"];
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
  if (text.trim() === "" || text.trim() === "\uFEFF") {
    return refused("E_PARSE", "The file is empty. A workflow needs at least steps.", 1);
  }
  const lines = new LineCounter();
  const parsed = readYaml(text, lines);
  if ("issues" in parsed) return { graph: undefined, issues: parsed.issues };
  return validateWorkflow(parsed.value, {
    ...(options.environmentKeys && { environmentKeys: options.environmentKeys }),
    lineOf: (path) => lineOf(parsed.document, lines, path),
  });
}

function refused(code: "E_PARSE" | "E_LIMIT", message: string, line?: number): Validation {
  return { graph: undefined, issues: [{ code, path: "", message, ...(line !== undefined && { line }) }] };
}

type Reading = { document: Document.Parsed; value: unknown } | { issues: WorkflowIssue[] };

function readYaml(text: string, lineCounter: LineCounter): Reading {
  try {
    const document = parseDocument(text, {
      lineCounter,
      prettyErrors: false,
      uniqueKeys: true,
      version: "1.2",
      schema: "core",
    });
    if (document.errors.length > 0) {
      return {
        issues: document.errors.map((error) => ({
          code: "E_PARSE",
          path: "",
          message: describeYamlError(error.code, error.message),
          line: lineCounter.linePos(error.pos[0]).line,
        })),
      };
    }
    return { document, value: document.toJS({ maxAliasCount: YAML_ALIAS_LIMIT }) };
  } catch (error) {
    if (error instanceof RangeError) {
      return {
        issues: [{ code: "E_PARSE", path: "", message: "The file is nested too deeply to be read." }],
      };
    }
    const message = error instanceof Error ? error.message : String(error);
    const isAliasBomb = error instanceof ReferenceError && message.includes("alias");
    return {
      issues: [
        isAliasBomb
          ? {
              code: "E_LIMIT",
              path: "",
              message: `Aliases repeat parts of the file more than ${YAML_ALIAS_LIMIT} times. Write them out.`,
            }
          : { code: "E_PARSE", path: "", message },
      ],
    };
  }
}

function describeYamlError(code: string, message: string): string {
  if (code === "DUPLICATE_KEY") return "A property is given twice. Remove one of the two.";
  if (code === "TAB_AS_INDENT") return "A tab is used to indent. Use spaces.";
  if (code === "MULTIPLE_DOCS")
    return "The file holds several documents. Put each workflow into its own file.";
  return message;
}

/** The line where the path is, or where the nearest part of it that exists is. */
function lineOf(
  document: Document.Parsed,
  lines: LineCounter,
  path: (string | number)[],
): number | undefined {
  let node: unknown = document.contents;
  let offset = rangeStart(node);
  for (const part of path) {
    if (isMap(node)) {
      const pair = node.items.find((item) => isScalar(item.key) && String(item.key.value) === String(part));
      if (!isPair(pair)) break;
      offset = rangeStart(pair.key) ?? offset;
      node = pair.value;
    } else if (isSeq(node) && typeof part === "number") {
      node = node.items[part];
      offset = rangeStart(node) ?? offset;
    } else break;
  }
  return offset === undefined ? undefined : lines.linePos(offset).line;
}

function rangeStart(node: unknown): number | undefined {
  const range = (node as { range?: [number, number, number] | null } | null)?.range;
  return range?.[0];
}
