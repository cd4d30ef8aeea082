/**
 * A nested run's draws on the budgets of the runs above it.
 *
 * It asks each of them, in their own logs, before it gives a dispatch out, and tells them what it has spent. So all
 * runs below a budget keep it together, whichever daemons hold them. It owns what was told; it does not own the
 * verdicts, which follow from the log of the run above (L1), nor what a refusal means for this run: where the run
 * above pauses, this one pauses, until that one says that it was raised (`raises-below.ts`).
 *
 *  - W1 A dispatch counts above before it is given out, and before it is noted here.
 *  - W2 It tells sums, not additions: after a crash, or an answer that was lost, it says the same again.
 *  - W3 A run that stands at a limit asks for nothing: granted after a raise that it has not heard of, it would not
 *    go on, and nobody would tell it any more.
 */
import type { Answer, DispatchRef } from "../bus/messages.ts";
import { UnreachableError } from "../workflow/errors.ts";
import { ORCHESTRATOR_ROLE } from "../workflow/reserved-roles.ts";
import { HOLD_LIMITS } from "./hold-context.ts";
import type { HoldFrame } from "./hold-frame.ts";

type Above = Omit<DispatchRef, "role">;

export class Drawing {
  readonly #frame: HoldFrame;
  #told = { tokens: 0, usd: 0 };
  #telling = false;

  constructor(frame: HoldFrame) {
    this.#frame = frame;
  }

  /** The dispatches above, the nearest first; none: there is no budget above, or it holds nothing back now. */
  get #above(): readonly Above[] {
    return this.#frame.fold.submission?.parent?.budgets ?? [];
  }

  get stands(): boolean {
    const { budget } = this.#frame.fold;
    return this.#above.length > 0 && budget !== undefined && !budget.isLifted;
  }

  /** Resolves with how many of so many dispatches may be given out. A limit above is in the log by then (L3). */
  async draw(wants: number): Promise<number> {
    // W3
    if (this.#frame.fold.budget?.excess !== undefined) return 0;
    let granted = wants;
    for (const above of this.#above) {
      const verdict = await this.#ask(above, granted);
      if (verdict === undefined) return 0;
      granted = Math.min(granted, verdict.granted ?? 0);
      if (granted > 0) continue;
      await this.#refused(above, verdict);
      return 0;
    }
    return granted;
  }

  /** Something was spent: whoever shares the budget has to know. */
  tell(): void {
    if (this.#above.length === 0 || this.#telling) return;
    this.#telling = true;
    void this.#tellAll().finally(() => {
      this.#telling = false;
    });
  }

  async #tellAll(): Promise<void> {
    const { fold } = this.#frame;
    while (!this.#frame.over && this.#isNews) {
      const { tokens, usd } = fold.spending.own;
      try {
        for (const above of this.#above) await this.#append(above, 0);
        this.#told = { tokens, usd };
      } catch (error) {
        if (!(error instanceof UnreachableError)) {
          return this.#frame.giveUp("what was spent could not be told", error);
        }
        await this.#frame.pause(HOLD_LIMITS.retryMs);
      }
    }
  }

  get #isNews(): boolean {
    const { tokens, usd } = this.#frame.fold.spending.own;
    return tokens !== this.#told.tokens || usd !== this.#told.usd;
  }

  /** Undefined: the hold is over. */
  async #ask(above: Above, wants: number): Promise<(Answer & { seq: number }) | undefined> {
    const { run, context } = this.#frame;
    while (!this.#frame.over) {
      try {
        const seq = await this.#append(above, wants);
        // A run that was removed needs nothing any more.
        if (seq === undefined) return { open: false, granted: 0, seq: 0 };
        const ref = { ...above, role: ORCHESTRATOR_ROLE };
        const question = { q: "draw", child: run, seq } as const;
        const answer = await context.bus.live.ask(ref, question, HOLD_LIMITS.drawAnswerMs);
        if (answer?.granted !== undefined) return { ...answer, seq };
      } catch (error) {
        if (!(error instanceof UnreachableError)) throw error;
      }
      await this.#frame.pause(HOLD_LIMITS.retryMs);
    }
    return undefined;
  }

  /** Resolves with the log sequence of the draw; undefined: there is no such log any more. */
  async #append({ run, step, n }: Above, wants: number): Promise<number | undefined> {
    const { context, fold, writer } = this.#frame;
    if (!(await context.bus.log.exists(run))) return undefined;
    const draw = { child: fold.run, step, n, ...fold.spending.own, wants };
    const drawn = [wants === 0 ? draw : { ...draw, pauses: true as const }];
    const body = { v: 1 as const, epoch: writer.epoch, dispatched: [], started: [], drawn };
    const outcome = await context.bus.log.append(run, { kind: "observed", body });
    return outcome.ok ? outcome.seq : undefined;
  }

  async #refused({ run }: Above, { excess, onLimit = "fail", seq }: Answer & { seq: number }): Promise<void> {
    // Nobody waits for this run, and soon it is told so: until then it need not ask again and again.
    if (excess === undefined) return this.#frame.pause(HOLD_LIMITS.retryMaxMs);
    await this.#frame.propose(() => {
      const { ended, budget } = this.#frame.fold;
      if (ended || budget === undefined || budget.excess !== undefined) return undefined;
      return { type: "spent-above", run, excess, onLimit, seq };
    });
  }
}
