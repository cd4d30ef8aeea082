/**
 * What every part of a hold stands on: the folded log, the hold's reckoning of time, and the way to a decision.
 *
 * It owns reading the log to its end, waiting for the fold to reach a place, pauses that end with the hold, and
 * the hold's now. It does not own what is done with any of that, nor when the hold is over.
 *
 *  - H6 Now is the claim's own time and what passed since, so that machines' clocks need not agree (L7).
 *  - H7 Whoever waits here is let go when the hold is over, and has to look (`over`).
 */
import type { LogFollower, LogRecord } from "../bus/bus.ts";
import type { SpanIds } from "../bus/span-ids.ts";
import type { RunFold } from "../fold/run-fold.ts";
import type { Deadlines } from "./deadlines.ts";
import { DecisionWriter, type Proposal } from "./decision-writer.ts";
import type { Defeat } from "./defeats.ts";
import { HOLD_LIMITS, type HoldContext } from "./hold-context.ts";
import { spanIdsOf } from "./traced-log.ts";

export class HoldFrame {
  readonly run: string;
  readonly context: HoldContext;
  readonly fold: RunFold;
  readonly deadlines: Deadlines;
  readonly writer: DecisionWriter;
  readonly #handBack: (defeat: Defeat) => void;
  readonly #waiters: { seq: number; resolve: () => void }[] = [];
  readonly #pauses = new Set<() => void>();
  #follower: LogFollower | undefined;
  #claimedAt = { epochMs: 0, monotonicMs: 0 };
  #readTo = 0;
  #over = false;
  #spanIds: SpanIds | undefined;

  /** @param handBack gives the run back: it shall be tried again */
  constructor(context: HoldContext, fold: RunFold, deadlines: Deadlines, handBack: (defeat: Defeat) => void) {
    this.run = fold.run;
    this.context = context;
    this.fold = fold;
    this.deadlines = deadlines;
    this.#handBack = handBack;
    this.writer = new DecisionWriter(context.bus, this.run, {
      get epoch() {
        return fold.epoch;
      },
      get lastDecisionSeq() {
        return fold.lastDecisionSeq;
      },
      now: () => (this.#claimedAt.epochMs === 0 ? context.clock.now() : this.now()),
      newId: () => context.newId(),
      folded: (seq) => this.certainlyFolded(seq),
      sync: () => this.readLog(),
      pause: (delayMs) => this.pause(delayMs),
      over: () => this.#over,
    });
  }

  get over(): boolean {
    return this.#over;
  }

  /** Nothing is performed any more; whoever waits is let go (H7). */
  end(): void {
    this.#over = true;
    this.deadlines.stop();
    this.#follower?.close();
    for (const wake of [...this.#pauses]) wake();
    for (const waiter of this.#waiters.splice(0)) waiter.resolve();
  }

  /** Of the run's spans, where somebody collects them: worked out from the log, as the spans are. */
  get spanIds(): SpanIds | undefined {
    if (!this.context.traced && this.fold.submission?.traceparent === undefined) return undefined;
    this.#spanIds ??= spanIdsOf(this.fold);
    return this.#spanIds;
  }

  // ── time ─────────────────────────────────────────────────────────────────────────────────────────

  /** H6. Epoch ms; only after the claim. */
  now(): number {
    const { epochMs, monotonicMs } = this.#claimedAt;
    return epochMs + Math.round(this.context.clock.monotonic() - monotonicMs);
  }

  /** @param claimedAt epoch ms of this hold's claim, which was folded now */
  setTime(claimedAt: number): void {
    this.#claimedAt = { epochMs: claimedAt, monotonicMs: this.context.clock.monotonic() };
  }

  /** Resolves after a pause; early when the hold is over. */
  pause(delayMs: number): Promise<void> {
    const { clock } = this.context;
    return new Promise((resolve) => {
      const wake = () => {
        clock.clearTimeout(timer);
        this.#pauses.delete(wake);
        resolve();
      };
      const timer = clock.setTimeout(wake, delayMs);
      this.#pauses.add(wake);
    });
  }

  // ── the log ──────────────────────────────────────────────────────────────────────────────────────

  /** Up to here the log was read without a gap. Of what was folded beyond, a live copy may be missing. */
  get readTo(): number {
    return this.#readTo;
  }

  /** Reads the log from its beginning, and goes on with what is appended. Resolves at its present end. */
  async follow(
    onRecord: (record: LogRecord) => void,
    onDisorder: (missedSeq: number) => void,
  ): Promise<void> {
    this.#follower = await this.context.bus.log.follow(this.run, onRecord, { onDisorder });
    // Released while the log was being opened: nobody else would close it.
    if (this.#over) return this.#follower.close();
    this.#readTo = await this.#follower.caughtUp;
  }

  /** Reads the log to its end from the leader. @throws UnreachableError */
  async readLog(): Promise<number> {
    this.#readTo = (await this.#follower?.sync()) ?? this.#readTo;
    return this.#readTo;
  }

  /** Whether the log was read to its end. */
  async sync(): Promise<boolean> {
    try {
      await this.readLog();
      return true;
    } catch (error) {
      this.context.log.debug({ run: this.run, err: error }, "the log's end could not be read");
      return false;
    }
  }

  /** Reads the log to its end, for as long as it takes. */
  async syncAtLast(): Promise<void> {
    while (!this.#over && !(await this.sync())) await this.pause(HOLD_LIMITS.retryMs);
  }

  /** A record was folded: whoever waits for it goes on. */
  reached(seq: number): void {
    while (this.#waiters[0] && this.#waiters[0].seq <= seq) this.#waiters.shift()?.resolve();
  }

  /**
   * Resolves once the log is folded up to this sequence, or after so much time: what comes from the wire may name a
   * place that the log never reaches (L9).
   */
  folded(seq: number, withinMs?: number): Promise<void> {
    if (this.fold.lastSeq >= seq || this.#over) return Promise.resolve();
    const { clock } = this.context;
    return new Promise((done) => {
      let timer: unknown;
      const resolve = () => {
        clock.clearTimeout(timer);
        done();
      };
      const waiter = { seq, resolve };
      const at = this.#waiters.findIndex((other) => other.seq > seq);
      this.#waiters.splice(at < 0 ? this.#waiters.length : at, 0, waiter);
      if (withinMs === undefined) return;
      timer = clock.setTimeout(() => {
        this.#waiters.splice(this.#waiters.indexOf(waiter), 1);
        done();
      }, withinMs);
    });
  }

  /** The live copy usually comes first; if it was lost, the log has it. */
  async certainlyFolded(seq: number): Promise<void> {
    await this.folded(seq, HOLD_LIMITS.retryMs);
    while (!this.#over && this.fold.lastSeq < seq) {
      await this.readLog();
      await this.folded(seq, HOLD_LIMITS.retryMs);
    }
  }

  // ── decisions ────────────────────────────────────────────────────────────────────────────────────

  /** Decides through the log (L3). Resolves once that is folded, or given up. Never rejects. */
  propose(make: () => Proposal | undefined): Promise<void> {
    return this.writer
      .propose(make)
      .catch((error: unknown) => this.giveUp("decision could not be written", error));
  }

  /** It shall be tried again, here or by somebody else, a bounded number of times (`defeats.ts`). */
  giveUp(what: string, error: unknown): void {
    if (this.#over) return;
    this.context.log.error({ run: this.run, err: error }, `${what}; handing the run back`);
    this.#handBack({ what, error });
  }
}
