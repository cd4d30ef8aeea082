/**
 * Packages of Debian and its descendants: verified by apt with the system's keys and sources, unpacked, not
 * installed. Needs no rights: lists and archives go to a private folder.
 */
import { execFile } from "node:child_process";
import { mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import type { Environment } from "./locate.ts";

/** Package lists of a whole distribution over a slow line. */
const APT_TIMEOUT_MS = 240_000;

export interface Distribution {
  /** Names of the packages that this one depends on directly. */
  dependencies(name: string): Promise<string[]>;
  /** Fetches packages and unpacks them over each other. @returns the folder that stands for `/` */
  unpack(names: readonly string[]): Promise<string>;
}

/** Reads the package lists. @throws Error saying which program is missing or what it complained about */
export async function openDistribution(scratch: string, env: Environment): Promise<Distribution> {
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
  const flags = Object.entries(options).flatMap(([key, value]) => ["-o", `${key}=${value}`]);
  const apt = (program: "apt-get" | "apt-cache", ...args: string[]) =>
    run(program, [...flags, ...args], { cwd: scratch, env });
  // One broken source of several makes it fail although the packages can be had: the download decides.
  const update = await apt("apt-get", "update", "-qq").then(
    () => undefined,
    (error: Error) => error,
  );
  return {
    async dependencies(name) {
      const text = await apt("apt-cache", "depends", "--important", name);
      return [...text.matchAll(/^ *\|?(?:Pre)?Depends: ([a-z0-9.+-]+)/gm)].map((found) => found[1] ?? "");
    },
    async unpack(names) {
      try {
        await apt("apt-get", "download", "-qq", ...names);
      } catch (error) {
        throw update ?? error;
      }
      const archives = (await readdir(scratch)).filter((name) => name.endsWith(".deb"));
      if (archives.length === 0) throw new Error("apt-get downloaded nothing");
      for (const archive of archives) {
        await run("dpkg-deb", ["-x", join(scratch, archive), unpacked], { cwd: scratch, env });
      }
      return unpacked;
    },
  };
}

/** @returns what it printed */
async function run(
  program: string,
  args: string[],
  options: { cwd: string; env: Environment },
): Promise<string> {
  try {
    const { stdout } = await promisify(execFile)(program, args, {
      cwd: options.cwd,
      env: { ...options.env, LC_ALL: "C" },
      timeout: APT_TIMEOUT_MS,
    });
    return stdout;
  } catch (error) {
    const { code, killed, stderr } = error as { code?: unknown; killed?: boolean; stderr?: string };
    if (code === "ENOENT") throw new Error(`this system has no ${program}`, { cause: error });
    const said = (stderr ?? "").split("\n").filter((line) => /^(E|W|dpkg-deb):/.test(line));
    const why = killed ? `not done after ${APT_TIMEOUT_MS} ms` : (said.at(-1) ?? `exit code ${String(code)}`);
    throw new Error(`${program}: ${why}`, { cause: error });
  }
}
