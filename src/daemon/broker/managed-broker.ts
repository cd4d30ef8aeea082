/**
 * The nats-server that a daemon runs for itself.
 *
 * Owns: the store from lock to release, the server's secret and port, its restarts, broker.json. Does not
 * own: how one process is started and ended (server-process.ts), clients' connections.
 *
 * Invariants:
 *  - M1 Only the holder of the store's lock starts a server on it, and only after any server that an earlier
 *    daemon left behind has ended: two servers on one store ruin it.
 *  - M2 Port and secret stay the same over restarts of the server, and of the daemon where the port is still
 *    free, so that agents which outlive either find their way back by themselves.
 *  - M3 A server that ends unasked is started again, at growing intervals, at most `limit` times in
 *    `windowMs` (L8); then the broker has failed and says so. One that somebody killed does not count: it was
 *    well, and however often that happens, the next one is too.
 */
import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { Logger } from "pino";
import { z } from "zod";
import { DataHammerError, InvalidInputError, UnreachableError } from "../../workflow/errors.ts";
import { removeBrokerFile, writeBrokerFile } from "./broker-file.ts";
import { defaultFetcher } from "./fetch.ts";
import { type Environment, locateServer, type ServerFetcher } from "./locate.ts";
import { writeWhole } from "./private-file.ts";
import { isAlive, processesOfConfig, processMark } from "./process-identity.ts";
import {
  configPath,
  describeExit,
  launchServer,
  type ServerExit,
  type ServerProcess,
} from "./server-process.ts";
import { isAtLeast, type ServerVersion } from "./server-version.ts";
import { lockStore, unusableStore } from "./store-lock.ts";
import { claimStoreVersion } from "./store-version.ts";

interface RestartPolicy {
  initialMs: number;
  maxMs: number;
  /** Restarts within `windowMs`; one more and the broker has failed. */
  limit: number;
  windowMs: number;
}

const DEFAULT_RESTART: RestartPolicy = { initialMs: 100, maxMs: 5_000, limit: 8, windowMs: 60_000 };

export interface ManagedBrokerOptions {
  /** Folder of the store; made when missing. */
  store: string;
  env: Environment;
  log: Logger;
  /** Version of DataHammer, kept beside the store. */
  product: string;
  /** `always`: acknowledged means on disk, at about a tenth of the throughput. Default: once a second. */
  fsync?: "always" | "interval";
  /** The nats-server to use, instead of looking for one. */
  binary?: string;
  /** Lines for the person who waits, such as what is being fetched. Default: the log. */
  notice?: (line: string) => void;
  fetch?: ServerFetcher;
  restart?: Partial<RestartPolicy>;
  /** Gives the start up; the start then rejects and leaves nothing behind. Not looked at once it has started. */
  signal?: AbortSignal;
}

export type BrokerEvent =
  /** It ended unasked and will be started again. */
  | { kind: "exited"; exit: ServerExit }
  /** It runs again, at the same address. */
  | { kind: "restarted"; pid: number }
  /** It will not be started again; `stop` is still due. */
  | { kind: "failed"; error: DataHammerError };

export interface ManagedBroker {
  readonly url: string;
  readonly token: string;
  /** Of the server that runs now, or ran last. */
  readonly pid: number;
  readonly version: string;
  /** Called at every unexpected end and what follows. Returns the way to stop listening. */
  onExit(listener: (event: BrokerEvent) => void): () => void;
  /** Ends the server, which is then started again like one that ended unasked (M3). Resolves when it has ended. */
  restart(): Promise<void>;
  /** Ends the server, removes broker.json, releases the store. Idempotent. */
  stop(): Promise<void>;
}

/** Longest pause after a kill: what is well need not be spared. */
const KILLED_MAX_MS = 1_000;

/** What outlives a daemon's life (M2). */
const identitySchema = z.object({ token: z.string().min(32), port: z.int().min(1).max(65_535).optional() });
type Identity = z.infer<typeof identitySchema>;

/**
 * @throws InvalidInputError `E_STORE_LOCKED`, `E_STORE`, `E_STORE_VERSION`, `E_FSYNC`, `E_NATS_SERVER_UNUSABLE`
 * @throws UnreachableError `E_NO_NATS_SERVER`, `E_BROKER_START`
 */
export async function startManagedBroker(options: ManagedBrokerOptions): Promise<ManagedBroker> {
  try {
    const { lock, folder } = await lockStore(options.store);
    try {
      return await ManagedServer.start(options, folder, () => lock.release());
    } catch (error) {
      await lock.release();
      throw error;
    }
  } catch (error) {
    throw isOfFile(error) ? unusableStore(options.store, error) : error;
  }
}

/** What the system says of a file or folder: all that a start touches is in the store. */
function isOfFile(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && "syscall" in error && !(error instanceof DataHammerError);
}

class ManagedServer implements ManagedBroker {
  readonly url: string;
  readonly token: string;
  readonly #version: ServerVersion;
  readonly #folder: string;
  readonly #launch: (signal: AbortSignal) => Promise<ServerProcess>;
  readonly #release: () => Promise<void>;
  readonly #policy: RestartPolicy;
  readonly #log: Logger;
  readonly #listeners = new Set<(event: BrokerEvent) => void>();
  readonly #stopping = new AbortController();
  #server: ServerProcess;
  /** The server's unasked ends within the window; `at` in monotonic ms. */
  #ends: { at: number; killed: boolean }[] = [];
  #supervision: Promise<void>;
  #stopped: Promise<void> | undefined;

  static async start(
    options: ManagedBrokerOptions,
    folder: string,
    release: () => Promise<void>,
  ): Promise<ManagedServer> {
    const { log } = options;
    const { path: binary, version } = await unlessAborted(
      locateServer({
        env: options.binary ? { ...options.env, DATAHAMMER_NATS_SERVER: options.binary } : options.env,
        fetch: options.fetch ?? defaultFetcher(options.env),
        notice: options.notice ?? ((line) => log.info(line)),
      }),
      options.signal,
    );
    const fsync = options.fsync ?? "interval";
    if (fsync === "always" && !isAtLeast(version, 2, 10)) {
      throw new InvalidInputError(
        "E_FSYNC",
        `--fsync always needs nats-server 2.10 or later; ${binary} is ${version.text}.`,
        { remedy: "Name a newer one with DATAHAMMER_NATS_SERVER, or leave --fsync out." },
      );
    }
    await claimStoreVersion(folder, version, options.product);
    const serverFolder = join(folder, "nats");
    await endLeftServers(configPath(serverFolder), log); // M1
    const identity = await readIdentity(serverFolder);
    const launch = (port: number, signal = options.signal) =>
      launchServer({
        binary,
        version,
        folder: serverFolder,
        storeDir: serverFolder,
        port,
        token: identity.token,
        name: "datahammer",
        fsync,
        ...(signal ? { signal } : {}),
      });
    const server = await launch(identity.port ?? -1).catch((error: unknown) => {
      const taken = error instanceof UnreachableError && error.data.addressInUse === true;
      if (!taken || identity.port === undefined) throw error;
      log.warn({ port: identity.port }, "the store's last port is taken by another program: using a new one");
      return launch(-1);
    });
    try {
      await writeIdentity(serverFolder, { token: identity.token, port: server.port });
      await publish(folder, server, identity.token, version);
    } catch (error) {
      await server.kill();
      throw error;
    }
    log.info({ url: server.url, serverPid: server.pid, version: version.text, binary }, "broker started");
    return new ManagedServer(options, folder, server, version, identity.token, release, (signal) =>
      launch(server.port, signal),
    );
  }

  private constructor(
    options: ManagedBrokerOptions,
    folder: string,
    server: ServerProcess,
    version: ServerVersion,
    token: string,
    release: () => Promise<void>,
    launch: (signal: AbortSignal) => Promise<ServerProcess>,
  ) {
    this.url = server.url;
    this.token = token;
    this.#version = version;
    this.#folder = folder;
    this.#server = server;
    this.#launch = launch;
    this.#release = release;
    this.#policy = { ...DEFAULT_RESTART, ...options.restart };
    this.#log = options.log;
    this.#supervision = this.#supervise();
  }

  get pid(): number {
    return this.#server.pid;
  }

  get version(): string {
    return this.#version.text;
  }

  onExit(listener: (event: BrokerEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async restart(): Promise<void> {
    await this.#server.stop();
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #stop(): Promise<void> {
    this.#stopping.abort();
    try {
      await this.#supervision; // A restart that is under way has its server by now.
      await this.#server.stop();
      await removeBrokerFile(this.#folder);
    } finally {
      await this.#release();
    }
  }

  /** Until it is stopped or has failed: waits for the server's end and starts it again (M3). Never rejects. */
  async #supervise(): Promise<void> {
    const { signal } = this.#stopping;
    const asked = new Promise<"asked">((resolve) => signal.addEventListener("abort", () => resolve("asked")));
    for (;;) {
      const exit = await Promise.race([this.#server.exited, asked]);
      if (exit === "asked") return;
      this.#log.warn({ serverPid: this.pid, ...exit }, "the broker ended unasked");
      this.#tell({ kind: "exited", exit });
      const failure = await this.#restart(exit, signal);
      if (failure) {
        this.#log.error({ err: failure }, "the broker has failed");
        this.#tell({ kind: "failed", error: failure });
        return;
      }
      if (signal.aborted) return;
      this.#log.info({ serverPid: this.pid, url: this.url }, "broker restarted");
      this.#tell({ kind: "restarted", pid: this.pid });
    }
  }

  /** Tries until the server runs, the bound is reached or somebody stops it. Resolves with why it failed. */
  async #restart(exit: ServerExit, signal: AbortSignal): Promise<DataHammerError | undefined> {
    const { initialMs, maxMs, limit, windowMs } = this.#policy;
    let why = describeExit(exit);
    let killed = exit.signal === "SIGKILL";
    while (!signal.aborted) {
      const now = performance.now();
      this.#ends = [...this.#ends.filter(({ at }) => now - at < windowMs), { at: now, killed }];
      const failures = this.#ends.filter((end) => !end.killed).length;
      if (failures > limit) {
        return new UnreachableError(
          "E_BROKER_FAILED",
          `nats-server ${this.version} ended ${failures} times within ${windowMs} ms (bound ${limit}). Last: ${why}`,
          {
            remedy: `Read ${join(this.#folder, "nats", "server.log")}, then start the daemon again.`,
            data: { limit, windowMs, ends: failures },
          },
        );
      }
      const longest = killed ? Math.min(KILLED_MAX_MS, maxMs) : maxMs;
      const pause = Math.min(initialMs * 2 ** (this.#ends.length - 1), longest);
      await delay(pause, undefined, { signal }).catch(() => undefined);
      if (signal.aborted) return undefined;
      try {
        this.#server = await this.#launch(signal); // The same port (M2).
        await publish(this.#folder, this.#server, this.token, this.#version);
        return undefined;
      } catch (error) {
        if (signal.aborted) return undefined;
        why = error instanceof Error ? error.message : String(error);
        killed = false;
        this.#log.warn({ err: error }, "the broker could not be restarted");
      }
    }
    return undefined;
  }

  #tell(event: BrokerEvent): void {
    for (const listener of this.#listeners) listener(event);
  }
}

async function publish(
  store: string,
  server: ServerProcess,
  token: string,
  version: ServerVersion,
): Promise<void> {
  await writeBrokerFile(store, { url: server.url, token, pid: server.pid, version: version.text });
}

/**
 * Ends servers of this store whose daemon is gone: a leash needs a moment, and not every system has one.
 * They are stopped, not taken over: whether one still answers, with which settings and on which binary, is
 * known for sure only of a server that was started here.
 */
async function endLeftServers(config: string, log: Logger): Promise<void> {
  for (const pid of await processesOfConfig(config)) {
    const mark = await processMark(pid);
    for (const signal of ["SIGINT", "SIGKILL"] as const) {
      if (!(await isAlive(pid, mark))) break;
      log.warn({ serverPid: pid, signal }, "ending a broker that an earlier daemon left behind");
      try {
        process.kill(pid, signal);
      } catch (cause) {
        if ((cause as NodeJS.ErrnoException).code === "ESRCH") break;
        throw new InvalidInputError(
          "E_STORE_LOCKED",
          `A nats-server (process ${pid}) still runs on the store and cannot be stopped: ${(cause as Error).message}`,
          { remedy: "Stop it as the user who runs it, or give another --store.", data: { pid }, cause },
        );
      }
      await ended(pid, mark);
    }
  }
}

/** A fetch may take minutes; whoever gives it up need not wait for it. */
async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return work;
  signal.throwIfAborted();
  let abort: () => void = () => undefined;
  const aborted = new Promise<never>((_, reject) => {
    abort = () => reject(signal.reason);
    signal.addEventListener("abort", abort, { once: true });
  });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}

const LEFT_SERVER_TIMEOUT_MS = 10_000;

async function ended(pid: number, mark: string | undefined): Promise<void> {
  const bound = performance.now() + LEFT_SERVER_TIMEOUT_MS;
  while (performance.now() < bound && (await isAlive(pid, mark))) await delay(20);
}

async function readIdentity(folder: string): Promise<Identity> {
  try {
    return identitySchema.parse(JSON.parse(await readFile(join(folder, "identity.json"), "utf8")));
  } catch {
    return { token: randomBytes(24).toString("hex") }; // A new store, or one whose file was lost.
  }
}

async function writeIdentity(folder: string, identity: Identity): Promise<void> {
  await writeWhole(join(folder, "identity.json"), `${JSON.stringify(identity)}\n`);
}
