/**
 * What a new run takes over from an old one, worked out from the old one's log.
 *
 * Owns which results and which environment values are taken over. What they hold travels inside the new
 * submission, so that the new log is whole by itself (L1): purging the old run harms nothing.
 *
 *  - `from` a step: that step and all that depends on it are done again; every other step that was closed well
 *    is taken over, and the environment is as it would be without the steps that are done again.
 *  - `at` a sequence: everything as it stood when the log ended there, the environment included.
 *  - neither: nothing is taken over; the same workflow runs on the same inputs.
 */
import type { LogRecord } from "../bus/bus.ts";
import type { RunOrigin, SubmitMessage } from "../bus/messages.ts";
import type { Effect } from "../fold/effect.ts";
import { RunFold } from "../fold/run-fold.ts";
import { assertSequence, assertStep, runHasNoLog } from "../trace/replay.ts";
import { stepRefOf } from "../workflow/derived-step.ts";
import { InvalidInputError } from "../workflow/errors.ts";
import type { WorkflowGraph } from "../workflow/graph.ts";

export interface RerunChoice {
  /** The first step to do again. */
  from?: string;
  /** The last log sequence that counts. */
  at?: number;
}

type EnvironmentChange = (Effect & { type: "env" })["change"];

/**
 * @returns the submission of the new run
 * @throws NotFoundError for a run without a log, or without such a step; InvalidInputError for a sequence
 *   before its first, or a run that was never submitted
 */
export async function resubmissionOf(
  run: string,
  records: AsyncIterable<LogRecord>,
  { from, at }: RerunChoice,
): Promise<SubmitMessage> {
  const { fold, changes, submitSeq } = await foldUpTo(run, records, at);
  const { submission, graph } = fold;
  if (!submission) throw notSubmitted(run);
  // What a nested run gave, its parent has: this one answers to nobody.
  const { origin: _, environment: __, parent: ___, ...same } = submission;
  const plan = fold.plan === undefined ? {} : { plan: fold.plan };
  const origin = { run, seq: fold.lastSeq, steps: [], environment: {}, ...plan };
  if (from === undefined && at === undefined) {
    const given = changes.filter(
      ({ revision, writer }) => revision === submitSeq && writer.step === undefined,
    );
    const environment = Object.fromEntries(given.map(({ key, value }) => [key, value]));
    // A revised plan rests on what the old run found out: the new one begins as that one did.
    if (fold.revisions.length === 0 && graph)
      return { ...same, workflow: graph.document, environment, origin };
    const { plan: ____, ...unplanned } = origin;
    return { ...same, environment, origin: submission.workflow === undefined ? unplanned : origin };
  }
  const first = from === undefined ? undefined : firstToRedo(fold, from);
  if (!graph) return { ...same, origin };
  // What was undone has to be done again, and with it what rested on it.
  const undone = [...graph.steps()].map(({ id }) => id).filter((id) => fold.isUndone(id));
  const again = dependentsOf(graph, first === undefined ? undone : [first, ...undone]);
  const steps = keptSteps(fold, again);
  return {
    ...same,
    workflow: graph.document,
    origin: {
      ...origin,
      ...(first === undefined ? {} : { from: first }),
      steps,
      environment: keptEnvironment(fold, changes, again, steps),
    },
  };
}

async function foldUpTo(
  run: string,
  records: AsyncIterable<LogRecord>,
  at: number | undefined,
): Promise<{ fold: RunFold; changes: EnvironmentChange[]; submitSeq: number }> {
  const fold = new RunFold(run);
  const changes: EnvironmentChange[] = [];
  let firstSeq: number | undefined;
  let submitSeq = 0;
  for await (const record of records) {
    firstSeq ??= record.seq;
    if (at !== undefined && record.seq > at) break;
    if (record.kind === "submit" && submitSeq === 0) submitSeq = record.seq;
    for (const effect of fold.apply(record)) if (effect.type === "env") changes.push(effect.change);
  }
  if (firstSeq === undefined) throw runHasNoLog(run);
  if (at !== undefined) assertSequence(run, at, firstSeq);
  return { fold, changes, submitSeq };
}

/** A step of the document; an item is done again with its whole fan-out. */
function firstToRedo(fold: RunFold, label: string): string {
  const step = stepRefOf(label);
  assertStep(fold, step);
  return originalOf(fold, step);
}

/** These steps and everything that comes after them, however far. */
function dependentsOf(graph: WorkflowGraph, first: readonly string[]): Set<string> {
  const found = new Set(first);
  for (const id of found) for (const next of graph.dependents(id)) found.add(next);
  return found;
}

function keptSteps(fold: RunFold, again: ReadonlySet<string>): RunOrigin["steps"] {
  const kept: RunOrigin["steps"] = [];
  for (const id of fold.graph?.topologicalOrder() ?? []) {
    const { agent, outcome } = fold.step(id).context;
    if (again.has(id) || !fold.isClosed(id) || outcome === null || outcome === "cancelled") continue;
    kept.push({ step: id, outcome, agent, outputs: { ...fold.outputsOf(id) } });
  }
  return kept;
}

/** The last value of every key that none of the steps wrote which are done again. */
function keptEnvironment(
  fold: RunFold,
  changes: readonly EnvironmentChange[],
  again: ReadonlySet<string>,
  kept: RunOrigin["steps"],
): RunOrigin["environment"] {
  const outputs = new Map(kept.map((one) => [one.step, one.outputs]));
  const environment: RunOrigin["environment"] = {};
  for (const { key, value, writer } of changes) {
    const step = writer.step === undefined ? undefined : originalOf(fold, writer.step);
    if (step !== undefined && again.has(step)) continue;
    // A step's result is there already: a key that it set need not carry it a second time.
    const isThere = step !== undefined && outputs.get(step)?.[key] === value;
    environment[key] = { ...writer, ...(isThere ? {} : { value }) };
  }
  return environment;
}

function originalOf(fold: RunFold, step: string): string {
  // Left out by a revision of the plan, here or in a run that this one repeats: what it has set is there all the same.
  if (fold.steps?.has(step) !== true) return step;
  return fold.steps.step(step).origin?.of ?? step;
}

function notSubmitted(run: string): InvalidInputError {
  return new InvalidInputError("E_NOT_SUBMITTED", `run "${run}" has no readable submission to run again`, {
    remedy: `Look at its log with \`datahammer trace ${run}\`.`,
    data: { run },
  });
}
