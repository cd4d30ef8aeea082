/** A step and a dispatch as the reference sees them. */
import type { WorkflowDocument, WorkflowStepDocument } from "../workflow/document.ts";

export const RETRY_DEFAULTS = {
  maxAttempts: 3,
  initial: "1s",
  factor: 2,
  max: "30s",
  jitter: 0.2,
  nonRetryable: [] as readonly string[],
};
/** Time-outs after which a step is not tried again. */
const LAST_TIMEOUTS = new Set(["E_NO_AGENT", "E_NO_ANSWER", "E_STEP_TIMEOUT", "E_QUEUE_TIMEOUT"]);

export type RetryRules = typeof RETRY_DEFAULTS;

/** One dispatch that the log opened. */
export interface Opening {
  step: string;
  n: number;
  role: string;
  attempt: number;
  inputs: Record<string, unknown>;
  openSeq: number;
  /** Epoch ms. */
  openTs: number;
  /** The least wait before it may be given out. */
  waitMs: number;
  /** From which sequence on it need not wait for anybody outside; Infinity while it does. */
  freeSeq: number;
  /** Infinity while it is open. */
  closeSeq: number;
  /** What closed it. */
  closedBy: string;
}

export interface ReferenceStep {
  /** As on the wire: an item has its step's id and its place. */
  readonly id: string;
  doc: WorkflowStepDocument;
  /** The step of the document that this one is an item of. */
  readonly parent: ReferenceStep | undefined;
  readonly place: number;
  /** The step that this one undoes. */
  readonly undoes: ReferenceStep | undefined;
  retry: RetryRules;
  state: "pending" | "ready" | "running" | "done" | "failed";
  outcome: string | null;
  n: number;
  attempt: number;
  iteration: number;
  role: string;
  task: string;
  /** Its own inputs, fixed when it became ready. */
  own: Record<string, unknown>;
  /** Nobody has worked them out: it did not begin, or that failed. */
  lacksInputs: boolean;
  /** Those of a handoff or a recovery, which come before its own. */
  brought: Record<string, unknown> | undefined;
  hops: { role: string; task: string }[];
  /** Dependents need not wait for it. */
  closedWell: boolean;
  recovering: boolean;
  /** What it waits for from outside. */
  waits: "approval" | "human" | "signal" | "failure" | undefined;
  /** People are asked what to do about its failure. */
  asked: boolean;
  /** People gave its outputs in the place of its agents. */
  givenByPeople: boolean;
  approved: boolean;
  /** Somebody wants it stopped, and it is not closed yet. */
  unwanted: boolean;
  closedDependencies: number;
  /** Results that completed it. */
  completions: number;
  /** Codes of the errors that its dispatches ended with. */
  errors: string[];
  /** A recovery has found whoever does the work of all its items. */
  asWhole: boolean;
  /** The list of a fan-out; undefined while the step does its work itself. */
  list: readonly unknown[] | undefined;
  /** The items that were made. */
  items: ReferenceStep[];
  /** Its last dispatch used up the iterations that it may have. */
  exhausted: boolean;
  /** What the last iteration gave. */
  lastOutputs: Record<string, unknown>;
  /** What it gave in the end. */
  outputs: Record<string, unknown> | null | undefined;
}

export function makeStep(
  doc: WorkflowStepDocument,
  defaults: WorkflowDocument["defaults"],
  item?: { parent: ReferenceStep; place: number },
): ReferenceStep {
  return {
    id: item === undefined ? doc.id : `${doc.id}~${item.place}`,
    doc,
    parent: item?.parent,
    place: item?.place ?? 0,
    undoes: undefined,
    retry: { ...RETRY_DEFAULTS, ...defaults?.retry, ...doc.retry } as RetryRules,
    state: "pending",
    outcome: null,
    n: 0,
    attempt: 1,
    iteration: 1,
    role: doc.agent,
    task: doc.task,
    own: {},
    lacksInputs: true,
    brought: undefined,
    hops: [],
    closedWell: false,
    recovering: false,
    waits: undefined,
    asked: false,
    givenByPeople: false,
    approved: false,
    unwanted: false,
    closedDependencies: 0,
    completions: 0,
    errors: [],
    asWhole: false,
    list: undefined,
    items: [],
    exhausted: false,
    lastOutputs: {},
    outputs: undefined,
  };
}

/** From now on these are its own inputs. */
export function giveOwn(step: ReferenceStep, inputs: Record<string, unknown>): void {
  step.own = inputs;
  step.lacksInputs = false;
}

/** It stands as it does in another document from now on; what has begun of it goes on as it was given out. */
export function standIn(
  step: ReferenceStep,
  doc: WorkflowStepDocument,
  defaults: WorkflowDocument["defaults"],
): ReferenceStep {
  const { retry, role, task } = makeStep(doc, defaults);
  return Object.assign(step, { doc, retry, ...(step.state === "pending" ? { role, task } : {}) });
}

/** The step that undoes a completed one. */
export function undoingStep(step: ReferenceStep, defaults: WorkflowDocument["defaults"]): ReferenceStep {
  const { compensate, retry, timeout, timeouts, priority } = step.doc;
  const written = typeof compensate === "string" ? { task: compensate } : compensate;
  const doc: WorkflowStepDocument = {
    id: `${step.id}~undo`,
    agent: written?.agent ?? step.doc.agent,
    task: written?.task ?? "",
    onFailure: "continue",
    ...(retry === undefined ? {} : { retry }),
    ...(timeout === undefined ? {} : { timeout }),
    ...(timeouts === undefined ? {} : { timeouts }),
    ...(priority === undefined ? {} : { priority }),
  };
  return { ...makeStep(doc, defaults), undoes: step };
}

/** How many of its dependencies have to be closed before a step may start. */
export function needed({ dependsOn = [], join = "all" }: WorkflowStepDocument): number {
  if (dependsOn.length === 0) return 0;
  return join === "all" ? dependsOn.length : join === "any" ? 1 : join;
}

/** By the id of each step: those that depend on it. */
export function dependentsOf(steps: readonly ReferenceStep[]): ReadonlyMap<string, readonly ReferenceStep[]> {
  const all = new Map<string, ReferenceStep[]>();
  for (const step of steps)
    for (const id of new Set(step.doc.dependsOn)) all.set(id, [...(all.get(id) ?? []), step]);
  return all;
}

/** Whether a time-out leaves the step no other attempt, however many it has left. */
export function isLastTimeOut({ retry }: ReferenceStep, code: string): boolean {
  return LAST_TIMEOUTS.has(code) || [code, "TimeoutError"].some((name) => retry.nonRetryable.includes(name));
}

/** `500ms`, `5s`, `2m`, `1h`, `3d` in milliseconds. */
export function ms(duration: string): number {
  const [, amount = "0", unit = "s"] = /^([\d.]+)\s*(ms|s|m|h|d)$/.exec(duration) ?? [];
  return Number(amount) * { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }[unit as "ms"];
}

/** What an answer from outside gives, or undefined when it does not fit the declared outputs. */
export function outputsOfAnswer(
  declared: readonly string[],
  value: unknown,
): Record<string, unknown> | undefined {
  const isMap = typeof value === "object" && value !== null && !Array.isArray(value);
  const map = isMap ? (value as Record<string, unknown>) : undefined;
  if (declared.length === 0) return value === undefined ? {} : (map ?? { value });
  if (map !== undefined && declared.every((key) => key in map)) return map;
  return declared.length === 1
    ? { [declared[0] as string]: value ?? (value === null ? null : true) }
    : undefined;
}
