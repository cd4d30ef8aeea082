/** Who is connected to the swarm in memory. An agent is present for as long as its connection is open. */
import type { PresenceBoard, PresenceStats } from "../bus.ts";
import { encodeBody, parseBody } from "../codec.ts";
import { type AgentPresence, agentPresenceSchema } from "../messages.ts";
import type { MemoryConnection } from "./connection.ts";

export class MemoryPresence implements PresenceBoard {
  readonly #connection: MemoryConnection;

  constructor(connection: MemoryConnection) {
    this.#connection = connection;
  }

  async announce(
    card: Omit<AgentPresence, keyof PresenceStats>,
    stats: () => PresenceStats,
  ): Promise<{ withdraw(): Promise<void> }> {
    const { store } = this.#connection.open();
    const entry = (): Uint8Array => encodeBody({ ...card, ...stats() });
    store.present.add(entry);
    const leave = (): void => {
      store.present.delete(entry);
      release();
    };
    const release = this.#connection.onClose(leave);
    return { withdraw: async () => leave() };
  }

  async list(): Promise<AgentPresence[]> {
    const { store } = this.#connection.open();
    const found: AgentPresence[] = [];
    for (const entry of store.present) {
      const parsed = parseBody(agentPresenceSchema, entry());
      if (parsed.ok) found.push(parsed.value);
      else this.#connection.countUnreadable();
    }
    return found;
  }
}
