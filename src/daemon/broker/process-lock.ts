/**
 * Mutual exclusion between processes over one folder, safe against kill -9 and against racing starters.
 *
 * Owns the files `<pid>-<id>.owner` in the folder it is given. Does not own what the folder protects.
 *
 * Every contender writes a file of its own, completely and under a name never used again, and only then looks
 * for others. Of two contenders at least one therefore sees the other, so that never both hold:
 *  - K1 One holds only after a look, made after its own file was there, that found no other living owner.
 *  - K2 A dead owner's file is removed by who comes to take the lock. That is safe at any time, because its
 *    name never comes back; there is no stale lock to be taken over and so no race for it.
 *  - K3 Who comes while another is there writes nothing. Of those who came at once, the one whose file name
 *    sorts first stays and looks again; the others withdraw. So one of them gets it.
 */
import { randomUUID } from "node:crypto";
import { readdir, readFile, rm } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { z } from "zod";
import { makeFolder } from "../../client/make-folder.ts";
import { writeWhole } from "./private-file.ts";
import { isAlive, processMark } from "./process-identity.ts";

const ownerSchema = z.object({
  pid: z.int().min(1),
  mark: z.string().optional(),
  host: z.string(),
  since: z.string(),
});
/** Who holds a lock. On another host than ours it cannot be asked and counts as living. */
export type LockOwner = z.infer<typeof ownerSchema>;

export interface ProcessLock {
  /** Idempotent. */
  release(): Promise<void>;
}

export type LockOutcome = { held: true; lock: ProcessLock } | { held: false; owner: LockOwner };

const LOOKS = 20;
const LOOK_MS = 15;

/** Takes the lock, or says who has it after about a third of a second. */
export async function tryLock(folder: string): Promise<LockOutcome> {
  await makeFolder(folder, 0o700);
  let owner: LockOwner | undefined;
  for (let look = 0; look < LOOKS; look++) {
    owner = (await livingOwners(folder, "clear"))[0]?.owner;
    if (owner === undefined) {
      const name = await writeOwner(folder);
      const rival = await settle(folder, name);
      if (rival === undefined) return { held: true, lock: { release: () => remove(folder, name) } };
      owner = rival;
    }
    await delay(LOOK_MS);
  }
  return { held: false, owner: owner as LockOwner };
}

/** Who holds the lock now; undefined: nobody that lives. Looks only, so that it needs no right to write. */
export async function lockOwner(folder: string): Promise<LockOwner | undefined> {
  return (await livingOwners(folder))[0]?.owner;
}

/** With one's own file in place: undefined once nobody else is there (K1), else who one withdrew for. */
async function settle(folder: string, name: string): Promise<LockOwner | undefined> {
  let rival: LockOwner | undefined;
  for (let look = 0; look < LOOKS; look++) {
    const others = (await livingOwners(folder)).filter((other) => other.name !== name);
    rival = others[0]?.owner;
    if (rival === undefined) return undefined;
    if (others.some((other) => other.name < name)) break; // K3
    await delay(LOOK_MS);
  }
  await remove(folder, name);
  return rival;
}

async function writeOwner(folder: string): Promise<string> {
  const owner: LockOwner = {
    pid: process.pid,
    host: hostname(),
    since: new Date().toISOString(),
  };
  const mark = await processMark(process.pid);
  const name = `${process.pid}-${randomUUID()}.owner`;
  // Whole from the first moment that it can be seen, also after a power failure.
  await writeWhole(join(folder, name), JSON.stringify(mark === undefined ? owner : { ...owner, mark }));
  return name;
}

async function livingOwners(
  folder: string,
  dead: "leave" | "clear" = "leave",
): Promise<{ name: string; owner: LockOwner }[]> {
  const living: { name: string; owner: LockOwner }[] = [];
  for (const name of (await list(folder)).sort()) {
    if (!name.endsWith(".owner")) continue;
    const owner = await readOwner(join(folder, name));
    if (owner === undefined) continue; // Released meanwhile.
    if (owner.host !== hostname() || (await isAlive(owner.pid, owner.mark))) living.push({ name, owner });
    else if (dead === "clear") await remove(folder, name); // K2
  }
  return living;
}

async function list(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}

async function readOwner(path: string): Promise<LockOwner | undefined> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
  try {
    return ownerSchema.parse(JSON.parse(text));
  } catch {
    // Ours are whole or absent: this one was damaged, and nobody can be asked whether it is in use.
    return { pid: 1, host: `an unreadable lock file (${path})`, since: "unknown" };
  }
}

async function remove(folder: string, name: string): Promise<void> {
  await rm(join(folder, name), { force: true });
}
