/**
 * A Python 3 for the tests of the Python agent: the machine's own, else the distribution's packages, unpacked
 * into the user's cache and not installed. Where neither is to be had the tests fail; they never skip.
 */
import { execFile } from "node:child_process";
import { randomUUID } from "node:crypto";
import { access, mkdir, readdir, rename, rm } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { openDistribution } from "../../src/daemon/broker/distribution.ts";

export interface Python {
  command: string;
  /** Added to the environment of whoever runs it. */
  env: Record<string, string>;
}

const SETTLED = "python3";

/** @param options.own whether the machine's own may be used; default true */
export async function findPython(options: { own?: boolean } = {}): Promise<Python> {
  const candidates = options.own === false ? [] : [{ command: "python3", env: {} }];
  for (const python of candidates) {
    if (await works(python)) return python;
  }
  const cache = join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "datahammer");
  const settled = join(cache, SETTLED);
  const known = await describe(settled).catch(() => undefined);
  if (known !== undefined && (await works(known))) return known;
  await rm(settled, { recursive: true, force: true });
  return fetchPython(cache, settled);
}

async function fetchPython(cache: string, settled: string): Promise<Python> {
  const scratch = join(cache, `${SETTLED}-${randomUUID()}`);
  await mkdir(scratch, { recursive: true });
  try {
    const distribution = await openDistribution(scratch, process.env);
    // python3-minimal stands for the distribution's version: python3.11-minimal in Debian 12.
    const minimal = (await distribution.dependencies("python3-minimal")).find((name) =>
      /^python3\.\d+-minimal$/.test(name),
    );
    if (minimal === undefined) throw new Error("the distribution has no package python3-minimal");
    const version = minimal.slice(0, -"-minimal".length);
    // The library packages hold the standard library; the rest is what the interpreter is linked with.
    const libraries = [`lib${version}-minimal`, `lib${version}-stdlib`];
    const linked = (await distribution.dependencies(minimal)).filter((name) =>
      /^(libexpat1|zlib1g)/.test(name),
    );
    const unpacked = await distribution.unpack([minimal, ...libraries, ...linked]);
    const python = await describe(unpacked);
    if (!(await works(python))) throw new Error(`${python.command} does not run after unpacking`);
    await rename(unpacked, settled);
    return await describe(settled);
  } catch (cause) {
    throw new Error(
      `There is no python3, and it cannot be fetched: ${cause instanceof Error ? cause.message : cause}. Install python3.`,
      { cause },
    );
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

/** How to run what was unpacked into a folder. */
async function describe(root: string): Promise<Python> {
  const name = (await readdir(join(root, "usr/bin"))).find((entry) => /^python3\.\d+$/.test(entry));
  if (name === undefined) throw new Error(`no interpreter in ${root}`);
  const folders: string[] = [];
  for (const base of ["usr/lib", "lib"]) {
    const entries = await readdir(join(root, base)).catch(() => []);
    folders.push(
      ...entries.filter((entry) => entry.includes("linux-gnu")).map((entry) => join(root, base, entry)),
    );
  }
  return {
    command: join(root, "usr/bin", name),
    env: { PYTHONHOME: join(root, "usr"), LD_LIBRARY_PATH: folders.join(":") },
  };
}

/** Whether it is there and has what the agent imports. */
async function works({ command, env }: Python): Promise<boolean> {
  if (
    command.includes("/") &&
    !(await access(command).then(
      () => true,
      () => false,
    ))
  )
    return false;
  const program =
    "import argparse, json, queue, signal, socket, threading, urllib.parse, uuid, sys; sys.exit(sys.version_info < (3, 8))";
  const run = promisify(execFile)(command, ["-c", program], {
    env: { ...process.env, ...env },
    timeout: 30_000,
  });
  return run.then(
    () => true,
    () => false,
  );
}
