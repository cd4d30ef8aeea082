/**
 * The swarm client over any bus: every answer is folded from the run's log or read from a view.
 *
 * Owns no connection beyond the bus that it was given, and no state: two clients always agree, because both
 * fold the same log (L1). `runs`, `agents` and `roles` are views and may lag.
 */
import type { Bus, Clock, LogFollower, LogRecord, RoleStatus, RunQuery } from "../bus/bus.ts";
import { checkIn, copyArtifacts } from "../bus/claim-check.ts";
import type {
  AgentPresence,
  ControlMessage,
  LiveMessage,
  RoleSettings,
  RunSummary,
  SubmitMessage,
} from "../bus/messages.ts";
import { checkInSilence, type SilenceCheck } from "../bus/silence.ts";
import { RunFold } from "../fold/run-fold.ts";
import type { TransitionRecord, VoidRecord } from "../fold/transition-record.ts";
import { type RunView, viewOf } from "../trace/view.ts";
import { stepRefOf } from "../workflow/derived-step.ts";
import { InvalidInputError, UnreachableError } from "../workflow/errors.ts";
import { ID_PATTERN } from "../workflow/names.ts";
import { assertServable } from "../workflow/reserved-roles.ts";
import { masked } from "../workflow/secrets.ts";
import { DEFAULT_PATIENCE_MS, watchBroker } from "./broker-patience.ts";
import { cancelReport } from "./cancel-report.ts";
import { watchEnvironment } from "./environment-watch.ts";
import { verdictOnHeld } from "./held-update.ts";
import { resubmissionOf } from "./rerun.ts";
import { makeRunId } from "./run-id.ts";
import { assertRunId, RunReader, runNotFound, wholeView } from "./run-reader.ts";
import { type FinishedFilter, type PurgeReport, RunRemoval } from "./run-removal.ts";
import type {
  CancelOptions,
  CancelVerdict,
  ControlRequest,
  ControlVerdict,
  EnvironmentChange,
  EnvironmentVerdictView,
  EnvironmentView,
  RerunReply,
  RerunRequest,
  SubmitRequest,
  SwarmClient,
  WatchEnvironmentOptions,
  WatchEvent,
  WatchOptions,
} from "./swarm.ts";
import { withReason } from "./unanswered.ts";

/** Ids made up for one submission before it gives up (L8); the first is practically always free. */
const ID_TRIES = 5;
/** Runs of a swarm that are open and not put away, beyond which no client submits another (L8). */
const MAX_OPEN_RUNS = 20_000;
const DEFAULT_HELLO_MS = 1_000;
/** The orchestrator gives an agent up after five seconds; what comes after that is a matter of moments. */
const DEFAULT_CANCEL_WAIT_MS = 10_000;

export interface ClientPorts {
  bus: Bus;
  clock: Clock;
  /** A number in [0, 1). */
  random: () => number;
  /** Who asks, for the log: a user or a program. */
  by: string;
  /** Whether `close` closes the bus, too. */
  ownsBus: boolean;
}

export class BusSwarmClient implements SwarmClient {
  readonly #ports: ClientPorts;
  readonly #reader: RunReader;

  constructor(ports: ClientPorts) {
    this.#ports = ports;
    const { log, artifacts } = ports.bus;
    this.#reader = new RunReader({ read: (run, options) => log.read(run, options), artifacts }, ports.clock);
  }

  get swarm(): string {
    return this.#ports.bus.swarm;
  }

  async submit(request: SubmitRequest): Promise<{ run: string }> {
    const body = this.#submission(request);
    const { artifacts } = this.#ports.bus;
    const run = await this.#begin(request.run, nameOfRequest(request), async (id) => ({
      ...body,
      inputs: await checkIn(artifacts, id, body.inputs),
      ...(body.environment && { environment: await checkIn(artifacts, id, body.environment) }),
    }));
    return { run };
  }

  async rerun(run: string, request: RerunRequest = {}): Promise<RerunReply> {
    const { bus } = this.#ports;
    await this.#assertRun(run);
    const { run: newRun, budget, ...choice } = request;
    const body = await resubmissionOf(run, bus.log.read(run), choice);
    const began = await this.#begin(newRun, nameOfRequest(body), async (id) => ({
      ...((await copyArtifacts(bus.artifacts, id, body)) as SubmitMessage),
      ...(budget === undefined ? {} : { budget }),
      by: this.#ports.by,
    }));
    const { seq = 0, steps = [] } = body.origin ?? {};
    return { run: began, origin: { run, seq }, kept: steps.map(({ step }) => step) };
  }

  /** Stores a submission under an id that is free: the one that is asked for, or one that is made up. */
  #begin(
    wanted: string | undefined,
    name: string,
    bodyFor: (run: string) => Promise<SubmitMessage>,
  ): Promise<string> {
    return withReason(this.#ports, () => this.#store(wanted, name, bodyFor));
  }

  async #store(
    wanted: string | undefined,
    name: string,
    bodyFor: (run: string) => Promise<SubmitMessage>,
  ): Promise<string> {
    const { bus, clock, random } = this.#ports;
    const open = await bus.runs.count();
    if (open >= MAX_OPEN_RUNS) throw tooManyRuns(open);
    // Expecting that nothing is there makes the log itself refuse an id that is taken.
    const store = async (run: string) =>
      bus.log.append(run, { kind: "submit", body: await bodyFor(run) }, { expectLast: 0 });
    if (wanted !== undefined) {
      assertRunId(wanted);
      if (!(await store(wanted)).ok) throw runExists(wanted);
      return wanted;
    }
    for (let tries = 0; tries < ID_TRIES; tries++) {
      const run = makeRunId(name, clock.now(), random);
      if ((await store(run)).ok) return run;
    }
    throw new InvalidInputError("E_RUN_EXISTS", `${ID_TRIES} made-up run ids were all taken`, {
      remedy: "Name the run yourself.",
    });
  }

  #submission(request: SubmitRequest): SubmitMessage {
    const { workflow, goals, want, inputs, environment, timeout, budget, ask, secrets } = request;
    if (workflow === undefined && goals === undefined && want === undefined) {
      throw new InvalidInputError("E_NOTHING_TO_RUN", "the submission has neither a workflow nor goals", {
        remedy: "Give a workflow, a goal in words, or environment keys that are wanted.",
      });
    }
    return {
      v: 1,
      inputs: inputs ?? {},
      by: this.#ports.by,
      ...(workflow === undefined ? {} : { workflow }),
      ...(goals === undefined ? {} : { goals }),
      ...(want === undefined ? {} : { want }),
      ...(environment === undefined ? {} : { environment }),
      ...(timeout === undefined ? {} : { timeout }),
      ...(budget === undefined ? {} : { budget }),
      ...(ask === undefined ? {} : { ask }),
      ...(secrets === undefined || secrets.length === 0 ? {} : { secrets }),
    };
  }

  async watch(
    run: string,
    listener: (event: WatchEvent) => void,
    options: WatchOptions = {},
  ): Promise<RunView> {
    await this.#assertRun(run);
    const watch = new Watch(this.#ports, run, listener, options);
    return watch.whole();
  }

  async control(run: string, control: ControlRequest): Promise<ControlVerdict> {
    await this.#assertRun(run);
    const step = control.step === undefined ? {} : { step: stepRefOf(control.step) };
    const others = control.verb === "retry" && control.step !== undefined ? { others: "later" as const } : {};
    const body: ControlMessage = { by: this.#ports.by, ...others, ...control, ...step, v: 1 };
    const { log } = this.#ports.bus;
    const outcome = await withReason(this.#ports, () => log.append(run, { kind: "control", body }));
    if (!outcome.ok) throw notStored(run, control.verb);
    // The log up to the control decides whether it applies, and everybody who folds it agrees (L1).
    const refusals: VoidRecord[] = [];
    await this.#reader.folded(run, outcome.seq, { onVoid: (record) => refusals.push(record) });
    const refusal = refusals.find((record) => record.seq === outcome.seq);
    return refusal === undefined ? { applied: true } : { applied: false, reason: refusal.reason };
  }

  async cancel(run: string, options: CancelOptions = {}): Promise<CancelVerdict> {
    const { step, reason, waitMs = DEFAULT_CANCEL_WAIT_MS } = options;
    const verdict = await this.control(run, {
      verb: "cancel",
      ...(step === undefined ? {} : { step }),
      ...(reason === undefined ? {} : { value: reason }),
    });
    if (!verdict.applied) return verdict;
    const ref = step === undefined ? undefined : stepRefOf(step);
    return { applied: true, ...(await cancelReport(this.#ports, run, ref, waitMs)) };
  }

  show(run: string): Promise<RunView> {
    return this.#reader.show(run);
  }

  records(run: string): AsyncIterable<LogRecord> {
    return this.#reader.records(run);
  }

  runs(filter: RunQuery = {}): Promise<RunSummary[]> {
    return this.#ports.bus.index.list(filter);
  }

  environment(run: string, key?: string, options?: { at?: number }): Promise<EnvironmentView> {
    return this.#reader.environment(run, key, options);
  }

  async *watchEnvironment(run: string, options?: WatchEnvironmentOptions): AsyncIterable<EnvironmentChange> {
    await this.#assertRun(run);
    yield* watchEnvironment(this.#ports, run, options);
  }

  purge(filter: FinishedFilter = {}): Promise<PurgeReport> {
    return new RunRemoval(this.#ports.bus, this.#ports.clock).purge(filter);
  }

  async setEnvironment(
    run: string,
    key: string,
    value: unknown,
    options: { ifRevision?: number } = {},
  ): Promise<EnvironmentVerdictView> {
    await this.#assertRun(run);
    if (!ID_PATTERN.test(key)) {
      throw new InvalidInputError("E_KEY", `"${key}" is no environment key`, {
        remedy: "Set a whole top-level key, of letters, digits, _ and -, at most 64.",
      });
    }
    const checked = await checkIn(this.#ports.bus.artifacts, run, { [key]: value });
    const body = { v: 1 as const, key, value: checked[key], by: this.#ports.by, ...options };
    const { log } = this.#ports.bus;
    const outcome = await withReason(this.#ports, () => log.append(run, { kind: "env", body }));
    if (!outcome.ok) throw notStored(run, `update of ${key}`);
    const fold = await this.#reader.folded(run, outcome.seq);
    const verdict = fold.isHeld(outcome.seq)
      ? await verdictOnHeld(this.#ports, run, outcome.seq)
      : fold.verdict(outcome.seq);
    if (verdict?.applied) return verdict;
    const conflict = verdict?.conflict;
    if (conflict === undefined)
      return { applied: false, reason: verdict?.error ?? "the run does not take it" };
    return { applied: false, reason: conflict.message, conflict };
  }

  agents(): Promise<AgentPresence[]> {
    return this.#ports.bus.presence.list();
  }

  roles(): Promise<RoleStatus[]> {
    return this.#ports.bus.tasks.roles();
  }

  async ensureRole(settings: { role: string } & Partial<RoleSettings>): Promise<RoleSettings> {
    assertServable(settings.role);
    return this.#ports.bus.tasks.ensureRole(settings);
  }

  async hasDaemon(timeoutMs = DEFAULT_HELLO_MS): Promise<boolean> {
    // An announcement of no roles changes nothing, and any daemon answers it.
    return (
      (await this.#ports.bus.live.hello({ v: 1, id: this.#ports.by, roles: [] }, timeoutMs)) !== undefined
    );
  }

  async close(): Promise<void> {
    if (this.#ports.ownsBus) await this.#ports.bus.close();
  }

  async #assertRun(run: string): Promise<void> {
    assertRunId(run);
    const { log } = this.#ports.bus;
    if (!(await withReason(this.#ports, () => log.exists(run)))) throw runNotFound(run);
  }
}

/** One watching of one run, from its first record to its end. */
class Watch {
  readonly #ports: ClientPorts;
  readonly #listener: (event: WatchEvent) => void;
  readonly #options: WatchOptions;
  readonly #fold: RunFold;
  #transitions: TransitionRecord[] = [];
  #voids: VoidRecord[] = [];
  #current = false;
  #silence: SilenceCheck | undefined;
  #settle: { resolve: () => void; reject: (error: unknown) => void } | undefined;

  constructor(ports: ClientPorts, run: string, listener: (event: WatchEvent) => void, options: WatchOptions) {
    this.#ports = ports;
    this.#listener = listener;
    this.#options = options;
    this.#fold = new RunFold(run, {
      observer: {
        onTransition: (transition) => this.#transitions.push(transition),
        onVoid: (record) => this.#voids.push(record),
      },
    });
  }

  async whole(): Promise<RunView> {
    const { bus, clock } = this.#ports;
    const { signal, patienceMs = DEFAULT_PATIENCE_MS } = this.#options;
    const over = new Promise<void>((resolve, reject) => {
      this.#settle = { resolve, reject };
    });
    // Rejected before anybody waits for it, when the first record already offends the listener.
    over.then(undefined, () => undefined);
    const onAbort = (): void => this.#settle?.resolve();
    signal?.addEventListener("abort", onAbort, { once: true });
    if (signal?.aborted) onAbort();
    const broker = watchBroker(this.#ports, this.#fold.run, patienceMs, (error) =>
      this.#settle?.reject(error),
    );
    const live = bus.live.onLive(this.#fold.run, (message) => this.#tell({ live: message }));
    let follower: LogFollower | undefined;
    try {
      follower = await bus.log.follow(this.#fold.run, (record) => this.#take(record));
      this.#silence = checkInSilence(follower, clock);
      follower.caughtUp.then(
        () => {
          this.#current = true;
          // An end met in the replay may have been undone by a later retry; now it counts.
          if (this.#fold.ended) this.#settle?.resolve();
        },
        (error: unknown) => this.#settle?.reject(error),
      );
      await over;
    } finally {
      signal?.removeEventListener("abort", onAbort);
      broker.close();
      live.close();
      this.#silence?.close();
      follower?.close();
    }
    return wholeView(bus.artifacts, this.#fold, clock.now());
  }

  #take(record: LogRecord): void {
    this.#silence?.heard();
    this.#transitions = [];
    this.#voids = [];
    // Live copies of an old broker carry no time; for a picture, the time of arrival will do.
    const timed = record.ts === 0 ? { ...record, ts: this.#ports.clock.now() } : record;
    this.#fold.apply(timed);
    this.#tell({ log: timed });
    if (this.#current && this.#fold.ended) this.#settle?.resolve();
  }

  #tell(what: { log?: LogRecord; live?: LiveMessage & { role: string } }): void {
    const fold = this.#fold;
    const { secrets } = fold;
    const { clock } = this.#ports;
    const event: WatchEvent = {
      ...what,
      ...(what.live === undefined ? {} : { live: masked(secrets, what.live) }),
      transitions: what.log === undefined ? [] : masked(secrets, this.#transitions),
      voids: what.log === undefined ? [] : masked(secrets, this.#voids),
      fold,
      current: this.#current,
      get view() {
        return viewOf(fold, clock.now());
      },
    };
    try {
      this.#listener(event);
    } catch (error) {
      // The bus must not be the one to meet a listener's mistake.
      this.#settle?.reject(error);
    }
  }
}

function nameOfRequest({
  workflow,
  goals,
  want,
}: Pick<SubmitMessage, "workflow" | "goals" | "want">): string {
  if (
    typeof workflow === "object" &&
    workflow !== null &&
    "name" in workflow &&
    typeof workflow.name === "string"
  ) {
    return workflow.name;
  }
  const [goal] = typeof goals === "string" ? [goals] : (goals ?? want ?? []);
  return goal ?? "run";
}

function runExists(run: string): InvalidInputError {
  return new InvalidInputError("E_RUN_EXISTS", `there is a run "${run}" already`, {
    remedy: `Use another id, or look at it with \`datahammer show ${run}\`.`,
    data: { run },
  });
}

function tooManyRuns(open: number): UnreachableError {
  return new UnreachableError("E_BUSY", `${open} runs are open, the bound is ${MAX_OPEN_RUNS}`, {
    remedy: "Submit again when some of them have ended: `datahammer runs --status running` lists them.",
    data: { open, maxOpenRuns: MAX_OPEN_RUNS },
  });
}

function notStored(run: string, what: string): UnreachableError {
  return new UnreachableError("E_APPEND", `the ${what} of run "${run}" was not stored`, {
    remedy: "Try again.",
    data: { run },
  });
}
