/**
 * One nats-server process: its configuration, its start, its end.
 *
 * Owns: the folder with the configuration, the logs and the ports file; the process from spawn to exit; a
 * leash that ends the process should this one be killed. Does not own: which binary (locate.ts), the store's
 * lock (store-lock.ts), restarts (managed-broker.ts).
 *
 * Invariants:
 *  - S1 The token is in a 0600 file, never on a command line, where every user of the machine reads it.
 *  - S2 The server is in a process group of its own: a terminal's Ctrl-C reaches its parent only, which
 *    drains first and stops the server last.
 *  - S3 The server does not outlive its parent: see `leash`.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { mkdir, readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { UnreachableError } from "../../workflow/errors.ts";
import { writeWhole } from "./private-file.ts";
import { isAtLeast, type ServerVersion } from "./server-version.ts";

/** Largest message that the managed server takes; larger values travel by claim check (L8). */
const MAX_PAYLOAD_BYTES = 8 * 1024 * 1024;
/** A server that recovers a large store listens only afterwards, so this is generous. */
const START_TIMEOUT_MS = 120_000;
/** From asking a server to stop until it is killed. */
const STOP_TIMEOUT_MS = 15_000;
const POLL_MS = 10;
/** Bounds of the server's log: size of a file, and how many full ones are kept (L8). */
const LOG_BYTES = 16 * 1024 * 1024;
const LOG_FILES = 3;

export interface ServerSettings {
  binary: string;
  version: ServerVersion;
  /** Holds server.conf, the logs and the ports file. Made when missing, mode 0700. */
  folder: string;
  /** JetStream's directory. */
  storeDir: string;
  /** -1: any free one. */
  port: number;
  token: string;
  name: string;
  /** `always`: every write is on disk before it is acknowledged. Default `interval`. */
  fsync?: "always" | "interval";
  startTimeoutMs?: number;
  /** From asking it to stop until it is killed. Default `STOP_TIMEOUT_MS`. */
  stopTimeoutMs?: number;
  /** Gives the start up. */
  signal?: AbortSignal;
  /** Lines that are added to the configuration as they are. */
  extraConfig?: string;
}

export interface ServerExit {
  code: number | null;
  signal: NodeJS.Signals | null;
}

export interface ServerProcess {
  readonly pid: number;
  readonly port: number;
  readonly url: string;
  /** Resolves when the process has ended, for whatever reason. Never rejects. */
  readonly exited: Promise<ServerExit>;
  /** Asks it to stop, and kills it after `STOP_TIMEOUT_MS`. Resolves when it has ended. Idempotent. */
  stop(): Promise<ServerExit>;
  /** SIGKILL. Resolves when it has ended. */
  kill(): Promise<ServerExit>;
  signal(signal: NodeJS.Signals): void;
}

/** Where a folder's server has its configuration: the argument by which its process is recognised. */
export function configPath(folder: string): string {
  return join(folder, "server.conf");
}

/**
 * Starts a nats-server and waits until it takes connections.
 * @throws UnreachableError `E_BROKER_START` when it ends or stays silent instead, with its own last words;
 *   `data.addressInUse` tells whether the port was the reason.
 */
export async function launchServer(settings: ServerSettings): Promise<ServerProcess> {
  const { folder } = settings;
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await mkdir(settings.storeDir, { recursive: true, mode: 0o700 });
  await removeLeftFiles(folder);
  const config = configPath(folder);
  await writeWhole(config, configText(settings)); // S1

  // What the server says before it has read its configuration; its log has the rest.
  const errFile = join(folder, "server.err");
  const errFd = openSync(errFile, "w", 0o600);
  let child: ChildProcess;
  try {
    child = spawn(settings.binary, ["-c", config], { stdio: ["ignore", errFd, errFd], detached: true }); // S2
  } finally {
    closeSync(errFd);
  }
  const exited = new Promise<ServerExit & { failure?: Error }>((resolve) => {
    child.once("error", (failure) => resolve({ code: null, signal: null, failure }));
    child.once("exit", (code, signal) => resolve({ code, signal }));
  });
  const pid = child.pid;
  if (pid === undefined) {
    const { failure } = await exited;
    throw new UnreachableError("E_BROKER_START", `${settings.binary} cannot be run: ${failure?.message}`, {
      remedy: "Check the file and its rights, or name another nats-server with DATAHAMMER_NATS_SERVER.",
      cause: failure,
    });
  }
  const letGo = leash(pid);
  void exited.then(letGo);

  const stop = async (first: NodeJS.Signals): Promise<ServerExit> => {
    trySignal(pid, child, first);
    // A stopped (SIGSTOP) or stuck server does not answer; SIGKILL works on both.
    const bound = new AbortController();
    const overdue = delay(settings.stopTimeoutMs ?? STOP_TIMEOUT_MS, "overdue" as const, {
      signal: bound.signal,
    }).catch(() => undefined);
    if ((await Promise.race([exited, overdue])) === "overdue") trySignal(pid, child, "SIGKILL");
    const exit = await exited;
    bound.abort();
    return exit;
  };
  const port = await waitForPort(settings, pid, exited).catch(async (error: unknown) => {
    await stop("SIGKILL"); // Whatever went wrong, none is left behind.
    throw error;
  });
  return {
    pid,
    port,
    url: `nats://127.0.0.1:${port}`,
    exited,
    // 2.9 and 2.10 exit with 1 on SIGTERM although they stop in good order; SIGINT ends all with 0.
    stop: () => stop("SIGINT"),
    kill: () => stop("SIGKILL"),
    signal: (signal) => trySignal(pid, child, signal),
  };
}

function trySignal(pid: number, child: ChildProcess, signal: NodeJS.Signals): void {
  // Once it has been reaped the number may belong to another process.
  if (child.exitCode === null && child.signalCode === null) process.kill(pid, signal);
}

/** The server's configuration file. */
export function configText(settings: ServerSettings): string {
  const quoted = (text: string) => JSON.stringify(text);
  const sync = settings.fsync === "always" ? "always" : '"1s"';
  const lines = [
    "# Written by DataHammer at every start; changes are lost.",
    `server_name: ${quoted(settings.name)}`,
    'server_tags: ["datahammer:managed"]',
    "host: 127.0.0.1",
    `port: ${settings.port}`,
    `ports_file_dir: ${quoted(settings.folder)}`,
    `authorization { token: ${quoted(settings.token)} }`,
    `max_payload: ${MAX_PAYLOAD_BYTES}`,
    `log_file: ${quoted(join(settings.folder, "server.log"))}`,
    `logfile_size_limit: ${LOG_BYTES}`,
    // 2.9 refuses to start with an option that it does not know.
    ...(isAtLeast(settings.version, 2, 10) ? [`logfile_max_num: ${LOG_FILES}`] : []),
    "jetstream {",
    `  store_dir: ${quoted(settings.storeDir)}`,
    ...(isAtLeast(settings.version, 2, 10) ? [`  sync_interval: ${sync}`] : []),
    "}",
    ...(settings.extraConfig ? [settings.extraConfig] : []),
  ];
  return `${lines.join("\n")}\n`;
}

async function waitForPort(
  settings: ServerSettings,
  pid: number,
  exited: Promise<ServerExit>,
): Promise<number> {
  let exit: ServerExit | undefined;
  void exited.then((how) => {
    exit = how;
  });
  const bound = settings.startTimeoutMs ?? START_TIMEOUT_MS;
  for (let waited = 0; exit === undefined && waited < bound; waited += POLL_MS) {
    settings.signal?.throwIfAborted();
    const port = await readPort(settings.folder, pid);
    if (port !== undefined) return port;
    await delay(POLL_MS);
  }
  const words = await lastWords(settings.folder, pid);
  if (exit === undefined) {
    throw new UnreachableError(
      "E_BROKER_START",
      `nats-server ${settings.version.text} took no connections within ${bound} ms. ${words}`,
      { remedy: `Read ${join(settings.folder, "server.log")}.`, data: { boundMs: bound } },
    );
  }
  throw new UnreachableError(
    "E_BROKER_START",
    `nats-server ${settings.version.text} ended while starting (${describeExit(exit)}). ${words}`,
    {
      remedy: `Read ${join(settings.folder, "server.log")}.`,
      data: { ...exit, addressInUse: /address already in use/.test(words) },
    },
  );
}

export function describeExit(exit: ServerExit): string {
  return exit.signal === null ? `exit code ${exit.code}` : `signal ${exit.signal}`;
}

/** A ports file outlives a killed server, so only the one that carries this pid counts. */
async function readPort(folder: string, pid: number): Promise<number | undefined> {
  const name = (await readdir(folder)).find((entry) => entry.endsWith(`_${pid}.ports`));
  if (name === undefined) return undefined;
  try {
    const { nats } = JSON.parse(await readFile(join(folder, name), "utf8")) as { nats?: string[] };
    const port = Number(new URL(nats?.[0] ?? "").port);
    return port > 0 ? port : undefined;
  } catch {
    return undefined; // Half written: the next look finds it whole.
  }
}

/** What earlier servers left: ports files, and more full logs than are kept (2.9 keeps all). */
async function removeLeftFiles(folder: string): Promise<void> {
  const names = await readdir(folder);
  const ports = names.filter((name) => name.endsWith(".ports"));
  const fullLogs = names.filter((name) => name.startsWith("server.log.")).sort(); // Named by their time.
  for (const name of [...ports, ...fullLogs.slice(0, -LOG_FILES)])
    await rm(join(folder, name), { force: true });
}

/** The fatal lines of this process in its log, and what it wrote before it had one. */
async function lastWords(folder: string, pid: number): Promise<string> {
  const read = (name: string) => readFile(join(folder, name), "utf8").catch(() => "");
  const log = (await read("server.log"))
    .split("\n")
    .filter((line) => line.startsWith(`[${pid}]`) && /\[(FTL|ERR)\]/.test(line))
    .map((line) => line.replace(/^.*\[(FTL|ERR)\] /, ""));
  const said = [...(await read("server.err")).trim().split("\n"), ...log].filter((line) => line !== "");
  return said.length === 0 ? "It gave no reason." : `It said: ${said.slice(-3).join(" | ")}`;
}

/**
 * Ends the server when this process is gone (S3). A shell waits on a pipe that only this process holds
 * open: its end of file means death by whatever cause, kill -9 included; a line means that the server has
 * ended and nothing is left to do. Where there is no such shell, the next start stops what it finds.
 */
function leash(pid: number): () => void {
  if (process.platform === "win32") return () => undefined;
  const script =
    'read -r _ && exit 0; kill -INT "$1" && for _ in 1 2 3 4 5 6 7 8 9 10; do sleep 1; kill -0 "$1" || exit 0; done; kill -KILL "$1"';
  const shell = spawn("/bin/sh", ["-c", script, "datahammer-leash", String(pid)], {
    stdio: ["pipe", "ignore", "ignore"],
    detached: true,
  });
  const release = () => shell.stdin.end("\n");
  shell.on("error", () => undefined); // No shell, no leash.
  shell.stdin.on("error", () => undefined); // The shell was killed: nothing holds the server any more.
  shell.unref();
  return release;
}
