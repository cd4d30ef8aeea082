/**
 * Joining a swarm: announcing the roles until a daemon answers that their queues exist.
 *
 * It tries for as long as there is no daemon, with growing pauses, and again whenever it is told to (after
 * a reconnect, or when a queue is not there). Agents may be started before their daemon, in any order.
 */
import type { Logger } from "pino";
import type { Bus, Clock } from "../bus/bus.ts";
import type { HelloMessage, RoleSettings } from "../bus/messages.ts";
import { Backoff, wait } from "./waiting.ts";

const HELLO_TIMEOUT_MS = 1_000;
const HELLO_RETRY = { firstMs: 100, maxMs: 2_000 } as const;
/** A daemon that refuses will hardly change its mind soon. */
const REFUSED_RETRY_MS = 10_000;

export interface JoiningOptions {
  bus: Bus;
  clock: Clock;
  log: Logger;
  hello: HelloMessage;
  onJoined(settings: readonly RoleSettings[]): void;
}

export class Joining {
  /** Resolves at the first answer. */
  readonly joined: Promise<void>;
  /** Resolves after the first announcement, answered or not. */
  readonly tried: Promise<void>;
  readonly #options: JoiningOptions;
  #resolveJoined: () => void = () => undefined;
  #resolveTried: () => void = () => undefined;
  #current: AbortController | undefined;

  constructor(options: JoiningOptions) {
    this.#options = options;
    this.joined = new Promise((resolve) => {
      this.#resolveJoined = resolve;
    });
    this.tried = new Promise((resolve) => {
      this.#resolveTried = resolve;
    });
  }

  /** Announces again, giving up an announcement that is under way. */
  begin(): void {
    this.end();
    this.#current = new AbortController();
    void this.#announce(this.#current.signal);
  }

  /** Announces again, unless an announcement is under way. */
  renew(): void {
    if (this.#current === undefined) this.begin();
  }

  end(): void {
    this.#current?.abort();
    this.#current = undefined;
  }

  async #announce(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#options;
    const backoff = new Backoff(HELLO_RETRY.firstMs, HELLO_RETRY.maxMs);
    let said = false;
    while (!signal.aborted) {
      const reply = await this.#hello();
      if (signal.aborted) return;
      if (reply?.ok) {
        this.#current = undefined;
        this.#options.onJoined(reply.roles);
        this.#resolveTried();
        this.#resolveJoined();
        return;
      }
      this.#resolveTried();
      if (reply !== undefined) log.error({ error: reply.error }, "the daemon refused this agent");
      else if (!said) log.info("no daemon answers yet; announcing again until one does");
      said = true;
      await wait(clock, reply === undefined ? backoff.next() : REFUSED_RETRY_MS, signal);
    }
  }

  async #hello() {
    const { bus, hello, log } = this.#options;
    try {
      return await bus.live.hello(hello, HELLO_TIMEOUT_MS);
    } catch (error) {
      log.debug({ err: error }, "announcement not sent");
      return undefined;
    }
  }
}
