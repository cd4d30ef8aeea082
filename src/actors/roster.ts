/**
 * Who can do what, as far as it is known: the cards of the agents that are present, and since when a role
 * has nobody.
 *
 * Presence proves nothing (L10): an agent that is busy may miss a question. So a role counts as gone only
 * after it was asked for in vain for a while, and its card is remembered for as long.
 */
import type { Bus, Clock } from "../bus/bus.ts";
import type { RoleCard } from "../workflow/capability.ts";

/** An answer about who is present is good for this long: many runs ask at once. */
const FRESH_MS = 2_000;

interface Known {
  card: RoleCard;
  /** Monotonic ms. */
  seenAt: number;
}

export class Roster {
  readonly #bus: Bus;
  readonly #clock: Clock;
  readonly #roles = new Map<string, Known>();
  /** Roles that were asked for and never seen, by when that began. */
  readonly #sought = new Map<string, number>();
  #asked: { at: number; answer: Promise<void> } | undefined;

  constructor(bus: Bus, clock: Clock) {
    this.#bus = bus;
    this.#clock = clock;
  }

  /** One card per role: agents of one role are interchangeable, so the tasks of all of them count. */
  async present(): Promise<RoleCard[]> {
    const askedAt = this.#clock.monotonic();
    await this.#ask(0);
    return this.#seenSince(askedAt);
  }

  /** As `present`, and of roles that were seen within the last `rememberMs`. */
  async known(rememberMs: number): Promise<RoleCard[]> {
    await this.#ask(FRESH_MS);
    return this.#seenSince(this.#clock.monotonic() - Math.max(rememberMs, FRESH_MS));
  }

  /** For how long nobody of a role was seen, in ms; for the first time now: 0. */
  async absentMs(role: string): Promise<number> {
    await this.#ask(FRESH_MS);
    const now = this.#clock.monotonic();
    const known = this.#roles.get(role);
    if (known !== undefined) return now - known.seenAt;
    const since = this.#sought.get(role) ?? now;
    this.#sought.set(role, since);
    return now - since;
  }

  #seenSince(at: number): RoleCard[] {
    return [...this.#roles.values()].flatMap(({ card, seenAt }) => (seenAt >= at ? [card] : []));
  }

  #ask(freshMs: number): Promise<void> {
    const now = this.#clock.monotonic();
    if (this.#asked !== undefined && now - this.#asked.at < freshMs) return this.#asked.answer;
    const answer = this.#look();
    this.#asked = { at: now, answer };
    answer.catch(() => {
      // Whoever waited for it was told; the next one asks again.
      this.#asked = undefined;
    });
    return answer;
  }

  async #look(): Promise<void> {
    const agents = await this.#bus.presence.list();
    const seenAt = this.#clock.monotonic();
    const cards = new Map<string, RoleCard>();
    for (const card of agents.flatMap(({ roles }) => roles)) {
      const other = cards.get(card.role);
      const names = new Set(other?.tasks.map(({ name }) => name));
      const tasks = [...(other?.tasks ?? []), ...card.tasks.filter(({ name }) => !names.has(name))];
      cards.set(card.role, { ...card, tasks });
    }
    for (const [role, card] of cards) {
      this.#roles.set(role, { card, seenAt });
      this.#sought.delete(role);
    }
  }
}
