/**
 * Fetches a nats-server into the cache: upstream's release, else the distribution's package.
 *
 * Owns the cache's layout, `<cache>/<version>-<origin>/nats-server`, and that processes which fetch at once
 * do it once and never see half a server: each source fills a folder of its own, renamed when whole. Does
 * not own the sources (upstream-release.ts, distribution-package.ts).
 */
import { randomUUID } from "node:crypto";
import { chmod, mkdir, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { UnreachableError } from "../../workflow/errors.ts";
import { distributionPackage } from "./distribution-package.ts";
import { BINARY, type Environment, newestCached, probe, type ServerFetcher } from "./locate.ts";
import { type ProcessLock, tryLock } from "./process-lock.ts";
import { upstreamRelease } from "./upstream-release.ts";

/** Somewhere that a nats-server can be had from. */
export interface ServerSource {
  /** Part of the folder's name in the cache. */
  readonly origin: string;
  /** What is fetched and from where, for the person who waits. */
  readonly description: string;
  /** Puts the binary at `path`, using `scratch` as it likes. Rejects when it cannot, saying why. */
  fetch(path: string, scratch: string): Promise<void>;
}

/** How long one process waits for another one that is fetching. */
const WAIT_FOR_OTHER_MS = 300_000;
const DRAFT = ".fetching-";

/** The product's fetcher: upstream first, then the distribution's package. */
export function defaultFetcher(env: Environment): ServerFetcher {
  return (cache, notice) => fetchServer(cache, notice, [upstreamRelease(), distributionPackage(env)]);
}

/**
 * Tries the sources in order.
 * @returns the path of the binary
 * @throws UnreachableError `E_NO_NATS_SERVER` naming what each source answered
 */
export async function fetchServer(
  cache: string,
  notice: (line: string) => void,
  sources: readonly ServerSource[],
): Promise<string> {
  const lock = await lockCache(cache, notice);
  try {
    const other = await newestCached(cache); // Fetched by another process while this one waited.
    if (other) return other.path;
    await removeDrafts(cache);
    const failures: string[] = [];
    for (const source of sources) {
      const why = failures.length === 0 ? "No nats-server found" : "Not to be had there";
      notice(`${why}: fetching ${source.description} into ${cache}.`);
      try {
        return await fetchFrom(source, cache);
      } catch (error) {
        failures.push(`${source.description}: ${error instanceof Error ? error.message : String(error)}`);
      }
    }
    throw new UnreachableError(
      "E_NO_NATS_SERVER",
      `There is no nats-server on PATH and none in the cache, and none could be fetched.\n  ${failures.join("\n  ")}`,
      {
        remedy:
          "Install nats-server (for example: apt-get install nats-server), or set DATAHAMMER_NATS_SERVER to one.",
        data: { cache, failures },
      },
    );
  } finally {
    await lock.release();
  }
}

async function fetchFrom(source: ServerSource, cache: string): Promise<string> {
  const scratch = join(cache, `${DRAFT}${randomUUID()}`);
  const whole = join(scratch, "whole");
  await mkdir(whole, { recursive: true });
  try {
    const draft = join(whole, BINARY);
    await source.fetch(draft, scratch);
    await chmod(draft, 0o755);
    const probed = await probe(draft);
    if (!probed) throw new Error("what was fetched does not run on this machine");
    const final = join(cache, `${probed.version.text}-${source.origin}`);
    await rm(final, { recursive: true, force: true }); // Not usable, or it would have been found.
    await rename(whole, final);
    return join(final, BINARY);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

async function lockCache(cache: string, notice: (line: string) => void): Promise<ProcessLock> {
  const bound = performance.now() + WAIT_FOR_OTHER_MS;
  for (let told = false; ; told = true) {
    const outcome = await tryLock(join(cache, ".lock")).catch((cause: Error) => {
      throw new UnreachableError(
        "E_NO_NATS_SERVER",
        `There is no nats-server on PATH, and none can be fetched into ${cache}: ${cause.message}`,
        {
          remedy:
            "Install nats-server, set DATAHAMMER_NATS_SERVER to one, or XDG_CACHE_HOME to a folder that you may write.",
          cause,
        },
      );
    });
    if (outcome.held) return outcome.lock;
    const { pid, host } = outcome.owner;
    if (performance.now() > bound) {
      throw new UnreachableError(
        "E_NO_NATS_SERVER",
        `Process ${pid} on ${host} has been fetching nats-server for more than ${WAIT_FOR_OTHER_MS} ms.`,
        { remedy: `End it, or set DATAHAMMER_NATS_SERVER; its lock is in ${join(cache, ".lock")}.` },
      );
    }
    if (!told) notice(`Waiting for process ${pid}, which is fetching nats-server.`);
    await delay(500);
  }
}

/** What a killed process left half done. Only under the lock. */
async function removeDrafts(cache: string): Promise<void> {
  for (const entry of await readdir(cache)) {
    if (entry.startsWith(DRAFT)) await rm(join(cache, entry), { recursive: true, force: true });
  }
}
