/**
 * Which process a number means. A process id is reused after its process has ended, so one that was written
 * down is only believed together with the mark of when that process began.
 */
import { execFile } from "node:child_process";
import { readdir, readFile } from "node:fs/promises";
import { promisify } from "node:util";

const PS_TIMEOUT_MS = 5_000;

/**
 * What tells this process from any other that has had, or will have, its number: the boot and the start time.
 * @returns undefined when it has ended, or where the system does not tell.
 */
export async function processMark(pid: number): Promise<string | undefined> {
  if (process.platform === "win32") return undefined;
  if (process.platform !== "linux") {
    const started = await ps(["-o", "lstart=", "-p", String(pid)]);
    return started?.trim() || undefined;
  }
  try {
    const fields = await statFields(pid);
    const boot = (await readFile("/proc/sys/kernel/random/boot_id", "utf8")).trim();
    return isDead(fields) ? undefined : `${boot}:${fields[19]}`; // starttime, in ticks since boot
  } catch {
    return undefined;
  }
}

/** Whether the process that had this number and mark still runs. Without a mark, the number alone decides. */
export async function isAlive(pid: number, mark: string | undefined): Promise<boolean> {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EPERM") return false; // EPERM: alive, somebody else's
  }
  if (process.platform === "linux") {
    try {
      // Killed, but not yet collected by its parent: it holds nothing any more.
      if (isDead(await statFields(pid))) return false;
    } catch {
      return false;
    }
  }
  if (mark === undefined) return true;
  const now = await processMark(pid);
  return now === undefined || now === mark;
}

/**
 * The processes that were started as `<program> -c <config>`, nothing more: what launchServer starts, and
 * no editor or pager that happens to have the file open.
 */
export async function processesOfConfig(config: string): Promise<number[]> {
  if (process.platform === "win32") return [];
  const found: number[] = [];
  if (process.platform !== "linux") {
    for (const line of ((await ps(["-A", "-o", "pid=,args="])) ?? "").split("\n")) {
      if (line.endsWith(` -c ${config}`)) found.push(Number.parseInt(line, 10));
    }
    return found;
  }
  for (const entry of await readdir("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    const line = await readFile(`/proc/${entry}/cmdline`, "utf8").catch(() => ""); // It may just have ended.
    if (line.endsWith(`\0-c\0${config}\0`)) found.push(Number(entry));
  }
  return found;
}

/** The fields of /proc/<pid>/stat from the state on: the name before it may hold blanks and brackets. */
async function statFields(pid: number): Promise<string[]> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8");
  return stat.slice(stat.lastIndexOf(")") + 2).split(" ");
}

function isDead(fields: readonly string[]): boolean {
  return fields[0] === "Z" || fields[0] === "X";
}

async function ps(args: string[]): Promise<string | undefined> {
  try {
    return (await promisify(execFile)("ps", args, { timeout: PS_TIMEOUT_MS, env: { LC_ALL: "C" } })).stdout;
  } catch {
    return undefined; // No ps, or no such process.
  }
}
