/**
 * Tells nested runs that wait at a limit of this run that it was raised: as a control in each one's own log, which
 * wakes one that was put away.
 *
 * It owns what it has told. Who waits, and since when, the fold says (L1); a successor tells it again (L2), and
 * whoever has gone on meanwhile finds nothing in it.
 */
import { UnreachableError } from "../workflow/errors.ts";
import { HOLD_LIMITS } from "./hold-context.ts";
import type { HoldFrame } from "./hold-frame.ts";

export class RaisesBelow {
  readonly #frame: HoldFrame;
  /** By nested run, the raise that it was told of last. */
  readonly #told = new Map<string, number>();

  constructor(frame: HoldFrame) {
    this.#frame = frame;
  }

  /** Whoever has waited since before the last raise may go on. */
  tell(): void {
    const { fold } = this.#frame;
    const raisedSeq = fold.budget?.raisedSeq ?? 0;
    // Nobody ever raised it: nothing to tell, and nothing to look for.
    if (raisedSeq === 0 || fold.status !== "running") return;
    for (const { child, seq } of fold.waitsBelow)
      if (seq < raisedSeq && (this.#told.get(child) ?? 0) < raisedSeq) void this.#tell(child, raisedSeq);
  }

  async #tell(child: string, seq: number): Promise<void> {
    const { run, context } = this.#frame;
    this.#told.set(child, seq);
    const body = { v: 1 as const, verb: "resume" as const, by: `run ${run}`, raised: { run, seq } };
    while (!this.#frame.over) {
      try {
        if (await context.bus.log.exists(child))
          await context.bus.log.append(child, { kind: "control", body });
        return;
      } catch (error) {
        if (!(error instanceof UnreachableError))
          return this.#frame.giveUp("a nested run could not be told of a raised budget", error);
        await this.#frame.pause(HOLD_LIMITS.retryMs);
      }
    }
  }
}
