/**
 * Sends the spans of runs that have ended to an OpenTelemetry collector.
 *
 * They are read from the log, so nothing is collected while runs go on, and sending a run twice (two daemons, a
 * restart) sends the same spans. What a collector does not take is told once and given up: the log still has it,
 * and `trace --format otlp` prints it.
 */
import type { Logger } from "pino";
import type { HoldObserver } from "../actors/hold-observer.ts";
import type { Clock, RunLog } from "../bus/bus.ts";
import { renderTrace } from "../trace/format.ts";
import { replay } from "../trace/replay.ts";
import type { SpanTarget } from "./span-target.ts";

/** Runs whose spans wait to be sent, or were; beyond, the oldest is given up, or forgotten (L8). */
const MAX_WAITING = 1_000;
/** How long the sending of one run may take, and how long a stop waits for all that is left. */
const TIMEOUT_MS = 10_000;
const STOPPING = "the daemon stops";

export class SpanExport {
  readonly #log: RunLog;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #target: SpanTarget;
  readonly #waiting = new Set<string>();
  /** When the runs ended whose spans were sent last, by run: one that is only looked at again is not sent again. */
  readonly #sent = new Map<string, number>();
  #sending: Promise<void> | undefined;
  /** Ends the sending that is under way. */
  #request = new AbortController();
  #refused = false;
  #over = false;

  constructor(log: RunLog, clock: Clock, logger: Logger, target: SpanTarget) {
    this.#log = log;
    this.#clock = clock;
    this.#logger = logger;
    this.#target = target;
  }

  /** Takes a run that has ended. */
  add(run: string): void {
    this.#waiting.add(run);
    const [oldest] = this.#waiting;
    if (this.#waiting.size > MAX_WAITING && oldest !== undefined) this.#waiting.delete(oldest);
    this.#sending ??= this.#sendAll();
  }

  /** Sends what waits, for as long as one sending may take: a collector that hangs does not hold up a stop. */
  async stop(): Promise<void> {
    const timer = this.#clock.setTimeout(() => {
      this.#over = true;
      this.#request.abort(new Error(STOPPING));
    }, TIMEOUT_MS);
    await this.#sending;
    this.#clock.clearTimeout(timer);
  }

  async #sendAll(): Promise<void> {
    for (const run of this.#waiting) {
      if (this.#over) break;
      this.#waiting.delete(run);
      try {
        await this.#send(run);
        this.#refused = false;
      } catch (error) {
        const say = this.#refused ? "debug" : "warn";
        this.#logger[say](
          { run, url: this.#target.url, err: error },
          "the collector did not take a run's spans",
        );
        this.#refused = true;
      }
    }
    this.#sending = undefined;
    if (this.#over && this.#waiting.size > 0)
      this.#logger.warn({ runs: this.#waiting.size }, "stopped before the spans of these runs were sent");
  }

  async #send(run: string): Promise<void> {
    const trace = await replay(run, this.#log.read(run));
    const { endedAt = 0 } = trace.fold;
    if (this.#sent.get(run) === endedAt) return;
    await this.#post(renderTrace(trace, "otlp"));
    this.#sent.delete(run);
    this.#sent.set(run, endedAt);
    const [oldest] = this.#sent.keys();
    if (this.#sent.size > MAX_WAITING && oldest !== undefined) this.#sent.delete(oldest);
  }

  async #post(body: string): Promise<void> {
    if (this.#over) throw new Error(STOPPING);
    const { url, headers } = this.#target;
    this.#request = new AbortController();
    const { signal } = this.#request;
    const late = new Error(`it did not answer within ${TIMEOUT_MS} ms`);
    const timer = this.#clock.setTimeout(() => this.#request.abort(late), TIMEOUT_MS);
    try {
      const answer = await fetch(url, {
        method: "POST",
        headers: { "content-type": "application/json", ...headers },
        body,
        signal,
      });
      await answer.arrayBuffer();
      if (!answer.ok) throw new Error(`it answered ${answer.status}`);
    } finally {
      this.#clock.clearTimeout(timer);
    }
  }
}

/** An observer of holds that has the spans of ended runs sent, and tells another one the same. */
export function withSpans(spans: SpanExport, other: HoldObserver | undefined): HoldObserver {
  return {
    onTransition: (transition, fold) => other?.onTransition(transition, fold),
    onVoid: (record) => other?.onVoid(record),
    onHoldEnd: (run, outcome) => {
      if (outcome === "finished") spans.add(run);
      other?.onHoldEnd(run, outcome);
    },
  };
}
