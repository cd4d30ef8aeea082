/**
 * Watching a run's environment: every update in the order of the log, each exactly once, with its revision.
 *
 * It owns the place up to which whoever watches was told. The log is the truth (L1): updates are folded from it,
 * so that lost or doubled live messages, a broker that was away and a daemon that died change nothing.
 *
 *  - N1 What was told is never told again, and nothing before it is told later.
 *  - N2 Updates that nobody takes wait in a bounded buffer; when it is full the log is left, and read again from
 *    the last update that was taken (L8).
 *  - N3 A lost live copy that no younger one shows is found after a silence: the log's end is read then.
 */
import type { Bus, Clock, LogFollower, LogRecord } from "../bus/bus.ts";
import { redeem } from "../bus/claim-check.ts";
import type { EnvChangeMessage } from "../bus/messages.ts";
import { checkInSilence, type SilenceCheck } from "../bus/silence.ts";
import { RunFold } from "../fold/run-fold.ts";
import { NotFoundError, UnreachableError } from "../workflow/errors.ts";
import { MASK, masked } from "../workflow/secrets.ts";
import { DEFAULT_PATIENCE_MS, watchBroker } from "./broker-patience.ts";
import type { EnvironmentChange, WatchEnvironmentOptions } from "./swarm.ts";

/** Updates that wait to be taken. */
const MAX_WAITING = 10_000;
const RETRY_MS = 500;

interface Ports {
  bus: Bus;
  clock: Clock;
}

/** The place up to which whoever watches was told: a revision, and which of its keys. */
interface Place {
  revision: number;
  readonly keys: Set<string>;
}

/** @throws UnreachableError when the broker stays away for longer than the patience */
export async function* watchEnvironment(
  ports: Ports,
  run: string,
  options: WatchEnvironmentOptions = {},
): AsyncGenerator<EnvironmentChange, void, void> {
  const { after } = options;
  let place: Place | undefined = after === undefined ? undefined : { revision: after, keys: new Set() };
  let goesOn = options.signal?.aborted !== true;
  while (goesOn) {
    const feed: Feed = new Feed(ports, run, place, options);
    try {
      await feed.start();
      for (let change = await feed.next(); change !== undefined; change = await feed.next()) {
        yield await feed.shown(change);
        place = movedTo(place, change);
      }
    } finally {
      feed.close();
    }
    goesOn = feed.isCutOff;
  }
}

function movedTo(place: Place | undefined, { revision, key }: Waiting): Place {
  if (place?.revision !== revision) return { revision, keys: new Set([key]) };
  place.keys.add(key);
  return place;
}

type Waiting = EnvChangeMessage & { current: boolean };

/** One following of the log, until the run ends, the watching ends, or the feed is cut off. */
class Feed {
  readonly #ports: Ports;
  readonly #run: string;
  readonly #place: Place | undefined;
  readonly #options: WatchEnvironmentOptions;
  readonly #fold: RunFold;
  readonly #waiting: Waiting[] = [];
  /** How many of those were taken; they go in one piece. */
  #taken = 0;
  #follower: LogFollower | undefined;
  #closers: (() => void)[] = [];
  #caughtUp = false;
  #over = false;
  #cutOff = false;
  #error: unknown;
  #silence: SilenceCheck | undefined;
  #wake = () => {};

  constructor(ports: Ports, run: string, place: Place | undefined, options: WatchEnvironmentOptions) {
    this.#ports = ports;
    this.#run = run;
    this.#place = place;
    this.#options = options;
    this.#fold = new RunFold(run);
  }

  /** Whether there is more, to be read by another feed from the last update that was taken. */
  get isCutOff(): boolean {
    return this.#cutOff;
  }

  async start(): Promise<void> {
    const { bus } = this.#ports;
    const { signal, patienceMs = DEFAULT_PATIENCE_MS } = this.#options;
    const onAbort = (): void => {
      this.#drop();
      this.#end();
    };
    signal?.addEventListener("abort", onAbort, { once: true });
    const broker = watchBroker(this.#ports, this.#run, patienceMs, (error) => this.#fail(error));
    this.#closers.push(
      () => signal?.removeEventListener("abort", onAbort),
      () => broker.close(),
    );
    this.#follower = await bus.log.follow(this.#run, (record) => this.#take(record), {
      onDisorder: () => this.#cut(),
    });
    this.#follower.caughtUp.then(
      () => this.#catchUp(),
      (error: unknown) => this.#fail(error),
    );
    const silence = checkInSilence(this.#follower, this.#ports.clock); // N3
    this.#silence = silence;
    this.#closers.push(() => silence.close());
  }

  close(): void {
    this.#end();
    this.#follower?.close();
    for (const close of this.#closers.splice(0)) close();
  }

  /** The next update; undefined when there is none from here any more. */
  async next(): Promise<Waiting | undefined> {
    for (;;) {
      const change = this.#waiting[this.#taken];
      if (change !== undefined) {
        this.#taken += 1;
        if (this.#taken === this.#waiting.length) this.#drop();
        return change;
      }
      if (this.#error !== undefined) throw this.#error;
      if (this.#over) return undefined;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  #drop(): void {
    this.#waiting.length = 0;
    this.#taken = 0;
  }

  /** With the value itself in the place of a reference, and what is secret hidden. */
  async shown({ key, value, revision, writer, current }: Waiting): Promise<EnvironmentChange> {
    const { secrets } = this.#fold;
    const whole = secrets?.has(key) ? MASK : masked(secrets, await this.#whole(value));
    return { key, value: whole, revision, writer, current };
  }

  async #whole(value: unknown): Promise<unknown> {
    const { bus, clock } = this.#ports;
    for (;;) {
      try {
        return await redeem(bus.artifacts, value);
      } catch (error) {
        if (error instanceof NotFoundError) return value; // Purged meanwhile: the reference is what is left.
        if (!(error instanceof UnreachableError) || this.#error !== undefined) throw error;
        await new Promise<void>((resolve) => {
          clock.setTimeout(resolve, RETRY_MS);
        });
      }
    }
  }

  #take(record: LogRecord): void {
    if (this.#over) return;
    this.#silence?.heard();
    for (const effect of this.#fold.apply(record)) {
      if (effect.type !== "env") continue;
      // What was there at the start is told at its end, as it stands then.
      if (this.#caughtUp || this.#place !== undefined) this.#put(effect.change, !this.#caughtUp);
    }
    if (this.#caughtUp && this.#fold.ended) this.#end();
  }

  #put(change: EnvChangeMessage, current: boolean): void {
    const { revision = -1, keys } = this.#place ?? {};
    // N1
    if (change.revision < revision || (change.revision === revision && this.#isTold(keys, change.key)))
      return;
    if (this.#over) return;
    if (this.#waiting.length - this.#taken >= MAX_WAITING) return this.#cut(); // N2
    this.#waiting.push({ ...change, current });
    this.#wake();
  }

  /** A place that was asked for has no keys: all of its revision is known. */
  #isTold(keys: ReadonlySet<string> | undefined, key: string): boolean {
    return keys === undefined || keys.size === 0 || keys.has(key);
  }

  #catchUp(): void {
    if (this.#over) return;
    const { environment } = this.#fold;
    if (this.#place === undefined) {
      const entries = [...environment.keys()].flatMap((key) => {
        const entry = environment.entry(key);
        return entry === undefined ? [] : [{ run: this.#run, key, ...entry }];
      });
      for (const entry of entries.sort((a, b) => a.revision - b.revision)) this.#put(entry, true);
    }
    this.#caughtUp = true;
    if (this.#fold.ended) this.#end();
  }

  #cut(): void {
    if (this.#over) return;
    this.#cutOff = true;
    this.#end();
  }

  #fail(error: unknown): void {
    if (this.#over) return;
    this.#error = error;
    this.#end();
  }

  #end(): void {
    this.#over = true;
    this.#wake();
  }
}
