/** Files and values that a person names on the command line. */
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { parse } from "yaml";
import { InvalidInputError, NotFoundError } from "../workflow/errors.ts";
import { parseDuration } from "../workflow/names.ts";

/** Of a file that is read whole (L8): a text in Node.js has at most twice as many characters. */
const MAX_FILE_BYTES = 256 * 1024 * 1024;

/** @throws NotFoundError when it is not there; InvalidInputError when it cannot be read as text */
export async function readGivenFile(path: string, cwd: string): Promise<string> {
  const full = resolve(cwd, path);
  let bytes: Buffer;
  try {
    bytes = await readFile(full);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") {
      throw new NotFoundError("E_FILE_NOT_FOUND", `there is no file ${full}`, {
        remedy: "Check the path.",
        data: { path: full },
      });
    }
    throw new InvalidInputError("E_FILE", `${full} cannot be read: ${message}`, {
      remedy: code === "EISDIR" ? "Name a file, not a folder." : "Make it readable, or name another file.",
      data: { path: full },
      cause: error,
    });
  }
  if (bytes.length > MAX_FILE_BYTES) {
    throw new InvalidInputError(
      "E_FILE",
      `${full} has ${bytes.length} bytes, the bound is ${MAX_FILE_BYTES}`,
      {
        remedy: "Let an agent read the file, and name it in an input; or split it.",
      },
    );
  }
  return bytes.toString("utf8");
}

/** An object from a JSON or YAML file. */
export async function readObjectFile(path: string, cwd: string): Promise<Record<string, unknown>> {
  const text = await readGivenFile(path, cwd);
  let value: unknown;
  try {
    // Large inputs are JSON, mostly, which is read twenty times faster as what it is.
    value = /^\s*\{/.test(text) ? parseJsonOrYaml(text) : parse(text);
  } catch (error) {
    throw new InvalidInputError("E_FILE", `${path} is neither JSON nor YAML: ${(error as Error).message}`, {
      remedy: "Correct the file.",
      cause: error,
    });
  }
  if (typeof value === "object" && value !== null && !Array.isArray(value))
    return value as Record<string, unknown>;
  throw new InvalidInputError("E_FILE", `${path} holds no object`, {
    remedy: 'Write it like {"path": "./sales.csv"}.',
  });
}

/** YAML may begin with a brace, too: then it is not JSON, and YAML has the last word. */
function parseJsonOrYaml(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return parse(text);
  }
}

/** The inputs of `--input-file`, overridden by `--input K=V`; a value is JSON where it can be, else text. */
export async function readInputs(
  pairs: readonly string[] | undefined,
  file: string | undefined,
  cwd: string,
): Promise<Record<string, unknown>> {
  const inputs = file === undefined ? {} : await readObjectFile(file, cwd);
  for (const pair of pairs ?? []) {
    const equals = pair.indexOf("=");
    if (equals < 1) {
      throw new InvalidInputError("E_INPUT", `"${pair}" is no input`, {
        remedy: "Write it as --input KEY=VALUE.",
      });
    }
    inputs[pair.slice(0, equals)] = jsonOrText(pair.slice(equals + 1));
  }
  return inputs;
}

function jsonOrText(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text; // Not JSON: the text itself is meant.
  }
}

/** @throws InvalidInputError when the text is not JSON */
export function parseJsonArgument(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new InvalidInputError("E_JSON", `${text} is no JSON: ${(error as Error).message}`, {
      remedy: `Quote a text for JSON and for the shell: '"text"'.`,
      cause: error,
    });
  }
}

/** @throws InvalidInputError when the text is no duration */
export function durationFlag(flag: string, text: string): number {
  const ms = parseDuration(text);
  if (ms !== undefined) return ms;
  throw new InvalidInputError("E_DURATION", `${flag} "${text}" is no duration`, {
    remedy: "Write it like 500ms, 30s, 5m or 2h.",
  });
}

/** @throws InvalidInputError when the text is no whole number within the bounds */
export function integerFlag(flag: string, text: string, min: number, max: number): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= min && value <= max) return value;
  throw new InvalidInputError("E_NUMBER", `${flag} "${text}" is no whole number from ${min} to ${max}`, {
    remedy: `Give a number from ${min} to ${max}.`,
  });
}

/** Tasks that one agent process may be told to run at once (L8). */
const MAX_CONCURRENCY = 10_000;

export function concurrencyFlag(text: string): number {
  return integerFlag("--concurrency", text, 1, MAX_CONCURRENCY);
}
