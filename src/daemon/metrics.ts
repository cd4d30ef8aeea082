/**
 * The daemon's numbers for Prometheus: what happens in the runs that it holds, how long the roles' queues are, how
 * the connection and the process are.
 *
 * Owns the names. Counters count what this daemon saw since it started; add them up over daemons. Queue lengths are
 * the swarm's and are asked of the broker when a scrape comes, at most once in `QUEUES_FRESH_MS`; while the broker
 * is away they are left out. Nothing here is consulted by the runtime.
 */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import type { HoldObserver, HoldOutcome } from "../actors/hold-observer.ts";
import type { Bus, Clock, RoleStatus } from "../bus/bus.ts";
import { RUN_STATUSES, type RunStatus } from "../bus/messages.ts";
import type { RunFold } from "../fold/run-fold.ts";
import type { TransitionRecord, VoidRecord } from "../fold/transition-record.ts";

export interface MetricsOptions {
  bus: Bus;
  clock: Clock;
  swarm: string;
  version: string;
  /** Statuses of the runs that are held here, asked at each scrape. */
  held(): readonly RunStatus[];
}

/** A dispatch that was opened here, until it is closed. Times are those of the log, epoch ms. */
interface OpenDispatch {
  role: string;
  openedAt: number;
  startedAt: number | undefined;
}

const QUEUES_FRESH_MS = 2_000;
const SECONDS = 1_000;
const STEP_BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300];
const RUN_BUCKETS = [0.1, 0.5, 1, 5, 10, 30, 60, 300, 900, 3_600, 14_400, 86_400];

export class SwarmMetrics implements HoldObserver {
  readonly #options: MetricsOptions;
  readonly #registry = new Registry();
  readonly #open = new Map<string, Map<string, OpenDispatch>>();
  #queues: readonly RoleStatus[] = [];
  #queuesAt = Number.NEGATIVE_INFINITY;
  #lagMs = 0;
  readonly #stop: () => void;

  readonly #opened = this.#counter("dispatches_opened_total", "Dispatches that became due.", ["role"]);
  readonly #closed = this.#counter(
    "dispatches_closed_total",
    "Dispatches that were closed, by what closed them (complete, fail, time out, hand off, lose, cancel, fan out).",
    ["role", "by"],
  );
  readonly #steps = this.#counter("steps_total", "Steps that ended, by outcome.", ["role", "outcome"]);
  readonly #runs = this.#counter("runs_ended_total", "Runs that ended, by status.", ["status"]);
  readonly #voids = this.#counter(
    "void_records_total",
    "Records that changed nothing: late and foreign results, void decisions, refused controls, unreadable ones.",
    ["verdict"],
  );
  readonly #holds = this.#counter(
    "holds_ended_total",
    "Holds of a run that ended: finished, parked, released to another daemon, or fenced by one.",
    ["outcome"],
  );
  readonly #queued = this.#histogram("dispatch_queue_seconds", "From due to started.", STEP_BUCKETS);
  readonly #ran = this.#histogram("dispatch_run_seconds", "From started to closed.", STEP_BUCKETS);
  readonly #duration = new Histogram({
    name: "datahammer_run_duration_seconds",
    help: "From submission to end.",
    labelNames: ["status"],
    buckets: RUN_BUCKETS,
    registers: [this.#registry],
  });

  constructor(options: MetricsOptions) {
    this.#options = options;
    const { bus, swarm, version } = options;
    collectDefaultMetrics({ register: this.#registry });
    // Gauges with the name of a counter; the same numbers are there by type.
    for (const name of ["handles", "requests", "resources"])
      this.#registry.removeSingleMetric(`nodejs_active_${name}_total`);
    this.#gauge("info", "Always 1.", ["swarm", "version"], (gauge) => gauge.set({ swarm, version }, 1));
    this.#gauge("broker_connected", "1 while the broker is reached.", [], (gauge) =>
      gauge.set(bus.status() === "connected" ? 1 : 0),
    );
    this.#gauge("runs_held", "Runs that this daemon holds, by status.", ["status"], (gauge) => {
      for (const status of RUN_STATUSES) gauge.set({ status }, 0);
      for (const status of options.held()) gauge.inc({ status });
    });
    this.#gauge(
      "fold_lag_seconds",
      "The longest from storage to folding since the last scrape.",
      [],
      (gauge) => {
        gauge.set(this.#lagMs / SECONDS);
        this.#lagMs = 0;
      },
    );
    this.#gauge("tasks_queued", "Tasks that wait for an agent.", ["role"], (gauge) =>
      this.#ofQueues(gauge, ({ queued }) => queued),
    );
    this.#gauge("tasks_in_progress", "Tasks in the hands of agents.", ["role"], (gauge) =>
      this.#ofQueues(gauge, ({ held }) => held),
    );
    this.#gauge(
      "tasks_redelivered",
      "Of these, tasks that were delivered before: their agents died or fell silent.",
      ["role"],
      (gauge) => this.#ofQueues(gauge, ({ redelivered }) => redelivered),
    );
    const reconnects = this.#counter("broker_reconnects_total", "Lost connections that came back.", []);
    const unreadable = this.#counter("unreadable_messages_total", "Messages that did not parse.", []);
    const lost = bus.onStatus((status) => {
      if (status === "connected") reconnects.inc();
    });
    let counted = 0;
    this.#beforeScrape = () => {
      unreadable.inc(bus.unreadableCount() - counted);
      counted = bus.unreadableCount();
    };
    this.#stop = () => lost.close();
  }
  readonly #beforeScrape: () => void;

  /** The exposition format, version 0.0.4. */
  async text(): Promise<string> {
    this.#beforeScrape();
    await this.#lookAtQueues();
    return this.#registry.metrics();
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  stop(): void {
    this.#stop();
    this.#registry.clear();
  }

  // ── what the holds tell ──────────────────────────────────────────────────────────────────────────

  onTransition(transition: TransitionRecord, fold: RunFold): void {
    const { kind, ts } = transition;
    // What came of the submission itself may have waited for a daemon.
    if (ts > (fold.startedAt ?? 0)) this.#lagMs = Math.max(this.#lagMs, this.#options.clock.now() - ts);
    if (kind === "run") this.#onRun(transition, fold);
    else this.#onStep(transition, fold);
  }

  onVoid({ verdict }: VoidRecord): void {
    this.#voids.inc({ verdict });
  }

  onHoldEnd(run: string, outcome: HoldOutcome): void {
    this.#holds.inc({ outcome });
    this.#open.delete(run);
  }

  #onRun({ to }: TransitionRecord, { startedAt, endedAt }: RunFold): void {
    if (to !== "done" && to !== "failed" && to !== "cancelled") return;
    this.#runs.inc({ status: to });
    if (startedAt !== undefined && endedAt !== undefined) {
      this.#duration.observe({ status: to }, Math.max(0, endedAt - startedAt) / SECONDS);
    }
  }

  #onStep({ actor, from, to, event, ts }: TransitionRecord, fold: RunFold): void {
    const { context } = fold.step(actor);
    if (from === to) {
      // Approved: the dispatch is the same one, and due from now on.
      const open = this.#open.get(fold.run)?.get(actor);
      if (open !== undefined) open.openedAt = ts;
      return;
    }
    if (from === "ready" || from === "running") this.#onLeft(fold.run, actor, to, event, ts);
    if (to === "ready") {
      this.#opened.inc({ role: context.role });
      const ofRun = this.#open.get(fold.run) ?? new Map<string, OpenDispatch>();
      this.#open.set(fold.run, ofRun.set(actor, { role: context.role, openedAt: ts, startedAt: undefined }));
    }
    if (to === "done" || to === "failed") {
      this.#steps.inc({ role: context.role, outcome: context.outcome ?? to });
    }
  }

  #onLeft(run: string, step: string, to: string, by: string, ts: number): void {
    const open = this.#open.get(run)?.get(step);
    // Opened before this daemon held the run: its role and times are not known here.
    if (open === undefined) return;
    // Given to items, which are dispatches of their own.
    if (to === "running" && by !== "fan out") {
      open.startedAt = ts;
      this.#queued.observe({ role: open.role }, Math.max(0, ts - open.openedAt) / SECONDS);
      return;
    }
    this.#closed.inc({ role: open.role, by });
    if (open.startedAt !== undefined) {
      this.#ran.observe({ role: open.role }, Math.max(0, ts - open.startedAt) / SECONDS);
    }
    this.#open.get(run)?.delete(step);
  }

  // ── what is asked ────────────────────────────────────────────────────────────────────────────────

  async #lookAtQueues(): Promise<void> {
    const { bus, clock } = this.#options;
    if (clock.monotonic() - this.#queuesAt < QUEUES_FRESH_MS) return;
    this.#queuesAt = clock.monotonic();
    try {
      this.#queues = bus.status() === "connected" ? await bus.tasks.roles() : [];
    } catch {
      this.#queues = []; // The broker went away meanwhile: `broker_connected` tells.
    }
  }

  #ofQueues(gauge: Gauge<string>, value: (role: RoleStatus) => number): void {
    gauge.reset();
    for (const status of this.#queues) gauge.set({ role: status.role }, value(status));
  }

  #counter(name: string, help: string, labelNames: readonly string[]): Counter<string> {
    return new Counter({ name: `datahammer_${name}`, help, labelNames, registers: [this.#registry] });
  }

  #histogram(name: string, help: string, buckets: number[]): Histogram<string> {
    const labelNames = ["role"];
    return new Histogram({
      name: `datahammer_${name}`,
      help,
      labelNames,
      buckets,
      registers: [this.#registry],
    });
  }

  /** @param read sets the gauge at every scrape */
  #gauge(
    name: string,
    help: string,
    labelNames: readonly string[],
    read: (gauge: Gauge<string>) => void,
  ): void {
    new Gauge({
      name: `datahammer_${name}`,
      help,
      labelNames,
      registers: [this.#registry],
      collect() {
        read(this);
      },
    });
  }
}
