/**
 * The orchestrator agent: takes runs from their queue and holds them, as any agent takes tasks (L5).
 *
 * It owns which runs are held here and the keeping of their queue tasks: in progress while held, removed
 * when a run has ended, given back when the daemon stops. It answers agents' questions about dispatches,
 * of runs held here from memory, of others from their log.
 *
 *  - A1 A run that another holder has claimed is let go without a word: its task is in the other's hands, and
 *    giving it back would take it from there.
 *  - A2 After a sleep longer than the ack-wait (a stopped process, a suspended machine) every hold is in doubt:
 *    it reads its log to the end before it does anything more (L3).
 */
import type { Logger } from "pino";
import type { Bus, Clock, LogRecord, Puller, RunDelivery, Subscription } from "../bus/bus.ts";
import type { Answer, DispatchRef, Question, RunStatus } from "../bus/messages.ts";
import { answerFrom } from "./answer.ts";
import { Defeats } from "./defeats.ts";
import { EnvHistory } from "./env-history.ts";
import type { HoldContext, Lease } from "./hold-context.ts";
import type { HoldObserver } from "./hold-observer.ts";
import { Replays } from "./replays.ts";
import { RoleShares, type ShareWindow } from "./role-shares.ts";
import { RunHold } from "./run-hold.ts";
import type { RunPlanning } from "./run-planning.ts";
import { TaskSweep } from "./task-sweep.ts";

/** Runs that one daemon holds at once, by default (L8). */
const DEFAULT_MAX_RUNS = 1_000;
/** How often within an ack-wait held runs are reported in progress. */
const WORKING_TIMES = 3;
/** A daemon that does not hold a run leaves its holder this long to answer a question. */
const ANSWER_FOR_OTHERS_MS = 300;
/** A run that could not be taken on is offered again after this. */
const REOFFER_MS = 1_000;
/** One that only a newer daemon can go on with is offered again after this, to whoever takes it. */
const LEFT_TO_NEWER_MS = 30_000;

/** Records that want an orchestrator; where the run was put away, also how a nested run of it has ended. */
const CALLS: ReadonlySet<LogRecord["kind"]> = new Set(["control", "submit"]);
const CALLS_OF_PARKED: ReadonlySet<LogRecord["kind"]> = new Set([...CALLS, "result"]);

export interface OrchestratorAgentOptions {
  bus: Bus;
  clock: Clock;
  log: Logger;
  planning: RunPlanning;
  /** Names this holder in claims. */
  id: string;
  newId(): string;
  /** Runs that are held at once. Default 1,000. */
  maxRuns?: number;
  /** How many tasks of a role wait in its queue. Default: enough for a moment of its agents. */
  window?: ShareWindow;
  /** Told what happens in the runs that are held here. */
  observer?: HoldObserver;
  /** Whether tasks carry trace context. Default: those of submissions that do. */
  traced?: boolean;
}

export class OrchestratorAgent {
  readonly #options: OrchestratorAgentOptions;
  readonly #held = new Map<string, { hold: RunHold; delivery: RunDelivery }>();
  readonly #maxRuns: number;
  #puller: Puller | undefined;
  #questions: Subscription | undefined;
  #keepTimer: unknown;
  readonly #sweep: TaskSweep;
  readonly #lease: Lease;
  readonly #shares: RoleShares;
  readonly #replays: Replays;
  readonly #defeats = new Defeats();
  #stopping = false;

  constructor(options: OrchestratorAgentOptions) {
    this.#options = options;
    this.#maxRuns = options.maxRuns ?? DEFAULT_MAX_RUNS;
    const { ackWaitMs } = options.bus.runs;
    this.#shares = new RoleShares(options.clock, options.window);
    this.#replays = new Replays(options.bus, options.clock);
    const { bus, clock, log } = options;
    this.#sweep = new TaskSweep({ bus, clock, log, held: (run) => this.#held.get(run)?.hold.fold });
    this.#lease = { keptAt: options.clock.monotonic(), forMs: ackWaitMs };
  }

  /** Ids of the runs that are held here. */
  get runs(): string[] {
    return [...this.#held.keys()];
  }

  /** Their statuses. */
  get statuses(): RunStatus[] {
    return [...this.#held.values()].map(({ hold }) => hold.fold.status);
  }

  start(): void {
    const { bus } = this.#options;
    this.#questions = bus.live.onAsk((ref, question) => this.#answer(ref, question));
    this.#puller = bus.runs.pull({
      slots: () => (this.#stopping ? 0 : this.#freeSlots()),
      onDelivery: (delivery) => void this.#take(delivery),
    });
    this.#keepWorking();
    this.#sweep.start();
  }

  /** Runs that wait for nested ones leave their place to them: else a thousand parents would wait for ever. */
  #freeSlots(): number {
    const free = this.#maxRuns - this.#held.size;
    if (free > 0) return free;
    let waiting = 0;
    for (const { hold } of this.#held.values()) if (hold.waitsForChildren) waiting += 1;
    return free + waiting;
  }

  /** Gives every held run back and takes no more. What is out stays out: another daemon goes on with it. */
  async stop(): Promise<void> {
    if (this.#stopping) return;
    this.#stopping = true;
    this.#sweep.stop();
    await this.#puller?.stop();
    this.#questions?.close();
    this.#replays.stop();
    this.#options.clock.clearTimeout(this.#keepTimer);
    await Promise.all([...this.#held.values()].map(({ hold }) => hold.release()));
  }

  async #take(delivery: RunDelivery): Promise<void> {
    const { run } = delivery;
    const { clock } = this.#options;
    if (this.#stopping) return delivery.nak(0);
    // The queue holds one task per run, so a second delivery is a redelivery: the older receipt is dead.
    const held = this.#held.get(run);
    if (held) {
      held.delivery = delivery;
      return;
    }
    const hold = new RunHold(run, this.#holdContext());
    this.#held.set(run, { hold, delivery });
    void hold.start();
    const taken = clock.monotonic();
    const outcome = await hold.ended;
    this.#options.observer?.onHoldEnd(run, outcome);
    const receipt = this.#held.get(run)?.delivery ?? delivery;
    this.#held.delete(run);
    this.#puller?.wake();
    if (hold.defeat === undefined) this.#defeats.forget(run);
    if (outcome === "finished") await this.#remove(receipt, hold.readTo, CALLS);
    else if (outcome === "parked") await this.#remove(receipt, hold.readTo, CALLS_OF_PARKED);
    else if (outcome === "newer") receipt.nak(this.#stopping ? 0 : LEFT_TO_NEWER_MS);
    else if (outcome === "released") {
      const again = hold.defeat && this.#defeats.note(run, hold.defeat, clock.monotonic() - taken);
      receipt.nak(this.#stopping ? 0 : (again ?? REOFFER_MS));
    } // Not when fenced: A1.
  }

  /** The run has ended or only waits: its task goes, unless something arrived while it went and may have opened it again. */
  async #remove(delivery: RunDelivery, readTo: number, calls: ReadonlySet<LogRecord["kind"]>): Promise<void> {
    const { bus, clock, log } = this.#options;
    try {
      await delivery.ack();
    } catch (error) {
      // Unacked, the task comes again, and the next hold finds the run ended; or it is acked after all.
      log.debug({ run: delivery.run, err: error }, "the task of an ended run may stay for now");
    }
    // What called for an orchestrator before the ack found the task there and pushed none: nobody else will.
    while (!this.#stopping) {
      try {
        if (await this.#wasCalled(delivery.run, readTo + 1, calls)) await bus.runs.push(delivery.run);
        return;
      } catch (error) {
        log.debug({ run: delivery.run, err: error }, "the log of an ended run could not be looked at");
        await new Promise<void>((resolve) => {
          clock.setTimeout(resolve, REOFFER_MS);
        });
        if (bus.status() === "closed") return;
      }
    }
  }

  async #wasCalled(run: string, from: number, calls: ReadonlySet<LogRecord["kind"]>): Promise<boolean> {
    for await (const { kind } of this.#options.bus.log.read(run, { from })) if (calls.has(kind)) return true;
    return false;
  }

  async #answer(ref: DispatchRef, question: Question): Promise<Answer | undefined> {
    const { log } = this.#options;
    try {
      const answer = await this.#held.get(ref.run)?.hold.answer(ref, question);
      return answer ?? (await this.#answerFromLog(ref, question));
    } catch (error) {
      log.debug({ ...ref, err: error }, "question could not be answered");
      return undefined;
    }
  }

  /** Any daemon may answer from the log; the holder is left the first word. */
  async #answerFromLog(ref: DispatchRef, question: Question): Promise<Answer | undefined> {
    const { bus, clock } = this.#options;
    await new Promise<void>((resolve) => {
      clock.setTimeout(resolve, ANSWER_FOR_OTHERS_MS);
    });
    if (!(await bus.log.exists(ref.run))) return { open: false, error: `there is no run ${ref.run}` };
    const fold = await this.#replays.of(ref.run);
    return question.q === "changes"
      ? new EnvHistory(bus).answer(fold, question)
      : answerFrom(fold, ref, question);
  }

  #keepWorking(): void {
    const { clock } = this.#options;
    const now = clock.monotonic();
    const slept = now - this.#lease.keptAt > this.#lease.forMs;
    this.#lease.keptAt = now;
    for (const { hold, delivery } of this.#held.values()) {
      if (slept) hold.doubt(); // A2
      delivery.working();
    }
    this.#keepTimer = clock.setTimeout(() => this.#keepWorking(), this.#lease.forMs / WORKING_TIMES);
  }

  #holdContext(): HoldContext {
    const { bus, clock, log, planning, id, newId, observer, traced = false } = this.#options;
    const context = {
      bus,
      clock,
      log,
      planning,
      holder: id,
      newId,
      lease: this.#lease,
      defeats: this.#defeats,
      shares: this.#shares,
      traced,
    };
    return observer === undefined ? context : { ...context, observer };
  }
}
