/**
 * The changes of a run's environment for one client, as they come: one event per record that changed it, with
 * whole values, none left out and none twice.
 *
 * It owns where the client is in the log. Nothing is kept for a client that reads slowly: it goes on from its
 * place when it is ready (L8).
 */
import type { Bus, Subscription } from "../bus/bus.ts";
import { redeem } from "../bus/claim-check.ts";
import { masked } from "../workflow/secrets.ts";
import type { EnvironmentEvent } from "./api-events.ts";
import type { EventStream } from "./event-stream.ts";
import { changeView } from "./presented.ts";
import { between, type EnvironmentChange, type RunReading } from "./run-reading.ts";
import type { Feed } from "./run-stream.ts";

const revisionOf = ({ revision }: EnvironmentChange): number => revision;

export class EnvironmentFeed implements Feed {
  readonly #bus: Bus;
  readonly #reading: RunReading;
  readonly #stream: EventStream;
  readonly #key: string | undefined;
  readonly #subscription: Subscription;
  /** Up to here everything is told. */
  #revision: number;
  /** What `ready` waits for; undefined once it is said. */
  #untold: "reading" | "telling" | undefined = "reading";
  /** Cleared in the turn in which nothing was left to tell: a record that comes later starts it again. */
  #pumping = false;

  /** @param after the last revision that the client has; 0: none @param key only this one; default: all */
  constructor(bus: Bus, reading: RunReading, stream: EventStream, after: number, key?: string) {
    this.#bus = bus;
    this.#reading = reading;
    this.#stream = stream;
    this.#revision = after;
    this.#key = key;
    this.#subscription = reading.listen({
      onRecord: () => this.#goOn(),
      onReset: () => stream.cut("E_LOG_REREAD", "the log was read with a hole and is read again"),
    });
    stream.onReady(() => this.#goOn());
    stream.onClose(() => this.#subscription.close());
    this.#goOn();
  }

  onRead(): void {
    this.#untold = "telling";
    this.#goOn();
  }

  #goOn(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    this.#pump().catch(() => this.#stream.cut("E_BROKER_AWAY", "a large value could not be read"));
  }

  async #pump(): Promise<void> {
    while (this.#stream.ready) {
      const [first] = between(this.#reading.changes, revisionOf, this.#revision);
      if (first === undefined) break;
      const { revision } = first;
      const changes = between(this.#reading.changes, revisionOf, revision - 1, revision);
      const told: EnvironmentEvent["changes"] = [];
      for (const change of changes) {
        if (this.#key !== undefined && change.key !== this.#key) continue;
        told.push({ ...changeView(change), value: await redeem(this.#bus.artifacts, change.value) });
      }
      this.#revision = revision;
      if (told.length > 0)
        this.#stream.send(
          "environment",
          masked(this.#reading.fold.secrets, { revision, changes: told }),
          revision,
        );
    }
    this.#pumping = false;
    if (this.#untold !== "telling" || !this.#stream.ready) return;
    this.#untold = undefined;
    this.#stream.send("ready", { revision: this.#revision });
  }
}
