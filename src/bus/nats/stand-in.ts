/**
 * Answers who is here in the place of an agent whose event loop is blocked: a task that computes for minutes must
 * not make its role look deserted, or plans are made round it.
 *
 * Lives in the keep-alive thread. It owns when to answer and with what; the agent's own answers are given by the
 * services framework on the agent's thread.
 *
 *  - ST1 The agent's thread is asked for a word each time. If it says one in time, it answers by itself.
 *  - ST2 What is said for it is what it said last, but for the tasks in its hands: these are counted here.
 */
import type { PresenceStats } from "../bus.ts";

/** The service name of every agent, whatever its swarm. */
export const AGENT_SERVICE = "datahammer-agent";

/** The agent as the services framework describes it, one JSON text for each question. */
export interface ServiceWords {
  readonly id: string;
  readonly PING: string;
  readonly INFO: string;
  readonly STATS: string;
}

/** How long the agent's thread has to say a word: less than the gap after which a list of agents is closed. */
const PATIENCE_MS = 60;

export class StandIn {
  readonly #words: ServiceWords;
  readonly #wake: () => void;
  readonly #held: () => number;
  readonly #waiting = new Set<NodeJS.Timeout>();
  #stats: PresenceStats = { running: 0, done: 0, failed: 0 };

  /**
   * @param wake asks the agent's thread for a word
   * @param held how many tasks the agent has in its hands
   */
  constructor(words: ServiceWords, wake: () => void, held: () => number) {
    this.#words = words;
    this.#wake = wake;
    this.#held = held;
  }

  /** The agent's thread has said a word: whatever was asked, it answers itself (ST1). */
  heard(stats: PresenceStats): void {
    this.#stats = stats;
    this.leave();
  }

  /** Answers nothing of what was asked until now. */
  leave(): void {
    for (const timer of this.#waiting) clearTimeout(timer);
    this.#waiting.clear();
  }

  /** Somebody asked with this subject: `$SRV.<verb>`, with a service's name or not, with an id or not. */
  asked(subject: string, respond: (text: string) => void): void {
    const [, verb, name = AGENT_SERVICE, id = this.#words.id] = subject.split(".");
    if (verb !== "PING" && verb !== "INFO" && verb !== "STATS") return;
    if (name !== AGENT_SERVICE || id !== this.#words.id) return;
    this.#wake();
    const timer = setTimeout(() => {
      this.#waiting.delete(timer);
      respond(verb === "STATS" ? this.#statsNow() : this.#words[verb]);
    }, PATIENCE_MS);
    this.#waiting.add(timer);
  }

  #statsNow(): string {
    const stats: { endpoints: object[] } = JSON.parse(this.#words.STATS);
    const data: PresenceStats = { ...this.#stats, running: this.#held() }; // ST2
    return JSON.stringify({
      ...stats,
      endpoints: stats.endpoints.map((endpoint) => ({ ...endpoint, data })),
    });
  }
}
