/** The client's view of a swarm: what `connectSwarm` resolves to and what the command line is made of. */
import type { LogRecord, RoleStatus, RunQuery } from "../bus/bus.ts";
import type {
  AgentPresence,
  ControlMessage,
  LiveMessage,
  RoleSettings,
  RunSummary,
} from "../bus/messages.ts";
import type { RunFold } from "../fold/run-fold.ts";
import type { TransitionRecord, VoidRecord } from "../fold/transition-record.ts";
import type { RunView } from "../trace/view.ts";
import type { BudgetDocument } from "../workflow/budget.ts";
import type { CancelReport } from "./cancel-report.ts";
import type { RerunChoice } from "./rerun.ts";
import type { FinishedFilter, PurgeReport } from "./run-removal.ts";

export type { RunView, StepView } from "../trace/view.ts";
export type { CancelReport, StoppedStep } from "./cancel-report.ts";

export interface SubmitRequest {
  /** The id; default: made up from the workflow's name. An id is used once while its log exists. */
  run?: string;
  /** A workflow document. Without one the run is planned from `goals` and `want`. */
  workflow?: unknown;
  /** What is wanted, in words. */
  goals?: string | string[];
  /** Environment keys that are wanted. */
  want?: string[];
  /** Override the workflow's own. Of any size up to 256 MiB a value, as the environment. */
  inputs?: Record<string, unknown>;
  /** The keys to start from. */
  environment?: Record<string, unknown>;
  /** Of the whole run: a duration such as `1h`. Default: the workflow's, else none. */
  timeout?: string;
  /** Of goals: a duration for which people are asked about a step that failed for good. Default: they are not. */
  ask?: string;
  /** Inputs and environment keys whose values nobody but the agents is shown, beside those the workflow names. */
  secrets?: string[];
  /** What the run may spend; narrows the workflow's own budget. */
  budget?: BudgetDocument;
}

export interface RerunRequest extends RerunChoice {
  /** The new run's id; default: made up. */
  run?: string;
  budget?: BudgetDocument;
}

export interface RerunReply {
  /** The new run. */
  run: string;
  /** Whose results it takes over, and up to which sequence. */
  origin: { run: string; seq: number };
  /** Steps that it need not do again. */
  kept: string[];
}

/** One thing that happened to a watched run: a log record, or a live message. */
export interface WatchEvent {
  readonly log?: LogRecord;
  readonly live?: LiveMessage & { role: string };
  /** What the record moved; empty for a live message. */
  readonly transitions: readonly TransitionRecord[];
  /** The record, if it changed nothing, and why. */
  readonly voids: readonly VoidRecord[];
  /** The run as folded so far. Read it, never `apply` to it. */
  readonly fold: RunFold;
  /** False while the part of the log that was there at the start is replayed. */
  readonly current: boolean;
  /** Computed at each access, in time proportional to the number of steps. */
  readonly view: RunView;
}

export interface WatchOptions {
  /** Ends the watching, not the run. */
  signal?: AbortSignal;
  /** How long the broker may be away before the watch gives up. Default 30 s. */
  patienceMs?: number;
}

/** An environment with its revision: what `env --json` prints. */
export interface EnvironmentView {
  /** The sequence of the last change; that of one key when asked for one. */
  revision: number;
  values: Record<string, unknown>;
}

/** One update of a watched environment. */
export interface EnvironmentChange {
  readonly key: string;
  readonly value: unknown;
  /** Its place in the log: later updates have larger ones; one result may set several keys at one revision. */
  readonly revision: number;
  /** Neither: the submission. */
  readonly writer: { readonly step?: string | undefined; readonly agent?: string | undefined };
  /** Whether it was there when the watching began. */
  readonly current: boolean;
}

export interface WatchEnvironmentOptions {
  /** Every update after this revision. Default: the values that are there, then every update. */
  after?: number;
  /** Ends the watching. */
  signal?: AbortSignal;
  /** How long the broker may be away before the watch gives up. Default 30 s. */
  patienceMs?: number;
}

/** The verdict of the run's log on an environment update. */
export type EnvironmentVerdictView =
  | { applied: true; revision: number }
  | { applied: false; reason: string; conflict?: { revision: number; writer: string } };

export type ControlRequest = Omit<ControlMessage, "v" | "by"> & { by?: string };
export type ControlVerdict = { applied: true } | { applied: false; reason: string };

export interface CancelOptions {
  /** Only this step; what its failure means for the run is its `onFailure`'s matter. Default: the run. */
  step?: string;
  reason?: string;
  /** How long to wait for the agents' answers. Default 10 s; 0: not at all. */
  waitMs?: number;
}
export type CancelVerdict = ({ applied: true } & CancelReport) | { applied: false; reason: string };

export interface SwarmClient {
  readonly swarm: string;
  /**
   * Durable once it resolves. The workflow is checked by the orchestrator, not here.
   * @throws InvalidInputError `E_RUN_EXISTS` when the id is taken, `E_PAYLOAD_TOO_LARGE` above the broker's bound
   * @throws UnreachableError when the broker is away (it may be stored then), `E_BUSY` beyond 20,000 open runs
   */
  submit(request: SubmitRequest): Promise<{ run: string }>;
  /**
   * Submits a new run of an old one's workflow and inputs: from a step on (the results of all that does not
   * depend on it are taken over), from how it stood at a log sequence, or from the beginning.
   * @throws NotFoundError for a run without a log or without that step; else as `submit`
   */
  rerun(run: string, request?: RerunRequest): Promise<RerunReply>;
  /**
   * Every log record of the run and its live messages, until the run ends (the returned view is then final)
   * or the signal fires (then it is the last one seen).
   * @throws NotFoundError for a run that has no log; UnreachableError when the broker stays away
   */
  watch(run: string, listener: (event: WatchEvent) => void, options?: WatchOptions): Promise<RunView>;
  /**
   * Durable once it resolves; the orchestrator acts on it soon after. The verdict is the log's: a control that
   * does not apply (a cancel of a run that has ended) stays in the log and changes nothing.
   * @throws NotFoundError for a run that has no log
   */
  control(run: string, control: ControlRequest): Promise<ControlVerdict>;
  /**
   * Cancels a run or one step, and waits until that is carried out: queued work is removed, agents are told to
   * stop and awaited for five seconds, then given up. Durable before it waits.
   * @throws NotFoundError for a run that has no log
   */
  cancel(run: string, options?: CancelOptions): Promise<CancelVerdict>;
  /** @throws NotFoundError for a run that has no log */
  show(run: string): Promise<RunView>;
  /** What is in the run's log now, in order; nothing for a run without one. */
  records(run: string): AsyncIterable<LogRecord>;
  /** The latest started first. */
  runs(filter?: RunQuery): Promise<RunSummary[]>;
  /**
   * Removes finished runs with their logs, tasks and artifacts; their ids are free then. Open runs stay. What an
   * interruption leaves, the next purge removes.
   * @throws NotFoundError, InvalidInputError `E_RUN_OPEN` for a run that `runs` names
   */
  purge(filter?: FinishedFilter): Promise<PurgeReport>;
  /**
   * @param options `at`: as it was at this log sequence
   * @throws NotFoundError for a run without a log, or a key that is not set
   */
  environment(run: string, key?: string, options?: { at?: number }): Promise<EnvironmentView>;
  /**
   * Every update of the run's environment in the order of the log, each exactly once, until the run ends: whatever
   * happens to live messages, to the broker and to daemons meanwhile. Whoever comes back goes on `after` the last
   * revision that it took.
   * @throws NotFoundError for a run that has no log; UnreachableError when the broker stays away
   */
  watchEnvironment(run: string, options?: WatchEnvironmentOptions): AsyncIterable<EnvironmentChange>;
  /** Durable once it resolves; the verdict is the log's. */
  setEnvironment(
    run: string,
    key: string,
    value: unknown,
    options?: { ifRevision?: number },
  ): Promise<EnvironmentVerdictView>;
  /** Who answers within a second. An agent that is cut off is missing, and its work goes on. */
  agents(): Promise<AgentPresence[]>;
  /** The roles' queues, with how much waits in each. */
  roles(): Promise<RoleStatus[]>;
  /** Creates the role's queue, or changes its settings. @throws InvalidInputError `E_ROLE` */
  ensureRole(settings: { role: string } & Partial<RoleSettings>): Promise<RoleSettings>;
  /** Whether a daemon answers within `timeoutMs` (default 1000). */
  hasDaemon(timeoutMs?: number): Promise<boolean>;
  /** Closes the connection that `connectSwarm` made; one that it was given stays open. */
  close(): Promise<void>;
}
