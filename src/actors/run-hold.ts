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
import type { LogRecord, Subscription } from "../bus/bus.ts";
import {
  type Answer,
  type DispatchRef,
  type LiveMessage,
  type Question,
  type TaskMessage,
  WIRE_VERSION,
} from "../bus/messages.ts";
import { isConsultation } from "../fold/consultations.ts";
import type { Effect } from "../fold/effect.ts";
import type { RunFold } from "../fold/run-fold.ts";
import { DataHammerError } from "../workflow/errors.ts";
import { answerFrom } from "./answer.ts";
import { isAwaited } from "./child-runs.ts";
import { Deadlines } from "./deadlines.ts";
import { LOG_LOST } from "./decision-writer.ts";
import type { Defeat } from "./defeats.ts";
import { Dispatcher } from "./dispatcher.ts";
import { EnvFeed } from "./env-feed.ts";
import { EnvHistory } from "./env-history.ts";
import { Flights } from "./flights.ts";
import { GivingOut } from "./giving-out.ts";
import { HOLD_LIMITS, type HoldContext } from "./hold-context.ts";
import { HoldFrame } from "./hold-frame.ts";
import { type HoldOutcome, liveFoldObserver } from "./hold-observer.ts";
import { IndexEntry } from "./index-entry.ts";
import { type OrchestratorLogic, orchestratorLogic } from "./orchestrator.ts";
import { ParentWatch } from "./parent-watch.ts";
import { Parking } from "./parking.ts";
import { PlanKeeper, ROLE_LOOK_MS } from "./plan-keeper.ts";
import { RunPlannerDesk } from "./planner-desk.ts";
import { RaisesBelow } from "./raises-below.ts";
import { RunEnding } from "./run-ending.ts";
import { leftInQueues, takeOverFlights } from "./take-over.ts";
import { TimeOuts } from "./time-outs.ts";
import { withTraceId } from "./traced-log.ts";
import { ValueResolver } from "./value-resolver.ts";
import { Watchdog } from "./watchdog.ts";

export class RunHold {
  readonly run: string;
  readonly fold: RunFold;
  /** Resolves when the hold is over. Never rejects. */
  readonly ended: Promise<HoldOutcome>;
  readonly #context: HoldContext;
  readonly #actor: Actor<OrchestratorLogic>;
  readonly #deadlines: Deadlines;
  readonly #frame: HoldFrame;
  readonly #timeOuts: TimeOuts;
  readonly #dispatcher: Dispatcher;
  readonly #flights: Flights;
  readonly #giving: GivingOut;
  readonly #ending: RunEnding;
  readonly #watchdog: Watchdog;
  readonly #parent: ParentWatch;
  readonly #index: IndexEntry;
  readonly #desk: RunPlannerDesk;
  readonly #keeper: PlanKeeper;
  readonly #resolver: ValueResolver;
  readonly #envFeed: EnvFeed;
  readonly #envHistory: EnvHistory;
  readonly #parking: Parking;
  readonly #raises: RaisesBelow;
  #live: Subscription | undefined;
  #defeat: Defeat | undefined;
  #settle: (outcome: HoldOutcome) => void = () => {};
  #active = false;
  #actScheduled = false;
  #doubtful = false;
  #undoubtedAt = 0;
  #heardAt = 0;

  constructor(run: string, context: HoldContext) {
    this.run = run;
    this.#context = withTraceId(context, () => this.fold);
    const observer = context.observer && liveFoldObserver(context.observer, this);
    this.#actor = createActor(orchestratorLogic, { id: run, input: { run, ...(observer && { observer }) } });
    this.#actor.subscribe({ error: (error) => this.#frame.giveUp("the log could not be folded", error) });
    this.#actor.start();
    this.fold = this.#actor.getSnapshot().fold;
    this.#deadlines = new Deadlines(context.clock, (key) => this.#safely(() => this.#onDeadline(key)));
    this.#frame = new HoldFrame(this.#context, this.fold, this.#deadlines, (defeat) =>
      this.#defeated(defeat),
    );
    this.#timeOuts = new TimeOuts(this.#frame, (step) => this.#flights.get(step)?.ref);
    this.#dispatcher = this.#makeDispatcher();
    this.#flights = new Flights(this.#frame, this.#dispatcher, this.#timeOuts);
    this.#giving = new GivingOut(this.#frame, this.#flights, this.#dispatcher, this.#timeOuts, {
      isIdle: () => !this.#active || this.#doubtful || this.#ending.isUnderWay,
      wake: () => this.#scheduleAct(),
    });
    this.#ending = new RunEnding(this.#frame, this.#flights, {
      finished: () => this.#close("finished"),
      wake: () => this.#scheduleAct(),
      goOn: () => {
        this.#resume();
        this.#scheduleAct();
      },
    });
    this.#watchdog = new Watchdog(this.#frame, this.#flights, this.#dispatcher);
    this.#parent = new ParentWatch(this.#frame);
    this.#index = new IndexEntry(this.#frame);
    this.#desk = new RunPlannerDesk(this.#frame, this.#dispatcher);
    this.#keeper = new PlanKeeper(this.#frame, this.#desk);
    this.#resolver = new ValueResolver(this.#frame);
    this.#envFeed = new EnvFeed(this.#context);
    this.#envHistory = new EnvHistory(context.bus);
    this.#parking = this.#makeParking();
    this.#raises = new RaisesBelow(this.#frame);
    this.ended = new Promise((resolve) => {
      this.#settle = resolve;
    });
  }

  #makeDispatcher(): Dispatcher {
    const { fold } = this;
    const frame = this.#frame;
    return new Dispatcher(this.#context, {
      isOpen: (ref) => !frame.over && fold.isOpen(ref),
      isWanted: (ref) =>
        !frame.over &&
        fold.isOpen(ref) &&
        !fold.cancelling.has(ref.step) &&
        (fold.status === "running" || isConsultation(ref)),
      onKept: (task) => {
        if (!frame.over) this.#giving.takeBackChoice(task);
      },
      readLog: () => frame.readLog(),
      over: () => frame.over,
      pause: (delayMs) => frame.pause(delayMs),
      nestingTerms: () => {
        const { budget, submission } = fold;
        const bounds = budget !== undefined && !budget.isLifted;
        return {
          depth: submission?.parent?.depth ?? 0,
          onLimit: budget?.onLimit ?? "pause",
          budget: bounds ? budget.left(frame.now() - (fold.startedAt ?? frame.now())) : undefined,
          above: bounds ? (submission?.parent?.budgets ?? []) : [],
        };
      },
      started: ({ step, n }, child) => this.#flights.noteStart(step, n, child),
    });
  }

  #makeParking(): Parking {
    return new Parking(this.#frame, {
      busy: () => !this.#standsStill || this.fold.held.length > 0 || !this.#frame.writer.idle,
      untilDue: () => {
        const due = this.#deadlines.untilNext((key) => {
          const [what, step] = splitKey(key);
          const isOut = step !== undefined && this.#flights.has(step);
          return what === "budget" || isOut || this.#timeOuts.matters(what, step);
        });
        const { longestRestMs } = this.#parent;
        return longestRestMs === undefined ? due : Math.min(longestRestMs, due ?? longestRestMs);
      },
      leave: () => {
        this.#index.put();
        this.#close("parked");
      },
    });
  }

  /** Nothing is out but nested runs that wait at this run's limit: should one end all the same, it wakes this run. */
  get #standsStill(): boolean {
    if (this.#flights.size === 0) return true;
    if (!this.#flights.areChildren) return false;
    const waiting = new Set(this.fold.waitsBelow.map(({ step }) => step));
    return [...this.#flights.all()].every(({ ref }) => waiting.has(ref.step));
  }

  /** Whether it has nothing to do until a nested run of it ends. */
  get waitsForChildren(): boolean {
    return this.#flights.areChildren;
  }

  /** Whether it is at work: after its claim, before its end. */
  get active(): boolean {
    return this.#active;
  }

  /** What ended the hold, if it was handed back because of that. */
  get defeat(): Defeat | undefined {
    return this.#defeat;
  }

  /** Up to here the log was read without a gap. Of what was folded beyond, a live copy may be missing. */
  get readTo(): number {
    return this.#frame.readTo;
  }

  // ── taking on and letting go ─────────────────────────────────────────────────────────────────────

  /** Reads the log, claims the run and takes it on. Returns when the run is being worked on, or the hold is over. */
  async start(): Promise<void> {
    try {
      await this.#takeOn();
    } catch (error) {
      if (this.#frame.over) return;
      this.#frame.giveUp("the run could not be taken on", error);
    }
  }

  /** A mistake of ours in one run ends its hold: out of a message, a timer or a microtask it would end the process. */
  #safely(act: () => void): void {
    try {
      act();
    } catch (error) {
      this.#frame.giveUp("the run could not be gone on with", error);
    }
  }

  async #takeOn(): Promise<void> {
    const { bus, holder, clock } = this.#context;
    const { fold } = this;
    const { writer } = this.#frame;
    const taken = clock.monotonic();
    await this.#frame.follow(
      (record) => this.#safely(() => this.#onRecord(record)),
      (missedSeq) => this.#onDisorder(missedSeq),
    );
    if (this.#frame.over) return;
    if (fold.newer) return this.#leaveToNewer();
    const replayMs = Math.round(clock.monotonic() - taken);
    if (!fold.submission || fold.ended) {
      // Its holder may have died between the end and what the parent waits for (N1).
      if (await isAwaited(bus, fold)) await this.#ending.tellParent();
      return this.#close("finished");
    }
    this.#live = bus.live.onLive(this.run, (message) => this.#onLive(message));
    if (!(await writer.claim(holder))) return this.#close("fenced");
    // Another holder may have ended it while this claim was on its way.
    if (fold.ended) return this.#close("finished");
    const verdict = this.#context.defeats.verdictOn(this.run);
    // L8: what cannot be orchestrated fails, instead of going from hold to hold for ever.
    if (verdict !== undefined) await this.#frame.propose(() => ({ type: "defeated", ...verdict }));
    // A run must not begin on values that it may not have.
    if (fold.held.length > 0) await this.#resolver.judge();
    if (this.#frame.over) return;
    this.#heardAt = clock.monotonic();
    this.#context.log.info(
      { run: this.run, epoch: writer.epoch, status: fold.status, replayMs },
      "run claimed",
    );
    const left = writer.epoch > 1 ? await leftInQueues(this.#frame) : undefined;
    if (this.#frame.over) return;
    this.#active = true;
    this.#resume();
    if (left) {
      const push = this.#giving.gate.stands
        ? (task: TaskMessage) => void this.#dispatcher.push(task)
        : undefined;
      takeOverFlights(this.#frame, this.#flights, left, push);
    }
    this.#deadlines.set("silence", HOLD_LIMITS.silenceMs);
    this.#watchdog.arm();
    this.#parent.begin(writer.epoch > 1);
    this.#index.changed(true);
    this.#scheduleAct();
  }

  /** Gives the run back: what is out stays out, and whoever claims next goes on. */
  async release(): Promise<void> {
    if (this.#frame.over) return;
    await this.#flights.writeNotes();
    this.#close("released");
  }

  #defeated(defeat: Defeat): void {
    this.#defeat = defeat;
    this.#close("released");
    const { error } = defeat;
    if (error instanceof DataHammerError && error.code === LOG_LOST) void this.#index.lost(error.message);
  }

  #close(outcome: HoldOutcome): void {
    if (this.#frame.over) return;
    this.#active = false;
    this.#context.shares.leave(this.#giving);
    this.#flights.leave();
    this.#live?.close();
    this.#frame.end();
    if (this.#actor.getSnapshot().status === "active") this.#actor.send({ type: "release" });
    this.#settle(outcome);
  }

  /** H5: reads the log to its end before anything more is performed. */
  doubt(): void {
    if (!this.#active || this.#doubtful) return;
    this.#doubtful = true;
    this.#context.log.warn({ run: this.run }, "slept longer than the ack-wait; reading the log again");
    void this.#clearDoubt();
  }

  async #clearDoubt(): Promise<void> {
    await this.#frame.syncAtLast();
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
    if (question.q === "changes") {
      const changes = await this.#envHistory.answer(this.fold, question);
      if (this.#envHistory.hasRest) this.#deadlines.set("env-history", HOLD_LIMITS.historyKeptMs);
      return changes;
    }
    const { verdictWaitMs } = HOLD_LIMITS;
    if (question.q === "draw" || question.q === "verdict")
      await this.#frame.folded(question.seq, verdictWaitMs);
    if (question.q === "verdict" && this.fold.isHeld(question.seq))
      await Promise.race([this.#resolver.judge(), this.#frame.pause(verdictWaitMs)]);
    return answerFrom(this.fold, ref, question);
  }

  // ── folding ──────────────────────────────────────────────────────────────────────────────────────

  #onRecord(record: LogRecord): void {
    if (this.#frame.over) return;
    this.#actor.send({ type: "record", record });
    if (this.#frame.over) return;
    if (this.#active && this.fold.newer) return this.#leaveToNewer();
    this.#heardAt = this.#context.clock.monotonic();
    if (record.kind === "decision" && record.body.type === "claim") this.#onClaim(record);
    if (this.#active) {
      for (const effect of this.#actor.getSnapshot().effects) this.#perform(effect);
      if (record.kind === "result") {
        this.#flights.land(record.body.step);
        this.#giving.gate.spent();
      }
      if (record.kind === "decision" && record.body.type === "cancelled")
        this.#flights.land(record.body.step);
      this.#index.changed(false);
      this.#scheduleAct();
    }
    this.#frame.reached(record.seq);
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
      this.#frame.setTime(record.ts);
    }
    if (this.#frame.writer.fenced) {
      this.#context.log.warn(
        { run: this.run, epoch: this.fold.epoch, holder: this.fold.holder },
        "run was claimed by another",
      );
      this.#close("fenced");
    }
  }

  // ── performing ───────────────────────────────────────────────────────────────────────────────────

  /** What the replayed state calls for: the effects that its log would have, and only the missing ones (L2). */
  #resume(): void {
    const { fold } = this;
    for (const [step, out] of fold.dispatches) {
      // After a retry of a run that is still held here, what was out is: with its place in its role's queue.
      const isOut = this.#flights.get(step)?.ref.n === out.ref.n;
      if (!isOut && fold.isOpen(out.ref)) this.#flights.fly(step, out);
    }
    this.#giving.offerReady();
    for (const step of fold.recovering) this.#keeper.recover(step);
    for (const step of fold.unresolved) this.#resolver.resolve(step);
    if (fold.submission && !fold.graph) this.#keeper.plan();
    if (fold.weighing.size > 0) this.#keeper.weigh();
    if (fold.held.length > 0) void this.#resolver.judge();
    // What was planned may be planned round a role that goes away.
    if (fold.submission?.workflow === undefined) this.#deadlines.set("roles", ROLE_LOOK_MS);
    this.#timeOuts.resume();
    for (const step of fold.cancelling.keys()) void this.#ending.stop(step);
    this.#giving.gate.arm();
    this.#raises.tell();
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
        this.#flights.land(effect.step);
        return this.#giving.offer(effect.step);
      case "wait":
        this.#flights.land(effect.step);
        return this.#timeOuts.waits(effect.step);
      case "stop":
        return void this.#ending.stop(effect.step);
      case "started":
        return this.#timeOuts.started(effect.step, effect.at);
      case "recover":
        return this.#keeper.recover(effect.step);
      case "resolve":
        return this.#resolver.resolve(effect.step);
      case "judge":
        return void this.#resolver.judge();
      case "weigh":
        return this.#keeper.weigh();
      case "consulted":
        return this.#desk.consulted();
      case "revised":
        return this.#giving.reorder();
      case "withdraw":
        return this.#flights.withdraw(effect.ref, effect.reason);
      case "env":
        return this.#envFeed.publish(effect.change);
      case "compensating":
        return this.#ending.putOff();
      case "status":
        this.#giving.gate.arm();
        this.#raises.tell();
        return this.#index.changed(true);
      case "ended":
        return void this.#ending.finish();
    }
  }

  #scheduleAct(): void {
    if (this.#actScheduled || this.#frame.over) return;
    this.#actScheduled = true;
    // H2: the adapter hands over all that a packet held before microtasks run.
    queueMicrotask(() => {
      this.#actScheduled = false;
      if (this.#active && !this.#frame.over) this.#safely(() => this.#act());
    });
  }

  #act(): void {
    const { keptAt, forMs } = this.#context.lease;
    if (this.#heardAt - Math.max(keptAt, this.#undoubtedAt) > forMs) this.doubt();
    if (this.#doubtful) return;
    const due = this.fold.dueEnd();
    if (due) return void this.#ending.decide();
    if (this.fold.status !== "running") return this.#parking.consider();
    this.#deadlines.clear("park");
    this.#giving.giveAll();
  }

  // ── timers ───────────────────────────────────────────────────────────────────────────────────────

  #onDeadline(key: string): void {
    if (this.#frame.over) return;
    const [what, step] = splitKey(key);
    if (this.#timeOuts.ranOut(what, step)) return;
    switch (what) {
      case "observed":
        return void this.#flights.writeNotes();
      case "back-off":
        if (step !== undefined) this.#giving.backOffOver(step);
        return this.#scheduleAct();
      case "budget":
        return this.#giving.gate.timeIsUp();
      case "silence":
        return void this.#breakSilence();
      case "parent":
        return void this.#parent.look();
      case "watchdog":
        return void this.#watchdog.look();
      case "park":
        return void this.#parking.park();
      case "roles":
        return void this.#lookAtRoles();
      case "env-history":
        return this.#envHistory.forget();
      case "index":
        return this.#index.put();
    }
  }

  /** Live copies may be lost, of a result as of a person's word: after a silence the log itself is asked. */
  async #breakSilence(): Promise<void> {
    const { silenceMs, idleSilenceMs } = HOLD_LIMITS;
    const silent = this.#context.clock.monotonic() - this.#heardAt;
    if (silent >= silenceMs) await this.#frame.sync();
    if (this.#frame.over) return;
    const idle = this.#flights.size === 0;
    this.#deadlines.set("silence", idle ? Math.min(Math.max(silenceMs, silent), idleSilenceMs) : silenceMs);
  }

  async #lookAtRoles(): Promise<void> {
    await this.#keeper.lookAtRoles(() =>
      [...this.#flights.all()].map(({ ref: { step, n, role }, started }) => ({ step, n, role, started })),
    );
    if (!this.#frame.over) this.#deadlines.set("roles", ROLE_LOOK_MS);
  }

  #onLive(message: LiveMessage & { role: string }): void {
    if (this.#frame.over) return;
    const flight = this.#flights.get(message.step);
    if (!flight || flight.ref.n !== message.n || flight.ref.role !== message.role) return;
    this.#timeOuts.heard(message.step);
    // Whoever reports progress has begun, whether or not that was heard.
    this.#flights.noteStart(message.step, message.n, message.agent);
  }
}

/** `time-out load` → what and which step; keys without a step are a word of their own. */
function splitKey(key: string): [what: string, step: string | undefined] {
  const at = key.indexOf(" ");
  return at < 0 ? [key, undefined] : [key.slice(0, at), key.slice(at + 1)];
}
