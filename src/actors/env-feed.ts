/**
 * Tells watchers of a run's environment every change, in order.
 *
 * Owns that a value too large for a message goes as a reference, and that nothing overtakes it meanwhile. Live
 * only: who missed a change finds it in the log.
 */
import { checkIn, travelsAsItIs } from "../bus/claim-check.ts";
import type { EnvChangeMessage } from "../bus/messages.ts";
import type { HoldContext } from "./hold-context.ts";

export class EnvFeed {
  readonly #context: HoldContext;
  /** Set while a value is on its way to the artifact store. */
  #tail: Promise<void> | undefined;

  constructor(context: HoldContext) {
    this.#context = context;
  }

  publish(change: EnvChangeMessage): void {
    const isSmall = travelsAsItIs({ value: change.value }, this.#context.bus.artifacts.claimCheckBytes);
    if (isSmall && this.#tail === undefined) return this.#context.bus.live.publishEnv(change);
    const tail: Promise<void> = (this.#tail ?? Promise.resolve())
      .then(() => (isSmall ? this.#context.bus.live.publishEnv(change) : this.#publishLarge(change)))
      .catch((error: unknown) => {
        this.#context.log.debug({ run: change.run, err: error }, "watchers could not be told of a change");
      })
      .finally(() => {
        if (this.#tail === tail) this.#tail = undefined;
      });
    this.#tail = tail;
  }

  async #publishLarge(change: EnvChangeMessage): Promise<void> {
    const { bus } = this.#context;
    const { value } = await checkIn(bus.artifacts, change.run, { value: change.value });
    bus.live.publishEnv({ ...change, value });
  }
}
