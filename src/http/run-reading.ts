/**
 * One run as the API sees it: its log folded, with every transition, every change of the environment and
 * every dispatch kept beside the fold.
 *
 * A view (L1): it is thrown away and read again at no loss. It owns following the log, or reading it once to
 * a place; who may use it and for how long is the library's matter.
 */

import type { Bus, Clock, LogFollower, LogRecord, RunLog, Subscription } from "../bus/bus.ts";
import type { DecisionMessage } from "../bus/decisions.ts";
import { checkInSilence, type SilenceCheck } from "../bus/silence.ts";
import { RunFold } from "../fold/run-fold.ts";
import type { TransitionRecord, VoidRecord } from "../fold/transition-record.ts";
import { Dispatches } from "../trace/dispatches.ts";
import type { EnvironmentWriter } from "../workflow/environment.ts";
import { InvalidInputError, NotFoundError, UnreachableError } from "../workflow/errors.ts";
import { ID_PATTERN } from "../workflow/names.ts";

/** How long a request waits for a broker that tells nothing of the log. */
const SYNC_MS = 10_000;

export interface EnvironmentChange {
  readonly key: string;
  readonly revision: number;
  readonly ts: number;
  readonly writer: EnvironmentWriter;
  readonly value: unknown;
}

/** A decision that brought or changed the workflow, kept for the history of plans. */
export interface PlanChange {
  readonly seq: number;
  readonly ts: number;
  readonly body: DecisionMessage & { type: "plan" | "revise" };
  readonly counted: boolean;
}

export interface ReadingPorts {
  bus: Bus;
  clock: Clock;
}

/** Told synchronously after each record. */
export interface ReadingListener {
  onRecord(): void;
  /** The log was read with a hole: what was told may be wrong, start over. */
  onReset(): void;
}

export class RunReading {
  readonly run: string;
  readonly fold: RunFold;
  readonly transitions: TransitionRecord[] = [];
  readonly voids: VoidRecord[] = [];
  readonly changes: EnvironmentChange[] = [];
  readonly plans: PlanChange[] = [];
  readonly dispatches = new Dispatches();
  /** Sequence and time of every record, in order. */
  readonly #seqs: number[] = [];
  readonly #times: number[] = [];
  /** Sequences of records that changed the workflow. */
  readonly graphChanges: number[] = [];
  readonly #log: RunLog;
  readonly #clock: Clock;
  readonly #listeners = new Set<ReadingListener>();
  #silence: SilenceCheck | undefined;
  /** Resolves once the workflow is known, or the log was read to its end without one. Never rejects. */
  readonly outlined: Promise<void>;
  #outline: () => void = () => undefined;
  #caughtUp: Promise<void> | undefined;
  #follower: LogFollower | undefined;
  #stale = false;

  private constructor(run: string, { bus, clock }: ReadingPorts) {
    this.run = run;
    this.#log = bus.log;
    this.#clock = clock;
    this.outlined = new Promise((resolve) => {
      this.#outline = resolve;
    });
    this.fold = new RunFold(run, {
      observer: {
        onTransition: (transition) => {
          this.transitions.push(transition);
          this.dispatches.onTransition(transition);
        },
        onDispatch: (opening) => this.dispatches.onDispatch(opening),
        onVoid: (record) => this.voids.push(record),
      },
    });
  }

  /** Begins to read the log and follows it: see `read`. @throws NotFoundError, UnreachableError */
  static async follow(ports: ReadingPorts, run: string): Promise<RunReading> {
    const { log } = ports.bus;
    assertRunId(run);
    if (!(await log.exists(run))) throw runNotFound(run);
    const reading = new RunReading(run, ports);
    reading.#follower = await log.follow(run, (record) => reading.#take(record), {
      onDisorder: () => reading.#spoil(),
    });
    return reading;
  }

  /** Reads the log up to a sequence, once. @throws NotFoundError, UnreachableError */
  static async frozen(ports: ReadingPorts, run: string, to: number): Promise<RunReading> {
    assertRunId(run);
    const reading = new RunReading(run, ports);
    for await (const record of ports.bus.log.read(run, { to })) reading.#take(record);
    if (reading.#seqs.length === 0) throw runNotFound(run);
    return reading;
  }

  /** Whether it can still be used; false once the log was found to have been read with a hole, or to be gone. */
  get sound(): boolean {
    return !this.#stale;
  }
  get firstSeq(): number {
    return this.#seqs[0] ?? 0;
  }
  get lastSeq(): number {
    return this.#seqs.at(-1) ?? 0;
  }
  /** Epoch ms of the last record. */
  get lastAt(): number {
    return this.#times.at(-1) ?? 0;
  }
  /** What it holds, roughly: its share of the bound on all readings. */
  get weight(): number {
    return this.#seqs.length + this.transitions.length + this.changes.length;
  }

  /** Resolves once the log was read to the end that it had. @throws UnreachableError */
  read(): Promise<void> {
    this.#caughtUp ??= this.#readToEnd();
    return this.#caughtUp;
  }

  async #readToEnd(): Promise<void> {
    try {
      if (this.#follower !== undefined) await this.#within(this.#follower.caughtUp);
    } finally {
      this.#outline();
    }
  }

  /** Resolves once all is in that the log's leader has now. @throws UnreachableError */
  async current(): Promise<void> {
    if (this.#follower !== undefined) await this.#within(this.#follower.sync());
  }

  /**
   * Whether its log is still there: a run that has ended may be removed, and another one begun under its name.
   * @throws UnreachableError
   */
  async isStored(): Promise<boolean> {
    if (!this.fold.ended) return true;
    const { firstSeq } = this;
    for await (const { seq } of this.#log.read(this.run, { from: firstSeq, to: firstSeq }))
      if (seq === firstSeq) return true;
    this.#spoil();
    return false;
  }

  /** The sequence of the last record at or before this time. */
  seqAt(epochMs: number): number {
    return this.#seqs[countUpTo(this.#times, (time) => time, epochMs) - 1] ?? 0;
  }

  listen(listener: ReadingListener): Subscription {
    this.#listeners.add(listener);
    if (this.#follower !== undefined) this.#silence ??= checkInSilence(this.#follower, this.#clock);
    return {
      close: () => {
        this.#listeners.delete(listener);
        if (this.#listeners.size === 0) this.#listenNoMore();
      },
    };
  }

  /** Without listeners a reading is brought up to date when it is asked for. */
  #listenNoMore(): void {
    this.#silence?.close();
    this.#silence = undefined;
  }

  close(): void {
    this.#listenNoMore();
    this.#follower?.close();
    this.#listeners.clear();
  }

  #take(stored: LogRecord): void {
    this.#silence?.heard();
    // Live copies of an old broker carry no time; for a picture, the time of arrival will do.
    const record = stored.ts === 0 ? { ...stored, ts: this.#clock.now() } : stored;
    const voids = this.voids.length;
    const hadGraph = this.fold.graph;
    const undoing = this.fold.compensations.length;
    const effects = this.fold.apply(record);
    this.#seqs.push(record.seq);
    // Times of several brokers may differ by a little; searching needs them to grow.
    this.#times.push(Math.max(record.ts, this.#times.at(-1) ?? 0));
    for (const effect of effects) {
      if (effect.type !== "env") continue;
      const { key, value, revision, writer } = effect.change;
      this.changes.push({ key, revision, ts: record.ts, writer: writer as EnvironmentWriter, value });
    }
    this.dispatches.note(record, effects, this.fold);
    if (this.fold.graph !== hadGraph || this.fold.compensations.length !== undoing) {
      this.graphChanges.push(record.seq);
      this.#outline();
    }
    if (record.kind === "decision") {
      const { body } = record;
      if (body.type === "plan" || body.type === "revise") {
        this.plans.push({ seq: record.seq, ts: record.ts, body, counted: this.voids.length === voids });
      }
    }
    for (const listener of this.#listeners) listener.onRecord();
  }

  #spoil(): void {
    this.#stale = true;
    for (const listener of [...this.#listeners]) listener.onReset();
  }

  /** Waits as long as the broker goes on telling: a long log takes its time. */
  async #within<Value>(promise: Promise<Value>): Promise<Value> {
    let timer: unknown;
    const late = new Promise<never>((_, reject) => {
      const wait = (had: number): unknown =>
        this.#clock.setTimeout(() => {
          if (this.#seqs.length > had) timer = wait(this.#seqs.length);
          else
            reject(
              new UnreachableError("E_BROKER_AWAY", `the broker did not answer within ${SYNC_MS} ms`, {
                remedy: "Try again when /readyz says that the daemon is ready.",
                data: { run: this.run, timeoutMs: SYNC_MS },
              }),
            );
        }, SYNC_MS);
      timer = wait(this.#seqs.length);
    });
    try {
      return await Promise.race([promise, late]);
    } finally {
      this.#clock.clearTimeout(timer);
    }
  }
}

/** How many items, ordered by sequence, come at or before `bound`. */
function countUpTo<Item>(items: readonly Item[], seqOf: (item: Item) => number, bound: number): number {
  let low = 0;
  let high = items.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (seqOf(items[middle] as Item) <= bound) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The part of a list, ordered by sequence, that comes after `seq`, at most to `to`. */
export function between<Item>(
  items: readonly Item[],
  seqOf: (item: Item) => number,
  seq: number,
  to = Number.POSITIVE_INFINITY,
): Item[] {
  return items.slice(countUpTo(items, seqOf, seq), countUpTo(items, seqOf, to));
}

/** The sequence of the last record up to `to` that changed the workflow; 0: there is none. */
export function graphSeqAt({ graphChanges }: RunReading, to = Number.POSITIVE_INFINITY): number {
  return graphChanges[countUpTo(graphChanges, (seq) => seq, to) - 1] ?? 0;
}

function assertRunId(run: string): void {
  if (ID_PATTERN.test(run)) return;
  throw new InvalidInputError("E_RUN_ID", `"${run.slice(0, 80)}" is no run id`, {
    remedy: "Use letters, digits, _ and -, at most 64.",
    data: { run },
  });
}

export function runNotFound(run: string): NotFoundError {
  return new NotFoundError("E_RUN_NOT_FOUND", `there is no run "${run}"`, {
    remedy: "List the runs with GET /api/runs.",
    data: { run },
  });
}
