/**
 * One run's line in the index: put there when something changed, soon or at once.
 *
 * The index is a view (L1): a line that could not be written is written again at the next change.
 */
import { runSummaryOf } from "../fold/run-summary.ts";
import { HOLD_LIMITS } from "./hold-context.ts";
import type { HoldFrame } from "./hold-frame.ts";

export class IndexEntry {
  readonly #frame: HoldFrame;
  #dirty = false;

  constructor(frame: HoldFrame) {
    this.#frame = frame;
  }

  /** Something changed: the line is put at once, or with what else changes in the next moment. */
  changed(atOnce: boolean): void {
    this.#dirty = true;
    const { deadlines } = this.#frame;
    if (atOnce) this.put();
    else if (!deadlines.has("index")) deadlines.set("index", HOLD_LIMITS.indexMs);
  }

  /** The broker has removed the run's log, and with it all that could ever end the run. @param reason why */
  async lost(reason: string): Promise<void> {
    const { run, fold, context } = this.#frame;
    try {
      if (await context.bus.log.exists(run)) return;
      const endedAt = new Date(context.clock.now()).toISOString();
      await context.bus.index.put({ ...runSummaryOf(fold), status: "failed", reason, endedAt });
    } catch (error) {
      context.log.warn({ run, err: error }, "that the run's log is lost could not be written to the index");
    }
  }

  put(): void {
    if (!this.#dirty) return;
    this.#dirty = false;
    const { run, fold, context, deadlines } = this.#frame;
    deadlines.clear("index");
    context.bus.index.put(runSummaryOf(fold)).catch((error: unknown) => {
      context.log.debug({ run, err: error }, "the run index could not be written");
    });
  }
}
