/**
 * Finds the nats-server to manage: DATAHAMMER_NATS_SERVER, then PATH, then the cache, then a fetch into it.
 *
 * Owns the order and the check that what was found really is a nats-server. Does not own how it is fetched
 * (fetch.ts). The environment is handed in (L7).
 */
import { execFile } from "node:child_process";
import { constants } from "node:fs";
import { access, readdir, stat } from "node:fs/promises";
import { homedir } from "node:os";
import { delimiter, join, resolve } from "node:path";
import { promisify } from "node:util";
import { InvalidInputError, NotFoundError } from "../../workflow/errors.ts";
import { compareVersions, isAtLeast, parseServerVersion, type ServerVersion } from "./server-version.ts";

export type Environment = Readonly<Record<string, string | undefined>>;

export interface LocatedServer {
  path: string;
  version: ServerVersion;
  source: "environment" | "path" | "cache" | "fetched";
}

/** Fetches a nats-server into the cache folder and resolves with its path. */
export type ServerFetcher = (cacheFolder: string, notice: (line: string) => void) => Promise<string>;

export interface LocateOptions {
  env: Environment;
  /** Called when nothing is found. Without one, nothing is fetched. */
  fetch?: ServerFetcher;
  /** Lines for the person who waits. */
  notice?: (line: string) => void;
}

/** JetStream as the runtime uses it (republish, subject-wise expectations) is there from this version on. */
const OLDEST_SUPPORTED = { major: 2, minor: 9 } as const;

/** The file's name on this system. */
export const BINARY = process.platform === "win32" ? "nats-server.exe" : "nats-server";
const PROBE_TIMEOUT_MS = 10_000;

/** Where fetched servers are kept, one folder each. */
export function cacheFolder(env: Environment): string {
  const base = env.XDG_CACHE_HOME || join(env.HOME || homedir(), ".cache");
  return join(base, "datahammer", "nats-server");
}

/**
 * @throws InvalidInputError when DATAHAMMER_NATS_SERVER names something else than a usable nats-server
 * @throws NotFoundError when there is none and nothing may be fetched
 * @throws UnreachableError when it could not be fetched
 */
export async function locateServer(options: LocateOptions): Promise<LocatedServer> {
  const { env } = options;
  const named = env.DATAHAMMER_NATS_SERVER;
  if (named) return { ...(await probeNamed(named)), source: "environment" };

  for (const folder of (env.PATH ?? "").split(delimiter).filter((entry) => entry !== "")) {
    const found = await probe(join(folder, BINARY));
    if (found) return { ...found, source: "path" };
  }
  const cache = cacheFolder(env);
  const cached = await newestCached(cache);
  if (cached) return { ...cached, source: "cache" };
  if (!options.fetch) {
    throw new NotFoundError("E_NO_NATS_SERVER", "There is no nats-server on PATH and none in the cache.", {
      remedy: "Install nats-server, or name one with DATAHAMMER_NATS_SERVER.",
      data: { cache },
    });
  }
  const fetched = await probeNamed(await options.fetch(cache, options.notice ?? (() => undefined)));
  return { ...fetched, source: "fetched" };
}

/** The highest version in the cache; each entry is a folder `<version>-<origin>` with the binary in it. */
export async function newestCached(cache: string): Promise<Probed | undefined> {
  const entries = await readdir(cache).catch(() => []);
  let best: Probed | undefined;
  for (const entry of entries) {
    const found = await probe(join(cache, entry, BINARY));
    if (found && (best === undefined || compareVersions(found.version, best.version) > 0)) best = found;
  }
  return best;
}

export interface Probed {
  path: string;
  version: ServerVersion;
}

/** The nats-server at a path; undefined when it is none, too old, or does not run here. */
export async function probe(path: string): Promise<Probed | undefined> {
  try {
    await access(path, constants.X_OK);
    if (!(await stat(path)).isFile()) return undefined;
    const version = await askVersion(path);
    const usable = version && isAtLeast(version, OLDEST_SUPPORTED.major, OLDEST_SUPPORTED.minor);
    return usable ? { path, version } : undefined;
  } catch {
    return undefined;
  }
}

async function probeNamed(given: string): Promise<Probed> {
  const path = resolve(given);
  const remedy = "Set DATAHAMMER_NATS_SERVER to a nats-server binary of 2.9 or later, or unset it.";
  let version: ServerVersion | undefined;
  try {
    version = await askVersion(path);
  } catch (cause) {
    throw new InvalidInputError("E_NATS_SERVER_UNUSABLE", `${path} cannot be run: ${String(cause)}`, {
      remedy,
      cause,
    });
  }
  if (!version || !isAtLeast(version, OLDEST_SUPPORTED.major, OLDEST_SUPPORTED.minor)) {
    throw new InvalidInputError(
      "E_NATS_SERVER_UNUSABLE",
      `${path} is ${version ? `nats-server ${version.text}, older than 2.9` : "no nats-server"}.`,
      { remedy },
    );
  }
  return { path, version };
}

async function askVersion(path: string): Promise<ServerVersion | undefined> {
  const { stdout } = await promisify(execFile)(path, ["--version"], { timeout: PROBE_TIMEOUT_MS });
  return /nats-server/.test(stdout) ? parseServerVersion(stdout) : undefined;
}
