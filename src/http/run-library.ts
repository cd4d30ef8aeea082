/**
 * The readings that are open: one per run, shared by all who look at it, kept while somebody does.
 *
 * Bounded (L8): a reading that nobody uses is kept for half a minute, that of a run which has ended for ten
 * (it costs nothing but room), and closed earlier when there are too many or they hold too much. Those in use
 * are never closed under their users; how many may be in use is bounded by the streams that a daemon serves
 * at once.
 */
import type { SecretMask } from "../workflow/secrets.ts";
import { type ReadingPorts, RunReading } from "./run-reading.ts";

/** Readings without a user that are kept, at most. */
const MAX_IDLE = 8;
/** Records, transitions and changes in idle readings together. */
const MAX_IDLE_WEIGHT = 400_000;
const IDLE_MS = 30_000;
const IDLE_ENDED_MS = 600_000;

interface Entry {
  reading: Promise<RunReading>;
  opened: RunReading | undefined;
  users: number;
  timer: unknown;
}

export class RunLibrary {
  readonly #ports: ReadingPorts;
  /** In the order of their last use, the oldest first. */
  readonly #entries = new Map<string, Entry>();
  #closed = false;

  constructor(ports: ReadingPorts) {
    this.#ports = ports;
  }

  /** Runs whose log is held folded now. */
  get open(): number {
    return this.#entries.size;
  }

  /** The run as it is now, for one answer. @throws NotFoundError, UnreachableError */
  async use<Result>(run: string, work: (reading: RunReading) => Promise<Result> | Result): Promise<Result> {
    const { entry, reading, release } = await this.#lend(run);
    try {
      await this.#readOf(run, entry, reading);
      await reading.current();
      return await work(reading);
    } finally {
      release();
    }
  }

  /** The run as `borrow` gives it, for one answer. @throws NotFoundError, UnreachableError */
  async useEarly<Result>(run: string, work: (reading: RunReading) => Result): Promise<Result> {
    const { reading, release } = await this.borrow(run);
    try {
      return work(reading);
    } finally {
      release();
    }
  }

  /** What must not be shown of a run that was just read; undefined: nothing. @throws NotFoundError */
  async secretsOf(run: string): Promise<SecretMask | undefined> {
    const { entry, reading, release } = await this.#lend(run);
    try {
      await this.#readOf(run, entry, reading);
      return reading.fold.secrets;
    } finally {
      release();
    }
  }

  /** The run as it was: read for this answer alone. @throws NotFoundError */
  async useAt<Result>(
    run: string,
    at: number | undefined,
    work: (reading: RunReading) => Promise<Result> | Result,
  ): Promise<Result> {
    return at === undefined ? this.use(run, work) : work(await RunReading.frozen(this.#ports, run, at));
  }

  /**
   * The run as soon as its workflow is known, followed until `release`: what comes after it in the log may still
   * be being read, see `RunReading.read`. Where the workflow names secrets all is read first, since their values
   * may come later. @throws NotFoundError, UnreachableError
   */
  async borrow(run: string): Promise<{ reading: RunReading; release: () => void }> {
    const { entry, reading, release } = await this.#lend(run);
    try {
      const read = this.#readOf(run, entry, reading);
      await Promise.race([reading.outlined, read]);
      if (reading.fold.secrets !== undefined) await read;
      return { reading, release };
    } catch (error) {
      release();
      throw error;
    }
  }

  /** Reads it to its end; one that could not be is not kept. */
  async #readOf(run: string, entry: Entry, reading: RunReading): Promise<void> {
    try {
      await reading.read();
    } catch (error) {
      if (this.#entries.get(run) === entry) this.#entries.delete(run);
      throw error;
    }
  }

  /** A reading of the run that has the name now. @throws NotFoundError, UnreachableError */
  async #lend(run: string): Promise<{ entry: Entry; reading: RunReading; release: () => void }> {
    for (;;) {
      const { entry, release } = this.#take(run);
      try {
        const reading = await entry.reading;
        if (await reading.isStored()) return { entry, reading, release };
      } catch (error) {
        release();
        throw error;
      }
      // It knows that it is not sound any more: the next turn opens another.
      release();
    }
  }

  #take(run: string): { entry: Entry; release: () => void } {
    const entry = this.#entryOf(run);
    entry.users += 1;
    this.#ports.clock.clearTimeout(entry.timer);
    let released = false;
    const release = (): void => {
      if (released) return;
      released = true;
      entry.users -= 1;
      if (entry.users === 0) this.#rest(run, entry);
    };
    return { entry, release };
  }

  close(): void {
    this.#closed = true;
    for (const [run, entry] of [...this.#entries]) this.#drop(run, entry);
  }

  #entryOf(run: string): Entry {
    const known = this.#entries.get(run);
    if (known !== undefined && known.opened?.sound !== false) {
      this.#entries.delete(run);
      this.#entries.set(run, known);
      return known;
    }
    const entry: Entry = {
      reading: RunReading.follow(this.#ports, run),
      opened: undefined,
      users: 0,
      timer: undefined,
    };
    this.#entries.set(run, entry);
    entry.reading.then(
      (reading) => {
        entry.opened = reading;
        if (this.#closed) reading.close();
      },
      () => {
        if (this.#entries.get(run) === entry) this.#entries.delete(run);
      },
    );
    return entry;
  }

  #rest(run: string, entry: Entry): void {
    if (this.#entries.get(run) !== entry) return this.#drop(run, entry);
    const idleMs = entry.opened?.fold.ended === true ? IDLE_ENDED_MS : IDLE_MS;
    entry.timer = this.#ports.clock.setTimeout(() => this.#drop(run, entry), idleMs);
    let idle = 0;
    let weight = 0;
    for (const [other, held] of [...this.#entries].reverse()) {
      if (held.users > 0) continue;
      idle += 1;
      weight += held.opened?.weight ?? 0;
      if (idle > MAX_IDLE || weight > MAX_IDLE_WEIGHT) this.#drop(other, held);
    }
  }

  #drop(run: string, entry: Entry): void {
    this.#ports.clock.clearTimeout(entry.timer);
    if (this.#entries.get(run) === entry) this.#entries.delete(run);
    if (entry.users === 0 || this.#closed) entry.opened?.close();
  }
}
