/**
 * Nested runs, both ways: a dispatch for the role `orchestrator` becomes a run of its own, and the end of such
 * a run becomes the result of the dispatch.
 *
 * It owns no state. The child's submission names its parent's dispatch, and its id follows from it, so that
 * whoever does this again finds it done (L2): a submission that is there already, a result that is late.
 *
 *  - N1 The child's holder writes the result, before the child's task is removed from its queue; after a kill
 *    in between, whoever gets that task next does (L5). Nobody asks meanwhile.
 *  - N2 The first result closes the dispatch (L4), so a result that is written twice counts once.
 */
import type { ArtifactStore, Bus } from "../bus/bus.ts";
import { checkIn, copyArtifacts, isClaimCheck, redeem } from "../bus/claim-check.ts";
import type { DispatchRef, ResultMessage, SubmitMessage, TaskMessage } from "../bus/messages.ts";
import { RunFold } from "../fold/run-fold.ts";
import type { BudgetLimits, OnLimit } from "../workflow/budget.ts";
import { DataHammerError, InvalidInputError, UnreachableError } from "../workflow/errors.ts";
import { childRunId, MAX_NESTING, NESTED_TASK, nestedInputsSchema } from "../workflow/nested-run.ts";
import { ORCHESTRATOR_ROLE } from "../workflow/reserved-roles.ts";
import { SecretMask } from "../workflow/secrets.ts";

/** What a parent passes down. */
export interface NestingTerms {
  /** How many runs the parent is below another one. */
  readonly depth: number;
  /** What is left of the parent's budget; undefined: it has none. */
  readonly budget: BudgetLimits | undefined;
  /** What the parent does at a limit. */
  readonly onLimit: OnLimit;
  /** The dispatches above the parent on whose runs' budgets it draws itself. */
  readonly above: readonly Omit<DispatchRef, "role">[];
}

/**
 * Submits the child run of a dispatch, unless it is there. Returns its id.
 * @throws DataHammerError `E_NESTING_LIMIT`, `E_NESTED_INPUTS`, `E_BUDGET`, `E_RUN_EXISTS`
 */
export async function startChild(bus: Bus, task: TaskMessage, terms: NestingTerms): Promise<string> {
  const child = childRunId(task);
  const body = await submissionOf(bus, task, terms);
  const outcome = await bus.log.append(child, { kind: "submit", body }, { expectLast: 0 });
  if (!outcome.ok && !(await isChildOf(bus, child, task))) {
    throw new InvalidInputError("E_RUN_EXISTS", `there is another run "${child}" already`);
  }
  // A swarm inside a program has nobody who turns submissions into orchestrator tasks.
  await bus.runs.push(child);
  return child;
}

async function submissionOf(bus: Bus, task: TaskMessage, terms: NestingTerms): Promise<SubmitMessage> {
  const { run, step, n, outputs, traceparent } = task;
  const depth = terms.depth + 1;
  if (depth > MAX_NESTING) {
    throw new DataHammerError(
      "E_NESTING_LIMIT",
      `run ${run} is nested ${terms.depth} deep, the bound is ${MAX_NESTING}: it can start no run of its own`,
    );
  }
  if (task.task !== NESTED_TASK) {
    const message = `the role orchestrator has no task "${task.task}", only ${NESTED_TASK}`;
    throw new InvalidInputError("E_NESTED_INPUTS", message);
  }
  const { artifacts } = bus;
  const given = nestedInputsSchema.safeParse({
    ...task.inputs,
    ...(await opened(artifacts, task.inputs, "inputs")),
    ...(await opened(artifacts, task.inputs, "environment")),
  });
  if (!given.success) {
    const [issue] = given.error.issues;
    const where = issue?.path.join(".");
    const message = `the inputs of a nested run: ${where ? `${where}: ` : ""}${issue?.message}`;
    throw new InvalidInputError("E_NESTED_INPUTS", message);
  }
  const { workflow, inputs = {}, environment, ...goals } = given.data;
  const secrets = secretNames(task.secrets, { ...environment, ...inputs });
  const child = childRunId(task);
  return {
    v: 1,
    ...goals,
    ...(workflow === undefined ? {} : { workflow: await redeem(artifacts, workflow) }),
    inputs: await checkIn(artifacts, child, inputs),
    ...(environment && { environment: await checkIn(artifacts, child, environment) }),
    ...(secrets.length === 0 ? {} : { secrets }),
    by: `run ${run}`,
    // So that its spans go under those of its parent.
    ...(traceparent === undefined ? {} : { traceparent }),
    parent: {
      run,
      step,
      n,
      depth,
      outputs,
      ...(terms.budget === undefined ? {} : { budgets: [{ run, step, n }, ...terms.above] }),
    },
    ...(terms.budget === undefined ? {} : { budget: budgetOf(run, terms.budget, terms.onLimit) }),
  };
}

/** The map of this name, where it is a large value itself: the names in it are the child's. */
async function opened(
  artifacts: ArtifactStore,
  given: Readonly<Record<string, unknown>>,
  name: string,
): Promise<Record<string, unknown> | undefined> {
  const map = given[name];
  return isClaimCheck(map) ? { [name]: await redeem(artifacts, map) } : undefined;
}

/** What is secret above stays so below: the names under which the child is given texts that nobody is shown. */
function secretNames(texts: readonly string[] = [], given: Readonly<Record<string, unknown>>): string[] {
  if (texts.length === 0) return [];
  const mask = SecretMask.ofTexts(texts);
  return Object.keys(given).filter((name) => mask.textsIn(given[name]).length > 0);
}

/** What is left is known to the child; what is allowed when it wants to spend, it asks for. */
function budgetOf(run: string, left: BudgetLimits, onLimit: OnLimit): NonNullable<SubmitMessage["budget"]> {
  const amounts = Object.entries(left);
  const spent = amounts.find(([, amount]) => amount <= 0);
  if (spent && onLimit === "fail")
    throw new DataHammerError("E_BUDGET", `run ${run} has no ${spent[0]} left for a run of its own`);
  const { wall, tokens, usd, dispatches }: BudgetLimits = Object.fromEntries(
    amounts.filter(([, amount]) => amount > 0),
  );
  return {
    ...(tokens === undefined ? {} : { tokens: Math.ceil(tokens) }),
    ...(usd === undefined ? {} : { usd }),
    ...(dispatches === undefined ? {} : { dispatches }),
    ...(wall === undefined ? {} : { wall: `${Math.ceil(wall)}ms` }),
  };
}

async function isChildOf(bus: Bus, child: string, { run, step, n }: DispatchRef): Promise<boolean> {
  for await (const record of bus.log.read(child)) {
    if (record.kind !== "submit") continue;
    const { parent } = record.body;
    return parent?.run === run && parent.step === step && parent.n === n;
  }
  return false;
}

/** Cancels the child run of a dispatch that is not wanted any more. It ends in its own time. */
export async function stopChild(bus: Bus, ref: DispatchRef, reason: string): Promise<void> {
  const child = childRunId(ref);
  if (!(await bus.log.exists(child))) return;
  const body = { v: 1 as const, verb: "cancel" as const, by: `run ${ref.run}`, value: reason };
  await bus.log.append(child, { kind: "control", body });
}

/** Where the child run of a dispatch stands; undefined: there is none. */
export async function findChild(bus: Bus, ref: DispatchRef): Promise<RunFold | undefined> {
  const child = childRunId(ref);
  if (!(await bus.log.exists(child))) return undefined;
  const fold = new RunFold(child);
  for await (const record of bus.log.read(child)) fold.apply(record);
  return fold;
}

/** Whether the parent of a nested run that has ended still waits for it. Reads the parent's log. */
export async function isAwaited(bus: Bus, fold: RunFold): Promise<boolean> {
  const parent = fold.submission?.parent;
  if (parent === undefined || !fold.ended || !(await bus.log.exists(parent.run))) return false;
  const above = new RunFold(parent.run);
  for await (const record of bus.log.read(parent.run)) above.apply(record);
  return above.isOpen({ ...parent, role: ORCHESTRATOR_ROLE });
}

/** N1. Tells the parent how its child run ended; nothing for a run without a parent, or one that goes on. */
export async function reportToParent(bus: Bus, fold: RunFold): Promise<void> {
  const parent = fold.submission?.parent;
  if (parent === undefined || !fold.ended || !(await bus.log.exists(parent.run))) return;
  const { run, step, n } = parent;
  const body: ResultMessage = {
    v: 1,
    run,
    step,
    n,
    agent: fold.run,
    ...(await outcomeOf(bus, fold, run, parent.outputs)),
    usage: { ...fold.spending.total },
    ...(fold.startedAt === undefined ? {} : { startedAt: fold.startedAt }),
    ...(fold.endedAt === undefined ? {} : { endedAt: fold.endedAt }),
  };
  const id = `${ORCHESTRATOR_ROLE}:${run}:${step}:${n}`;
  await bus.log.append(run, { kind: "result", role: ORCHESTRATOR_ROLE, body }, { id });
  // It may have been put away, while it was at a limit that its nested runs waited at.
  if (parent.budgets !== undefined) await bus.runs.push(run);
}

async function outcomeOf(
  bus: Bus,
  fold: RunFold,
  parent: string,
  declared: readonly string[],
): Promise<Pick<ResultMessage, "status" | "outputs" | "error">> {
  if (fold.status !== "done") return { status: "failed", error: failureOf(fold) };
  try {
    return { status: "done", outputs: await outputsFor(bus, fold, parent, declared) };
  } catch (error) {
    // Trying again later helps where the broker is away, and nowhere else.
    if (!(error instanceof DataHammerError) || error instanceof UnreachableError) throw error;
    const { name, code, message } = error;
    return { status: "failed", error: { name, code, message, retryable: false } };
  }
}

/** The workflow's outputs, and beneath them what the parent's step declares and the environment has. */
async function outputsFor(
  bus: Bus,
  fold: RunFold,
  parent: string,
  declared: readonly string[],
): Promise<Record<string, unknown>> {
  const there = declared.filter((key) => fold.environment.has(key));
  const outputs = {
    ...Object.fromEntries(there.map((key) => [key, fold.environment.get(key)])),
    ...fold.outputs,
  };
  // The child may be purged before its parent.
  const own = (await copyArtifacts(bus.artifacts, parent, outputs)) as Record<string, unknown>;
  return checkIn(bus.artifacts, parent, own);
}

/** The child's failure, and where in it: so that a chain of runs names all of its links. */
function failureOf(fold: RunFold): NonNullable<ResultMessage["error"]> {
  const { code = "E_FAILED", message = fold.status, step } = fold.error ?? {};
  const where = step === undefined ? "" : ` in step ${step}`;
  const last = step === undefined ? undefined : fold.step(step).context.failures.at(-1);
  return {
    name: "ChildRunError",
    code,
    message: `run ${fold.run} ${fold.status === "cancelled" ? "was cancelled" : "failed"}${where}: ${message}`,
    // Another run of the same may help where another attempt might have; a person's cancel is meant.
    retryable: fold.status === "failed" && fold.graph !== undefined && last?.error.retryable !== false,
  };
}
