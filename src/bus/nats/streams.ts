/**
 * The streams and buckets of a swarm: created by daemons, idempotently, and read back.
 *
 * Older servers ignore options that they do not know without a word, so what was asked for is compared with
 * what the server says it has.
 */
import { DataHammerError } from "../../workflow/errors.ts";
import { ApiRefusal } from "./failure.ts";
import type { NatsLink } from "./link.ts";

export interface StorageOptions {
  /** Copies of every stream, consumer and bucket. Default 1; 3 in a cluster. */
  replicas?: number;
  /** Default `file`: what is stored survives the server. */
  storage?: "file" | "memory";
  /** Log records older than this are dropped. Default 0: never. */
  logMaxAgeMs?: number;
  /** Bound of the log stream; the oldest records are dropped beyond it. Default -1: the server's bound. */
  logMaxBytes?: number;
  /** Bound of each work queue; pushes are refused beyond it. Default -1: the server's bound. */
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
    num_replicas: options.replicas ?? 1,
    duplicate_window: nanos(DUPLICATE_WINDOW_MS),
    max_consumers: -1,
    max_msgs: -1,
    max_msg_size: -1,
  };
  const queue = {
    ...common,
    retention: "workqueue",
    discard: "new",
    max_msgs_per_subject: 1,
    // Without it the younger message would replace the older one, held or not (B3).
    discard_new_per_subject: true,
    max_bytes: options.queueMaxBytes ?? -1,
    max_age: 0,
  };
  await ensureStream(link, {
    ...common,
    name: subjects.logStream,
    subjects: [subjects.allRecords],
    retention: "limits",
    discard: "old",
    max_msgs_per_subject: -1,
    max_bytes: options.logMaxBytes ?? -1,
    max_age: nanos(options.logMaxAgeMs ?? 0),
    republish: { src: subjects.allRecords, dest: subjects.allLiveRecords },
  });
  await ensureStream(link, { ...queue, name: subjects.tasksStream, subjects: [subjects.allTasks] });
  await ensureStream(link, {
    ...queue,
    name: subjects.orchestrateStream,
    subjects: [subjects.allOrchestrate],
  });
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
