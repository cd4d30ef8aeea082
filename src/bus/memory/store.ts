/**
 * What one swarm has stored in memory: the log, the queues, artifacts, the run index. Outlives connections,
 * as the real broker's store does.
 */
import type { Clock, SeqRange } from "../bus.ts";
import type { RoleSettings } from "../messages.ts";
import { parseSubject, type Subjects, subjectsOf } from "../subjects.ts";
import type { Deliver } from "./network.ts";
import { WorkQueue } from "./queue.ts";

export interface StoredMessage {
  run: string;
  subject: string;
  seq: number;
  ts: number;
  bytes: Uint8Array;
}

export interface LogSubscriber {
  run: string;
  party: string;
  offer(message: StoredMessage, last: { lastOnSubject: number; lastInRun: number }): void;
}

export interface CoreListener {
  family: string;
  party: string;
  listen(subject: string, bytes: Uint8Array, reply: ((bytes: Uint8Array) => void) | undefined): void;
}

/** The broker's default for orchestrator tasks: they are held for as long as their run lasts. */
const RUNS_IN_FLIGHT = 10_000;

export class SwarmStore {
  readonly subjects: Subjects;
  readonly clock: Clock;
  readonly deliver: Deliver;
  readonly maxPayloadBytes: number;
  readonly claimCheckBytes: number | undefined;
  #seq = 0;
  readonly #runs = new Map<string, StoredMessage[]>();
  readonly #lastOnSubject = new Map<string, number>();
  readonly logSubscribers = new Set<LogSubscriber>();
  readonly coreListeners = new Set<CoreListener>();
  readonly roles = new Map<string, { settings: RoleSettings; queue: WorkQueue }>();
  /** Tasks of roles that have no queue yet wait here, as they do in the real stream. */
  readonly homeless = new Map<string, Map<string, Uint8Array>>();
  readonly orchestrate: WorkQueue;
  readonly arrivals: WorkQueue;
  /** Wake-up calls of runs that nobody holds. */
  readonly timers: WorkQueue;
  readonly artifacts = new Map<string, Uint8Array>();
  readonly index = new Map<string, Uint8Array>();
  /** Called with a role whose queue was just made. */
  readonly roleArrivals = new Set<(role: string) => void>();
  /** Cards of the agents that are present, each with its numbers of the moment. */
  readonly present = new Set<() => Uint8Array>();
  nextName = 0;

  constructor(
    swarm: string,
    clock: Clock,
    deliver: Deliver,
    options: { maxPayloadBytes: number; runAckWaitMs: number; claimCheckBytes?: number | undefined },
  ) {
    this.subjects = subjectsOf(swarm);
    this.clock = clock;
    this.deliver = deliver;
    this.maxPayloadBytes = options.maxPayloadBytes;
    this.claimCheckBytes = options.claimCheckBytes;
    const runs = { inFlight: RUNS_IN_FLIGHT, ackWaitMs: options.runAckWaitMs };
    this.orchestrate = new WorkQueue(clock, deliver, runs);
    this.arrivals = new WorkQueue(clock, deliver, runs);
    this.timers = new WorkQueue(clock, deliver, { ...runs, inFlight: Number.POSITIVE_INFINITY });
  }

  /** Stores a message and sends its live copies. `undefined` as `expectLast`: whatever is there. */
  append(
    run: string,
    subject: string,
    bytes: Uint8Array,
    expectLast: number | undefined,
  ): { ok: boolean; seq: number } {
    const lastOnSubject = this.#lastOnSubject.get(subject) ?? 0;
    if (expectLast !== undefined && expectLast !== lastOnSubject) return { ok: false, seq: lastOnSubject };
    const message = { run, subject, seq: ++this.#seq, ts: this.clock.now(), bytes };
    const records = this.#runs.get(run);
    const last = { lastOnSubject, lastInRun: records?.at(-1)?.seq ?? 0 };
    if (records === undefined) this.#runs.set(run, [message]);
    else records.push(message);
    this.#lastOnSubject.set(subject, message.seq);
    for (const subscriber of this.logSubscribers) {
      if (subscriber.run !== run) continue;
      this.deliver({ kind: "record", subject, to: subscriber.party }, () => subscriber.offer(message, last));
    }
    const parsed = parseSubject(subject);
    if (parsed?.is === "record" && (parsed.kind === "submit" || parsed.kind === "control")) {
      this.arrivals.push(`${subject}.${message.seq}`, bytes);
    }
    return { ok: true, seq: message.seq };
  }

  /** A task for a role that has no queue yet waits until it has one. */
  pushTask(role: string, subject: string, bytes: Uint8Array): "queued" | "present" {
    const queue = this.roles.get(role)?.queue;
    if (queue !== undefined) return queue.push(subject, bytes);
    const waiting = this.homeless.get(role) ?? new Map<string, Uint8Array>();
    this.homeless.set(role, waiting);
    if (waiting.has(subject)) return "present";
    waiting.set(subject, bytes);
    return "queued";
  }

  /** @returns how many listeners the message was sent to. */
  publish(subject: string, bytes: Uint8Array, reply: ((bytes: Uint8Array) => void) | undefined): number {
    const family = parseSubject(subject)?.is;
    let reached = 0;
    for (const listener of this.coreListeners) {
      if (listener.family !== family) continue;
      reached++;
      this.deliver({ kind: "core", subject, to: listener.party }, () => {
        if (this.coreListeners.has(listener)) listener.listen(subject, bytes, reply);
      });
    }
    return reached;
  }

  records(run: string): readonly StoredMessage[] {
    return this.#runs.get(run) ?? [];
  }

  runIds(): string[] {
    return [...this.#runs.keys()];
  }

  purge(run: string, { from, to }: SeqRange): number {
    const records = this.#runs.get(run) ?? [];
    const kept = records.filter(({ seq }) => seq < from || seq > to);
    for (const record of records) this.#lastOnSubject.delete(record.subject);
    for (const record of kept) this.#lastOnSubject.set(record.subject, record.seq);
    if (kept.length > 0) this.#runs.set(run, kept);
    else this.#runs.delete(run);
    return records.length - kept.length;
  }
}
