/**
 * The memory bus: a whole broker in one process, for embedded runs and for tests under a virtual clock.
 *
 * It keeps the real broker's rules (one task per dispatch, ack-waits, redelivery, expected sequences) and
 * really encodes and decodes every message, so that a value which cannot travel fails here as well. Every
 * timer comes from the injected clock and every delivery is a microtask, so that a run is deterministic (L7).
 */
import type { Bus, BusStatus, Clock } from "../bus.ts";
import { parseSubject } from "../subjects.ts";
import { MemoryArtifacts } from "./artifacts.ts";
import { type ConnectOptions, MemoryConnection } from "./connection.ts";
import { MemoryLive } from "./live.ts";
import { MemoryLog } from "./log.ts";
import { type Deliver, deliverAtOnce } from "./network.ts";
import { MemoryPresence } from "./presence.ts";
import { MemoryRunIndex } from "./run-index.ts";
import { MemoryRuns } from "./runs.ts";
import { SwarmStore } from "./store.ts";
import { MemoryTasks } from "./tasks.ts";

export interface MemoryBrokerOptions {
  clock: Clock;
  /** How messages travel; a test hands in its own to lose, double, delay or reorder them. */
  deliver?: Deliver;
  /** Bound of one message, as a real broker has it. Default 1 MiB. */
  maxPayloadBytes?: number;
  /** Above it values go by claim check. Default: `CLAIM_CHECK_BYTES`. */
  claimCheckBytes?: number | undefined;
  /** Ack-wait of orchestrator tasks. Default 10 s. */
  runAckWaitMs?: number;
}

/** A connection that can be cut, as a network cuts real ones. */
export interface MemoryBus extends Bus {
  /** Calls fail as unreachable, what is sent is lost and nothing arrives, until `restore`. */
  cut(reason: string): void;
  restore(): void;
}

export interface MemoryBroker {
  /** A new connection to a swarm of this broker; the swarm is made when it is first named. */
  connect(swarm?: string, options?: ConnectOptions): MemoryBus;
  /** Publishes bytes as they are on a subject of the wire protocol, as a program in any language could. */
  inject(subject: string, bytes: Uint8Array): void;
}

/** A broker that lives as long as nobody lets go of it. */
export function createMemoryBroker(options: MemoryBrokerOptions): MemoryBroker {
  const swarms = new Map<string, SwarmStore>();
  const {
    clock,
    deliver = deliverAtOnce,
    maxPayloadBytes = 1024 * 1024,
    runAckWaitMs = 10_000,
    claimCheckBytes,
  } = options;
  const storeOf = (swarm: string): SwarmStore => {
    const store =
      swarms.get(swarm) ??
      new SwarmStore(swarm, clock, deliver, { maxPayloadBytes, runAckWaitMs, claimCheckBytes });
    swarms.set(swarm, store);
    return store;
  };
  return {
    connect: (swarm = "main", options = {}) => openBus(storeOf(swarm), options),
    inject(subject, bytes) {
      const parsed = parseSubject(subject);
      if (parsed === undefined) return;
      const store = storeOf(parsed.swarm);
      if (parsed.is === "record") store.append(parsed.run, subject, bytes, undefined);
      else if (parsed.is === "task") store.pushTask(parsed.role, subject, bytes);
      else store.publish(subject, bytes, undefined);
    },
  };
}

function openBus(store: SwarmStore, options: ConnectOptions): MemoryBus {
  const connection = new MemoryConnection(store, options);
  const listeners = new Set<(status: BusStatus, reason: string) => void>();
  const tell = (reason: string): void => {
    for (const listener of listeners) listener(connection.status, reason);
  };
  return {
    swarm: store.subjects.swarm,
    log: new MemoryLog(connection),
    tasks: new MemoryTasks(connection),
    runs: new MemoryRuns(connection),
    live: new MemoryLive(connection),
    presence: new MemoryPresence(connection),
    artifacts: new MemoryArtifacts(connection, store.claimCheckBytes),
    index: new MemoryRunIndex(connection),
    status: () => connection.status,
    onStatus(listener) {
      listeners.add(listener);
      return { close: () => listeners.delete(listener) };
    },
    storageProblem: async () =>
      connection.reachable ? undefined : { kind: "away", reason: `broker ${connection.status}` },
    unreadableCount: () => connection.unreadable,
    async close() {
      if (connection.closed) return;
      connection.close();
      tell("closed by its owner");
    },
    cut(reason) {
      if (connection.cut()) tell(reason);
    },
    restore() {
      if (connection.restore()) tell("connected again");
    },
  };
}
