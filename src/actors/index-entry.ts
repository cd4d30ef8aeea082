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
