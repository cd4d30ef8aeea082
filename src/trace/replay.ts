/**
 * Replaying a run's log into its trace: every transition of every machine, with what caused it.
 *
 * The trace is no record of its own: it is computed from the log by the same fold that ran the run (L1), so
 * it cannot disagree with what happened. Records that changed nothing are kept beside it.
 */
import type { LogRecord } from "../bus/bus.ts";
import type { EnvChangeMessage } from "../bus/messages.ts";
import { RunFold } from "../fold/run-fold.ts";
import type { TransitionRecord, VoidRecord } from "../fold/transition-record.ts";
import { stepLabel, stepRefOf } from "../workflow/derived-step.ts";
import { InvalidInputError, NotFoundError } from "../workflow/errors.ts";
import { IssueList } from "../workflow/issues.ts";
import { masked } from "../workflow/secrets.ts";
import { type Dispatch, Dispatches, type Halts } from "./dispatches.ts";
import { isoTime } from "./view.ts";

/** Letters that may differ for a step id to be suggested. */
const MAX_MISSPELLING = 3;

export interface TraceOptions {
  /** Only the transitions of this step; an item as `resize[3]`. */
  step?: string;
  /** Only what the log held up to this sequence. */
  at?: number;
  /** Only what was in the log at this time, in epoch ms; or a function of when the run began. */
  until?: number | ((startedAt: number) => number);
  /** Times in an error for people. Default: UTC. */
  timeText?: (epochMs: number) => string;
}

/** One transition as `trace --json` prints it. */
export interface TraceTransition {
  seq: number;
  /** ISO 8601 with milliseconds. */
  ts: string;
  /** `run`, or the step's name. */
  actor: string;
  from: string;
  to: string;
  event: string;
  attempt: number;
  agent: string | null;
  cause: string;
}

export interface Trace {
  readonly fold: RunFold;
  readonly transitions: readonly TransitionRecord[];
  /** Late and foreign results, void decisions, refused controls, unreadable records. */
  readonly voids: readonly VoidRecord[];
  /** Every time that a step was given out, in the order in which they became ready. */
  readonly dispatches: readonly Dispatch[];
  /** Worked out when it is first asked for. */
  readonly halts: Halts;
  /** Epoch ms: the moment that the trace shows, where it was asked for one by time; else of its last record. */
  readonly asOf: number;
  /** Every write of the environment that applied, oldest first. */
  readonly writes: readonly EnvWrite[];
}

/** One write of one key: its revision is the log sequence that wrote it, `ts` is epoch ms. */
export type EnvWrite = Omit<EnvChangeMessage, "run"> & { readonly ts: number };

/**
 * Folds the records and notes what moved.
 * @throws NotFoundError when `step` names no step of the run; InvalidInputError for an `at` before the first.
 */
export async function replay(
  run: string,
  records: AsyncIterable<LogRecord> | Iterable<LogRecord>,
  options: TraceOptions = {},
): Promise<Trace> {
  const transitions: TransitionRecord[] = [];
  const voids: VoidRecord[] = [];
  const { at = Number.POSITIVE_INFINITY } = options;
  let until = Number.POSITIVE_INFINITY;
  const step = options.step === undefined ? undefined : stepRefOf(options.step);
  const wanted = (actor: string | null): boolean => step === undefined || actor === step;
  const dispatches = new Dispatches();
  const writes: EnvWrite[] = [];
  const fold = new RunFold(run, {
    observer: {
      onTransition: (transition) => {
        dispatches.onTransition(transition);
        if (wanted(transition.actor)) transitions.push(transition);
      },
      onDispatch: (opening) => dispatches.onDispatch(opening),
      onVoid: (record) => {
        if (wanted(record.step)) voids.push(record);
      },
    },
  });
  let first: LogRecord | undefined;
  let asOf = 0;
  for await (const record of records) {
    if (first === undefined) {
      first = record;
      until = timeOf(options.until, record.ts);
    }
    if (record.seq > at || record.ts > until) break;
    asOf = record.ts;
    const effects = fold.apply(record);
    for (const effect of effects) {
      if (effect.type !== "env") continue;
      const { key, value, revision, writer } = effect.change;
      writes.push({ key, value, revision, writer, ts: record.ts });
    }
    dispatches.note(record, effects, fold);
  }
  if (first === undefined) throw runHasNoLog(run);
  assertSequence(run, at, first.seq);
  assertTime(run, { until, startedAt: first.ts, timeText: options.timeText ?? isoTime });
  if (step !== undefined && !fold.retired.has(step)) assertStep(fold, step);
  const own = step === undefined ? dispatches.all : dispatches.of(step);
  if (Number.isFinite(until)) asOf = Math.max(asOf, until);
  // Once all is read: a record may quote what only a later one makes known as secret.
  const { secrets } = fold;
  const shown = { transitions, voids, dispatches: own, writes };
  let halts: Halts | undefined;
  return {
    fold,
    asOf,
    get halts() {
      halts ??= dispatches.halts(fold.graph?.maxParallel ?? Number.POSITIVE_INFINITY);
      return halts;
    },
    ...(secrets === undefined ? shown : masked(secrets, shown)),
  };
}

/** Epoch ms of the last thing that the trace knows of: until when open spans are drawn if nobody says. */
export function endOf({ fold, transitions, asOf }: Trace): number {
  const last = transitions.at(-1)?.ts ?? 0;
  return fold.ended ? Math.max(last, fold.endedAt ?? 0) : Math.max(last, asOf);
}

/** The transitions as plain data, oldest first. */
export async function traceRun(
  run: string,
  records: AsyncIterable<LogRecord> | Iterable<LogRecord>,
  options: TraceOptions = {},
): Promise<TraceTransition[]> {
  return (await replay(run, records, options)).transitions.map(traceTransition);
}

export function traceTransition(transition: TransitionRecord): TraceTransition {
  const { seq, ts, actor, from, to, event, attempt, agent, cause } = transition;
  return { seq, ts: isoTime(ts), actor: stepLabel(actor), from, to, event, attempt, agent, cause };
}

export function runHasNoLog(run: string): NotFoundError {
  return new NotFoundError("E_RUN_NOT_FOUND", `run "${run}" has no log`, {
    remedy: "List the runs with `datahammer runs`.",
    data: { run },
  });
}

/** @throws InvalidInputError for a sequence before the run's first */
export function assertSequence(run: string, at: number, firstSeq: number): void {
  if (at >= firstSeq) return;
  throw new InvalidInputError("E_SEQUENCE", `run "${run}" begins at sequence ${firstSeq}, not before ${at}`, {
    remedy: `Give a sequence of ${firstSeq} or more.`,
    data: { run, firstSeq },
  });
}

function timeOf(until: TraceOptions["until"], startedAt: number): number {
  if (typeof until === "function") return until(startedAt);
  return until ?? Number.POSITIVE_INFINITY;
}

/** @throws InvalidInputError for a time before the run was submitted */
function assertTime(
  run: string,
  { until, startedAt, timeText }: { until: number; startedAt: number; timeText: (epochMs: number) => string },
): void {
  if (until >= startedAt) return;
  const [begun, asked] = [timeText(startedAt), timeText(until)];
  throw new InvalidInputError("E_TIME", `run "${run}" began at ${begun}, and not before ${asked}`, {
    remedy: `Give a time from ${begun} on, or a time since the start, like +30s.`,
    data: { run, startedAt: isoTime(startedAt) },
  });
}

/** @throws NotFoundError with the name that is spelled most like it */
export function assertStep(fold: RunFold, step: string): void {
  if (fold.steps?.has(step)) return;
  const ids = [...(fold.graph?.steps() ?? [])].map(({ id }) => id);
  const close = new IssueList().nearest(step, ids, MAX_MISSPELLING);
  throw new NotFoundError("E_STEP_NOT_FOUND", `run "${fold.run}" has no step "${step}"`, {
    remedy:
      close === undefined
        ? `List its steps with \`datahammer show ${fold.run}\`.`
        : `Did you mean "${close}"? \`datahammer show ${fold.run}\` lists its steps.`,
    data: { run: fold.run, step },
  });
}
