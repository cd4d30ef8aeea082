/**
 * The time-outs of a run and its steps: armed from what the log says, so that they go on counting over a
 * failover, and decided through the log (L3, L7).
 *
 * It owns which clock a step is on and what it proposes when one runs out. It does not own whether that
 * counts: the fold judges each decision by the state at its place.
 *
 *  - T1 A time-out is decided from the absence of something, so the log is read to its end before (L10).
 *  - T2 A dispatch was left in its queue only if the queue says so: `started` is a live message, and those are
 *    lost while no daemon listens.
 *  - T3 Steps without time-outs cost nothing here.
 */
import type { DispatchRef } from "../bus/messages.ts";
import type { StepTimeouts } from "../workflow/step-timeouts.ts";
import { answerDueAt, defaultAnswer } from "./answer-deadline.ts";
import type { HoldFrame } from "./hold-frame.ts";

/** A dispatch that was out when the run changed hands is looked for this soon, if its start would be timed. */
const TAKEN_LOOK_MS = 1_000;

const RUN = "run-time-out";

export class TimeOuts {
  readonly #frame: HoldFrame;
  readonly #flight: (step: string) => DispatchRef | undefined;
  /** Monotonic ms of the last sign of life, of steps that have a heartbeat. */
  readonly #heardAt = new Map<string, number>();

  /** @param flight the step's dispatch that is out */
  constructor(frame: HoldFrame, flight: (step: string) => DispatchRef | undefined) {
    this.#frame = frame;
    this.#flight = flight;
  }

  // ── arming ───────────────────────────────────────────────────────────────────────────────────────

  /** After a claim or a retry: what stands in the log is armed again. */
  resume(): void {
    const { fold } = this.#frame;
    this.#armRun();
    for (const step of fold.waits.keys()) this.waits(step);
    for (const step of fold.clocked.keys()) this.#armStep(step);
  }

  /** The step became ready, for the first time or again. */
  ready(step: string): void {
    if (this.#frame.fold.clocked.has(step)) this.#armStep(step);
  }

  /** The step waits for somebody outside. */
  waits(step: string): void {
    this.ready(step);
    const dueAt = answerDueAt(this.#frame.fold, step);
    if (dueAt !== undefined) this.#at(`answer ${step}`, dueAt);
  }

  /** @param unheard its start may have been announced while another held the run */
  flies(step: string, dispatchedAt: number, startedAt: number | undefined, unheard: boolean): void {
    const definition = this.#frame.fold.steps?.step(step);
    if (definition?.timeoutMs !== undefined)
      this.#at(`time-out ${step}`, dispatchedAt + definition.timeoutMs);
    const { timeouts } = definition ?? {};
    if (!timeouts) return;
    if (startedAt !== undefined) return this.#armWork(step, timeouts, startedAt);
    if (timeouts.queueMs !== undefined) this.#at(`queue ${step}`, dispatchedAt + timeouts.queueMs);
    if (unheard && timesWork(timeouts)) this.#frame.deadlines.set(`taken ${step}`, TAKEN_LOOK_MS);
  }

  /** The log says that an agent has begun. */
  started(step: string, startedAt: number): void {
    const timeouts = this.#timeoutsOf(step);
    if (!timeouts) return;
    this.#frame.deadlines.clear(`queue ${step}`);
    this.#frame.deadlines.clear(`taken ${step}`);
    this.#armWork(step, timeouts, startedAt);
  }

  /** A sign of life of the agent that has the step. */
  heard(step: string): void {
    if (this.#heardAt.has(step)) this.#heardAt.set(step, this.#frame.context.clock.monotonic());
  }

  /** The step's dispatch is over. */
  landed(step: string): void {
    const { deadlines } = this.#frame;
    deadlines.clear(`time-out ${step}`);
    if (!this.#timeoutsOf(step)) return;
    for (const what of ["queue", "execution", "heartbeat", "taken"]) deadlines.clear(`${what} ${step}`);
    this.#heardAt.delete(step);
  }

  /** Whether a deadline is about something that still matters, for a run of which nothing is out. */
  matters(what: string, step: string | undefined): boolean {
    const { fold } = this.#frame;
    if (what === "answer") return fold.waits.has(step ?? "");
    if (what === "step") return fold.clocked.has(step ?? "");
    return what === RUN;
  }

  #armRun(): void {
    const { fold } = this.#frame;
    if (fold.timeoutMs !== undefined && fold.timedFrom !== undefined && !fold.ended)
      this.#at(RUN, fold.timedFrom + fold.timeoutMs);
  }

  #armStep(step: string): void {
    const since = this.#frame.fold.clocked.get(step);
    const stepMs = this.#timeoutsOf(step)?.stepMs;
    if (since !== undefined && stepMs !== undefined) this.#at(`step ${step}`, since + stepMs);
  }

  #armWork(step: string, { runMs, heartbeatMs }: StepTimeouts, startedAt: number): void {
    if (runMs !== undefined) this.#at(`execution ${step}`, startedAt + runMs);
    if (heartbeatMs === undefined) return;
    // Over a failover the silence counts from the claim: what was said before was said to another.
    this.#heardAt.set(step, this.#frame.context.clock.monotonic());
    this.#frame.deadlines.set(`heartbeat ${step}`, heartbeatMs);
  }

  #at(key: string, dueAt: number): void {
    this.#frame.deadlines.set(key, dueAt - this.#frame.now());
  }

  #timeoutsOf(step: string): StepTimeouts | undefined {
    const { steps } = this.#frame.fold;
    // A plan that was revised may have let go of the step.
    return steps?.has(step) ? steps.step(step).timeouts : undefined;
  }

  // ── running out ──────────────────────────────────────────────────────────────────────────────────

  /** Whether the deadline is one of these; if so, it has run out. */
  ranOut(what: string, step: string | undefined): boolean {
    if (what === RUN) void this.#endRun();
    else if (step === undefined) return false;
    else if (what === "time-out") void this.#decide(step, "E_TIMEOUT", this.#stepTimeoutMs(step));
    else if (what === "queue") void this.#leftInQueue(step);
    else if (what === "execution")
      void this.#decide(step, "E_EXECUTION_TIMEOUT", this.#timeoutsOf(step)?.runMs);
    else if (what === "heartbeat") void this.#silent(step);
    else if (what === "taken") void this.#lookWhetherTaken(step);
    else if (what === "step") void this.#decideStep(step);
    else if (what === "answer") void this.#answerByDefault(step);
    else return false;
    return true;
  }

  #stepTimeoutMs(step: string): number | undefined {
    return this.#frame.fold.steps?.step(step).timeoutMs;
  }

  async #decide(step: string, code: string, afterMs: number | undefined): Promise<void> {
    const { fold } = this.#frame;
    const ref = this.#flight(step);
    if (!ref || afterMs === undefined) return;
    await this.#frame.sync(); // T1
    const { n } = ref;
    void this.#frame.propose(() =>
      fold.isOpen(ref) ? { type: "timed-out", step, n, code, afterMs } : undefined,
    );
  }

  async #leftInQueue(step: string): Promise<void> {
    const { bus, log } = this.#frame.context;
    const ref = this.#flight(step);
    if (!ref) return;
    try {
      // T2: whoever took it lets its work be timed from now.
      if (await bus.tasks.isTaken(ref)) return this.#frame.over ? undefined : this.#begunUnheard(step, ref);
    } catch (error) {
      log.debug({ ...ref, err: error }, "the queue could not be looked into");
      return this.#frame.over ? undefined : this.#frame.deadlines.set(`queue ${step}`, TAKEN_LOOK_MS);
    }
    await this.#decide(step, "E_QUEUE_TIMEOUT", this.#timeoutsOf(step)?.queueMs);
  }

  async #lookWhetherTaken(step: string): Promise<void> {
    const { bus, log } = this.#frame.context;
    const ref = this.#flight(step);
    if (!ref) return;
    try {
      if ((await bus.tasks.isTaken(ref)) && !this.#frame.over) this.#begunUnheard(step, ref);
    } catch (error) {
      log.debug({ ...ref, err: error }, "the queue could not be looked into");
      if (!this.#frame.over) this.#frame.deadlines.set(`taken ${step}`, TAKEN_LOOK_MS);
    }
  }

  /** Somebody has the task and was not heard: its work counts from now, at worst. */
  #begunUnheard(step: string, ref: DispatchRef): void {
    const isSame = this.#flight(step)?.n === ref.n;
    const isUnheard = this.#frame.fold.step(step).state === "ready" && !this.#heardAt.has(step);
    if (isSame && isUnheard) this.started(step, this.#frame.now());
  }

  async #silent(step: string): Promise<void> {
    const heartbeatMs = this.#timeoutsOf(step)?.heartbeatMs;
    const heardAt = this.#heardAt.get(step);
    if (heartbeatMs === undefined || heardAt === undefined) return;
    const leftMs = heardAt + heartbeatMs - this.#frame.context.clock.monotonic();
    if (leftMs > 0) return this.#frame.deadlines.set(`heartbeat ${step}`, leftMs);
    await this.#decide(step, "E_HEARTBEAT_TIMEOUT", heartbeatMs);
  }

  async #decideStep(step: string): Promise<void> {
    const { fold } = this.#frame;
    await this.#frame.sync(); // T1
    const afterMs = this.#timeoutsOf(step)?.stepMs;
    void this.#frame.propose(() => {
      const since = fold.clocked.get(step);
      if (fold.ended || since === undefined || afterMs === undefined) return undefined;
      if (this.#frame.now() < since + afterMs) {
        this.#armStep(step);
        return undefined;
      }
      return { type: "timed-out", step, n: fold.step(step).context.n, code: "E_STEP_TIMEOUT", afterMs };
    });
  }

  /** Nobody answered in time: what the workflow says for that case counts. */
  async #answerByDefault(step: string): Promise<void> {
    const { fold } = this.#frame;
    await this.#frame.sync(); // T1
    const dueAt = answerDueAt(fold, step);
    if (this.#frame.over || dueAt === undefined) return;
    if (this.#frame.now() < dueAt) return this.waits(step);
    void this.#frame.propose(() => defaultAnswer(fold, step, this.#frame.now()));
  }

  async #endRun(): Promise<void> {
    const { fold } = this.#frame;
    await this.#frame.sync(); // T1
    void this.#frame.propose(() => {
      const { timeoutMs, timedFrom } = fold;
      if (fold.ended || timeoutMs === undefined || timedFrom === undefined) return undefined;
      if (this.#frame.now() >= timedFrom + timeoutMs) return { type: "run-timed-out", afterMs: timeoutMs };
      // A retry has set it going anew.
      this.#armRun();
      return undefined;
    });
  }
}

function timesWork({ runMs, heartbeatMs }: StepTimeouts): boolean {
  return runMs !== undefined || heartbeatMs !== undefined;
}
