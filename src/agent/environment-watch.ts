/**
 * A task's watch of its run's environment: every change in the order of the log, each once.
 *
 * It owns the number of the last change that was told. Changes are heard live, and numbered by whoever folds the log
 * (L1): a number that is missing is asked for, and after a silence the daemon is asked for what came since.
 *
 *  - W1 What was told is never told again, and nothing before it is told later.
 *  - W2 Changes that cannot be told yet are kept up to a bound; beyond it they are asked for again (L8).
 */
import type { Bus, Clock, Subscription } from "../bus/bus.ts";
import { redeem } from "../bus/claim-check.ts";
import type { Answer, EnvChangeMessage, Question } from "../bus/messages.ts";
import { DataHammerError, NotFoundError } from "../workflow/errors.ts";
import type { EnvWatchListener } from "./define.ts";

const SILENCE_MS = 5_000;
const MAX_HEARD = 10_000;

export interface WatchPorts {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly run: string;
  /** @throws DataHammerError when nobody answers, or somebody refuses */
  ask(question: Question): Promise<Answer>;
}

export class EnvironmentWatch {
  readonly #ports: WatchPorts;
  readonly #listener: EnvWatchListener;
  /** The revision from which on changes are told; undefined: from now. */
  readonly #after: number | undefined;
  readonly #heard = new Map<number, EnvChangeMessage>();
  readonly #subscription: Subscription;
  /** Number of the last change that was told, or that was before the watch. */
  #told: number | undefined;
  /** Of changes without a number. */
  readonly #unnumbered = { revision: 0, keys: new Set<string>() };
  #isBehind = true;
  #isSilent = false;
  #atWork = false;
  #closed = false;
  #timer: unknown;

  constructor(ports: WatchPorts, listener: EnvWatchListener, after: number | undefined) {
    this.#ports = ports;
    this.#listener = listener;
    this.#after = after;
    this.#subscription = ports.bus.live.onEnv(ports.run, (change) => this.#hear(change));
    void this.#work();
    this.#listenToSilence();
  }

  close(): void {
    this.#closed = true;
    this.#subscription.close();
    this.#ports.clock.clearTimeout(this.#timer);
  }

  #hear(change: EnvChangeMessage): void {
    this.#isSilent = false;
    const { number } = change;
    if (number === undefined) return this.#hearUnnumbered(change);
    if (this.#told !== undefined && number <= this.#told) return;
    if (this.#heard.size >= MAX_HEARD) this.#heard.clear(); // W2
    this.#heard.set(number, change);
    void this.#work();
  }

  /** An earlier version of the daemon counts nothing: what is heard is all there is, each key of a revision once. */
  #hearUnnumbered(change: EnvChangeMessage): void {
    const { revision, keys } = this.#unnumbered;
    if (change.revision < revision || (change.revision === revision && keys.has(change.key))) return;
    if (change.revision > revision) keys.clear();
    this.#unnumbered.revision = change.revision;
    keys.add(change.key);
    this.#tell(change).catch((error: unknown) => {
      if (!(error instanceof DataHammerError)) throw error;
    });
  }

  #listenToSilence(): void {
    this.#timer = this.#ports.clock.setTimeout(() => {
      if (this.#isSilent) this.#isBehind = true;
      this.#isSilent = true;
      void this.#work();
      this.#listenToSilence();
    }, SILENCE_MS);
  }

  /** Tells what can be told, one after the other, and asks for what is missing. One at a time. */
  async #work(): Promise<void> {
    if (this.#atWork) return;
    this.#atWork = true;
    try {
      while (!this.#closed && (await this.#step()));
    } catch (error) {
      // Nobody answers, or a value cannot be fetched: it is tried again after the silence.
      if (!(error instanceof DataHammerError || this.#closed)) throw error;
      this.#isBehind = true;
    } finally {
      this.#atWork = false;
    }
  }

  /** Whether there may be more to do. */
  async #step(): Promise<boolean> {
    if (this.#isBehind || this.#told === undefined) {
      await this.#catchUp();
      return true;
    }
    const next = this.#heard.get(this.#told + 1);
    if (next !== undefined) {
      await this.#tellNext(next);
      return true;
    }
    for (const number of this.#heard.keys()) if (number <= this.#told) this.#heard.delete(number);
    // A younger one was heard: those in between were lost.
    this.#isBehind = this.#heard.size > 0;
    return this.#isBehind;
  }

  async #catchUp(): Promise<void> {
    const from =
      this.#told !== undefined
        ? { after: this.#told }
        : this.#after !== undefined
          ? { afterRevision: this.#after }
          : {};
    const { changes = [], number, more = false } = await this.#ports.ask({ q: "changes", ...from });
    if (number === undefined) return;
    for (const change of changes) {
      if (this.#closed) return;
      if (this.#told === undefined || (change.number ?? 0) > this.#told) await this.#tellNext(change);
    }
    // What was heard since the watch began counts, though the daemon had folded it when it was asked.
    if (this.#told === undefined)
      this.#told = this.#after === undefined ? Math.min(number, ...before(this.#heard.keys())) : number;
    this.#isBehind = more;
  }

  async #tellNext(change: EnvChangeMessage): Promise<void> {
    await this.#tell(change);
    this.#told = change.number;
  }

  async #tell({ key, value, revision }: EnvChangeMessage): Promise<void> {
    const whole = await this.#whole(value);
    if (this.#closed) return;
    try {
      this.#listener({ key, value: whole, revision });
    } catch (error) {
      // The task's own mistake: told where every stray error of a task is, and the next change is told all the same.
      void Promise.reject(error);
    }
  }

  async #whole(value: unknown): Promise<unknown> {
    try {
      return await redeem(this.#ports.bus.artifacts, value);
    } catch (error) {
      if (error instanceof NotFoundError) return value; // Purged meanwhile: the reference is what is left.
      throw error;
    }
  }
}

const before = (numbers: Iterable<number>): number[] => [...numbers].map((number) => number - 1);
