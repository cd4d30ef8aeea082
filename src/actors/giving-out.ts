/**
 * Giving ready steps out: which one next, when it may be, and with what task.
 *
 * It owns the steps that are offered, the turns with other runs (R2) and the budget's gate. It does not own
 * what is out (the flights do) nor how a task gets into its queue (the dispatcher does).
 *
 *  - H3 Never more than the run's `maxParallel` dispatches are out.
 */
import type { TaskMessage } from "../bus/messages.ts";
import type { Dispatcher } from "./dispatcher.ts";
import type { Flights } from "./flights.ts";
import type { HoldFrame } from "./hold-frame.ts";
import { Offers } from "./offers.ts";
import type { Sharer } from "./role-shares.ts";
import { SpendingGate } from "./spending-gate.ts";
import type { TimeOuts } from "./time-outs.ts";

/** What giving out needs of the hold. */
interface GivingScene {
  /** Nothing may be given out now, for a reason of the hold's own. */
  isIdle(): boolean;
  /** Something may be given out again. */
  wake(): void;
}

export class GivingOut implements Sharer {
  readonly gate: SpendingGate;
  readonly #frame: HoldFrame;
  readonly #flights: Flights;
  readonly #dispatcher: Dispatcher;
  readonly #timeOuts: TimeOuts;
  readonly #scene: GivingScene;
  #offers: Offers | undefined;

  constructor(
    frame: HoldFrame,
    flights: Flights,
    dispatcher: Dispatcher,
    timeOuts: TimeOuts,
    scene: GivingScene,
  ) {
    this.#frame = frame;
    this.#flights = flights;
    this.#dispatcher = dispatcher;
    this.#timeOuts = timeOuts;
    this.#scene = scene;
    this.gate = new SpendingGate(frame, {
      give: (task) => void dispatcher.push(task),
      refuse: (task) => this.takeBackChoice(task),
    });
  }

  // ── offers ───────────────────────────────────────────────────────────────────────────────────────

  /** The step is ready: it may be given out, now or after its back-off. */
  offer(step: string): void {
    const { fold, deadlines } = this.#frame;
    const wait = fold.notBefore(step) - this.#frame.now();
    this.#timeOuts.ready(step);
    if (wait > 0) return deadlines.set(`back-off ${step}`, wait);
    if (!this.#offers && fold.steps) this.#offers = new Offers(fold.steps);
    this.#offers?.add(step, fold.step(step).context.role);
  }

  /** The step's back-off is over. */
  backOffOver(step: string): void {
    if (this.#frame.fold.ready.has(step)) this.offer(step);
  }

  offerReady(): void {
    const { ready, waits } = this.#frame.fold;
    for (const step of ready) if (!this.#flights.has(step) && !waits.has(step)) this.offer(step);
  }

  /** Another graph: what is ready is given out in its order. */
  reorder(): void {
    this.#offers = undefined;
    this.offerReady();
  }

  // ── choosing ─────────────────────────────────────────────────────────────────────────────────────

  /** Gives out all that may be. */
  giveAll(): void {
    const { shares } = this.#frame.context;
    const inLine = new Set<string>();
    while (this.#mayGiveOut) {
      const role = this.#offers?.nextRole(inLine);
      if (role === undefined) break;
      if (shares.of(role).mayGive(this)) this.#giveOne(role);
      else inLine.add(role);
    }
  }

  get #mayGiveOut(): boolean {
    return this.#flights.size < (this.#frame.fold.graph?.maxParallel ?? 0) && this.gate.isOpen;
  }

  /** R2: gives out a task of the role, for which others wait as well. */
  takeTurn(role: string): boolean {
    const { fold } = this.#frame;
    if (this.#scene.isIdle() || fold.status !== "running" || fold.dueEnd() !== undefined) return false;
    if (this.#mayGiveOut) this.#giveOne(role);
    return this.#mayGiveOut && this.#offers?.has(role) === true;
  }

  /** Gives out the next step of the role that still may be. */
  #giveOne(role: string): void {
    const { fold } = this.#frame;
    for (let step = this.#offers?.take(role); step !== undefined; step = this.#offers?.take(role)) {
      // A step may have been offered twice: what an older offer left here does not shorten a back-off.
      if (fold.notBefore(step) > this.#frame.now()) continue;
      const { ready, waits, cancelling } = fold;
      if (!ready.has(step) || waits.has(step) || cancelling.has(step) || this.#flights.has(step)) continue;
      return this.#dispatch(step);
    }
  }

  #dispatch(step: string): void {
    const { run, fold, context } = this.#frame;
    const now = this.#frame.now();
    const timeoutMs = fold.steps?.step(step).timeoutMs;
    const deadline = timeoutMs === undefined ? undefined : now + timeoutMs;
    const task = this.#traced(fold.taskOf(step, deadline));
    const ref = { run, step, n: task.n, role: task.role };
    const ticket = context.shares.of(task.role).give();
    this.#flights.fly(step, { ref, dispatchedAt: now, startedAt: undefined }, ticket);
    if (this.gate.stands) return this.gate.reserve(task);
    this.#flights.noteDispatch(ref, now);
    void this.#dispatcher.push(task);
  }

  /** A dispatch that was chosen and must not be given out: its step waits again. */
  takeBackChoice({ step, n }: TaskMessage): void {
    const flight = this.#flights.get(step);
    if (flight?.ref.n !== n) return;
    this.#flights.unfly(flight);
    if (this.#frame.fold.ready.has(step)) this.offer(step);
    this.#scene.wake();
  }

  /** With its dispatch's trace context, where somebody collects spans. */
  #traced(task: TaskMessage): TaskMessage {
    const { spanIds } = this.#frame;
    if (spanIds === undefined) return task;
    return { ...task, traceparent: spanIds.traceparent(task.step, task.n) };
  }
}
