/**
 * The gate before the dispatches of a run with a budget.
 *
 * A dispatch of such a run counts only once the log has granted it (G2). So it is noted first, read back as
 * every reader of the log will judge it, and given out then: two holders together cannot give out more than
 * the budget allows. It costs a turn to the log, which runs without a budget do not take.
 *
 * It owns the tasks between being chosen and being granted, and the deadline of the time that the budget
 * allows. It does not own what is spent, nor what follows from it: the fold does (L1).
 */
import type { Bus } from "../bus/bus.ts";
import type { TaskMessage } from "../bus/messages.ts";
import type { RunFold } from "../fold/run-fold.ts";
import { UnreachableError } from "../workflow/errors.ts";
import type { Proposal } from "./decision-writer.ts";
import { HOLD_LIMITS } from "./hold-context.ts";

/** What the gate needs of the hold. */
export interface SpendingScene {
  readonly bus: Bus;
  readonly fold: RunFold;
  readonly epoch: number;
  /** Epoch ms by the hold's reckoning (L7). */
  now(): number;
  /** Resolves once the log is folded up to this sequence, or the hold is over. */
  folded(seq: number): Promise<void>;
  /** Reads the log to its end from the leader. */
  sync(): Promise<unknown>;
  pause(delayMs: number): Promise<void>;
  over(): boolean;
  propose(make: () => Proposal | undefined): void;
  /** Calls `timeIsUp` after a delay. */
  armDeadline(delayMs: number): void;
  /** The run cannot be held any longer. */
  fail(error: unknown): void;
  give(task: TaskMessage): void;
  /** Takes back the choice of a task that was not granted. */
  refuse(task: TaskMessage): void;
}

export class SpendingGate {
  readonly #scene: SpendingScene;
  #chosen: TaskMessage[] = [];
  #underWay = 0;
  #scheduled = false;

  constructor(scene: SpendingScene) {
    this.#scene = scene;
  }

  /** Whether the run's dispatches have to pass here. */
  get stands(): boolean {
    return this.#scene.fold.budget !== undefined;
  }

  /** Whether one more task may be chosen. */
  get isOpen(): boolean {
    const { budget } = this.#scene.fold;
    if (!budget || budget.isLifted) return true;
    if (this.#timeLeftMs() <= 0) return false;
    return budget.excess === undefined && this.#chosen.length + this.#underWay < budget.dispatchesLeft;
  }

  /** Sees to it that the end of the allowed time is noticed. */
  arm(): void {
    const left = this.#timeLeftMs();
    if (Number.isFinite(left)) this.#scene.armDeadline(left);
  }

  /** L3, L7: a timer decides nothing; what counts is in the log. */
  timeIsUp(): void {
    const { fold, now, propose } = this.#scene;
    propose(() => {
      if (fold.ended || !fold.budget || fold.budget.isTimeUp || this.#timeLeftMs() > 0) return undefined;
      return { type: "time-spent", elapsedMs: now() - (fold.startedAt ?? now()) };
    });
  }

  reserve(task: TaskMessage): void {
    this.#chosen.push(task);
    if (this.#scheduled) return;
    this.#scheduled = true;
    // All that is chosen in one go is one note.
    queueMicrotask(() => {
      this.#scheduled = false;
      void this.#settle(this.#chosen.splice(0));
    });
  }

  async #settle(tasks: readonly TaskMessage[]): Promise<void> {
    this.#underWay += tasks.length;
    try {
      await this.#note(tasks);
    } catch (error) {
      return this.#scene.fail(error);
    }
    this.#underWay -= tasks.length;
    for (const task of tasks) {
      if (this.#scene.over()) return;
      if (!this.#isGranted(task)) this.#scene.refuse(task);
      else if (this.#scene.fold.isOpen(task)) this.#scene.give(task);
    }
  }

  /** Resolves when the log has judged all of them. An append may be in the log although it failed: look again. */
  async #note(tasks: readonly TaskMessage[]): Promise<void> {
    const { bus, fold, epoch, now, over } = this.#scene;
    while (!over()) {
      const left = tasks.filter((task) => fold.isOpen(task) && !this.#isGranted(task));
      if (left.length === 0) return;
      const at = now();
      const dispatched = left.map(({ step, n, role }) => ({ step, n, role, at }));
      try {
        const body = { v: 1 as const, epoch, dispatched, started: [] };
        const outcome = await bus.log.append(fold.run, { kind: "observed", body });
        if (outcome.ok) return await this.#scene.folded(outcome.seq);
      } catch (error) {
        if (!(error instanceof UnreachableError)) throw error;
      }
      await this.#scene.pause(HOLD_LIMITS.retryMs);
      await this.#scene.sync();
    }
  }

  #isGranted({ step, n }: TaskMessage): boolean {
    return this.#scene.fold.dispatches.get(step)?.ref.n === n;
  }

  #timeLeftMs(): number {
    const { fold, now } = this.#scene;
    const wall = fold.budget?.limits.wall;
    return wall === undefined ? Number.POSITIVE_INFINITY : (fold.startedAt ?? now()) + wall - now();
  }
}
