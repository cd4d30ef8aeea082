/** One party's connection to a swarm in memory: open or closed, and what ends with it. */
import { UnreachableError } from "../../workflow/errors.ts";
import type { SwarmStore } from "./store.ts";

export class MemoryConnection {
  readonly #store: SwarmStore;
  readonly #onClose = new Set<() => void>();
  #closed = false;
  #unreadable = 0;

  constructor(store: SwarmStore) {
    this.#store = store;
  }

  get closed(): boolean {
    return this.#closed;
  }
  get unreadable(): number {
    return this.#unreadable;
  }
  countUnreadable(): void {
    this.#unreadable++;
  }

  /** @throws UnreachableError once the connection is closed. */
  open(): { store: SwarmStore } {
    if (!this.#closed) return { store: this.#store };
    throw new UnreachableError("E_CLOSED", "The connection to the bus is closed", {
      remedy: "Connect again.",
    });
  }

  /** @returns the way to forget the listener. */
  onClose(listener: () => void): () => void {
    this.#onClose.add(listener);
    return () => this.#onClose.delete(listener);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const listener of [...this.#onClose]) listener();
    this.#onClose.clear();
  }
}
