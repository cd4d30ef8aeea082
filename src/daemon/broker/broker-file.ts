/**
 * `<store>/broker.json`: how the clients of a daemon find its managed broker. It holds the secret, so it is
 * readable by its owner only; who can read it may use the swarm.
 */
import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { UnreachableError } from "../../workflow/errors.ts";
import { writeWhole } from "./private-file.ts";
import { storeOwner } from "./store-lock.ts";

const brokerFileSchema = z.object({
  url: z.string(),
  token: z.string(),
  /** Of the nats-server; it changes when the server is restarted. */
  pid: z.int(),
  version: z.string(),
});
export type BrokerFile = z.infer<typeof brokerFileSchema>;

const AS_OWNER = "Run this as the user who started the daemon, or give another --store.";

export function brokerFilePath(store: string): string {
  return join(store, "broker.json");
}

export async function writeBrokerFile(store: string, broker: BrokerFile): Promise<void> {
  await writeWhole(brokerFilePath(store), `${JSON.stringify(broker)}\n`);
}

export async function removeBrokerFile(store: string): Promise<void> {
  await rm(brokerFilePath(store), { force: true });
}

/**
 * The broker of the daemon that runs on a store.
 *
 * It is the daemon that counts, not the file: a killed daemon leaves its file behind.
 * @throws UnreachableError `E_NO_DAEMON` when none runs there, `E_DAEMON_STARTING` when its broker is not up
 *   yet, `E_BROKER_FILE` when the file cannot be read
 */
export async function readBrokerFile(store: string): Promise<BrokerFile> {
  const path = brokerFilePath(store);
  const owner = await storeOwner(store).catch((cause: unknown) => {
    throw unreadable(path, cause, AS_OWNER);
  });
  if (!owner) {
    throw new UnreachableError("E_NO_DAEMON", `No daemon runs on the store ${store}.`, {
      remedy: `Start one: datahammer up --store ${store} (or give the --store of one that runs, or a broker with --nats).`,
      data: { store },
    });
  }
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") {
      throw new UnreachableError(
        "E_DAEMON_STARTING",
        `The daemon on the store ${store} (process ${owner.pid}) has no broker yet.`,
        { remedy: "Try again in a moment.", data: { store, pid: owner.pid } },
      );
    }
    throw unreadable(path, cause, AS_OWNER);
  }
  try {
    return brokerFileSchema.parse(JSON.parse(text));
  } catch (cause) {
    throw unreadable(path, cause, "Restart the daemon: it writes the file anew.");
  }
}

function unreadable(path: string, cause: unknown, remedy: string): UnreachableError {
  return new UnreachableError("E_BROKER_FILE", `${path} cannot be read: ${(cause as Error).message}`, {
    remedy,
    data: { path },
    cause,
  });
}
