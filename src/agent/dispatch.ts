/**
 * One dispatch in the hands of an agent: from the delivery of its task to the ack.
 *
 * It owns the order of things that makes the work safe:
 *  - D1 The task is kept in progress from before its code starts until it is acked or given back (B4).
 *  - D2 The result is durable in the log before the task is acked; while the broker is away the result
 *    waits, and nothing is acked.
 *  - D3 A delivery that may be a second one, or late, is asked about first; no answer in time means run:
 *    execution is at least once, and the first result in the log wins (L4).
 *  - D4 The task's code is heard of exactly once: the first of its end and the end of its grace counts.
 *
 * It does not own how many run at once, nor when the process ends: that is the host's matter.
 */
import type { Logger } from "pino";
import type { Bus, Clock, KeepAlive, TaskDelivery } from "../bus/bus.ts";
import { checkIn, holdsReference, redeem, travelsAsItIs } from "../bus/claim-check.ts";
import type { ResultMessage, TaskMessage, WireError } from "../bus/messages.ts";
import { InvalidInputError, UnreachableError } from "../workflow/errors.ts";
import { parseDuration } from "../workflow/names.ts";
import { SecretMask } from "../workflow/secrets.ts";
import { type AgentDefinition, Handoff, type TaskDefinition } from "./define.ts";
import { LiveFeed, QUICK_MS } from "./live-feed.ts";
import { maskedLog } from "./masked-log.ts";
import { boundText, hostError, notesProblem, schemaProblem, thrownError } from "./outcome.ts";
import { type AbortCause, TaskAbort, type TaskAbortedError } from "./task-abort.ts";
import { DispatchContext } from "./task-context.ts";
import { inTaskSpan } from "./task-span.ts";
import { Backoff, wait } from "./waiting.ts";

/** A task delivered more often than this kills its agents; it is failed without running it (L8). */
export const MAX_DELIVERIES = 5;
/** How long a question whether a dispatch is still open may take. */
export const OPEN_TIMEOUT_MS = 2_000;
/** A task that runs is asked about this often. */
const OPEN_EVERY_MS = 30_000;
/** How long a task may go on after its signal fired before it is given up. */
const ABORT_GRACE_MS = 5_000;
/** Pauses between tries while the broker is out of reach. */
const RETRY = { firstMs: 50, maxMs: 5_000 } as const;
/** How long a task that was given back waits before it is delivered again. */
const GIVE_BACK_DELAY_MS = 100;
/** A task that failed here is left to another agent of the role so often, for so long times the delivery's number. */
const LEFT_DELIVERIES = 2;
const LEFT_DELAY_MS = 100;
/** The same after a surprise: long enough that a lasting cause does not use up the deliveries at once. */
const REFUSED_DELAY_MS = 30_000;

/** What a dispatch needs of its process. */
export interface DispatchHost {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly log: Logger;
  /** The agent's id, as results carry it. */
  readonly id: string;
  readonly keepAlive: KeepAlive;
  ackWaitMs(role: string): number;
  /** Tasks whose last dispatch in this process ended at once. */
  readonly brisk: WeakSet<TaskDefinition>;
  /** Fires when the process stops without waiting any longer. */
  readonly stopped: AbortSignal;
}

/** How a dispatch ended for this agent. */
export type DispatchEnd = ResultMessage["status"] | "closed" | "given back";

type CodeEnd =
  | { kind: "returned"; value: unknown }
  | { kind: "threw"; thrown: unknown }
  | { kind: "gave up" };

export class Dispatch {
  readonly task: TaskMessage;
  /** Set when the code was given up while it still runs; resolves when it really ends. */
  hanging: Promise<void> | undefined;
  readonly #host: DispatchHost;
  readonly #agent: AgentDefinition;
  readonly #abort = new TaskAbort();
  #delivery: TaskDelivery;
  #cachedLog: Logger | undefined;
  /** Once the task is acked or given back: how. */
  #settled: ((delivery: TaskDelivery) => void) | undefined;
  #context: DispatchContext | undefined;
  #startedAt: number;
  /** Monotonic ms of the last time that it was known, or asked, whether the dispatch is open. */
  #askedAt: number;

  constructor(host: DispatchHost, agent: AgentDefinition, delivery: TaskDelivery) {
    this.task = delivery.task;
    this.#host = host;
    this.#agent = agent;
    this.#delivery = delivery;
    this.#startedAt = host.clock.now();
    this.#askedAt = host.clock.monotonic();
    this.#keep(); // D1
  }

  /** The same dispatch came again while it runs here: its newer delivery is the one to keep and to ack. */
  adopt(delivery: TaskDelivery): void {
    if (this.#settled !== undefined) {
      this.#settled(delivery);
      return;
    }
    this.#host.keepAlive.release(this.#delivery);
    this.#delivery = delivery;
    this.#keep();
  }

  /** Fires the task's signal. The first cause stays. */
  abort(why: AbortCause, message: string): void {
    this.#abort.fire(why, message);
  }

  /**
   * Asks, now and then, whether anybody still waits for the result: the word to stop is a live message and may
   * have been lost, and a deadline may have passed before the task came. Called by the host for what runs.
   */
  async lookWhetherOpen(): Promise<void> {
    const now = this.#host.clock.monotonic();
    if (now - this.#askedAt < OPEN_EVERY_MS || this.#settled !== undefined) return;
    this.#askedAt = now;
    if ((await this.#isOpen()) === false) this.abort("cancelled", "the dispatch is closed");
  }

  /** Gives the task back to the queue, for any agent to start anew. */
  giveBack(delayMs = GIVE_BACK_DELAY_MS): DispatchEnd {
    this.#settle((delivery) => delivery.nak(delayMs));
    return "given back";
  }

  /** Carries the dispatch through. Never rejects. */
  async carryOut(): Promise<DispatchEnd> {
    try {
      this.#abort.throwIfFired();
      if (this.#leavesToOthers()) return this.giveBack(LEFT_DELAY_MS * this.#delivery.deliveryCount);
      const refusal = await this.#refusal();
      if (refusal === "closed") {
        this.#settle((delivery) => delivery.ack());
        return "closed";
      }
      return await this.#report(refusal === undefined ? await this.#run() : this.#failed(refusal));
    } catch (error) {
      if (this.#host.stopped.aborted || this.#abort.reason?.why === "drain") return this.giveBack();
      const aborted = this.#abort.reason;
      if (aborted !== undefined) return this.#report(this.#failed(abortError(aborted, false)));
      this.#log.error({ err: error, delayMs: REFUSED_DELAY_MS }, "dispatch given back");
      return this.giveBack(REFUSED_DELAY_MS);
    }
  }

  /** Whether it failed here before and another agent may yet take it. Alone with it, this one tries again. */
  #leavesToOthers(): boolean {
    return (
      this.task.avoid?.includes(this.#host.id) === true && this.#delivery.deliveryCount <= LEFT_DELIVERIES
    );
  }

  /** Why the task's code must not run: an error to report, or a dispatch that is closed already. */
  async #refusal(): Promise<WireError | "closed" | undefined> {
    const { deliveryCount } = this.#delivery;
    const late = this.#remainingMs() <= 0;
    // A deadline that has passed by this machine's clock decides nothing (L7): it is a reason to ask.
    if (deliveryCount > 1 || late) {
      if ((await this.#isOpen()) === false) return "closed"; // D3
      if (late) this.#log.warn("the deadline has passed on this machine's clock, yet the dispatch is open");
    }
    if (deliveryCount > MAX_DELIVERIES) {
      const message = `delivered ${deliveryCount} times, the bound is ${MAX_DELIVERIES}: it seems to end its agents`;
      return hostError("E_POISON", message, { retryable: false }); // L8
    }
    if (this.#definition() === undefined) {
      const known = Object.keys(this.#agent.tasks).join(", ");
      const message = `role "${this.#agent.role}" has no task "${this.task.task}"; it has: ${known}`;
      return hostError("E_UNKNOWN_TASK", message, { retryable: false });
    }
    return undefined;
  }

  /** Undefined: nobody could be asked. */
  async #isOpen(): Promise<boolean | undefined> {
    try {
      return (await this.#host.bus.live.ask(this.task, { q: "open" }, OPEN_TIMEOUT_MS))?.open;
    } catch (error) {
      this.#log.warn({ err: error }, "could not ask whether the dispatch is open");
      return undefined;
    }
  }

  #definition(): TaskDefinition | undefined {
    const { task } = this.task;
    return Object.hasOwn(this.#agent.tasks, task) ? this.#agent.tasks[task] : undefined;
  }

  async #run(): Promise<ResultMessage> {
    const definition = this.#definition() as TaskDefinition;
    const feed = new LiveFeed(this.#host, this.task, () => this.#log);
    const { clock, brisk } = this.#host;
    this.#startedAt = clock.now();
    const begunAt = clock.monotonic();
    feed.started(brisk.has(definition));
    const inputs = await this.#inputs(definition);
    if ("error" in inputs) {
      feed.close();
      return this.#failed(inputs.error);
    }
    const end = await this.#execute(definition, inputs.value, feed);
    feed.close();
    if (clock.monotonic() - begunAt < QUICK_MS) brisk.add(definition);
    else brisk.delete(definition);
    return this.#outcome(definition, end);
  }

  /** The inputs with their claim checks redeemed, checked against the task's schema. */
  async #inputs(definition: TaskDefinition): Promise<{ value: unknown } | { error: WireError }> {
    const { inputs } = this.task;
    const value = await this.#redeem(inputs);
    if ("error" in value) return value;
    if (definition.inputs === undefined) return value;
    const parsed = await definition.inputs.safeParseAsync(value.value);
    if (parsed.success) return { value: parsed.data };
    return {
      error: hostError("E_INPUT_SCHEMA", schemaProblem("inputs", parsed.error), { retryable: false }),
    };
  }

  async #redeem(inputs: Record<string, unknown>): Promise<{ value: unknown } | { error: WireError }> {
    if (!holdsReference(inputs)) return { value: inputs };
    try {
      return { value: await this.#whileUnreachable(() => redeem(this.#host.bus.artifacts, inputs)) };
    } catch (error) {
      if (this.#abort.reason !== undefined || this.#host.stopped.aborted) throw error;
      // Purged or unreadable: no other agent will fare better.
      return { error: { ...thrownError(error), retryable: false } };
    }
  }

  /** Runs the task's code until it ends, or until its grace is over after the signal fired (D4). */
  async #execute(definition: TaskDefinition, inputs: unknown, feed: LiveFeed): Promise<CodeEnd> {
    const { clock } = this.#host;
    if (this.#abort.reason !== undefined) return { kind: "threw", thrown: this.#abort.reason };
    const timers: unknown[] = [];
    const arm = (delayMs: number, why: AbortCause, message: string) => {
      timers.push(clock.setTimeout(() => this.abort(why, message), delayMs));
    };
    const timeoutMs = definition.timeout === undefined ? undefined : parseDuration(definition.timeout);
    const remainingMs = this.#remainingMs();
    if (remainingMs > 0 && Number.isFinite(remainingMs))
      arm(remainingMs, "deadline", "the deadline has passed");
    if (timeoutMs !== undefined)
      arm(timeoutMs, "timeout", `ran longer than its timeout of ${definition.timeout}`);
    const boundMs = Math.min(
      timeoutMs ?? Number.POSITIVE_INFINITY,
      remainingMs > 0 ? remainingMs : Number.POSITIVE_INFINITY,
    );
    // A blocked loop cannot fire the signal: the keep-alive lets go by itself (D1 ends here).
    if (Number.isFinite(boundMs)) this.#keep(boundMs + ABORT_GRACE_MS);

    const gaveUp = new Promise<CodeEnd>((resolve) => {
      const giveUp = () => timers.push(clock.setTimeout(() => resolve({ kind: "gave up" }), ABORT_GRACE_MS));
      this.#abort.onFire(giveUp);
    });
    const code = this.#invoke(definition, inputs, feed);
    const end = await Promise.race([code, gaveUp]);
    if (end.kind === "gave up") this.hanging = code.then(() => undefined);
    for (const timer of timers) clock.clearTimeout(timer);
    if (Number.isFinite(boundMs)) this.#keep(); // the result may have to wait for the broker
    return end;
  }

  /** Never rejects: whatever the code does, synchronously or later, becomes a value. */
  async #invoke(definition: TaskDefinition, inputs: unknown, feed: LiveFeed): Promise<CodeEnd> {
    const { bus, clock, id } = this.#host;
    const context = new DispatchContext({
      bus,
      clock,
      id,
      task: this.task,
      abort: this.#abort,
      feed,
      log: () => this.#log,
    });
    this.#context = context;
    try {
      return {
        kind: "returned",
        value: await inTaskSpan(this.task, id, () => definition.run(inputs, context)),
      };
    } catch (thrown) {
      return { kind: "threw", thrown };
    } finally {
      context.close();
    }
  }

  async #outcome(definition: TaskDefinition, end: CodeEnd): Promise<ResultMessage> {
    if (end.kind === "returned") {
      return end.value instanceof Handoff ? this.#handedOver(end.value) : this.#done(definition, end.value);
    }
    const aborted = this.#abort.reason;
    if (end.kind === "gave up") {
      this.#log.error(
        { why: aborted?.why, graceMs: ABORT_GRACE_MS },
        "the task ignores its signal; given up",
      );
    } else {
      this.#log.warn({ err: end.thrown }, "the task failed");
    }
    if (aborted === undefined)
      return this.#failed(thrownError(end.kind === "threw" ? end.thrown : undefined));
    // Drained: another agent takes it from the start.
    if (aborted.why === "drain") throw aborted;
    return this.#failed(abortError(aborted, end.kind === "gave up"));
  }

  async #done(definition: TaskDefinition, returned: unknown): Promise<ResultMessage> {
    let outputs = returned ?? {};
    if (definition.outputs !== undefined) {
      const parsed = await definition.outputs.safeParseAsync(returned);
      if (!parsed.success) {
        const message = schemaProblem("outputs", parsed.error);
        return this.#failed(hostError("E_OUTPUT_SCHEMA", message, { retryable: false }));
      }
      outputs = parsed.data as object;
    }
    if (typeof outputs !== "object" || Array.isArray(outputs)) {
      const kind = Array.isArray(outputs) ? "an array" : `a ${typeof outputs}`;
      const message = `outputs must be an object whose keys are the output names, but the task returned ${kind}`;
      return this.#failed(hostError("E_OUTPUT_SCHEMA", message, { retryable: false }));
    }
    return this.#withValues(outputs as Record<string, unknown>, (values) => {
      const result = this.#result("done");
      result.outputs = values;
      return result;
    });
  }

  async #handedOver({ role, task, inputs, reason, notes }: Handoff): Promise<ResultMessage> {
    const problem = notesProblem(notes);
    if (problem !== undefined) return this.#failed(hostError("E_NOTES", problem, { retryable: false }));
    return this.#withValues(inputs, (values) => {
      const result = this.#result("handoff");
      result.handoff = { role, task, inputs: values, reason: boundText(reason) };
      if (notes !== undefined) result.handoff.notes = notes;
      return result;
    });
  }

  /** Checks large values in; what cannot be encoded fails the dispatch, since it never will. */
  async #withValues(
    values: Record<string, unknown>,
    make: (checked: Record<string, unknown>) => ResultMessage,
  ): Promise<ResultMessage> {
    const { artifacts } = this.#host.bus;
    if (travelsAsItIs(values, artifacts.claimCheckBytes)) return make(values);
    try {
      return make(await this.#whileUnreachable(() => checkIn(artifacts, this.task.run, values)));
    } catch (error) {
      if (error instanceof InvalidInputError) return this.#failed(encodingError(error));
      throw error;
    }
  }

  /** Tries for as long as the broker is out of reach and the process goes on (D2). */
  async #whileUnreachable<Value>(act: () => Promise<Value>): Promise<Value> {
    const { clock, stopped } = this.#host;
    let backoff: Backoff | undefined;
    while (true) {
      try {
        return await act();
      } catch (error) {
        if (!(error instanceof UnreachableError) || stopped.aborted) throw error;
        // Once for each task: an outage of an hour would fill the disk with the same line.
        const { code, message: reason } = error;
        this.#log[backoff === undefined ? "warn" : "debug"](
          { code, reason },
          "the broker is out of reach; trying again",
        );
      }
      backoff ??= new Backoff(RETRY.firstMs, RETRY.maxMs);
      await wait(clock, backoff.next(), stopped);
    }
  }

  /** Appends the result, for as long as that takes, and only then acks (D2). */
  async #report(result: ResultMessage): Promise<DispatchEnd> {
    const { log } = this.#host.bus;
    const { run, step, n, role } = this.task;
    const entry = { kind: "result", role, body: result } as const;
    try {
      // A lost answer may make this a second copy: harmless, the first one counts (L4).
      await this.#whileUnreachable(() => log.append(run, entry, { id: `${role}:${run}:${step}:${n}` }));
    } catch (error) {
      if (error instanceof InvalidInputError && result.status !== "failed") {
        return this.#report(this.#failed(encodingError(error)));
      }
      if (this.#host.stopped.aborted) return this.giveBack();
      this.#log.error(
        { err: error, delayMs: REFUSED_DELAY_MS },
        "the broker refuses the result; task given back",
      );
      return this.giveBack(REFUSED_DELAY_MS);
    }
    this.#settle((delivery) => delivery.ack());
    return result.status;
  }

  /** Says the last word about the task to its queue, once. */
  #settle(say: (delivery: TaskDelivery) => void): void {
    if (this.#settled !== undefined) return;
    this.#settled = say;
    this.#host.keepAlive.release(this.#delivery);
    say(this.#delivery);
  }

  /** Made when first used: most dispatches have nothing to say. */
  get #log(): Logger {
    const { run, step, n, role, task, traceparent } = this.task;
    // Of `<version>-<trace id>-<parent id>-<flags>`.
    const traceId = traceparent?.split("-")[1];
    if (this.#cachedLog === undefined) {
      const log = this.#host.log.child({ run, step, n, role, task, ...(traceId && { traceId }) });
      const { secrets } = this.task;
      this.#cachedLog = secrets === undefined ? log : maskedLog(log, SecretMask.ofTexts(secrets));
    }
    return this.#cachedLog;
  }

  #failed(error: WireError): ResultMessage {
    const result = this.#result("failed");
    result.error = error;
    return result;
  }

  /** To be completed by its maker: adding to a copy made by spreading costs V8 a microsecond a property. */
  #result(status: ResultMessage["status"]): ResultMessage {
    const { run, step, n } = this.task;
    const [startedAt, endedAt] = [this.#startedAt, this.#host.clock.now()];
    const result: ResultMessage = { v: 1, run, step, n, agent: this.#host.id, status, startedAt, endedAt };
    const spent = this.#context?.spent;
    if (spent !== undefined) result.usage = spent;
    return result;
  }

  #keep(forMs?: number): void {
    const ackWaitMs = this.#host.ackWaitMs(this.task.role);
    this.#host.keepAlive.hold(this.#delivery, forMs === undefined ? { ackWaitMs } : { ackWaitMs, forMs });
  }

  /** Until the deadline, by this machine's clock; Infinity without one. */
  #remainingMs(): number {
    const { deadline } = this.task;
    return deadline === undefined ? Number.POSITIVE_INFINITY : deadline - this.#host.clock.now();
  }
}

const ABORT_CODES = {
  cancelled: { code: "E_CANCELLED", retryable: false },
  deadline: { code: "E_DEADLINE", retryable: true },
  timeout: { code: "E_TASK_TIMEOUT", retryable: true },
  drain: { code: "E_DRAINED", retryable: true },
} as const satisfies Record<AbortCause, { code: string; retryable: boolean }>;

function abortError(aborted: TaskAbortedError, ignored: boolean): WireError {
  const { code, retryable } = ABORT_CODES[aborted.why];
  const suffix = ignored ? `; it did not stop within ${ABORT_GRACE_MS} ms of its signal` : "";
  return hostError(code, `${aborted.message}${suffix}`, { retryable });
}

function encodingError(error: InvalidInputError): WireError {
  const code = error.code === "E_UNSERIALISABLE" ? "E_OUTPUT_ENCODING" : error.code;
  return hostError(code, `${error.message}${error.remedy === undefined ? "" : `. ${error.remedy}`}`, {
    retryable: false,
  });
}
