/**
 * What may be wrong with a machine, a store or a broker, and what to do about each.
 *
 * Owns the list of checks and their bounds. Does not own the connection: whoever calls hands in how a broker
 * is examined, so that no vendor's client is known here. Nothing is changed, started or fetched, and nothing
 * throws: a check that cannot be made says why.
 */
import { constants } from "node:fs";
import { access, stat, statfs } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { DataHammerError } from "../workflow/errors.ts";
import { brokerFilePath, readBrokerFile } from "./broker/broker-file.ts";
import { type Environment, locateServer } from "./broker/locate.ts";
import { isAtLeast, parseServerVersion } from "./broker/server-version.ts";
import { storeOwner } from "./broker/store-lock.ts";
import { readStoreVersion } from "./broker/store-version.ts";

/** One line of `datahammer doctor`. */
export interface DoctorFinding {
  check: string;
  ok: boolean;
  detail: string;
  /** There whenever `ok` is false. */
  remedy?: string;
}

export interface BrokerTarget {
  url: string;
  token?: string;
  creds?: string;
}

/** What was learned by connecting to a broker. */
export interface BrokerReport {
  serverVersion: string;
  roundTripMs: number;
  /** Why JetStream cannot be used; undefined: it can. */
  jetstreamProblem?: string;
  /** Why the broker stores nothing at the moment; undefined: it does, as far as anybody knows. */
  storageProblem?: string;
  /** What this connection may not do although the runtime needs it, as subjects or words. */
  missingRights: readonly string[];
  /** The broker's clock minus this machine's; undefined where the broker does not tell. */
  clockSkewMs?: number;
  /** Daemons that answered on the swarm; undefined: not asked. */
  daemons?: number;
}

export interface DoctorContext {
  env: Environment;
  store: string;
  /** Of the running Node, such as `20.19.0`. */
  nodeVersion: string;
  /** A broker that was named; default: that of the daemon on the store. */
  nats?: BrokerTarget;
  examineBroker(target: BrokerTarget): Promise<BrokerReport>;
  /** Default `BOUNDS`. */
  bounds?: Partial<typeof BOUNDS>;
}

const BOUNDS = {
  /** The oldest Node that runs it. */
  nodeMajor: 20,
  nodeMinor: 19,
  /** Less free space than this under the store is a finding. */
  freeBytes: 1024 ** 3,
  /** Nothing is decided by clocks, but people read the times in traces. */
  clockSkewMs: 5_000,
  /** For examining the broker. */
  brokerMs: 10_000,
};

/** Runs every check that can be made; those on a broker that was not reached are left out. */
export async function runDoctor(context: DoctorContext): Promise<DoctorFinding[]> {
  const bounds = { ...BOUNDS, ...context.bounds };
  const findings = [
    await guarded("node", async () => checkNode(context.nodeVersion, bounds)),
    await guarded("nats-server", () => checkServer(context)),
    await guarded("store", () => checkStore(context.store)),
    await guarded("store-version", () => checkStoreVersion(context)),
    await guarded("disk", () => checkDisk(context.store, bounds)),
    await guarded("daemon", () => checkDaemon(context)),
  ];
  let report: BrokerReport | undefined;
  findings.push(
    await guarded("broker", async () => {
      const target = context.nats ?? (await readBrokerFile(context.store));
      report = await withinBound(context.examineBroker(target), bounds.brokerMs, target.url);
      return describeBroker(target, report, context.nats === undefined);
    }),
  );
  if (report) findings.push(...checkReport(report, bounds));
  return findings;
}

type Verdict = Omit<DoctorFinding, "check">;

const good = (detail: string): Verdict => ({ ok: true, detail });
const bad = (detail: string, remedy: string): Verdict => ({ ok: false, detail, remedy });

/** An error that a check meets is what it found. */
async function guarded(check: string, run: () => Promise<Verdict>): Promise<DoctorFinding> {
  try {
    return { check, ...(await run()) };
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    const remedy = error instanceof DataHammerError ? error.remedy : undefined;
    return {
      check,
      ...bad(detail, remedy ?? "Correct what the message names, then run datahammer doctor again."),
    };
  }
}

function checkNode(version: string, bounds: typeof BOUNDS): Verdict {
  const parsed = parseServerVersion(version);
  const wanted = `${bounds.nodeMajor}.${bounds.nodeMinor}`;
  if (parsed && isAtLeast(parsed, bounds.nodeMajor, bounds.nodeMinor)) return good(`Node ${parsed.text}`);
  return bad(`Node ${version} is older than ${wanted}.`, `Install Node ${wanted} or later.`);
}

async function checkServer(context: DoctorContext): Promise<Verdict> {
  if (context.nats) return good("not needed: a broker is named");
  const { path, version, source } = await locateServer({ env: context.env });
  return good(`nats-server ${version.text} at ${path} (from ${SOURCE_WORDS[source]})`);
}

const SOURCE_WORDS = {
  environment: "DATAHAMMER_NATS_SERVER",
  path: "PATH",
  cache: "the cache",
  fetched: "a fetch",
} as const;

async function checkStore(store: string): Promise<Verdict> {
  const folder = resolve(store);
  const found = await stat(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw error;
  });
  if (!found) {
    await access(await nearestExisting(folder), constants.W_OK);
    return good(`${folder} does not exist yet; the first daemon makes it`);
  }
  if (!found.isDirectory()) return bad(`${folder} is no folder.`, "Give a folder with --store.");
  await access(folder, constants.R_OK | constants.W_OK | constants.X_OK);
  const secret = await stat(brokerFilePath(store)).catch(() => undefined);
  if (secret && process.platform !== "win32" && (secret.mode & 0o077) !== 0) {
    return bad(
      `${brokerFilePath(store)} holds the broker's secret and other users may read it.`,
      `Run chmod 600 ${brokerFilePath(store)}, or restart the daemon.`,
    );
  }
  return good(folder);
}

async function checkStoreVersion(context: DoctorContext): Promise<Verdict> {
  const wrote = await readStoreVersion(context.store);
  if (!wrote) return good("no daemon has written to the store yet");
  const detail = `written by nats-server ${wrote.natsServer}, DataHammer ${wrote.datahammer}`;
  if (context.nats) return good(detail);
  const highest = parseServerVersion(wrote.natsServer);
  // Without a server there is nothing to compare; that is the finding of another check.
  const server = await locateServer({ env: context.env }).catch(() => undefined);
  if (!server || !highest || isAtLeast(server.version, highest.major, highest.minor)) return good(detail);
  return bad(
    `${detail}; nats-server ${server.version.text} cannot open it.`,
    `Use nats-server ${highest.major}.${highest.minor} or later (on PATH, or by DATAHAMMER_NATS_SERVER), or another --store.`,
  );
}

async function checkDisk(store: string, bounds: typeof BOUNDS): Promise<Verdict> {
  const at = await nearestExisting(resolve(store));
  const { bavail, bsize } = await statfs(at);
  const free = bavail * bsize;
  const detail = `${gibibytes(free)} free under ${at}`;
  if (free >= bounds.freeBytes) return good(detail);
  return bad(
    `Only ${detail} (bound ${gibibytes(bounds.freeBytes)}).`,
    "Free some space, or give a --store on another disk.",
  );
}

async function checkDaemon(context: DoctorContext): Promise<Verdict> {
  const owner = await storeOwner(context.store);
  if (owner) return good(`process ${owner.pid} on ${owner.host} since ${owner.since}`);
  if (context.nats) return good("none on this store; a broker is named, its daemons may be anywhere");
  return bad(
    `No daemon runs on the store ${context.store}.`,
    `Start one: datahammer up --store ${context.store}`,
  );
}

function describeBroker(target: BrokerTarget, report: BrokerReport, managed: boolean): Verdict {
  const version = parseServerVersion(report.serverVersion);
  const what = `nats-server ${report.serverVersion} at ${target.url}, round trip ${report.roundTripMs.toFixed(1)} ms`;
  if (version && !isAtLeast(version, 2, 9))
    return bad(`${what}: older than 2.9.`, "Use nats-server 2.9 or later.");
  if (!managed || !version) return good(what);
  const flushed = isAtLeast(version, 2, 10) ? "a second" : "two minutes (a second from nats-server 2.10 on)";
  return good(
    `${what}; what it acknowledged survives its death, and a power failure after at most ${flushed}`,
  );
}

function checkReport(report: BrokerReport, bounds: typeof BOUNDS): DoctorFinding[] {
  const findings: DoctorFinding[] = [];
  const add = (check: string, verdict: Verdict) => findings.push({ check, ...verdict });
  if (report.jetstreamProblem === undefined) add("jetstream", good("enabled for this account"));
  else {
    add(
      "jetstream",
      bad(
        report.jetstreamProblem,
        "Enable JetStream on the server and for the account that you connect with.",
      ),
    );
  }
  if (report.missingRights.length === 0) add("rights", good("all that the runtime needs"));
  else {
    add(
      "rights",
      bad(
        `This connection may not use ${report.missingRights.join(", ")}.`,
        "Grant these to the user or token.",
      ),
    );
  }
  if (report.storageProblem !== undefined) {
    add(
      "storage",
      bad(
        `Work waits: ${report.storageProblem}`,
        "Where room is wanting, make some: datahammer purge, a larger disk, a higher limit of the stream or account. It goes on by itself.",
      ),
    );
  }
  const skew = report.clockSkewMs;
  if (skew === undefined) add("clock", good("not compared: the broker does not tell its time"));
  else if (Math.abs(skew) <= bounds.clockSkewMs)
    add("clock", good(`the broker's clock is off by ${Math.round(skew)} ms`));
  else {
    add(
      "clock",
      bad(
        `The broker's clock is off by ${Math.round(skew)} ms (bound ${bounds.clockSkewMs} ms).`,
        "Synchronise the clocks (NTP). Runs are not affected, but the times in their traces are.",
      ),
    );
  }
  if (report.daemons === 0) {
    add("swarm", bad("No daemon answers on this swarm.", "Start one: datahammer up, or check --swarm."));
  } else if (report.daemons !== undefined) add("swarm", good(`${report.daemons} daemon(s) answer`));
  return findings;
}

async function nearestExisting(path: string): Promise<string> {
  for (let at = path; ; at = dirname(at)) {
    const there = await stat(at).then(
      () => true,
      () => false,
    );
    if (there || dirname(at) === at) return at;
  }
}

async function withinBound<T>(work: Promise<T>, boundMs: number, url: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const bound = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () =>
        reject(
          new DataHammerError("E_TIMEOUT", `The broker at ${url} did not answer within ${boundMs} ms.`, {
            remedy: "Check the address, and that nothing between here and there drops connections.",
          }),
        ),
      boundMs,
    );
  });
  try {
    return await Promise.race([work, bound]);
  } finally {
    clearTimeout(timer);
  }
}

function gibibytes(bytes: number): string {
  return `${(bytes / 1024 ** 3).toFixed(1)} GiB`;
}
