/**
 * The daemon's lock on its store. nats-server takes none: two of them open one store without complaint and
 * ruin it, so nothing may touch `<store>/nats` without holding this.
 */
import { access, constants, realpath } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { makeFolder } from "../../client/make-folder.ts";
import { InvalidInputError } from "../../workflow/errors.ts";
import { type LockOwner, lockOwner, type ProcessLock, tryLock } from "./process-lock.ts";

const FOLDER = "lock";

/**
 * Makes the store's folder where there is none, and locks it.
 * @returns the lock and the folder's one true path, by which its processes are recognised
 * @throws InvalidInputError `E_STORE_LOCKED` when a living daemon has it, `E_STORE` when it cannot be used
 */
export async function lockStore(store: string): Promise<{ lock: ProcessLock; folder: string }> {
  let folder: string;
  try {
    await makeFolder(store, 0o700);
    folder = await realpath(store);
    await access(folder, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch (cause) {
    throw unusableStore(store, cause as Error);
  }
  const outcome = await tryLock(join(folder, FOLDER));
  if (outcome.held) return { lock: outcome.lock, folder };
  const { owner } = outcome;
  const here = owner.host === hostname();
  throw new InvalidInputError(
    "E_STORE_LOCKED",
    `The store ${store} is in use by process ${owner.pid} on ${here ? "this machine" : owner.host} since ${owner.since}.`,
    {
      remedy: here
        ? "Use that daemon (commands with the same --store do), stop it, or give another --store."
        : `If nothing uses it there any more, remove ${join(folder, FOLDER)}; else give another --store.`,
      data: { store, ...owner },
    },
  );
}

/** The system refuses the store, or something in it. */
export function unusableStore(store: string, cause: Error): InvalidInputError {
  return new InvalidInputError("E_STORE", `The store ${store} cannot be used: ${cause.message}`, {
    remedy: "Give a folder that you may write with --store.",
    data: { store },
    cause,
  });
}

/** The living daemon of a store; undefined: none, or no such store. */
export async function storeOwner(store: string): Promise<LockOwner | undefined> {
  return lockOwner(join(store, FOLDER));
}
