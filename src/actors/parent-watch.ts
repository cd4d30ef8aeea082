/**
 * Whether anybody still waits for a nested run: as an agent asks about the task that it has, a nested run's
 * holder asks about the dispatch that the run is for (L5).
 *
 * The parent's holder cancels a run that it needs no more, and may die, or be cut off, before that is stored.
 * This is what remains then. It owns how often is asked; the answer is the parent's log's (L1).
 *
 *  - A dispatch that is closed stays closed, so an answer that comes late is still true.
 */
import { ORCHESTRATOR_ROLE } from "../workflow/reserved-roles.ts";
import { stopChild } from "./child-runs.ts";
import { HOLD_LIMITS } from "./hold-context.ts";
import type { HoldFrame } from "./hold-frame.ts";

export class ParentWatch {
  readonly #frame: HoldFrame;

  constructor(frame: HoldFrame) {
    this.#frame = frame;
  }

  /** How long a run may be put away before it has to ask again; undefined: it is for nobody. */
  get longestRestMs(): number | undefined {
    return this.#frame.fold.submission?.parent && HOLD_LIMITS.parkedParentLookMs;
  }

  /** @param taken the run was begun by another holder, or before it was put away */
  begin(taken: boolean): void {
    if (this.#frame.fold.submission?.parent === undefined) return;
    if (taken) void this.look();
    else this.#arm();
  }

  /** Asks, and ends a run that nobody waits for as its parent would have. */
  async look(): Promise<void> {
    const { fold, context, run } = this.#frame;
    const { parent } = fold.submission ?? {};
    if (parent === undefined) return;
    const ref = { run: parent.run, step: parent.step, n: parent.n, role: ORCHESTRATOR_ROLE };
    try {
      const answer = await context.bus.live.ask(ref, { q: "open" }, HOLD_LIMITS.parentAnswerMs);
      if (answer?.open === false && !fold.ended)
        await stopChild(context.bus, ref, "its step needs it no more");
    } catch (error) {
      context.log.debug({ run, err: error }, "could not ask whether the parent waits");
    }
    if (!this.#frame.over) this.#arm();
  }

  #arm(): void {
    this.#frame.deadlines.set("parent", HOLD_LIMITS.parentLookMs);
  }
}
