/**
 * The bus port: all that the runtime needs from a message broker, in the runtime's own words.
 *
 * Adapters (`memory/`, `nats/`) implement it and pass one conformance suite (`test/bus/conformance.ts`).
 * Nothing outside `nats/` imports a NATS package; vendor types and errors stop inside the adapter.
 * Messages cross the port as parsed, typed objects: the adapter encodes, decodes and validates (L9).
 *
 * Guarantees that every adapter gives:
 *  - B1 An append that resolved is durable; one with `expectLast` is stored only if the last message on
 *    that subject (run and kind, role for results) has that sequence. An ambiguous failure is resolved
 *    inside the adapter by reading back, so an append either resolves, or rejects and is not in the log,
 *    or rejects with `UnreachableError` (then it may be).
 *  - B2 `read` and `follow` give the records of a run in sequence order, each exactly once, without gaps.
 *  - B3 At most one task per dispatch is queued or held at any time; a second push answers `present`.
 *  - B4 A held task whose holder sends no `working` for the role's ack-wait is delivered again, with a
 *    higher delivery count.
 */
import type { DecisionMessage } from "./decisions.ts";
import type {
  AgentPresence,
  Answer,
  ControlMessage,
  DispatchRef,
  EnvChangeMessage,
  EnvUpdateMessage,
  HandoffHopMessage,
  HelloMessage,
  HelloReply,
  LiveMessage,
  ObservedMessage,
  Question,
  ResultMessage,
  RoleSettings,
  RunStatus,
  RunSummary,
  SubmitMessage,
  TaskMessage,
} from "./messages.ts";

/** What can be appended to a run's log, by kind. */
export type LogEntry =
  | { kind: "submit"; body: SubmitMessage }
  | { kind: "result"; role: string; body: ResultMessage }
  | { kind: "env"; body: EnvUpdateMessage }
  | { kind: "control"; body: ControlMessage }
  | { kind: "observed"; body: ObservedMessage }
  | { kind: "decision"; body: DecisionMessage };

/**
 * One stored record. `seq` is the sequence in the swarm's log stream (gaps between records of one run are
 * normal: other runs are in between); `ts` is the broker's storage time in epoch ms (0 where an old broker
 * does not send it with live copies).
 * A record that did not parse keeps its place as kind `unreadable` and changes nothing; `of` is the kind that
 * its subject names, since the next append there has to expect it. `newer` is the wire version of a record that
 * a newer DataHammer wrote: what it means is not known here, so nothing may be decided on the log from there on.
 */
export type LogRecord = { run: string; seq: number; ts: number } & (
  | LogEntry
  | { kind: "unreadable"; of?: LogEntry["kind"]; subject: string; problem: string; newer?: number }
);

export interface AppendOptions {
  /** Expected sequence of the last message on the same subject; 0: there is none yet. */
  expectLast?: number;
  /** Message id for the broker's deduplication window. A convenience, never relied upon. */
  id?: string;
}

/** The expected last sequence did not match: somebody else wrote first. */
export interface AppendConflict {
  ok: false;
  /** What the last sequence really is, where the broker told. */
  lastSeq: number | undefined;
}
export type AppendOutcome = { ok: true; seq: number } | AppendConflict;

export interface LogFollower {
  /** Resolves with the last stored sequence (0: empty) once every record up to it was delivered. */
  readonly caughtUp: Promise<number>;
  /**
   * Reads the log's end from the leader and delivers what is missing. Resolves with the sequence up to which
   * no record is missing; of what came live after it, some may be.
   */
  sync(): Promise<number>;
  close(): void;
}

export interface FollowOptions {
  /** First sequence to deliver. Default 1. */
  from?: number;
  /**
   * A live copy was lost and only found missing after a younger record of another subject was delivered
   * (possible between servers of a cluster, where one connection can lose messages without breaking).
   * With this callback the follower closes itself and calls it, and whoever folds starts again from an empty
   * state; without it the missed record is delivered late, which is good enough for a display.
   */
  onDisorder?: (missedSeq: number) => void;
}

/** Sequences, both included. */
export interface SeqRange {
  from: number;
  to: number;
}

export interface ReadOptions {
  /** First sequence. Default 1. */
  from?: number;
  /** Last sequence, inclusive. Default: the end of what is stored now. */
  to?: number;
  /** Told of every record's body size as stored, before the record is given. */
  onBytes?: (bytes: number) => void;
}

export interface ScanOptions extends Omit<ReadOptions, "to"> {
  /** Asked of every stored message; what is not wanted is neither decoded nor given. Default: all. */
  wants?: (run: string, seq: number) => boolean;
}

/** The runs' logs: ordered, durable, the only truth (L1). */
export interface RunLog {
  append(run: string, entry: LogEntry, options?: AppendOptions): Promise<AppendOutcome>;
  /** Ordered replay of what is stored now. */
  read(run: string, options?: ReadOptions): AsyncIterable<LogRecord>;
  /** The records of all runs, in the order of the stream. */
  scan(options?: ScanOptions): AsyncIterable<LogRecord>;
  /**
   * Replays from `from` (default 1), then goes on live; heals its gaps. `onRecord` is called synchronously,
   * in order, each record once; it must not throw.
   */
  follow(run: string, onRecord: (record: LogRecord) => void, options?: FollowOptions): Promise<LogFollower>;
  /** Whether the run was submitted: its log has a submission. */
  exists(run: string): Promise<boolean>;
  /** Ids of all runs that have a log. */
  list(): Promise<string[]>;
  /**
   * Removes a run's records up to `range.to`; `range.from` says that there are none before it. The first goes before
   * the others: what an interruption leaves has no submission, is no run to anybody, and the id is free. Resolves
   * with the number of messages removed.
   */
  purge(run: string, range: SeqRange): Promise<number>;
}

/** A task in the hands of a puller. Every method is fire-and-forget unless it returns a promise. */
export interface TaskDelivery {
  readonly task: TaskMessage;
  /**
   * 1 for the first delivery. Above 1, ask whether the dispatch is still open before running it. A task that is
   * older than this party's connection to its broker, or than its queue, counts 2 at least: a broker that was killed
   * has forgotten its deliveries, and so has a queue that was made anew.
   */
  readonly deliveryCount: number;
  /** Where `working` goes: what a keep-alive thread needs. Opaque outside the adapter. */
  readonly receipt: string;
  /** Removes the task from the queue. Only after the result's append resolved. */
  ack(): void;
  /** Gives the task back, to be delivered again after `delayMs`. */
  nak(delayMs: number): void;
  /** In progress: restarts the ack-wait. */
  working(): void;
}

/** How long and how often a held task is kept. */
export interface KeepAliveTerms {
  /** The role's ack-wait; `working` is sent at least every third of it. */
  ackWaitMs: number;
  /** Stop after this long, so that a task that hangs past its deadline goes to another holder. */
  forMs?: number;
}

/**
 * Sends `working` for held tasks independently of the event loop that runs them, so that a task which
 * blocks the loop for longer than the ack-wait is not given to another agent meanwhile (B4). Calls are
 * cheap and never wait; a task is kept from the moment that `hold` returns.
 */
export interface KeepAlive {
  /** Keeps the task, or changes the terms of one that is kept already. */
  hold(delivery: Pick<TaskDelivery, "receipt" | "working">, terms: KeepAliveTerms): void;
  release(delivery: Pick<TaskDelivery, "receipt">): void;
  /**
   * Resolves once the broker hears what keeps tasks, after this call: a way of its own may come back later than the
   * one on which tasks arrive. Absent where there is no other way.
   */
  reached?(): Promise<void>;
  close(): void;
}

export interface Puller {
  /** Tell the puller that slots became free. */
  wake(): void;
  /** No further deliveries; what was requested and not delivered goes to others. */
  stop(): Promise<void>;
}

export interface PullOptions<Delivery> {
  /** How many more deliveries the caller can take right now. Never more than this are requested. */
  slots(): number;
  onDelivery(delivery: Delivery): void;
  /** A body that did not parse was terminated and set aside (L9). */
  onUnreadable?(problem: { subject: string; problem: string }): void;
  /** The role has no queue: none was made yet, or the broker has lost it. May be called again and again. */
  onMissing?(): void;
}

export interface RoleStatus extends RoleSettings {
  /** Tasks waiting for an agent. */
  queued: number;
  /** Tasks in the hands of agents. */
  held: number;
  /** Of these, tasks that were delivered before. */
  redelivered: number;
}

/** Work queues, one per role. */
export interface TaskQueue {
  /** Creates or changes the role's queue. Settings that are not given keep their value or the default. */
  ensureRole(settings: { role: string } & Partial<RoleSettings>): Promise<RoleSettings>;
  roles(): Promise<RoleStatus[]>;
  /** B3: `present` when the same dispatch is already queued or held. */
  push(task: TaskMessage): Promise<"queued" | "present">;
  pull(role: string, options: PullOptions<TaskDelivery>): Puller;
  /** Only where the adapter can do better than a timer of the caller's own. */
  keepAlive?(): KeepAlive;
  /** Whether the dispatch's task is still queued or held. */
  has(ref: DispatchRef): Promise<boolean>;
  /** Whether the dispatch's task was handed to somebody, now or before, or is gone. */
  isTaken(ref: DispatchRef): Promise<boolean>;
  /** The dispatches of a run whose tasks are queued or held now. */
  ofRun(run: string): Promise<DispatchRef[]>;
  /** Removes a dispatch's task, queued or held. True when something was removed. */
  remove(ref: DispatchRef): Promise<boolean>;
  /**
   * Dispatches whose tasks are stored, queued or held, the oldest first, from a place on (0: the first). `next` is
   * the place to go on at; undefined: that was the end.
   */
  stored(from: number, limit: number): Promise<{ tasks: DispatchRef[]; next: number | undefined }>;
  /** Removes every queued task of a run. */
  removeRun(run: string): Promise<number>;
}

export interface RunDelivery {
  readonly run: string;
  readonly deliveryCount: number;
  ack(): Promise<void>;
  nak(delayMs: number): void;
  working(): void;
}

/**
 * How long an arrival that found its run's task present waits until it is looked at again, each time (L8).
 * Afterwards whoever held the run has read it, or a successor has.
 */
export const ARRIVAL_AGAIN_MS: readonly number[] = [2_000, 12_000, 30_000];

/** Runs that wait for an orchestrator (L5). */
export interface RunQueue {
  /** A run whose holder sends no `working` for this long goes to another. */
  readonly ackWaitMs: number;
  push(run: string): Promise<"queued" | "present">;
  /** Removes the run's task, queued or held. True when something was removed. */
  remove(run: string): Promise<boolean>;
  /**
   * Runs that are open and not put away: queued or held by an orchestrator now, or submitted and not yet seen by
   * whoever serves arrivals.
   */
  count(): Promise<number>;
  pull(options: PullOptions<RunDelivery>): Puller;
  /**
   * Offers every held run anew, at once: for who knows that the holders are gone. A holder that lives all the
   * same is fenced by the next claim (L3).
   */
  reclaim(): Promise<void>;
  /**
   * Wakes a run that nobody holds, `delayMs` from now or somewhat later, by an orchestrator task; replaces its
   * earlier timer. Durable: it outlives every daemon. May fire early, and when the run is held after all.
   */
  setTimer(run: string, delayMs: number): Promise<void>;
  clearTimer(run: string): Promise<void>;
  /**
   * Takes part in turning submissions, controls and due timers into orchestrator tasks: for each whose run has
   * no task, one is pushed, then the message is acked. What found a task there is looked at again a few times:
   * that task may have been on its way out, and its holder may die before it looks back. Shared by all daemons.
   */
  serveArrivals(): Promise<{ stop(): Promise<void> }>;
}

export interface Subscription {
  close(): void;
}

/** Core messages: delivered to who listens now. */
export interface LiveChannel {
  publish(message: LiveMessage & { role: string }): void;
  publishEnv(change: EnvChangeMessage): void;
  publishHandoff(hop: HandoffHopMessage): void;
  /** All of a swarm, or of one run. */
  onLive(run: string | undefined, listener: (message: LiveMessage & { role: string }) => void): Subscription;
  onEnv(run: string | undefined, listener: (change: EnvChangeMessage) => void): Subscription;
  onHandoff(run: string | undefined, listener: (hop: HandoffHopMessage) => void): Subscription;
  /** Asks the agent that runs the dispatch to stop. `false`: it answered no, or nobody answered in time. */
  cancel(ref: DispatchRef, reason: string, timeoutMs: number): Promise<boolean>;
  /** Serves cancel requests for a role; the listener answers only for dispatches that it holds. */
  onCancel(
    role: string,
    listener: (ref: DispatchRef, reason: string) => Promise<boolean> | undefined,
  ): Subscription;
  /** Asks the daemon about a dispatch. `undefined`: nobody answered in time. */
  ask(ref: DispatchRef, question: Question, timeoutMs: number): Promise<Answer | undefined>;
  /** Serves questions; `undefined` leaves the question to others. */
  onAsk(
    listener: (ref: DispatchRef, question: Question) => Promise<Answer | undefined> | undefined,
  ): Subscription;
  /** Announces roles to the daemons. `undefined`: nobody answered in time. */
  hello(message: HelloMessage, timeoutMs: number): Promise<HelloReply | undefined>;
  onHello(listener: (message: HelloMessage) => Promise<HelloReply>): Subscription;
}

export interface PresenceStats {
  running: number;
  done: number;
  failed: number;
}

/** Who is here. Proves nothing about work (L10). */
export interface PresenceBoard {
  /** @param keepAlive the agent's own: where the adapter can, it answers while the agent's event loop is blocked */
  announce(
    card: Omit<AgentPresence, keyof PresenceStats>,
    stats: () => PresenceStats,
    keepAlive?: KeepAlive,
  ): Promise<{ withdraw(): Promise<void> }>;
  /** Asks everybody and waits for answers until they stall, at most `timeoutMs` (default 1000). */
  list(timeoutMs?: number): Promise<AgentPresence[]>;
}

/**
 * Names bytes in the artifact store. With `holds: "value"` it stands in a message for a value that was too
 * large for it (`claim-check.ts`); without, it is a file that a task put there on purpose.
 */
export interface ArtifactRef {
  $artifact: { name: string; bytes: number; holds?: "value" };
}

/** Large payloads, by claim check. Names are unique; nothing is ever overwritten. */
export interface ArtifactStore {
  /** Values whose encoding is larger go by claim check. Default: `CLAIM_CHECK_BYTES`. */
  readonly claimCheckBytes?: number | undefined;
  put(run: string, bytes: Uint8Array): Promise<ArtifactRef>;
  /** @throws NotFoundError when it was removed. */
  get(ref: ArtifactRef): Promise<Uint8Array>;
  /** All that is stored, by run. Names cannot be looked up by run: whoever clears many runs away asks once. */
  list(): Promise<ReadonlyMap<string, readonly ArtifactRef[]>>;
  remove(ref: ArtifactRef): Promise<void>;
}

/** Artifact names are `<run>/<unique>` everywhere. */
export function runOfArtifact(name: string): string {
  return name.slice(0, name.indexOf("/"));
}

export interface RunQuery {
  status?: RunStatus;
  /** At most so many, the newest. Default: all. */
  limit?: number;
}

/** Summaries of runs for lists. A view, never consulted for a decision (L1). */
export interface RunIndex {
  put(summary: RunSummary): Promise<void>;
  /** The latest started first. With a `limit`, runs that changed long ago are not even read. */
  list(query?: RunQuery): Promise<RunSummary[]>;
  /** Removes the entry of the run that started then, not that of a later one with the same id. */
  remove({ run, startedAt }: Pick<RunSummary, "run" | "startedAt">): Promise<void>;
}

/** The order of lists, and what a query leaves of one. */
export function chosenRuns(all: Iterable<RunSummary>, { status, limit }: RunQuery = {}): RunSummary[] {
  const chosen = [...all].filter((summary) => status === undefined || summary.status === status);
  chosen.sort((a, b) => (a.startedAt < b.startedAt ? 1 : a.startedAt > b.startedAt ? -1 : 0));
  return limit === undefined ? chosen : chosen.slice(0, limit);
}

/** Why nothing is stored: the broker is out of reach, has no room, or does not answer although it is reached. */
export interface StorageProblem {
  kind: "away" | "full" | "silent";
  reason: string;
}

/**
 * A work queue that is short of copies although enough servers of its cluster are up. `stalled`: it gives nothing out;
 * `thinned`: it would stall with the next server that dies.
 */
export interface QueueTrouble {
  queue: string;
  kind: "stalled" | "thinned";
  reason: string;
  /** How often something was done about it since it was whole. */
  helped: number;
}

export type BusStatus = "connected" | "reconnecting" | "closed";

/** A connection of one party to one swarm. */
export interface Bus {
  readonly swarm: string;
  readonly log: RunLog;
  readonly tasks: TaskQueue;
  readonly runs: RunQueue;
  readonly live: LiveChannel;
  readonly presence: PresenceBoard;
  readonly artifacts: ArtifactStore;
  readonly index: RunIndex;
  status(): BusStatus;
  /** Called at every change of status, with a reason for people. Returns the way to stop listening. */
  onStatus(listener: (status: BusStatus, reason: string) => void): Subscription;
  /** Asks why the broker stores nothing at the moment: out of reach, full, or without a leader; undefined: it does. */
  storageProblem(): Promise<StorageProblem | undefined>;
  /**
   * For daemons, again and again: looks at the copies of the queues, helps those that do not heal by themselves, and
   * tells which are in trouble. Several daemons may do it. Only where queues are kept by several servers.
   */
  tendQueues?(): Promise<QueueTrouble[]>;
  /** Messages that did not parse since the start (L9). */
  unreadableCount(): number;
  /** Flushes what was published and closes. Idempotent. */
  close(): Promise<void>;
}

/** Time and timers, injected so that a whole swarm can run under a virtual clock (L7). */
export interface Clock {
  /** Epoch ms, for timestamps that people read. */
  now(): number;
  /** Monotonic ms, for measuring. */
  monotonic(): number;
  setTimeout(callback: () => void, delayMs: number): unknown;
  clearTimeout(timer: unknown): void;
}
