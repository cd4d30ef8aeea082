/**
 * Agent files: modules, in JavaScript or TypeScript, whose default export is an agent or a list of them.
 *
 * Owns finding, importing and checking. A file is code of its author and may do anything while it loads; what
 * it throws is told as the file's fault.
 */
import { execFile } from "node:child_process";
import { stat } from "node:fs/promises";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { DataHammerError, InvalidInputError, NotFoundError } from "../workflow/errors.ts";
import type { AgentDefinition } from "./define.ts";
import { checkAgentDefinition, isAgentDefinition } from "./define-agent.ts";
import { provideOwnPackages } from "./own-package.ts";

const SYNTAX_CHECK_TIMEOUT_MS = 5_000;
const TYPESCRIPT = /\.[cm]?tsx?$/;

/**
 * Imports agent files in the given order.
 * @throws NotFoundError `E_AGENT_FILE_NOT_FOUND`
 * @throws InvalidInputError `E_AGENT_FILE` for one that throws while loading or exports no agent,
 *   `E_AGENT_DEFINITION` for an agent that is wrong, `E_DUPLICATE_ROLE` for a role that comes twice
 */
export async function loadAgentFiles(files: readonly string[]): Promise<AgentDefinition[]> {
  const fileOf = new Map<string, string>();
  const agents: AgentDefinition[] = [];
  for (const file of files) {
    const path = resolve(file);
    for (const agent of await loadAgentFile(path)) {
      const earlier = fileOf.get(agent.role);
      if (earlier !== undefined) throw duplicate(agent.role, earlier, path);
      fileOf.set(agent.role, path);
      agents.push(agent);
    }
  }
  return agents;
}

async function loadAgentFile(path: string): Promise<AgentDefinition[]> {
  const found = await stat(path).catch(() => undefined);
  if (found === undefined) {
    throw new NotFoundError("E_AGENT_FILE_NOT_FOUND", `there is no agent file ${path}`, {
      remedy: "Check the path.",
      data: { path },
    });
  }
  if (!found.isFile()) throw invalid(path, "it is no file", "Name the module that exports the agent.");
  const exported = (await importFile(path)) as { default?: unknown };
  // A CommonJS module that was compiled from ESM has its default export one level deeper.
  const nested = (exported.default as { default?: unknown } | null | undefined)?.default;
  const value = isAgentDefinition(exported.default) || nested === undefined ? exported.default : nested;
  const agents: unknown[] = Array.isArray(value) ? value : [value];
  if (agents.length === 0) throw invalid(path, "its default export is an empty list", EXPORT_HINT);
  return agents.map((agent) => {
    if (!isAgentDefinition(agent)) {
      const what = agent === undefined ? "it has no default export" : "its default export is no agent";
      throw invalid(path, what, EXPORT_HINT);
    }
    try {
      checkAgentDefinition(agent);
    } catch (cause) {
      if (!(cause instanceof DataHammerError)) throw cause;
      throw new InvalidInputError(cause.code, `${path}: ${cause.message}`, {
        data: { path },
        cause,
        ...(cause.remedy === undefined ? {} : { remedy: cause.remedy }),
      });
    }
    return agent;
  });
}

const EXPORT_HINT = "Write `export default defineAgent({ role, tasks })`, or a list of them.";

async function importFile(path: string): Promise<unknown> {
  if (TYPESCRIPT.test(path)) await readTypeScript();
  provideOwnPackages();
  try {
    return await import(pathToFileURL(path).href);
  } catch (cause) {
    const thrown = cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause);
    const missing = (cause as NodeJS.ErrnoException | null)?.code === "ERR_MODULE_NOT_FOUND";
    const place = cause instanceof Error ? await placeOf(cause, path) : undefined;
    throw invalid(
      path,
      `it throws while loading${place === undefined ? "" : ` (line ${place})`}: ${thrown}`,
      missing ? "Install what it imports, or correct the path in the import." : "Correct the file.",
      cause,
    );
  }
}

/**
 * Node before 22.18 cannot import TypeScript by itself. Both ways are needed: a file in a folder whose
 * package.json does not say `"type": "module"` goes through `require`, whatever it is written in.
 */
async function readTypeScript(): Promise<void> {
  const [commonJs, esm] = await Promise.all([import("tsx/cjs/api"), import("tsx/esm/api")]);
  commonJs.register();
  esm.register();
}

/** The line of the file at which it went wrong, where that can be told. */
async function placeOf(error: Error, path: string): Promise<string | undefined> {
  const place = placeIn(`${error.message}\n${error.stack ?? ""}`, path);
  if (place !== undefined || !(error instanceof SyntaxError)) return place;
  // Node prints where a module's syntax is wrong, but keeps it out of the error.
  const check = promisify(execFile)(process.execPath, ["--check", path], {
    timeout: SYNTAX_CHECK_TIMEOUT_MS,
  });
  return check.then(
    () => undefined,
    ({ stderr }: { stderr?: string }) => placeIn(stderr ?? "", path),
  );
}

/** The line of the file that a text names first. */
function placeIn(text: string, path: string): string | undefined {
  for (let from = text.indexOf(path); from >= 0; from = text.indexOf(path, from + 1)) {
    const line = /^:(\d+)/.exec(text.slice(from + path.length))?.[1];
    if (line !== undefined) return line;
  }
  return undefined;
}

function duplicate(role: string, earlier: string, path: string): InvalidInputError {
  const where = earlier === path ? `twice by ${path}` : `by ${earlier} and by ${path}`;
  return new InvalidInputError("E_DUPLICATE_ROLE", `the role "${role}" is served ${where}`, {
    remedy: "Put all tasks of a role into one agent, or start the second file as a process of its own.",
    data: { role, files: [earlier, path] },
  });
}

function invalid(path: string, what: string, remedy: string, cause?: unknown): InvalidInputError {
  return new InvalidInputError("E_AGENT_FILE", `the agent file ${path} cannot be used: ${what}`, {
    remedy,
    data: { path },
    ...(cause === undefined ? {} : { cause }),
  });
}
