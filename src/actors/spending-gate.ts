/**
 * The gate before the dispatches of a run with a budget.
 *
 * A dispatch of such a run counts only once the log has granted it (G2). So it is noted first, read back as
 * every reader of the log will judge it, and given out then: two holders together cannot give out more than
 * the budget allows. It costs a turn to the log, which runs without a budget do not take.
 *
 * A nested run asks the runs above it first, one batch after the other (`drawing.ts`).
 *
 * It owns the tasks between being chosen and being granted, and the deadline of the time that the budget
 * allows. It does not own what is spent, nor what follows from it: the fold does (L1).
 */
import type { TaskMessage } from "../bus/messages.ts";
import { UnreachableError } from "../workflow/errors.ts";
import { Drawing } from "./drawing.ts";
import { HOLD_LIMITS } from "./hold-context.ts";
import type { HoldFrame } from "./hold-frame.ts";

/** What becomes of the tasks that were chosen. */
interface GateScene {
  give(task: TaskMessage): void;
  /** Takes back the choice of a task that was not granted. */
  refuse(task: TaskMessage): void;
}

export class SpendingGate {
  readonly #frame: HoldFrame;
  readonly #scene: GateScene;
  readonly #drawing: Drawing;
  #drawn: Promise<void> = Promise.resolve();
  #chosen: TaskMessage[] = [];
  #underWay = 0;
  #scheduled = false;

  constructor(frame: HoldFrame, scene: GateScene) {
    this.#frame = frame;
    this.#scene = scene;
    this.#drawing = new Drawing(frame);
  }

  /** Whether the run's dispatches have to pass here. */
  get stands(): boolean {
    return this.#frame.fold.budget !== undefined;
  }

  /** Whether one more task may be chosen. */
  get isOpen(): boolean {
    const { budget } = this.#frame.fold;
    if (!budget || budget.isLifted) return true;
    if (this.#timeLeftMs() <= 0) return false;
    return budget.excess === undefined && this.#chosen.length + this.#underWay < budget.dispatchesLeft;
  }

  /** A result may have told of spending: whoever shares the budget has to know. */
  spent(): void {
    this.#drawing.tell();
  }

  /** Sees to it that the end of the allowed time is noticed, and what was spent is known above. */
  arm(): void {
    this.#drawing.tell();
    const left = this.#timeLeftMs();
    if (Number.isFinite(left)) this.#frame.deadlines.set("budget", left);
  }

  /** L3, L7: a timer decides nothing; what counts is in the log. */
  timeIsUp(): void {
    const { fold } = this.#frame;
    void this.#frame.propose(() => {
      if (fold.ended || !fold.budget || fold.budget.isTimeUp || this.#timeLeftMs() > 0) return undefined;
      const now = this.#frame.now();
      return { type: "time-spent", elapsedMs: now - (fold.startedAt ?? now) };
    });
  }

  reserve(task: TaskMessage): void {
    this.#chosen.push(task);
    if (this.#scheduled) return;
    this.#scheduled = true;
    // All that is chosen in one go is one note.
    queueMicrotask(() => {
      this.#scheduled = false;
      const tasks = this.#chosen.splice(0);
      this.#underWay += tasks.length;
      if (!this.#drawing.stands) return void this.#settle(tasks);
      // The sums that are told above hold for one batch at a time.
      this.#drawn = this.#drawn.then(() => this.#settle(tasks));
    });
  }

  async #settle(tasks: readonly TaskMessage[]): Promise<void> {
    try {
      const granted = this.#drawing.stands ? await this.#drawing.draw(tasks.length) : tasks.length;
      await this.#note(tasks.slice(0, granted));
    } catch (error) {
      return this.#frame.giveUp("dispatches could not be noted", error);
    }
    this.#underWay -= tasks.length;
    for (const task of tasks) {
      if (this.#frame.over) return;
      const { fold } = this.#frame;
      if (!this.#isGranted(task)) this.#scene.refuse(task);
      // Somebody may have wanted it stopped meanwhile: nothing of it is out, and it is closed as such.
      else if (fold.isOpen(task) && !fold.cancelling.has(task.step)) this.#scene.give(task);
    }
  }

  /** Resolves when the log has judged all of them. An append may be in the log although it failed: look again. */
  async #note(tasks: readonly TaskMessage[]): Promise<void> {
    const { run, fold, context, writer } = this.#frame;
    while (!this.#frame.over) {
      const left = tasks.filter((task) => fold.isOpen(task) && !this.#isGranted(task));
      if (left.length === 0) return;
      const at = this.#frame.now();
      const dispatched = left.map(({ step, n, role }) => ({ step, n, role, at }));
      try {
        const body = { v: 1 as const, epoch: writer.epoch, dispatched, started: [] };
        const outcome = await context.bus.log.append(run, { kind: "observed", body });
        if (outcome.ok) return await this.#frame.folded(outcome.seq);
      } catch (error) {
        if (!(error instanceof UnreachableError)) throw error;
      }
      await this.#frame.pause(HOLD_LIMITS.retryMs);
      await this.#frame.sync();
    }
  }

  #isGranted({ step, n }: TaskMessage): boolean {
    return this.#frame.fold.dispatches.get(step)?.ref.n === n;
  }

  #timeLeftMs(): number {
    const { fold } = this.#frame;
    const wall = fold.budget?.limits.wall;
    if (wall === undefined) return Number.POSITIVE_INFINITY;
    const now = this.#frame.now();
    return (fold.startedAt ?? now) + wall - now;
  }
}
