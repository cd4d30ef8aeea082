/**
 * Whether the daemon can work: its broker is reached, and stores what it is given.
 *
 * Owns the looking, the line in the log when that changes, and the one cure that a daemon has: a nats-server that ran
 * into a full disk may store nothing until it is started again (seen on 2.9 and 2.15), so a managed one is started
 * again once there is room. One that is only busy is silent, too, and every start sets it back: a start that did not help
 * is followed by more patience. Nothing is decided from it; work that is refused is tried again where it arises.
 */
import { statfs } from "node:fs/promises";
import type { Logger } from "pino";
import type { Bus, Clock, StorageProblem } from "../bus/bus.ts";
import type { ManagedBroker } from "./broker/managed-broker.ts";

export interface ReadinessOptions {
  bus: Bus;
  clock: Clock;
  log: Logger;
  /** Folder of the managed broker's store. */
  store: string;
  /** Undefined: somebody else's. */
  broker: ManagedBroker | undefined;
}

export interface Readiness {
  /** Why it cannot work; undefined: it can. */
  readonly problem: string | undefined;
  stop(): void;
}

/** How often the broker is asked. */
const LOOK_MS = 3_000;
/** So many looks in a row without an answer, on a connection that stands, and the server is started again. */
const DEAF_LOOKS = 3;
/** After a start that did not help twice as many, up to this. */
const MOST_DEAF_LOOKS = 96;
/** Room on the disk that makes a restart worth while. */
const ROOM_BYTES = 8 * 1024 * 1024;

export function watchReadiness(options: ReadinessOptions): Readiness {
  const watch = new ReadinessWatch(options);
  watch.start();
  return watch;
}

class ReadinessWatch implements Readiness {
  readonly #options: ReadinessOptions;
  #found: StorageProblem | undefined;
  #deaf = 0;
  #heard = 0;
  #patience = DEAF_LOOKS;
  /** The disk was full when it was looked at last. The server may answer questions and store nothing, without a word. */
  #noRoom = false;
  #timer: unknown;
  #stopped = false;

  constructor(options: ReadinessOptions) {
    this.#options = options;
  }

  /** A connection that broke is known at once, the rest since the last look. */
  get problem(): string | undefined {
    const status = this.#options.bus.status();
    return status === "connected" ? this.#found?.reason : `broker ${status}`;
  }

  start(): void {
    void this.#look();
  }

  stop(): void {
    this.#stopped = true;
    this.#options.clock.clearTimeout(this.#timer);
  }

  async #look(): Promise<void> {
    const { bus, clock } = this.#options;
    const found = await bus.storageProblem();
    const isSilent = found?.kind === "silent";
    // A daemon without runs stores nothing, and would not hear from the broker that nobody can.
    const looksAtDisk = found === undefined || isSilent;
    const fullDisk = looksAtDisk ? await this.#fullDisk() : undefined;
    if (this.#stopped) return;
    const hasRoomAgain = this.#noRoom && looksAtDisk && fullDisk === undefined;
    if (looksAtDisk) this.#noRoom = fullDisk !== undefined;
    if (fullDisk === undefined) this.#tell(found);
    else this.#tell({ kind: "full", reason: [fullDisk, found?.reason].filter(Boolean).join("; ") });
    this.#deaf = isSilent ? this.#deaf + 1 : 0;
    this.#heard = isSilent ? 0 : this.#heard + 1;
    // One answer right after a start says little: the work that kept it busy comes back.
    if (this.#heard >= DEAF_LOOKS) this.#patience = DEAF_LOOKS;
    if (hasRoomAgain) await this.#cure("the disk has room again; starting the broker again");
    else if (this.#deaf >= this.#patience && fullDisk === undefined)
      await this.#cure("the broker stays silent; starting it again");
    if (!this.#stopped) this.#timer = clock.setTimeout(() => void this.#look(), LOOK_MS);
  }

  #tell(found: StorageProblem | undefined): void {
    const before = this.#found;
    this.#found = found;
    const { log } = this.#options;
    if (found === undefined && before !== undefined) log.info("the broker stores again; work goes on");
    if (found !== undefined && found.kind !== before?.kind) {
      log.warn({ problem: found.reason }, "nothing can be stored; work waits");
    }
  }

  /** What a server without room on its disk does not say any more. Only of a server whose disk is here. */
  async #fullDisk(): Promise<string | undefined> {
    const { broker, store } = this.#options;
    if (broker === undefined) return undefined;
    try {
      const { bavail, bsize } = await statfs(store);
      // Somewhat more than that, or a disk at the bound would have it started again and again.
      if (bavail * bsize >= (this.#noRoom ? 2 : 1) * ROOM_BYTES) return undefined;
      return `the disk of the store ${store} is full: fewer than ${ROOM_BYTES} bytes are free`;
    } catch (error) {
      return `the store ${store} cannot be looked at: ${error instanceof Error ? error.message : error}`;
    }
  }

  async #cure(why: string): Promise<void> {
    const { broker, log } = this.#options;
    if (broker === undefined) return;
    this.#deaf = 0;
    this.#patience = Math.min(2 * this.#patience, MOST_DEAF_LOOKS);
    try {
      log.warn({ serverPid: broker.pid }, why);
      await broker.restart();
    } catch (error) {
      log.warn({ err: error }, "the broker could not be started again");
    }
  }
}
