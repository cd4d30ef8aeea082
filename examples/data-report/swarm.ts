/** The data-report swarm: its agents, its default job, and the environment that a run starts from. */
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { InvalidInputError } from "../../src/workflow/errors.ts";
import { type DataFacts, inspectData } from "./facts.ts";
import { type GoalHints, readGoal } from "./goal.ts";

/** The agents' files beside this one, `.ts` in the sources and `.js` once compiled. */
const extension = import.meta.url.endsWith(".ts") ? "ts" : "js";
export const ROLES = [
  "loader",
  "explorer",
  "cleaner",
  "analyst",
  "modeler",
  "visualizer",
  "reporter",
] as const;
/** One module for each role; `datahammer agent` loads them. */
export const AGENT_MODULES: readonly URL[] = ROLES.map(
  (role) => new URL(`./agents/${role}.${extension}`, import.meta.url),
);

/** The key that the whole job is about. */
export const WANT: readonly string[] = ["report"];

export const DEFAULT_GOAL = "Report on this data";
/** For the default data, where the interesting question is known. */
export const DEFAULT_MOVIES_GOAL = "Report on these movies, and predict the IMDB Rating";

/**
 * The movies table of vega-datasets: 3,201 real, dirty rows.
 * @throws InvalidInputError when the optional package is not installed
 */
export function defaultDataPath(): string {
  const require = createRequire(import.meta.url);
  try {
    return join(dirname(require.resolve("vega-datasets/package.json")), "data", "movies.json");
  } catch {
    return searchUpwards("node_modules/vega-datasets/data/movies.json");
  }
}

function searchUpwards(path: string): string {
  const require = createRequire(import.meta.url);
  for (const folder of require.resolve.paths("vega-datasets") ?? []) {
    const candidate = join(dirname(folder), path);
    try {
      return require.resolve(candidate);
    } catch {
      // Not in this folder: the next one up is tried.
    }
  }
  throw new InvalidInputError("E_NO_DEFAULT_DATA", "the default data (vega-datasets) is not installed", {
    remedy: "Install optional dependencies (npm ci without --omit=optional), or give a file with --data.",
  });
}

/** What a run of the swarm starts from. All paths are absolute: agents have working folders of their own. */
export interface StartingEnvironment extends Record<string, unknown> {
  path: string;
  workDir: string;
  outDir: string;
  goal: GoalHints;
  data: DataFacts;
}

/**
 * Looks at the data and the goal, and gives the planner the facts that its guards ask for.
 *
 * @param outDir where report and logbook go; the work folder is made inside it
 * @throws NonRetryableError when the data cannot be read as a table
 */
export async function startingEnvironment(
  path: string,
  goalText: string,
  outDir: string,
): Promise<StartingEnvironment> {
  const data = await inspectData(resolve(path), goalText);
  const out = resolve(outDir);
  return { path: resolve(path), workDir: join(out, "work"), outDir: out, goal: readGoal(goalText), data };
}

/** Where a finished run's environment says that the report is. */
export function reportOf(
  environment: Readonly<Record<string, unknown>>,
): { path: string; logbook: string } | undefined {
  const report = environment.report as { path?: unknown; logbook?: unknown } | null | undefined;
  return typeof report?.path === "string" && typeof report.logbook === "string"
    ? { path: report.path, logbook: report.logbook }
    : undefined;
}

export { appendTrace } from "./report/trace.ts";
