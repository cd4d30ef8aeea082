/**
 * Gets tasks into their roles' queues, and back out of them.
 *
 * It owns how long and how often that is tried. It does not own which tasks are out: the hold does. Nothing
 * here rejects: what cannot be done is logged, or told through the run's log.
 */
import { checkIn, travelsAsItIs } from "../bus/claim-check.ts";
import type { DispatchRef, TaskMessage, WireError } from "../bus/messages.ts";
import type { Stopped } from "../fold/cancellations.ts";
import { DataHammerError, UnreachableError } from "../workflow/errors.ts";
import { ORCHESTRATOR_ROLE } from "../workflow/reserved-roles.ts";
import { findChild, type NestingTerms, startChild, stopChild } from "./child-runs.ts";
import { HOLD_LIMITS, type HoldContext } from "./hold-context.ts";

/** What the dispatcher needs of the hold. */
export interface DispatchScene {
  /** Whether the hold goes on and the dispatch's step waits for the result. */
  isOpen(ref: DispatchRef): boolean;
  /** Whether the dispatch may be given out: it is open, and its run is not paused. */
  isWanted(ref: DispatchRef): boolean;
  /** The task was not given out, because it is not wanted now. */
  onKept(task: TaskMessage): void;
  /** Folds the run's log to its end. */
  readLog(): Promise<unknown>;
  /** Whether the hold is over. */
  over(): boolean;
  /** Resolves after a pause; early when the hold ends. */
  pause(delayMs: number): Promise<void>;
  /** What a nested run is given by this one. */
  nestingTerms(): NestingTerms;
  /** A nested run was submitted: its dispatch has begun. */
  started(ref: DispatchRef, child: string): void;
}

export class Dispatcher {
  readonly #context: HoldContext;
  readonly #scene: DispatchScene;
  /** Dispatches whose tasks the broker did not take so far, by step and n. */
  readonly #refused = new Set<string>();

  constructor(context: HoldContext, scene: DispatchScene) {
    this.#context = context;
    this.#scene = scene;
  }

  /** Puts a task into its role's queue; `present` there means that it was put before (B3). */
  async push(task: TaskMessage): Promise<void> {
    const { run, step, n, role } = task;
    const ref = { run, step, n, role };
    this.#announce(task);
    try {
      const given = await this.#persist(
        ref,
        () => this.#push(task),
        () => this.#scene.isWanted(ref),
        this.#refused,
      );
      if (!given && !(await this.#mayBeOut(ref))) this.#scene.onKept(task);
    } catch (cause) {
      await this.#fail(ref, unsendable(ref, cause));
    } finally {
      if (this.#refused.size > 0) this.#refused.delete(`${step}#${n}`);
    }
  }

  /** Whether the task is not in its queue because there is no room, or no broker: it is not lost (L10). */
  isTrying({ step, n }: DispatchRef): boolean {
    return this.#refused.has(`${step}#${n}`);
  }

  /** Whether what was pushed without an answer got through: then it keeps its place among what is out. */
  async #mayBeOut(ref: DispatchRef): Promise<boolean> {
    const { bus } = this.#context;
    let isThere = true;
    await this.#persist(ref, async () => {
      isThere =
        ref.role === ORCHESTRATOR_ROLE ? (await findChild(bus, ref)) !== undefined : await bus.tasks.has(ref);
      // L10: of a task that is done already, the log has the result.
      if (!isThere) await this.#scene.readLog();
    });
    return isThere || !this.#scene.isOpen(ref);
  }

  /** Fails a dispatch whose task, like those of the ones before it, is gone from its queue (L8). */
  async giveUpLost(ref: DispatchRef): Promise<void> {
    const { lostInARow } = HOLD_LIMITS;
    const message =
      `its task vanished from the queue of role ${ref.role} ${lostInARow + 1} times in a row, the bound is ` +
      `${lostInARow}: something removes tasks there`;
    await this.#fail(ref, { name: "TaskLostError", code: "E_LOST", message, retryable: false });
  }

  /** Tells watchers from whom the work passes to whom. */
  #announce({ run, step, n, role, task, handoff }: TaskMessage): void {
    const from = handoff?.from ?? [];
    if (from.length === 0) return;
    this.#context.bus.live.publishHandoff({
      run,
      step,
      n,
      kind: handoff?.reason === undefined ? "flow" : "handoff",
      from,
      to: { role, task },
      reason: handoff?.reason ?? `${from.map((source) => source.step).join(", ")} done`,
    });
  }

  /** Tries again for as long as the broker is away and it is wanted. Resolves with whether it was done. */
  async #persist(
    ref: DispatchRef,
    act: () => Promise<void>,
    isWanted = () => this.#scene.isOpen(ref),
    refused?: Set<string>,
  ): Promise<boolean> {
    let pauseMs: number = HOLD_LIMITS.retryMs;
    do {
      try {
        await act();
        return true;
      } catch (error) {
        if (!(error instanceof UnreachableError)) throw error;
        refused?.add(`${ref.step}#${ref.n}`);
        // As many lines as tasks: who watches the broker tells it once.
        this.#context.log.debug({ ...ref, err: error }, "the broker does not take the task; trying again");
        await this.#scene.pause(pauseMs);
        const { retryMaxMs, fullRetryMs } = HOLD_LIMITS;
        pauseMs = error.code === "E_BROKER_FULL" ? fullRetryMs : Math.min(2 * pauseMs, retryMaxMs);
      }
    } while (isWanted());
    return false;
  }

  /**
   * Removes the task, and asks the agent that has it to stop. Resolves when it has, when its result is there
   * (`closed`), or after the bound: then it is given up, and its result will be late.
   */
  async takeBack(
    ref: DispatchRef,
    started: boolean,
    reason: string,
    closed?: Promise<void>,
  ): Promise<Stopped> {
    const { bus, log } = this.#context;
    try {
      if (ref.role === ORCHESTRATOR_ROLE) {
        // The child ends in its own time, and its result will be late.
        await this.#persist(
          ref,
          () => stopChild(bus, ref, reason),
          () => !this.#scene.over(),
        );
        return "stopped";
      }
      // Whoever took it may not have been heard to start.
      const held = started || ((await bus.tasks.has(ref)) && (await bus.tasks.isTaken(ref)));
      const stopping = held ? bus.live.cancel(ref, reason, HOLD_LIMITS.cancelWaitMs) : undefined;
      // When the removal fails first, nobody hears how the request went: it must not end the process then.
      stopping?.catch(() => undefined);
      await bus.tasks.remove(ref);
      if (stopping === undefined) return "removed";
      if (await Promise.race([stopping, ...(closed ? [closed.then(() => true)] : [])])) return "stopped";
      log.warn(ref, "agent did not stop within the bound; its result will be late");
    } catch (error) {
      // The task may be delivered once more; whoever gets it asks first, or its result is late (L4).
      log.warn({ ...ref, err: error }, "task could not be taken back");
    }
    return "given-up";
  }

  async #push(task: TaskMessage): Promise<void> {
    const { bus } = this.#context;
    if (task.role === ORCHESTRATOR_ROLE) return this.#startChild(task);
    // Without waiting where nothing is large, so that the task shares a write with what announces it.
    if (travelsAsItIs(task.inputs, bus.artifacts.claimCheckBytes)) {
      await bus.tasks.push(task);
      return;
    }
    await bus.tasks.push({ ...task, inputs: await checkIn(bus.artifacts, task.run, task.inputs) });
  }

  async #startChild(task: TaskMessage): Promise<void> {
    const { bus } = this.#context;
    const child = await startChild(bus, task, this.#scene.nestingTerms());
    if (this.#scene.isOpen(task)) this.#scene.started(task, child);
    // Withdrawn while its submission was on its way: nobody else would stop it.
    else await stopChild(bus, task, "its step needs it no more");
  }

  /** A dispatch that no agent can end ends through the log like any other: by a result, of its holder. */
  async #fail(ref: DispatchRef, error: WireError): Promise<void> {
    const { run, step, n, role } = ref;
    const { bus, holder, log } = this.#context;
    if (!this.#scene.isOpen(ref)) return;
    const body = { v: 1, run, step, n, agent: holder, status: "failed", error } as const;
    try {
      await this.#persist(ref, async () => void (await bus.log.append(run, { kind: "result", role, body })));
    } catch (thrown) {
      log.error({ ...ref, err: thrown, code: error.code }, "a dispatch could not be failed");
    }
  }
}

/** Why a task can never be pushed. */
function unsendable({ role }: DispatchRef, thrown: unknown): WireError {
  const cause = thrown instanceof Error ? thrown : new Error(String(thrown));
  const code = cause instanceof DataHammerError ? cause.code : "E_DISPATCH";
  const message = role === ORCHESTRATOR_ROLE ? cause.message : `inputs cannot be sent: ${cause.message}`;
  // Another attempt at a limit lets the run's own budget decide.
  return { name: cause.name, code, message, retryable: code === "E_BUDGET" };
}
