/**
 * The streams and buckets of a swarm: created by daemons, idempotently, and read back.
 *
 * Older servers ignore options that they do not know without a word, so what was asked for is compared with
 * what the server says it has.
 */
import { DataHammerError } from "../../workflow/errors.ts";
import { ApiRefusal } from "./failure.ts";
import type { NatsLink } from "./link.ts";

/** What is not given stays as it is, so that nobody's start undoes what an operator has set. */
export interface StorageOptions {
  /** Copies of every stream, consumer and bucket. At first 1; 3 in a cluster. */
  replicas?: number;
  /** Default `file`: what is stored survives the server. */
  storage?: "file" | "memory";
  /** Log records older than this are dropped. At first 0: never. */
  logMaxAgeMs?: number;
  /** Bound of the log stream; appends are refused beyond it. At first -1: the server's bound. */
  logMaxBytes?: number;
  /** Bound of each work queue; pushes are refused beyond it. At first -1: the server's bound. */
  queueMaxBytes?: number;
  /** Artifacts older than this are dropped. Default 0: never. */
  artifactMaxAgeMs?: number;
}

/** The broker's window for message ids. It counts for the whole stream, in memory (see the log). */
const DUPLICATE_WINDOW_MS = 120_000;

export interface StreamConfig {
  name: string;
  [option: string]: unknown;
}

export const nanos = (ms: number): number => ms * 1_000_000;

export async function provisionStreams(link: NatsLink, options: StorageOptions): Promise<void> {
  const { subjects } = link;
  const common = {
    storage: options.storage ?? "file",
    ...given("num_replicas", options.replicas),
    duplicate_window: nanos(DUPLICATE_WINDOW_MS),
    // A full stream refuses what is new. Dropping what is old would lose what was acknowledged.
    discard: "new",
  };
  const queue = {
    ...common,
    retention: "workqueue",
    max_msgs_per_subject: 1,
    // Without it the younger message would replace the older one, held or not (B3).
    discard_new_per_subject: true,
    ...given("max_bytes", options.queueMaxBytes),
    max_age: 0,
  };
  await ensureStream(link, {
    ...common,
    name: subjects.logStream,
    subjects: [subjects.allRecords],
    retention: "limits",
    max_msgs_per_subject: -1,
    ...given("max_bytes", options.logMaxBytes),
    ...given("max_age", options.logMaxAgeMs === undefined ? undefined : nanos(options.logMaxAgeMs)),
    republish: { src: subjects.allRecords, dest: subjects.allLiveRecords },
  });
  await ensureStream(link, { ...queue, name: subjects.tasksStream, subjects: [subjects.allTasks] });
  await ensureStream(link, {
    ...queue,
    name: subjects.orchestrateStream,
    subjects: [subjects.allOrchestrate, subjects.allTimers],
  });
}

function given(option: string, value: number | undefined): Record<string, number> {
  return value === undefined ? {} : { [option]: value };
}

/** A bucket's stream is made by the vendor's library, which leaves one that exists as it is. */
export async function ensureReplicas(
  link: NatsLink,
  stream: string,
  replicas: number | undefined,
): Promise<void> {
  if (replicas === undefined) return;
  const { config } = await link.api<{ config: { num_replicas?: number } }>(`STREAM.INFO.${stream}`);
  if (config.num_replicas === replicas) return;
  await link.api(`STREAM.UPDATE.${stream}`, { ...config, num_replicas: replicas });
}

/** Creates the stream or changes it to what is asked for, then checks what the server made of it. */
async function ensureStream(link: NatsLink, wanted: StreamConfig): Promise<void> {
  const { name } = wanted;
  let made: { config: Record<string, unknown> };
  try {
    made = await link.api(`STREAM.CREATE.${name}`, wanted);
  } catch (error) {
    if (!(error instanceof ApiRefusal && error.is("nameInUse"))) throw error;
    const { config } = await link.api<{ config: Record<string, unknown> }>(`STREAM.INFO.${name}`);
    made = await link.api(`STREAM.UPDATE.${name}`, { ...config, ...wanted });
  }
  const differing = Object.keys(wanted).filter((option) => !sameOption(wanted[option], made.config[option]));
  if (differing.length === 0) return;
  throw new DataHammerError(
    "E_BROKER_CONFIG",
    `Stream ${name} did not take ${differing.map((option) => `${option}=${JSON.stringify(wanted[option])}`).join(", ")}` +
      ` (nats-server ${link.serverVersion.join(".")} has ${differing.map((option) => JSON.stringify(made.config[option])).join(", ")})`,
    {
      remedy: "Use nats-server 2.9 or newer, or remove the stream that another program made.",
      data: { name, differing },
    },
  );
}

/** Servers leave out what is false, zero or empty. */
function sameOption(wanted: unknown, actual: unknown): boolean {
  if (actual === undefined) return wanted === 0 || wanted === false || wanted === "";
  if (typeof wanted === "object" && wanted !== null && typeof actual === "object" && actual !== null) {
    return Object.entries(wanted).every(([key, value]) =>
      sameOption(value, (actual as Record<string, unknown>)[key]),
    );
  }
  return wanted === actual;
}
