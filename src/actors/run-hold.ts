/**
 * A hold: one daemon's time as the orchestrator of one run, from claim to end, hand-over or fencing.
 *
 * It owns performing what the orchestrator actor decided: giving steps out, taking them back, writing
 * decisions, arming timers, telling watchers. It does not own the run's state (the fold does, L1) nor the
 * run's task in the queue (the orchestrator agent does, L5).
 *
 *  - H1 Nothing is performed before the log is read to its end and the claim is folded.
 *  - H2 Everything that has arrived is folded before anything is performed (L2).
 *  - H3 Never more than the run's `maxParallel` dispatches are out.
 *  - H4 Once fenced, nothing is performed any more (L3).
 *  - H5 When its lease has run out (the process slept), nothing is performed before the log is read to its end:
 *    another may have claimed the run meanwhile, and what is out by now may be done.
 */
import { type Actor, createActor } from "xstate";
import type { LogFollower, LogRecord, Subscription } from "../bus/bus.ts";
import {
  type Answer,
  type DispatchRef,
  type LiveMessage,
  type Question,
  type TaskMessage,
  WIRE_VERSION,
} from "../bus/messages.ts";
import { SpanIds } from "../bus/span-ids.ts";
import type { Stopped } from "../fold/cancellations.ts";
import type { Effect } from "../fold/effect.ts";
import type { RunFold } from "../fold/run-fold.ts";
import { runSummaryOf } from "../fold/run-summary.ts";
import type { OpenDispatch } from "../fold/step-moves.ts";
import { ORCHESTRATOR_ROLE } from "../workflow/reserved-roles.ts";
import { answerFrom } from "./answer.ts";
import { findChild, isAwaited, reportToParent } from "./child-runs.ts";
import { Deadlines } from "./deadlines.ts";
import { DecisionWriter, type Proposal } from "./decision-writer.ts";
import { Dispatcher } from "./dispatcher.ts";
import { EnvFeed } from "./env-feed.ts";
import { HOLD_LIMITS, type HoldContext } from "./hold-context.ts";
import { type HoldOutcome, liveFoldObserver } from "./hold-observer.ts";
import { OBSERVED_EVERY_MS, OBSERVED_MAX_ITEMS, ObservedBatch } from "./observed-batch.ts";
import { Offers } from "./offers.ts";
import { type OrchestratorLogic, orchestratorLogic } from "./orchestrator.ts";
import { Parking, type ParkingScene } from "./parking.ts";
import { PlanKeeper, ROLE_LOOK_MS } from "./plan-keeper.ts";
import type { Sharer } from "./role-shares.ts";
import { SpendingGate } from "./spending-gate.ts";
import { type TimeOutScene, TimeOuts } from "./time-outs.ts";
import { ValueResolver } from "./value-resolver.ts";

/** A dispatch that is out. */
interface Flight {
  ref: DispatchRef;
  /** Monotonic ms of the push, or of the last look into the queue. */
  seenAt: number;
  started: boolean;
  /** Its place among the tasks that this daemon put into the role's queue; 0: another one did. */
  ticket: number;
}

export class RunHold implements Sharer {
  readonly run: string;
  /** Resolves when the hold is over. Never rejects. */
  readonly ended: Promise<HoldOutcome>;
  readonly #context: HoldContext;
  readonly #actor: Actor<OrchestratorLogic>;
  readonly #writer: DecisionWriter;
  readonly #deadlines: Deadlines;
  readonly #dispatcher: Dispatcher;
  readonly #gate: SpendingGate;
  readonly #keeper: PlanKeeper;
  readonly #resolver: ValueResolver;
  readonly #envFeed: EnvFeed;
  readonly #parking: Parking;
  readonly #timeOuts: TimeOuts;
  readonly #observed = new ObservedBatch();
  readonly #flights = new Map<string, Flight>();
  /** Who waits for a step's dispatch to be closed. */
  readonly #landings = new Map<string, () => void>();
  readonly #waiters: { seq: number; resolve: () => void }[] = [];
  readonly #pauses = new Set<() => void>();
  #offers: Offers | undefined;
  #follower: LogFollower | undefined;
  #live: Subscription | undefined;
  #settle: (outcome: HoldOutcome) => void = () => {};
  #over = false;
  #active = false;
  #actScheduled = false;
  #ending = false;
  #doubtful = false;
  #undoubtedAt = 0;
  #claimedAt = { epochMs: 0, monotonicMs: 0 };
  #heardAt = 0;
  #summaryDirty = false;
  #readTo = 0;
  #spanIds: SpanIds | undefined;
  /** What was in the queues when this hold took over. */
  #left: readonly DispatchRef[] = [];

  constructor(run: string, context: HoldContext) {
    this.run = run;
    this.#context = context;
    const observer = context.observer && liveFoldObserver(context.observer, this);
    this.#actor = createActor(orchestratorLogic, { id: run, input: { run, ...(observer && { observer }) } });
    this.#actor.start();
    this.#deadlines = new Deadlines(context.clock, (key) => this.#onDeadline(key));
    this.#writer = new DecisionWriter(context.bus, run, this.#decisionScene());
    this.#dispatcher = new Dispatcher(context, {
      isOpen: (ref) => !this.#over && this.fold.isOpen(ref),
      isWanted: (ref) => !this.#over && this.fold.status === "running" && this.fold.isOpen(ref),
      onKept: (task) => {
        if (!this.#over) this.#unchoose(task);
      },
      pause: (delayMs) => this.#pause(delayMs),
      nestingTerms: () => ({
        depth: this.fold.submission?.parent?.depth ?? 0,
        budget: this.fold.budget?.left(this.#now() - (this.fold.startedAt ?? this.#now())),
      }),
      started: ({ step, n }, child) => this.#noteStart(step, n, child),
    });
    this.#gate = new SpendingGate(this.#spendingScene());
    this.#keeper = new PlanKeeper(context.planning, {
      fold: () => this.fold,
      over: () => this.#over,
      propose: (make) => this.#propose(make),
      giveUp: (what, error) => this.#giveUp(what, error),
    });
    this.#resolver = new ValueResolver(context, {
      fold: () => this.fold,
      over: () => this.#over,
      pause: (delayMs) => this.#pause(delayMs),
      propose: (make) => this.#propose(make),
      giveUp: (what, error) => this.#giveUp(what, error),
    });
    this.#envFeed = new EnvFeed(context);
    this.#timeOuts = new TimeOuts(this.#timeOutScene());
    this.#parking = new Parking(this.#parkingScene());
    this.ended = new Promise((resolve) => {
      this.#settle = resolve;
    });
  }

  /** Whether it has nothing to do until a nested run of it ends. */
  get waitsForChildren(): boolean {
    if (this.#flights.size === 0) return false;
    for (const { ref } of this.#flights.values()) if (ref.role !== ORCHESTRATOR_ROLE) return false;
    return true;
  }

  get fold(): RunFold {
    return this.#actor.getSnapshot().fold;
  }

  /** Whether it is at work: after its claim, before its end. */
  get active(): boolean {
    return this.#active;
  }

  /** Up to here the log was read without a gap. Of what was folded beyond, a live copy may be missing. */
  get readTo(): number {
    return this.#readTo;
  }

  /** Reads the log, claims the run and takes it on. Returns when the run is being worked on, or the hold is over. */
  async start(): Promise<void> {
    try {
      await this.#takeOn();
    } catch (error) {
      if (this.#over) return;
      this.#context.log.error({ run: this.run, err: error }, "run could not be taken on");
      this.#close("released");
    }
  }

  async #takeOn(): Promise<void> {
    const { bus, log, holder, clock } = this.#context;
    const taken = clock.monotonic();
    this.#follower = await bus.log.follow(this.run, (record) => this.#onRecord(record), {
      onDisorder: (missedSeq) => this.#onDisorder(missedSeq),
    });
    this.#readTo = await this.#follower.caughtUp;
    if (this.fold.newer) return this.#leaveToNewer();
    const replayMs = Math.round(clock.monotonic() - taken);
    if (!this.fold.submission || this.fold.ended) {
      // Its holder may have died between the end and what the parent waits for (N1).
      if (await isAwaited(bus, this.fold)) await this.#tellParent();
      return this.#close("finished");
    }
    this.#live = bus.live.onLive(this.run, (message) => this.#onLive(message));
    if (!(await this.#writer.claim(holder))) return;
    // Another holder may have ended it while this claim was on its way.
    if (this.fold.ended) return this.#close("finished");
    this.#heardAt = clock.monotonic();
    const { epoch } = this.#writer;
    log.info({ run: this.run, epoch, status: this.fold.status, replayMs }, "run claimed");
    if (epoch > 1) await this.#takeOver();
    if (this.#over) return;
    this.#active = true;
    this.#resume();
    if (epoch > 1) this.#resumeLeft();
    this.#deadlines.set("silence", HOLD_LIMITS.silenceMs);
    this.#deadlines.set("watchdog", HOLD_LIMITS.watchdogMs);
    this.#markDirty(true);
    this.#scheduleAct();
  }

  /**
   * H3: a predecessor that was killed may have given out what it had no time to note; what it noted ahead, on the
   * other hand, it may not have given out. The queue knows.
   */
  async #takeOver(): Promise<void> {
    const { bus, log } = this.#context;
    for (; !this.#over; await this.#pause(HOLD_LIMITS.retryMs)) {
      try {
        this.#left = await bus.tasks.ofRun(this.run);
        // L10: the queue first, then the log to its end.
        this.#readTo = (await this.#follower?.sync()) ?? this.#readTo;
        return;
      } catch (error) {
        log.debug({ run: this.run, err: error }, "the queue could not be looked into; trying again");
      }
    }
  }

  /** What the predecessor left in the queues counts as out; what it noted ahead and did not push is pushed. */
  #resumeLeft(): void {
    const { fold } = this;
    const inQueue = new Set(this.#left.map(({ step, n }) => `${step}#${n}`));
    for (const ref of this.#left) {
      if (this.#flights.has(ref.step) || !fold.isOpen(ref)) continue;
      const dispatchedAt = this.#now();
      this.#fly(ref.step, { ref, dispatchedAt, startedAt: undefined });
      this.#observed.addDispatched(ref, dispatchedAt);
      this.#scheduleObserved();
    }
    this.#left = [];
    for (const { ref, started } of this.#gate.stands ? this.#flights.values() : []) {
      if (started || inQueue.has(`${ref.step}#${ref.n}`)) continue;
      void this.#dispatcher.push(fold.taskOf(ref.step));
    }
  }

  /** With its dispatch's trace context, where somebody collects spans: worked out from the log, as the span is. */
  #traced(task: TaskMessage): TaskMessage {
    const { submission, startedAt } = this.fold;
    if (!this.#context.traced && submission?.traceparent === undefined) return task;
    this.#spanIds ??= new SpanIds(this.run, startedAt ?? 0, submission?.traceparent);
    return { ...task, traceparent: this.#spanIds.traceparent(task.step, task.n) };
  }

  /** Gives the run back: what is out stays out, and whoever claims next goes on. */
  async release(): Promise<void> {
    if (this.#over) return;
    await this.#flushObserved();
    this.#close("released");
  }

  /** H5: reads the log to its end before anything more is performed. */
  doubt(): void {
    if (!this.#active || this.#doubtful) return;
    this.#doubtful = true;
    this.#context.log.warn({ run: this.run }, "slept longer than the ack-wait; reading the log again");
    void this.#clearDoubt();
  }

  async #clearDoubt(): Promise<void> {
    while (!this.#over && !(await this.#sync())) await this.#pause(HOLD_LIMITS.retryMs);
    this.#doubtful = false;
    // What was heard while reading is no reason to read again, though the lease is kept only at its next turn.
    this.#undoubtedAt = this.#context.clock.monotonic();
    this.#scheduleAct();
  }

  /**
   * Answers an agent's question about a dispatch of this run, as far as this hold can know: undefined before
   * its claim, and about a dispatch that it has not heard of. A daemon that slept while the run moved on must
   * not call closed what another holder has opened (L3).
   */
  async answer(ref: DispatchRef, question: Question): Promise<Answer | undefined> {
    if (!this.#active) return undefined;
    if (question.q === "open" && !this.fold.knows(ref)) return undefined;
    if (question.q === "verdict") {
      await Promise.race([this.#folded(question.seq), this.#pause(HOLD_LIMITS.verdictWaitMs)]);
    }
    return answerFrom(this.fold, ref, question);
  }

  // ── folding ──────────────────────────────────────────────────────────────────────────────────────

  #onRecord(record: LogRecord): void {
    if (this.#over) return;
    this.#actor.send({ type: "record", record });
    if (this.#active && this.fold.newer) return this.#leaveToNewer();
    this.#heardAt = this.#context.clock.monotonic();
    if (record.kind === "decision" && record.body.type === "claim") this.#onClaim(record);
    if (this.#active) {
      for (const effect of this.#actor.getSnapshot().effects) this.#perform(effect);
      if (record.kind === "result") this.#land(record.body.step);
      else if (record.kind === "decision" && record.body.type === "cancelled") this.#land(record.body.step);
      this.#markDirty(false);
      this.#scheduleAct();
    }
    while (this.#waiters[0] && this.#waiters[0].seq <= record.seq) this.#waiters.shift()?.resolve();
  }

  /** What a newer version wrote may have closed what seems open here: nothing is decided past it. */
  #leaveToNewer(): void {
    const { seq, version } = this.fold.newer ?? {};
    const what = "the run's log holds a record of a newer version; a newer daemon has to go on with it";
    this.#context.log.error({ run: this.run, seq, wireVersion: version, reads: WIRE_VERSION }, what);
    this.#close("newer");
  }

  /** A record was missed before a younger one was folded: what was folded is void, so it is folded anew (L1). */
  #onDisorder(missedSeq: number): void {
    this.#context.log.warn({ run: this.run, missedSeq }, "the log came out of order; folding it anew");
    this.#close("released");
  }

  #onClaim(record: LogRecord & { kind: "decision" }): void {
    if (record.body.epoch === this.fold.epoch && this.fold.holder === this.#context.holder) {
      this.#claimedAt = { epochMs: record.ts, monotonicMs: this.#context.clock.monotonic() };
    }
    if (this.#writer.fenced) {
      this.#context.log.warn(
        { run: this.run, epoch: this.fold.epoch, holder: this.fold.holder },
        "run was claimed by another",
      );
      this.#close("fenced");
    }
  }

  /** A dispatch whose step moved on is no longer out. */
  #land(step: string): void {
    const flight = this.#flights.get(step);
    if (flight && !this.fold.isOpen(flight.ref)) this.#unfly(step, flight);
  }

  #unfly(step: string, { ref, ticket }: Flight): void {
    this.#flights.delete(step);
    this.#context.shares.of(ref.role).take(ticket);
    this.#landings.get(step)?.();
    this.#landings.delete(step);
    this.#timeOuts.landed(step);
  }

  /** Epoch ms: the claim's own time and what passed since, so that machines' clocks need not agree (L7). */
  #now(): number {
    return (
      this.#claimedAt.epochMs + Math.round(this.#context.clock.monotonic() - this.#claimedAt.monotonicMs)
    );
  }

  #folded(seq: number): Promise<void> {
    if (this.fold.lastSeq >= seq || this.#over) return Promise.resolve();
    return new Promise((resolve) => {
      const at = this.#waiters.findIndex((waiter) => waiter.seq > seq);
      this.#waiters.splice(at < 0 ? this.#waiters.length : at, 0, { seq, resolve });
    });
  }

  #pause(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      const wake = () => {
        this.#context.clock.clearTimeout(timer);
        this.#pauses.delete(wake);
        resolve();
      };
      const timer = this.#context.clock.setTimeout(wake, delayMs);
      this.#pauses.add(wake);
    });
  }

  // ── performing ───────────────────────────────────────────────────────────────────────────────────

  /** What the replayed state calls for: the effects that its log would have, and only the missing ones (L2). */
  #resume(): void {
    const { fold } = this;
    for (const [step, out] of fold.dispatches) {
      if (fold.isOpen(out.ref)) this.#fly(step, out);
    }
    this.#offerReady();
    for (const step of fold.recovering) this.#keeper.recover(step);
    for (const step of fold.unresolved) this.#resolver.resolve(step);
    if (fold.submission && !fold.graph) this.#keeper.plan();
    if (fold.weighing.size > 0) this.#keeper.weigh();
    // What was planned may be planned round a role that goes away.
    if (fold.submission?.workflow === undefined) this.#deadlines.set("roles", ROLE_LOOK_MS);
    this.#timeOuts.resume();
    for (const step of fold.cancelling.keys()) void this.#stop(step);
    this.#gate.arm();
    // Watchers tell a repeated change by its revision.
    for (const key of fold.environment.keys()) {
      const entry = fold.environment.entry(key);
      if (entry) this.#envFeed.publish({ run: this.run, key, ...entry });
    }
  }

  #perform(effect: Effect): void {
    switch (effect.type) {
      case "plan":
        return this.#keeper.plan();
      case "offer":
        this.#land(effect.step);
        return this.#offer(effect.step);
      case "wait":
        this.#land(effect.step);
        return this.#timeOuts.waits(effect.step);
      case "stop":
        return void this.#stop(effect.step);
      case "started":
        return this.#timeOuts.started(effect.step, effect.at);
      case "recover":
        return this.#keeper.recover(effect.step);
      case "resolve":
        return this.#resolver.resolve(effect.step);
      case "weigh":
        return this.#keeper.weigh();
      case "revised":
        return this.#reorder();
      case "withdraw":
        return this.#withdraw(effect.ref, effect.reason);
      case "env":
        return this.#envFeed.publish(effect.change);
      case "compensating":
        this.#ending = false;
        return;
      case "status":
        this.#gate.arm();
        return this.#markDirty(true);
      case "ended":
        return void this.#finish();
    }
  }

  #scheduleAct(): void {
    if (this.#actScheduled || this.#over) return;
    this.#actScheduled = true;
    // H2: the adapter hands over all that a packet held before microtasks run.
    queueMicrotask(() => {
      this.#actScheduled = false;
      if (this.#active && !this.#over) this.#act();
    });
  }

  #act(): void {
    const { keptAt, forMs } = this.#context.lease;
    if (this.#heardAt - Math.max(keptAt, this.#undoubtedAt) > forMs) this.doubt();
    if (this.#doubtful) return;
    const due = this.fold.dueEnd();
    if (due) return void this.#end();
    if (this.fold.status !== "running") return this.#parking.consider();
    this.#deadlines.clear("park");
    const { shares } = this.#context;
    const inLine = new Set<string>();
    while (this.#mayGiveOut) {
      const role = this.#offers?.nextRole(inLine);
      if (role === undefined) break;
      if (shares.of(role).mayGive(this)) this.#giveOne(role);
      else inLine.add(role);
    }
  }

  get #mayGiveOut(): boolean {
    return this.#flights.size < (this.fold.graph?.maxParallel ?? 0) && this.#gate.isOpen;
  }

  /** R2: gives out a task of the role, for which others wait as well. */
  takeTurn(role: string): boolean {
    const isIdle = this.#over || !this.#active || this.#doubtful || this.#ending;
    if (isIdle || this.fold.status !== "running" || this.fold.dueEnd() !== undefined) return false;
    if (this.#mayGiveOut) this.#giveOne(role);
    return this.#mayGiveOut && this.#offers?.has(role) === true;
  }

  /** Gives out the next step of the role that still may be. */
  #giveOne(role: string): void {
    for (let step = this.#offers?.take(role); step !== undefined; step = this.#offers?.take(role)) {
      // A step may have been offered twice: what an older offer left here does not shorten a back-off.
      if (this.fold.notBefore(step) > this.#now()) continue;
      const { ready, waits, cancelling } = this.fold;
      if (!ready.has(step) || waits.has(step) || cancelling.has(step) || this.#flights.has(step)) continue;
      return this.#dispatch(step);
    }
  }

  #offer(step: string): void {
    const { fold } = this;
    const wait = fold.notBefore(step) - this.#now();
    this.#timeOuts.ready(step);
    if (wait > 0) return this.#deadlines.set(`back-off ${step}`, wait);
    if (!this.#offers && fold.steps) this.#offers = new Offers(fold.steps);
    this.#offers?.add(step, fold.step(step).context.role);
  }

  /** Another graph: what is ready is given out in its order. */
  #reorder(): void {
    this.#offers = undefined;
    this.#offerReady();
  }

  #offerReady(): void {
    const { ready, waits } = this.fold;
    for (const step of ready) if (!this.#flights.has(step) && !waits.has(step)) this.#offer(step);
  }

  #dispatch(step: string): void {
    const now = this.#now();
    const timeoutMs = this.fold.steps?.step(step).timeoutMs;
    const deadline = timeoutMs === undefined ? undefined : now + timeoutMs;
    const task = this.#traced(this.fold.taskOf(step, deadline));
    const ref = { run: this.run, step, n: task.n, role: task.role };
    this.#fly(
      step,
      { ref, dispatchedAt: now, startedAt: undefined },
      this.#context.shares.of(task.role).give(),
    );
    if (this.#gate.stands) return this.#gate.reserve(task);
    this.#observed.addDispatched(ref, now);
    this.#scheduleObserved();
    void this.#dispatcher.push(task);
  }

  /** A dispatch that was chosen and must not be given out: its step waits again. */
  #unchoose({ step, n }: TaskMessage): void {
    const flight = this.#flights.get(step);
    if (flight?.ref.n !== n) return;
    this.#unfly(step, flight);
    if (this.fold.ready.has(step)) this.#offer(step);
    this.#scheduleAct();
  }

  #fly(step: string, { ref, dispatchedAt, startedAt }: OpenDispatch, ticket = 0): void {
    const seenAt = this.#context.clock.monotonic();
    this.#flights.set(step, { ref, started: startedAt !== undefined, seenAt, ticket });
    this.#timeOuts.flies(step, dispatchedAt, startedAt, this.#writer.epoch > 1);
  }

  #withdraw(ref: DispatchRef, reason: string): void {
    const flight = this.#flights.get(ref.step);
    if (!flight || flight.ref.n !== ref.n) return;
    this.#unfly(ref.step, flight);
    void this.#dispatcher.takeBack(flight.ref, flight.started, reason);
  }

  // ── deciding ─────────────────────────────────────────────────────────────────────────────────────

  #propose(make: () => Proposal | undefined): Promise<void> {
    return this.#writer.propose(make).catch((error: unknown) => {
      if (this.#over) return;
      this.#context.log.error(
        { run: this.run, err: error },
        "decision could not be written; handing the run back",
      );
      this.#close("released");
    });
  }

  /** Stops what is out, then decides the end that the state calls for. */
  async #end(): Promise<void> {
    if (this.#ending) return;
    this.#ending = true;
    const due = this.fold.dueEnd();
    const reason = due?.error?.message ?? "the run has ended";
    const flights = [...this.#flights.values()];
    const taken = await Promise.all(flights.map((flight) => this.#takeBack(flight, reason)));
    const stopped = taken.slice(0, HOLD_LIMITS.stoppedNoted);
    void this.#propose(() => {
      const end = this.fold.dueEnd();
      this.#ending = end !== undefined;
      if (!end) return undefined;
      const { compensate, ...how } = end;
      const noted = stopped.length === 0 ? {} : { stopped };
      if (!compensate || how.status === "done") return { type: "end", ...how, ...noted };
      return { type: "compensate", status: how.status, ...(how.error && { error: how.error }), ...noted };
    });
  }

  /** Takes back what is out of a step that somebody wants stopped, then says in the log what came of it. */
  async #stop(step: string): Promise<void> {
    const cause = this.fold.cancelling.get(step);
    if (cause === undefined || this.fold.step(step).state === "pending") return;
    const flight = this.#flights.get(step);
    const how = flight ? (await this.#takeBack(flight, cause)).how : "removed";
    void this.#propose(() => {
      if (!this.fold.cancelling.has(step) || this.fold.ended) return undefined;
      return { type: "cancelled", step, n: this.fold.step(step).context.n, how };
    });
  }

  async #takeBack(
    { ref, started }: Flight,
    reason: string,
  ): Promise<{ step: string; n: number; how: Stopped }> {
    const { step, n } = ref;
    const closed = new Promise<void>((resolve) => this.#landings.set(step, resolve));
    const how = await this.#dispatcher.takeBack(ref, started, reason, closed);
    this.#landings.delete(step);
    return { step, n, how };
  }

  #giveUp(what: string, error: unknown): void {
    if (this.#over) return;
    this.#context.log.error({ run: this.run, err: error }, `${what}; handing the run back`);
    this.#close("released");
  }

  // ── timers ───────────────────────────────────────────────────────────────────────────────────────

  #onDeadline(key: string): void {
    if (this.#over) return;
    const [what, step] = splitKey(key);
    if (this.#timeOuts.ranOut(what, step)) return;
    switch (what) {
      case "observed":
        return void this.#flushObserved();
      case "back-off":
        if (step !== undefined && this.fold.ready.has(step)) this.#offer(step);
        return this.#scheduleAct();
      case "budget":
        return this.#gate.timeIsUp();
      case "silence":
        return void this.#breakSilence();
      case "watchdog":
        return void this.#watch();
      case "park":
        return void this.#parking.park();
      case "roles":
        return void this.#lookAtRoles();
      case "index":
        return this.#putSummary();
    }
  }

  /** Live copies may be lost, of a result as of a person's word: after a silence the log itself is asked. */
  async #breakSilence(): Promise<void> {
    const { silenceMs, idleSilenceMs } = HOLD_LIMITS;
    const silent = this.#context.clock.monotonic() - this.#heardAt;
    if (silent >= silenceMs) await this.#sync();
    if (this.#over) return;
    const idle = this.#flights.size === 0;
    this.#deadlines.set("silence", idle ? Math.min(Math.max(silenceMs, silent), idleSilenceMs) : silenceMs);
  }

  /** Whether the log was read to its end. */
  async #sync(): Promise<boolean> {
    try {
      this.#readTo = (await this.#follower?.sync()) ?? this.#readTo;
      return true;
    } catch (error) {
      this.#context.log.debug({ run: this.run, err: error }, "the log's end could not be read");
      return false;
    }
  }

  /** L10: a dispatch is lost only if its task is gone and the log, read to its end after that, has no result. */
  async #watch(): Promise<void> {
    const { clock, bus } = this.#context;
    const before = clock.monotonic() - HOLD_LIMITS.watchdogMs;
    const old = [...this.#flights.values()].filter((flight) => flight.seenAt <= before);
    for (const flight of old.slice(0, HOLD_LIMITS.watchdogBatch)) {
      if (this.#over) return;
      try {
        flight.seenAt = clock.monotonic();
        if (flight.ref.role === ORCHESTRATOR_ROLE) {
          await this.#lookAtChild(flight);
          continue;
        }
        if (await bus.tasks.has(flight.ref)) continue;
        await this.#follower?.sync();
        const { step, n } = flight.ref;
        void this.#propose(() => (this.fold.isOpen(flight.ref) ? { type: "lost", step, n } : undefined));
      } catch (error) {
        this.#context.log.debug({ ...flight.ref, err: error }, "the queue could not be looked into");
      }
    }
    if (!this.#over) this.#deadlines.set("watchdog", HOLD_LIMITS.watchdogMs);
  }

  async #lookAtRoles(): Promise<void> {
    await this.#keeper.lookAtRoles(() =>
      [...this.#flights.values()].map(({ ref: { step, n, role }, started }) => ({ step, n, role, started })),
    );
    if (!this.#over) this.#deadlines.set("roles", ROLE_LOOK_MS);
  }

  /** The child tells when it ends; this is for what was lost with a holder or its store. */
  async #lookAtChild(flight: Flight): Promise<void> {
    flight.seenAt += HOLD_LIMITS.childLookMs;
    const { ref } = flight;
    const { bus } = this.#context;
    const child = await findChild(bus, ref);
    if (child) return reportToParent(bus, child);
    if (this.fold.isOpen(ref)) void this.#dispatcher.push(this.fold.taskOf(ref.step));
  }

  #onLive(message: LiveMessage & { role: string }): void {
    if (this.#over) return;
    const flight = this.#flights.get(message.step);
    if (!flight || flight.ref.n !== message.n || flight.ref.role !== message.role) return;
    this.#timeOuts.heard(message.step);
    // Whoever reports progress has begun, whether or not that was heard.
    this.#noteStart(message.step, message.n, message.agent);
  }

  #noteStart(step: string, n: number, agent: string): void {
    const flight = this.#flights.get(step);
    if (!flight || flight.started || flight.ref.n !== n) return;
    flight.started = true;
    this.#context.shares.of(flight.ref.role).take(flight.ticket);
    this.#observed.addStarted(flight.ref, agent, this.#now());
    this.#scheduleObserved();
  }

  #scheduleObserved(): void {
    if (this.#observed.size >= OBSERVED_MAX_ITEMS) void this.#flushObserved();
    else if (!this.#deadlines.has("observed")) this.#deadlines.set("observed", OBSERVED_EVERY_MS);
  }

  async #flushObserved(): Promise<void> {
    this.#deadlines.clear("observed");
    const isOpen = (step: string, n: number) => this.#flights.get(step)?.ref.n === n;
    const body = this.#active ? this.#observed.take(this.#writer.epoch, isOpen) : undefined;
    if (!body) return;
    try {
      await this.#context.bus.log.append(this.run, { kind: "observed", body });
    } catch (error) {
      this.#context.log.debug({ run: this.run, err: error }, "a note of dispatches was lost");
    }
  }

  #markDirty(now: boolean): void {
    this.#summaryDirty = true;
    if (now) this.#putSummary();
    else if (!this.#deadlines.has("index")) this.#deadlines.set("index", HOLD_LIMITS.indexMs);
  }

  #putSummary(): void {
    if (!this.#summaryDirty) return;
    this.#summaryDirty = false;
    this.#deadlines.clear("index");
    this.#context.bus.index.put(runSummaryOf(this.fold)).catch((error: unknown) => {
      // The index is a view: it is put again at the next change (L1).
      this.#context.log.debug({ run: this.run, err: error }, "the run index could not be written");
    });
  }

  // ── the end of the hold ──────────────────────────────────────────────────────────────────────────

  async #finish(): Promise<void> {
    this.#putSummary();
    this.#context.log.info({ run: this.run, status: this.fold.status, steps: this.fold.counts }, "run ended");
    try {
      await this.#context.bus.tasks.removeRun(this.run);
      if (this.fold.rested) await this.#context.bus.runs.clearTimer(this.run);
    } catch (error) {
      this.#context.log.warn(
        { run: this.run, err: error },
        "queued tasks of an ended run could not be removed",
      );
    }
    // A person's retry may have come while the rest was cleared away; and an end that was decided on a log with
    // a hole may not be one. The run's task goes only once the log was read to its end.
    while (!(await this.#sync())) {
      await this.#pause(HOLD_LIMITS.retryMs);
      if (this.#over) return;
    }
    if (this.fold.ended) {
      await this.#tellParent();
      return this.#close("finished");
    }
    this.#ending = false;
    this.#resume();
    this.#scheduleAct();
  }

  async #tellParent(): Promise<void> {
    const { bus, log } = this.#context;
    while (!this.#over) {
      try {
        return await reportToParent(bus, this.fold);
      } catch (error) {
        log.warn({ run: this.run, err: error }, "the parent could not be told; trying again");
        await this.#pause(HOLD_LIMITS.retryMs);
      }
    }
  }

  #close(outcome: HoldOutcome): void {
    if (this.#over) return;
    this.#over = true;
    this.#active = false;
    const { shares } = this.#context;
    shares.leave(this);
    // Whoever goes on with the run sees to what is out.
    for (const { ref, ticket } of this.#flights.values()) shares.of(ref.role).take(ticket);
    this.#deadlines.stop();
    this.#live?.close();
    this.#follower?.close();
    for (const wake of [...this.#pauses]) wake();
    for (const waiter of this.#waiters.splice(0)) waiter.resolve();
    this.#actor.send({ type: "release" });
    this.#settle(outcome);
  }

  #timeOutScene(): TimeOutScene {
    const hold = this;
    const { bus, clock, log } = this.#context;
    return {
      get fold() {
        return hold.fold;
      },
      deadlines: this.#deadlines,
      tasks: bus.tasks,
      log,
      now: () => this.#now(),
      monotonic: () => clock.monotonic(),
      over: () => this.#over,
      flight: (step) => this.#flights.get(step)?.ref,
      sync: () => this.#sync(),
      propose: (make) => void this.#propose(make),
    };
  }

  #parkingScene(): ParkingScene {
    const hold = this;
    return {
      get fold() {
        return hold.fold;
      },
      runs: this.#context.bus.runs,
      log: this.#context.log,
      deadlines: this.#deadlines,
      busy: () => this.#flights.size > 0 || !this.#writer.idle,
      over: () => this.#over,
      sync: () => this.#sync(),
      untilDue: () =>
        this.#deadlines.untilNext((key) => {
          const [what, step] = splitKey(key);
          return what === "budget" || this.#timeOuts.matters(what, step);
        }),
      leave: () => {
        this.#putSummary();
        this.#close("parked");
      },
    };
  }

  #spendingScene(): ConstructorParameters<typeof SpendingGate>[0] {
    const hold = this;
    return {
      bus: this.#context.bus,
      get fold() {
        return hold.fold;
      },
      get epoch() {
        return hold.#writer.epoch;
      },
      now: () => this.#now(),
      folded: (seq) => this.#certainlyFolded(seq),
      sync: () => this.#sync(),
      pause: (delayMs) => this.#pause(delayMs),
      over: () => this.#over,
      propose: (make) => this.#propose(make),
      armDeadline: (delayMs) => this.#deadlines.set("budget", delayMs),
      fail: (error) => this.#giveUp("dispatches could not be noted", error),
      give: (task) => void this.#dispatcher.push(task),
      refuse: (task) => this.#unchoose(task),
    };
  }

  /** The live copy usually comes first; if it was lost, the log has it. */
  async #certainlyFolded(seq: number): Promise<void> {
    await Promise.race([this.#folded(seq), this.#pause(HOLD_LIMITS.retryMs)]);
    while (!this.#over && this.fold.lastSeq < seq) {
      await this.#follower?.sync();
      await Promise.race([this.#folded(seq), this.#pause(HOLD_LIMITS.retryMs)]);
    }
  }

  #decisionScene(): ConstructorParameters<typeof DecisionWriter>[2] {
    const hold = this;
    return {
      get epoch() {
        return hold.fold.epoch;
      },
      get lastDecisionSeq() {
        return hold.fold.lastDecisionSeq;
      },
      now: () => (this.#claimedAt.epochMs === 0 ? this.#context.clock.now() : this.#now()),
      newId: () => this.#context.newId(),
      folded: (seq) => this.#certainlyFolded(seq),
      sync: async () => (await this.#follower?.sync()) ?? 0,
      pause: (delayMs) => this.#pause(delayMs),
      over: () => this.#over,
    };
  }
}

/** `time-out load` → what and which step; keys without a step are a word of their own. */
function splitKey(key: string): [what: string, step: string | undefined] {
  const at = key.indexOf(" ");
  return at < 0 ? [key, undefined] : [key.slice(0, at), key.slice(at + 1)];
}
