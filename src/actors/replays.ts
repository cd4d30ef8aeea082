/**
 * Folds of runs that other daemons hold, for questions about them that their holders leave unanswered.
 *
 * Every daemon hears every question, so a run that is asked about often is folded once, kept for a while, and read on
 * from where it is. It owns that and nothing else: what is folded is the log's (L1).
 */
import type { Bus, Clock } from "../bus/bus.ts";
import { RunFold } from "../fold/run-fold.ts";

/** How long a fold is kept after the last question about its run. */
const KEPT_MS = 10_000;

interface Replay {
  readonly fold: RunFold;
  /** One reads at a time. */
  turn: Promise<void>;
  timer: unknown;
}

export class Replays {
  readonly #bus: Bus;
  readonly #clock: Clock;
  readonly #kept = new Map<string, Replay>();

  constructor(bus: Bus, clock: Clock) {
    this.#bus = bus;
    this.#clock = clock;
  }

  /** The run's log, folded to its present end. @throws UnreachableError */
  async of(run: string): Promise<RunFold> {
    const replay = this.#kept.get(run) ?? {
      fold: new RunFold(run),
      turn: Promise.resolve(),
      timer: undefined,
    };
    this.#kept.set(run, replay);
    this.#clock.clearTimeout(replay.timer);
    replay.timer = this.#clock.setTimeout(() => this.#kept.delete(run), KEPT_MS);
    const turn = replay.turn.then(() => this.#readOn(replay.fold));
    // Whoever comes next reads on from where this one got to.
    replay.turn = turn.catch(() => undefined);
    await turn;
    // A run that has ended may be removed, and another one begun under its name.
    if (replay.fold.ended) this.#forget(run, replay);
    return replay.fold;
  }

  stop(): void {
    for (const [run, replay] of this.#kept) this.#forget(run, replay);
  }

  #forget(run: string, replay: Replay): void {
    this.#clock.clearTimeout(replay.timer);
    if (this.#kept.get(run) === replay) this.#kept.delete(run);
  }

  async #readOn(fold: RunFold): Promise<void> {
    for await (const record of this.#bus.log.read(fold.run, { from: fold.lastSeq + 1 })) fold.apply(record);
  }
}
