/**
 * The dispatches of one run that are out: given to a role's queue or to an agent, and not closed yet.
 *
 * It owns what is out, the note of it in the log (L6), and its places in the roles' shares. It does not own
 * whether a dispatch is still open: the fold does (L1), and a flight lands when its step has moved on.
 *
 *  - V1 At most one flight per step.
 *  - V2 Notes are written without waiting, and only about flights that are still out.
 */
import type { DispatchRef } from "../bus/messages.ts";
import type { Stopped } from "../fold/cancellations.ts";
import type { OpenDispatch } from "../fold/step-moves.ts";
import { ORCHESTRATOR_ROLE } from "../workflow/reserved-roles.ts";
import type { Dispatcher } from "./dispatcher.ts";
import type { HoldFrame } from "./hold-frame.ts";
import { OBSERVED_EVERY_MS, OBSERVED_MAX_ITEMS, ObservedBatch } from "./observed-batch.ts";
import type { TimeOuts } from "./time-outs.ts";

/** A dispatch that is out. */
export interface Flight {
  ref: DispatchRef;
  /** Monotonic ms of the push, or of the last look into the queue. */
  seenAt: number;
  started: boolean;
  /** Its place among the tasks that this daemon put into the role's queue; 0: another one did. */
  ticket: number;
}

export class Flights {
  readonly #frame: HoldFrame;
  readonly #dispatcher: Dispatcher;
  readonly #timeOuts: TimeOuts;
  readonly #out = new Map<string, Flight>();
  readonly #observed = new ObservedBatch();
  /** Who waits for a step's dispatch to be closed. */
  readonly #landings = new Map<string, () => void>();

  constructor(frame: HoldFrame, dispatcher: Dispatcher, timeOuts: TimeOuts) {
    this.#frame = frame;
    this.#dispatcher = dispatcher;
    this.#timeOuts = timeOuts;
  }

  get size(): number {
    return this.#out.size;
  }

  has(step: string): boolean {
    return this.#out.has(step);
  }

  get(step: string): Flight | undefined {
    return this.#out.get(step);
  }

  all(): IterableIterator<Flight> {
    return this.#out.values();
  }

  /** Whether something is out, and all of it is nested runs. */
  get areChildren(): boolean {
    if (this.#out.size === 0) return false;
    for (const { ref } of this.#out.values()) if (ref.role !== ORCHESTRATOR_ROLE) return false;
    return true;
  }

  // ── up and down ──────────────────────────────────────────────────────────────────────────────────

  fly(step: string, { ref, dispatchedAt, startedAt }: OpenDispatch, ticket = 0): void {
    const { context, writer } = this.#frame;
    const seenAt = context.clock.monotonic();
    this.#out.set(step, { ref, started: startedAt !== undefined, seenAt, ticket });
    this.#timeOuts.flies(step, dispatchedAt, startedAt, writer.epoch > 1);
  }

  /** A dispatch whose step moved on is no longer out. */
  land(step: string): void {
    const flight = this.#out.get(step);
    if (flight && !this.#frame.fold.isOpen(flight.ref)) this.unfly(flight);
  }

  unfly({ ref: { step, role }, ticket }: Flight): void {
    this.#out.delete(step);
    this.#frame.context.shares.of(role).take(ticket);
    this.#landings.get(step)?.();
    this.#landings.delete(step);
    this.#timeOuts.landed(step);
  }

  /** Takes a dispatch back without waiting for what comes of it. */
  withdraw(ref: DispatchRef, reason: string): void {
    const flight = this.#out.get(ref.step);
    if (!flight || flight.ref.n !== ref.n) return;
    this.unfly(flight);
    void this.#dispatcher.takeBack(flight.ref, flight.started, reason);
  }

  /** Takes a dispatch back, and resolves with what came of it. */
  async takeBack(
    { ref, started }: Flight,
    reason: string,
  ): Promise<{ step: string; n: number; how: Stopped }> {
    const { step, n } = ref;
    const closed = new Promise<void>((resolve) => this.#landings.set(step, resolve));
    const how = await this.#dispatcher.takeBack(ref, started, reason, closed);
    this.#landings.delete(step);
    return { step, n, how };
  }

  /** The hold is over: whoever goes on with the run sees to what is out. */
  leave(): void {
    const { shares } = this.#frame.context;
    for (const { ref, ticket } of this.#out.values()) shares.of(ref.role).take(ticket);
  }

  // ── notes (L6) ───────────────────────────────────────────────────────────────────────────────────

  noteDispatch(ref: DispatchRef, at: number): void {
    this.#observed.addDispatched(ref, at);
    this.#scheduleNotes();
  }

  /** An agent has begun, as far as was heard. */
  noteStart(step: string, n: number, agent: string): void {
    const flight = this.#out.get(step);
    if (!flight || flight.started || flight.ref.n !== n) return;
    flight.started = true;
    this.#frame.context.shares.of(flight.ref.role).take(flight.ticket);
    this.#observed.addStarted(flight.ref, agent, this.#frame.now());
    this.#scheduleNotes();
  }

  #scheduleNotes(): void {
    const { deadlines } = this.#frame;
    if (this.#observed.size >= OBSERVED_MAX_ITEMS) void this.writeNotes();
    else if (!deadlines.has("observed")) deadlines.set("observed", OBSERVED_EVERY_MS);
  }

  /** V2. Before its claim, a hold has nothing to note. */
  async writeNotes(): Promise<void> {
    const { run, context, deadlines, writer } = this.#frame;
    deadlines.clear("observed");
    const body = this.#observed.take(writer.epoch, (step, n) => this.#out.get(step)?.ref.n === n);
    if (!body) return;
    try {
      await context.bus.log.append(run, { kind: "observed", body });
    } catch (error) {
      context.log.debug({ run, err: error }, "a note of dispatches was lost");
    }
  }
}
