/**
 * nats-server as Debian and its descendants package it: verified by apt with the system's keys and sources,
 * unpacked, not installed. Needs no rights: lists and archives go to a private folder.
 */
import { execFile } from "node:child_process";
import { copyFile, mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import type { ServerSource } from "./fetch.ts";
import type { Environment } from "./locate.ts";

const PACKAGE = "nats-server";
/** Package lists of a whole distribution over a slow line. */
const APT_TIMEOUT_MS = 240_000;

export function distributionPackage(env: Environment): ServerSource {
  return {
    origin: "package",
    description: `the distribution's package ${PACKAGE} (unpacked, not installed)`,
    async fetch(path, scratch) {
      const lists = join(scratch, "lists");
      const cache = join(scratch, "cache");
      const unpacked = join(scratch, "unpacked");
      await mkdir(join(lists, "partial"), { recursive: true });
      await mkdir(join(cache, "archives", "partial"), { recursive: true });
      const options = {
        "Dir::State::Lists": lists,
        "Dir::Cache": cache,
        // As root, apt would fetch as a user who may not write here.
        "APT::Sandbox::User": "",
        "Acquire::Languages": "none",
        "Acquire::Retries": "1",
        "Acquire::http::Timeout": "15",
        "Acquire::https::Timeout": "15",
      };
      const apt = (...args: string[]) =>
        run(
          "apt-get",
          [...Object.entries(options).flatMap(([key, value]) => ["-o", `${key}=${value}`]), ...args],
          {
            cwd: scratch,
            env,
          },
        );
      // One broken source of several makes it fail although the package can be had: the download decides.
      const update = await apt("update", "-qq").then(
        () => undefined,
        (error: Error) => error,
      );
      try {
        await apt("download", "-qq", PACKAGE);
      } catch (error) {
        throw update ?? error;
      }
      const archive = (await readdir(scratch)).find((name) => name.endsWith(".deb"));
      if (!archive) throw new Error("apt-get downloaded nothing");
      await run("dpkg-deb", ["-x", join(scratch, archive), unpacked], { cwd: scratch, env });
      await copyFile(join(unpacked, "usr", "sbin", PACKAGE), path);
    },
  };
}

async function run(
  program: string,
  args: string[],
  options: { cwd: string; env: Environment },
): Promise<void> {
  try {
    await promisify(execFile)(program, args, {
      cwd: options.cwd,
      env: { ...options.env, LC_ALL: "C" },
      timeout: APT_TIMEOUT_MS,
    });
  } catch (error) {
    const { code, killed, stderr } = error as { code?: unknown; killed?: boolean; stderr?: string };
    if (code === "ENOENT") throw new Error(`this system has no ${program}`, { cause: error });
    const said = (stderr ?? "").split("\n").filter((line) => /^(E|W|dpkg-deb):/.test(line));
    const why = killed ? `not done after ${APT_TIMEOUT_MS} ms` : (said.at(-1) ?? `exit code ${String(code)}`);
    throw new Error(`${program}: ${why}`, { cause: error });
  }
}
