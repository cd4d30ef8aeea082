/**
 * Looks for dispatches whose tasks are gone, and for nested runs that ended without a word.
 *
 * It owns how often and how many at a time. It does not own that a dispatch counts as lost: the fold judges
 * the decision by the state at its place.
 *
 *  - L10 A dispatch is lost only if its task is gone and the log, read to its end after that, has no result.
 */
import { ORCHESTRATOR_ROLE } from "../workflow/reserved-roles.ts";
import { findChild, reportToParent } from "./child-runs.ts";
import type { Dispatcher } from "./dispatcher.ts";
import type { Flight, Flights } from "./flights.ts";
import { HOLD_LIMITS } from "./hold-context.ts";
import type { HoldFrame } from "./hold-frame.ts";

export class Watchdog {
  readonly #frame: HoldFrame;
  readonly #flights: Flights;
  readonly #dispatcher: Dispatcher;

  constructor(frame: HoldFrame, flights: Flights, dispatcher: Dispatcher) {
    this.#frame = frame;
    this.#flights = flights;
    this.#dispatcher = dispatcher;
  }

  arm(): void {
    this.#frame.deadlines.set("watchdog", HOLD_LIMITS.watchdogMs);
  }

  /** Looks for what has been out for long, and will look again. */
  async look(): Promise<void> {
    const { clock, log } = this.#frame.context;
    const before = clock.monotonic() - HOLD_LIMITS.watchdogMs;
    const old = [...this.#flights.all()].filter((flight) => flight.seenAt <= before);
    for (const flight of old.slice(0, HOLD_LIMITS.watchdogBatch)) {
      if (this.#frame.over) return;
      try {
        flight.seenAt = clock.monotonic();
        if (flight.ref.role === ORCHESTRATOR_ROLE) await this.#lookAtChild(flight);
        else await this.#lookAtTask(flight);
      } catch (error) {
        log.debug({ ...flight.ref, err: error }, "the queue could not be looked into");
      }
    }
    if (!this.#frame.over) this.arm();
  }

  async #lookAtTask({ ref }: Flight): Promise<void> {
    const { fold, context } = this.#frame;
    if (this.#dispatcher.isTrying(ref) || (await context.bus.tasks.has(ref))) return;
    await this.#frame.readLog();
    const { step, n } = ref;
    // L8: what vanishes again and again is not given out for ever.
    if (fold.lossesOf(step) >= HOLD_LIMITS.lostInARow) return this.#dispatcher.giveUpLost(ref);
    void this.#frame.propose(() => (fold.isOpen(ref) ? { type: "lost", step, n } : undefined));
  }

  /** The child tells when it ends; this is for what was lost with a holder or its store. */
  async #lookAtChild(flight: Flight): Promise<void> {
    flight.seenAt += HOLD_LIMITS.childLookMs;
    const { ref } = flight;
    const { fold, context } = this.#frame;
    const child = await findChild(context.bus, ref);
    if (child) return reportToParent(context.bus, child);
    if (fold.isOpen(ref)) void this.#dispatcher.push(fold.taskOf(ref.step));
  }
}
