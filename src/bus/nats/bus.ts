/**
 * The bus over NATS and JetStream.
 *
 * A daemon connects with `provision: true` and thereby creates the swarm's streams, consumers and buckets.
 * Agents and clients only use them; where they are absent, calls fail with an `UnreachableError` that says
 * to start a daemon, and pulls wait until they are there.
 */
import type { Bus, Clock } from "../bus.ts";
import { systemClock } from "../system-clock.ts";
import { NatsArtifacts, provisionArtifacts } from "./artifacts.ts";
import { asBusError } from "./failure.ts";
import { whenReady } from "./leaders.ts";
import { NatsLink } from "./link.ts";
import { NatsLive } from "./live.ts";
import { LiveCopies } from "./live-copies.ts";
import { NatsLog } from "./log.ts";
import { NatsPresence } from "./presence.ts";
import { QueueGroups } from "./queue-groups.ts";
import { NatsRoles } from "./roles.ts";
import { NatsRunIndex, provisionIndex } from "./run-index.ts";
import { NatsRuns, provisionRuns } from "./runs.ts";
import { provisionStreams, type StorageOptions } from "./streams.ts";
import { NatsTasks } from "./tasks.ts";

export interface NatsBusOptions extends StorageOptions {
  /** `nats://host:port`, or several servers of one cluster. */
  url: string | string[];
  token?: string;
  /** Content of a credentials file. */
  creds?: string;
  /** Default `main`. */
  swarm?: string;
  /** Shown in the broker's connection list. Default `datahammer`. */
  name?: string;
  /** Prefix of the subjects at which answers arrive, where rights are limited to it. Default `_INBOX`. */
  inboxPrefix?: string;
  /** For daemons: create the swarm's streams and consumers, or bring them up to date. */
  provision?: boolean;
  /** With `provision`: how long a run's orchestrator may be silent. Default: as it is, at first 10 s. */
  runAckWaitMs?: number;
  clock?: Clock;
  /** Gives the setting up up: a cluster without leaders is waited for. Not looked at once connected. */
  signal?: AbortSignal;
}

/**
 * Connects to a swarm. From then on the connection mends itself for as long as it is not closed.
 * @throws UnreachableError when no server answers, or when the server has no JetStream
 * @throws InvalidInputError when the server refuses the token or the credentials
 */
export async function connectNatsBus(options: NatsBusOptions): Promise<Bus> {
  const swarm = options.swarm ?? "main";
  const link = await NatsLink.open({
    url: options.url,
    token: options.token,
    creds: options.creds,
    swarm,
    name: options.name ?? "datahammer",
    clock: options.clock ?? systemClock,
    inboxPrefix: options.inboxPrefix,
  });
  let runAckWaitMs: number | undefined;
  if (options.provision) {
    const giveUp = (): void => void link.close();
    options.signal?.addEventListener("abort", giveUp);
    try {
      options.signal?.throwIfAborted();
      await whenReady(link.clock, () => provisionStreams(link, options));
      runAckWaitMs = await whenReady(link.clock, () => provisionRuns(link, options.runAckWaitMs));
      await whenReady(link.clock, () => provisionArtifacts(link, options));
      await whenReady(link.clock, () => provisionIndex(link, options));
    } catch (error) {
      await link.close();
      throw asBusError(error, swarm, `Setting up swarm ${swarm}`);
    } finally {
      options.signal?.removeEventListener("abort", giveUp);
    }
  }
  return busOn(link, options, runAckWaitMs);
}

function busOn(link: NatsLink, options: NatsBusOptions, runAckWaitMs: number | undefined): Bus {
  const roles = new NatsRoles(link);
  const groups = new QueueGroups(link, roles);
  return {
    swarm: link.subjects.swarm,
    log: new NatsLog(link, new LiveCopies(link, options.provision === true)),
    tasks: new NatsTasks(link, roles),
    runs: new NatsRuns(link, runAckWaitMs),
    live: new NatsLive(link),
    presence: new NatsPresence(link),
    artifacts: new NatsArtifacts(link),
    index: new NatsRunIndex(link),
    status: () => link.status,
    onStatus: (listener) => ({ close: link.onStatus(listener) }),
    storageProblem: () => link.storage.problem(),
    tendQueues: () => groups.tend(),
    unreadableCount: () => link.unreadable,
    close: () => link.close(),
  };
}
