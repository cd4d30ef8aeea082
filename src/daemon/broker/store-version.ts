/**
 * `<store>/version.json`: which versions have written a store, so that it is never opened by an older one.
 *
 * A nats-server reads what older ones wrote, but not the other way round: 2.9 finds a store of 2.10 damaged.
 * The highest version that has ever opened the store is kept, written before that server first opens it.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { InvalidInputError } from "../../workflow/errors.ts";
import { writeWhole } from "./private-file.ts";
import { compareVersions, isAtLeast, parseServerVersion, type ServerVersion } from "./server-version.ts";

const storeVersionSchema = z.object({ natsServer: z.string(), datahammer: z.string() });
export type StoreVersion = z.infer<typeof storeVersionSchema>;

/**
 * @returns undefined for a store that no daemon has opened yet
 * @throws InvalidInputError `E_STORE_VERSION` when the file does not parse
 */
export async function readStoreVersion(store: string): Promise<StoreVersion | undefined> {
  const path = join(store, "version.json");
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
  try {
    const version = storeVersionSchema.parse(JSON.parse(text));
    if (parseServerVersion(version.natsServer)) return version;
  } catch {
    // Said below, for bad JSON, a bad shape and a bad version alike.
  }
  throw new InvalidInputError("E_STORE_VERSION", `${path} does not say which nats-server wrote the store.`, {
    remedy: `Restore it, for example {"natsServer":"2.12.8","datahammer":"0.1.0"}, or give another --store.`,
    data: { path },
  });
}

/**
 * Refuses a nats-server that is older (in major.minor) than what wrote the store, and notes this one.
 * Only for the holder of the store's lock.
 * @throws InvalidInputError `E_STORE_VERSION`
 */
export async function claimStoreVersion(
  store: string,
  server: ServerVersion,
  datahammer: string,
): Promise<void> {
  const before = await readStoreVersion(store);
  const wrote = before && parseServerVersion(before.natsServer);
  if (wrote && !isAtLeast(server, wrote.major, wrote.minor)) {
    throw new InvalidInputError(
      "E_STORE_VERSION",
      `The store ${store} was written by nats-server ${wrote.text} and cannot be opened by ${server.text}.`,
      {
        remedy: `Use nats-server ${wrote.major}.${wrote.minor} or later (on PATH, or by DATAHAMMER_NATS_SERVER), or give another --store.`,
        data: { store, wroteVersion: wrote.text, serverVersion: server.text },
      },
    );
  }
  const highest = wrote && compareVersions(wrote, server) > 0 ? wrote : server;
  const after: StoreVersion = { natsServer: highest.text, datahammer };
  await writeWhole(join(store, "version.json"), `${JSON.stringify(after)}\n`);
}
