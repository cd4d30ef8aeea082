/**
 * Where a command finds its swarm: flag over environment variable over `datahammer.yaml` over default.
 *
 * Owns the names of all three. Everything is checked here, so that a typing mistake in a file is told like
 * one on the command line.
 */
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { parse } from "yaml";
import { z } from "zod";
import type { ModelSettings } from "../daemon/advisor.ts";
import { InvalidInputError, NotFoundError } from "../workflow/errors.ts";
import { ID_PATTERN, parseDuration } from "../workflow/names.ts";
import { type DaemonFlags, type DaemonSettings, daemonSettings, type Sourced } from "./daemon-settings.ts";
import { modelFileSchema, modelSettings } from "./model-settings.ts";

const CONFIG_FILE = "datahammer.yaml";
const LOG_LEVELS = ["trace", "debug", "info", "warn", "error", "fatal", "silent"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export interface Settings {
  /** URL of a broker that is not ours, several with commas for a cluster; undefined: the one of the daemon whose store is `store`. */
  nats: string | undefined;
  token: string | undefined;
  /** Text of the credentials file. */
  creds: string | undefined;
  /** Path of the credentials file, to hand on to child processes. */
  credsFile: string | undefined;
  swarm: string;
  /** Absolute. */
  store: string;
  json: boolean;
  /** Undefined: the command's own default. */
  logLevel: LogLevel | undefined;
  /** HOST:PORT of the daemon's pages. */
  http: string | undefined;
  /** Secret of the daemon's pages. */
  httpToken: string | undefined;
  /** Milliseconds after which the daemon removes a finished run; undefined: never. */
  keepMs: number | undefined;
  /** Absolute; folder in which the daemon archives what it removes. */
  archiveTo: string | undefined;
  daemon: DaemonSettings;
  /** The language model that proposes plans; undefined: none. */
  model: ModelSettings | undefined;
}

/** The flags that are settings, as commander gives them. */
export interface GlobalFlags extends DaemonFlags {
  nats?: string;
  token?: string;
  creds?: string;
  swarm?: string;
  store?: string;
  json?: boolean;
  logLevel?: string;
  http?: string;
  httpToken?: string;
  keep?: string;
  archiveTo?: string;
}

const fileSchema = z.strictObject({
  nats: z.string().optional(),
  token: z.string().optional(),
  creds: z.string().optional(),
  swarm: z.string().optional(),
  store: z.string().optional(),
  logLevel: z.string().optional(),
  http: z.string().optional(),
  httpToken: z.string().min(1).optional(),
  keep: z.string().optional(),
  archiveTo: z.string().optional(),
  maxRuns: z.union([z.string(), z.int().transform(String)]).optional(),
  ackWait: z.string().optional(),
  roleAbsence: z.string().optional(),
  replicas: z.union([z.string(), z.int().transform(String)]).optional(),
  fsync: z.string().optional(),
  model: modelFileSchema.optional(),
});

type FileSettings = z.infer<typeof fileSchema>;

/** @throws InvalidInputError naming the flag, variable or file key that is wrong */
export function resolveSettings(
  flags: GlobalFlags,
  env: Readonly<Record<string, string | undefined>>,
  cwd: string,
): Settings {
  const file = readConfigFile(resolve(cwd, CONFIG_FILE));
  const pick = (
    flag: string | undefined,
    variable: string,
    key: Exclude<keyof FileSettings, "model">,
  ): Sourced | undefined => {
    const fromEnv = env[variable];
    if (flag !== undefined) return { value: flag, source: `--${kebab(key)}` };
    if (fromEnv !== undefined && fromEnv !== "") return { value: fromEnv, source: variable };
    const fromFile = file[key];
    return fromFile === undefined ? undefined : { value: fromFile, source: `${key} in ${CONFIG_FILE}` };
  };
  const creds = pick(flags.creds, "DATAHAMMER_CREDS", "creds");
  const archiveTo = pick(flags.archiveTo, "DATAHAMMER_ARCHIVE_TO", "archiveTo")?.value;
  const credsFile = creds && resolve(cwd, creds.value);
  return {
    nats: checkUrl(pick(flags.nats, "DATAHAMMER_NATS", "nats")),
    token: pick(flags.token, "DATAHAMMER_TOKEN", "token")?.value,
    creds: creds && readCreds(resolve(cwd, creds.value), creds.source),
    credsFile,
    swarm: checkSwarm(pick(flags.swarm, "DATAHAMMER_SWARM", "swarm")),
    store: resolve(cwd, checkStore(pick(flags.store, "DATAHAMMER_STORE", "store"))),
    json: flags.json ?? false,
    logLevel: checkLogLevel(pick(flags.logLevel, "DATAHAMMER_LOG_LEVEL", "logLevel")),
    http: pick(flags.http, "DATAHAMMER_HTTP", "http")?.value,
    httpToken: pick(flags.httpToken, "DATAHAMMER_HTTP_TOKEN", "httpToken")?.value,
    keepMs: checkKeep(pick(flags.keep, "DATAHAMMER_KEEP", "keep")),
    archiveTo: archiveTo && resolve(cwd, archiveTo),
    model: modelSettings(file.model, env),
    daemon: daemonSettings((key, variable) => pick(flags[key], variable, key)),
  };
}

/** An empty name, as of a variable that is not set, would mean the folder one stands in. */
function checkStore(given: Sourced | undefined): string {
  if (given?.value !== "") return given?.value ?? ".datahammer";
  throw new InvalidInputError("E_STORE", `${given.source} names no folder: it is empty`, {
    remedy: "Name one, or leave it out for ./.datahammer.",
  });
}

function readConfigFile(path: string): FileSettings {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return {};
    throw new InvalidInputError("E_CONFIG", `${path} cannot be read: ${(error as Error).message}`, {
      remedy: "Make it readable, or remove it.",
      cause: error,
    });
  }
  let value: unknown;
  try {
    value = parse(text) ?? {};
  } catch (error) {
    throw new InvalidInputError("E_CONFIG", `${path} is no YAML: ${(error as Error).message}`, {
      remedy: "Correct the file; each line is `name: value`.",
      cause: error,
    });
  }
  const parsed = fileSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new InvalidInputError(
    "E_CONFIG",
    `${path}: ${issue?.path.join(".") ?? ""}${issue?.path.length ? ": " : ""}${issue?.message}`,
    { remedy: `It may hold ${Object.keys(fileSchema.shape).join(", ")}; all but model are texts.` },
  );
}

function readCreds(path: string, source: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw new NotFoundError("E_CREDS", `the credentials file ${path} (${source}) cannot be read`, {
      remedy: "Give the path of a readable NATS credentials file.",
      cause: error,
    });
  }
}

function checkUrl(given: Sourced | undefined): string | undefined {
  if (given === undefined) return undefined;
  const urls = given.value
    .split(",")
    .map((part) => part.trim())
    .map((part) => (part.includes("://") ? part : `nats://${part}`));
  const isBroker = (url: string) => URL.canParse(url) && /^(nats|tls|ws|wss):$/.test(new URL(url).protocol);
  if (urls.every(isBroker)) return urls.join(",");
  throw new InvalidInputError("E_URL", `"${given.value}" (${given.source}) is no broker URL`, {
    remedy: "Write it like nats://127.0.0.1:4222, the servers of a cluster with commas between them.",
  });
}

function checkSwarm(given: Sourced | undefined): string {
  const swarm = given?.value ?? "main";
  if (ID_PATTERN.test(swarm)) return swarm;
  throw new InvalidInputError("E_SWARM", `"${swarm}" (${given?.source}) is no swarm name`, {
    remedy: "Use letters, digits, _ and -, at most 64.",
  });
}

function checkKeep(given: Sourced | undefined): number | undefined {
  if (given === undefined) return undefined;
  const keepMs = parseDuration(given.value);
  if (keepMs !== undefined) return keepMs;
  throw new InvalidInputError("E_DURATION", `"${given.value}" (${given.source}) is no duration`, {
    remedy: "Write it like 12h or 30d; leave it out to keep finished runs for ever.",
  });
}

function checkLogLevel(given: Sourced | undefined): LogLevel | undefined {
  if (given === undefined) return undefined;
  const level = LOG_LEVELS.find((known) => known === given.value);
  if (level !== undefined) return level;
  throw new InvalidInputError("E_LOG_LEVEL", `"${given.value}" (${given.source}) is no log level`, {
    remedy: `Use one of ${LOG_LEVELS.join(", ")}.`,
  });
}

const kebab = (key: string): string => key.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
