/** One party's connection to a swarm in memory: open, cut or closed, and what ends with it. */
import { UnreachableError } from "../../workflow/errors.ts";
import type { BusStatus, Clock } from "../bus.ts";
import type { SwarmStore } from "./store.ts";

export interface ConnectOptions {
  /** Names the party to the network (`Parcel.to`). */
  party?: string;
  /** The party's own clock. Default: the broker's. */
  clock?: Clock;
}

export class MemoryConnection {
  readonly party: string;
  readonly clock: Clock;
  readonly #store: SwarmStore;
  readonly #onClose = new Set<() => void>();
  readonly #onRestore = new Set<() => void>();
  #status: BusStatus = "connected";
  #unreadable = 0;

  constructor(store: SwarmStore, { party = "", clock = store.clock }: ConnectOptions = {}) {
    this.party = party;
    this.clock = clock;
    this.#store = store;
  }

  get status(): BusStatus {
    return this.#status;
  }
  get closed(): boolean {
    return this.#status === "closed";
  }
  /** Whether messages come through in either direction. */
  get reachable(): boolean {
    return this.#status === "connected";
  }
  get unreadable(): number {
    return this.#unreadable;
  }
  countUnreadable(): void {
    this.#unreadable++;
  }

  /** @throws UnreachableError while the connection is cut, and once it is closed. */
  open(): { store: SwarmStore } {
    if (this.reachable) return { store: this.#store };
    if (this.closed) {
      throw new UnreachableError("E_CLOSED", "The connection to the bus is closed", {
        remedy: "Connect again.",
      });
    }
    throw new UnreachableError("E_UNREACHABLE", "The connection to the bus is cut", {
      remedy: "Try again once it is back.",
    });
  }

  /**
   * For what outlasts a cut: a puller, a subscription, a follower.
   * @throws UnreachableError once the connection is closed.
   */
  attach(): { store: SwarmStore } {
    return this.closed ? this.open() : { store: this.#store };
  }

  /** @returns the way to forget the listener. */
  onClose(listener: () => void): () => void {
    this.#onClose.add(listener);
    return () => this.#onClose.delete(listener);
  }

  /** Called when a cut connection is back. @returns the way to forget the listener. */
  onRestore(listener: () => void): () => void {
    this.#onRestore.add(listener);
    return () => this.#onRestore.delete(listener);
  }

  /** Nothing comes through until `restore`. @returns false when it was cut or closed before. */
  cut(): boolean {
    if (!this.reachable) return false;
    this.#status = "reconnecting";
    return true;
  }

  /** @returns false when it was not cut. */
  restore(): boolean {
    if (this.#status !== "reconnecting") return false;
    this.#status = "connected";
    for (const listener of [...this.#onRestore]) listener();
    return true;
  }

  close(): void {
    if (this.closed) return;
    this.#status = "closed";
    for (const listener of [...this.#onClose]) listener();
    this.#onClose.clear();
    this.#onRestore.clear();
  }
}
