/**
 * What a log means, written down a second time.
 *
 * It shares nothing with the runtime but the shapes of the messages: not its machines, graph, expressions or
 * fold. It understands the workflows that `workflows.ts` writes, and keeps what the judges ask about: when
 * each dispatch was open, whether ends were due, what the environment held.
 */
import type { LogRecord } from "../bus/bus.ts";
import type { DecisionMessage, EnvUpdateMessage, ResultMessage } from "../bus/messages.ts";
import type { WorkflowDocument, WorkflowStepDocument } from "../workflow/document.ts";

const HANDOFFS = 8;
const DEFAULTS = { maxAttempts: 3, initial: "1s", factor: 2, max: "30s", jitter: 0.2 };

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
  /** Infinity while it is open. */
  closeSeq: number;
  /** What closed it. */
  closedBy: string;
}

export interface ReferenceStep {
  readonly doc: WorkflowStepDocument;
  state: "pending" | "ready" | "running" | "done" | "failed";
  outcome: string | null;
  n: number;
  attempt: number;
  role: string;
  inputs: Record<string, unknown>;
  hops: number;
  /** Dependents need not wait for it. */
  closedWell: boolean;
  recovering: boolean;
  closedDependencies: number;
  /** Results that completed it. */
  completions: number;
  /** Codes of the errors that its dispatches ended with. */
  errors: string[];
}

interface Entry {
  value: unknown;
  revision: number;
  step: string | undefined;
}

export class Reference {
  readonly workflow: WorkflowDocument;
  readonly steps = new Map<string, ReferenceStep>();
  readonly env = new Map<string, Entry>();
  readonly openings = new Map<string, Opening>();
  /** What a holder decided and the log does not call for. It does not count. */
  readonly wrongs: { decision: string; what: string }[] = [];
  /** From which to which sequence it was paused. */
  readonly pauses: { from: number; to: number }[] = [];
  readonly claims: { epoch: number; holder: string; seq: number }[] = [];
  status: "none" | "running" | "paused" | "done" | "failed" | "cancelled" = "none";
  epoch = 0;
  #failure = false;
  #cancel = false;
  #seq = 0;
  #ts = 0;

  constructor(workflow: WorkflowDocument) {
    this.workflow = workflow;
  }

  get ended(): boolean {
    return this.status === "done" || this.status === "failed" || this.status === "cancelled";
  }

  apply(record: LogRecord): void {
    this.#seq = record.seq;
    this.#ts = record.ts;
    if (record.kind === "submit") this.#submit(record.body.environment ?? {});
    else if (this.status === "none" && record.kind !== "decision") return;
    else if (record.kind === "result") this.#result(record.role, record.body);
    else if (record.kind === "env") this.#update(record.body);
    else if (record.kind === "control") this.#control(record.body.verb, record.body.step);
    else if (record.kind === "decision") this.#decision(record.body);
    else if (record.kind === "observed" && !this.ended) {
      for (const { step, n } of record.body.started) {
        const one = this.steps.get(step);
        if (one?.state === "ready" && one.n === n) one.state = "running";
      }
    }
  }

  #submit(environment: Record<string, unknown>): void {
    if (this.status !== "none") return;
    this.status = "running";
    for (const [key, value] of Object.entries(environment)) this.#set(key, value, undefined);
    for (const doc of this.workflow.steps) {
      this.steps.set(doc.id, {
        doc,
        state: "pending",
        outcome: null,
        n: 0,
        attempt: 1,
        role: doc.agent,
        inputs: {},
        hops: 0,
        closedWell: false,
        recovering: false,
        closedDependencies: 0,
        completions: 0,
        errors: [],
      });
    }
    this.#release([...this.steps.values()].filter(({ doc }) => needed(doc) === 0));
  }

  // ── steps ────────────────────────────────────────────────────────────────────────────────────────

  #release(steps: ReferenceStep[]): void {
    const waiting = [...steps];
    for (let step = waiting.shift(); step !== undefined; step = waiting.shift()) {
      const { doc } = step;
      if (doc.when !== undefined && !this.#holds(doc.when)) {
        step.state = "done";
        step.outcome = "skipped";
        waiting.push(...this.#closeWithNulls(step));
        continue;
      }
      step.inputs = this.#resolve(doc.inputs ?? {});
      this.#open(step, 0);
    }
  }

  #open(step: ReferenceStep, waitMs: number): void {
    step.state = "ready";
    step.outcome = null;
    step.n += 1;
    const { n, role, attempt, inputs, doc } = step;
    const opening = { step: doc.id, n, role, attempt, inputs, openSeq: this.#seq, openTs: this.#ts, waitMs };
    this.openings.set(`${doc.id}#${n}`, { ...opening, closeSeq: Number.POSITIVE_INFINITY, closedBy: "" });
  }

  #shut(step: ReferenceStep, by: string): void {
    const opening = this.openings.get(`${step.doc.id}#${step.n}`);
    if (!opening || opening.closeSeq !== Number.POSITIVE_INFINITY) return;
    opening.closeSeq = this.#seq;
    opening.closedBy = by;
  }

  #isOpen({ state }: ReferenceStep): boolean {
    return !this.ended && (state === "ready" || state === "running");
  }

  #closeWell(step: ReferenceStep): ReferenceStep[] {
    if (step.closedWell) return [];
    step.closedWell = true;
    const ready: ReferenceStep[] = [];
    for (const other of this.steps.values()) {
      if (!other.doc.dependsOn?.includes(step.doc.id)) continue;
      other.closedDependencies += 1;
      if (other.closedDependencies === needed(other.doc) && other.state === "pending") ready.push(other);
    }
    return ready;
  }

  #closeWithNulls(step: ReferenceStep): ReferenceStep[] {
    for (const key of step.doc.outputs ?? []) if (!this.env.has(key)) this.#set(key, null, step.doc.id);
    return this.#closeWell(step);
  }

  #failed(step: ReferenceStep, outcome: string): void {
    step.state = "failed";
    step.outcome = outcome;
    if (step.doc.onFailure === "continue") this.#release(this.#closeWithNulls(step));
    else if (step.doc.onFailure === "recover") step.recovering = true;
    else this.#failure = true;
  }

  #failedAttempt(step: ReferenceStep, retryable: boolean, outcome: string): void {
    const policy = { ...DEFAULTS, ...step.doc.retry } as typeof DEFAULTS;
    if (!retryable || step.attempt >= policy.maxAttempts) return this.#failed(step, outcome);
    step.attempt += 1;
    const grown = Math.min(ms(policy.initial) * policy.factor ** (step.attempt - 2), ms(policy.max));
    this.#open(step, grown * (1 - policy.jitter));
  }

  #result(role: string, result: ResultMessage): void {
    const step = this.steps.get(result.step);
    if (!step || !this.#isOpen(step) || result.n !== step.n || role !== step.role) return;
    this.#shut(step, `result by ${result.agent}`);
    const { outputs = {} } = result;
    const declared = step.doc.outputs ?? [];
    if (result.status === "handoff" && result.handoff) {
      if (step.hops >= HANDOFFS) return this.#failed(step, "failed");
      step.hops += 1;
      step.role = result.handoff.role;
      step.inputs = result.handoff.inputs;
      return this.#open(step, 0);
    }
    if (result.status !== "done") {
      step.errors.push(result.error?.code ?? result.error?.name ?? "Error");
      return this.#failedAttempt(step, result.error?.retryable ?? true, "failed");
    }
    if (declared.some((key) => !(key in outputs) && this.env.get(key)?.step !== step.doc.id)) {
      step.errors.push("E_OUTPUT_MISSING");
      return this.#failed(step, "failed");
    }
    for (const key of declared) if (key in outputs) this.#set(key, outputs[key], step.doc.id);
    step.state = "done";
    step.outcome = "completed";
    step.completions += 1;
    this.#release(this.#closeWell(step));
  }

  // ── the rest of the records ──────────────────────────────────────────────────────────────────────

  #update({ key, value, step: id, n, ifRevision }: EnvUpdateMessage): void {
    if (this.ended) return;
    if (id !== undefined) {
      const step = this.steps.get(id);
      if (!step || !this.#isOpen(step) || step.n !== n || !step.doc.outputs?.includes(key)) return;
    }
    if (ifRevision !== undefined && ifRevision !== (this.env.get(key)?.revision ?? 0)) return;
    this.#set(key, value, id);
  }

  #control(verb: string, chosen: string | undefined): void {
    if (verb === "cancel" && !this.ended) this.#cancel = true;
    if (verb === "pause" && this.status === "running") {
      this.status = "paused";
      this.pauses.push({ from: this.#seq, to: Number.POSITIVE_INFINITY });
    } else if (verb === "resume" && this.status === "paused") this.#goOn();
    else if (verb === "retry" && this.status === "failed") this.#retry(chosen);
  }

  #goOn(): void {
    this.status = "running";
    this.#closePause();
  }

  #closePause(): void {
    const pause = this.pauses.at(-1);
    if (pause) pause.to = Math.min(pause.to, this.#seq);
  }

  #retry(chosen: string | undefined): void {
    const failed = [...this.steps.values()].filter(
      ({ state, closedWell }) => state === "failed" && !closedWell,
    );
    const named = failed.filter(({ doc }) => chosen === undefined || doc.id === chosen);
    if (named.length === 0) return;
    this.status = "running";
    this.#failure = false;
    for (const step of failed) {
      if (named.includes(step) || step.outcome === "cancelled") this.#reopen(step);
      else this.#failure = true;
    }
  }

  #reopen(step: ReferenceStep): void {
    step.recovering = false;
    step.attempt = 1;
    if (step.n === 0) step.inputs = this.#resolve(step.doc.inputs ?? {});
    this.#open(step, 0);
  }

  #decision(decision: DecisionMessage): void {
    if (decision.type === "claim") {
      if (decision.epoch <= this.epoch) return;
      this.epoch = decision.epoch;
      this.claims.push({ epoch: decision.epoch, holder: decision.holder, seq: this.#seq });
      return;
    }
    if (decision.epoch !== this.epoch || this.ended || this.status === "none") return;
    if (decision.type === "end") return this.#end(decision.status, decision.id);
    if (decision.type === "run-timed-out") {
      this.#failure = true;
      return;
    }
    if (
      decision.type === "plan" ||
      decision.type === "revise" ||
      decision.type === "time-spent" ||
      decision.type === "compensate"
    )
      return;
    const step = this.steps.get(decision.step);
    if (!step || step.n !== decision.n) return;
    if (decision.type === "recover") return this.#recover(step, decision);
    if (!this.#isOpen(step) || decision.type === "defaulted") return;
    this.#shut(step, decision.type);
    if (decision.type === "lost") return this.#open(step, 0);
    step.errors.push(decision.code);
    if (step.state === "ready") this.#failed(step, "timed-out");
    else this.#failedAttempt(step, true, "timed-out");
  }

  #recover(step: ReferenceStep, decision: DecisionMessage & { type: "recover" }): void {
    if (!step.recovering) return;
    step.recovering = false;
    if (decision.role === undefined) {
      this.#failure = true;
      return;
    }
    step.role = decision.role;
    if (decision.inputs !== undefined) step.inputs = decision.inputs;
    step.attempt = 1;
    this.#open(step, 0);
  }

  /** Whether the log calls for this end. A complete run may also fail, on its outputs. */
  isDue(status: "done" | "failed" | "cancelled"): boolean {
    const complete = [...this.steps.values()].every(({ closedWell }) => closedWell);
    return { done: complete, failed: this.#failure || complete, cancelled: this.#cancel }[status];
  }

  #end(status: "done" | "failed" | "cancelled", id: string): void {
    if (!this.isDue(status)) {
      const what = `an end as ${status} was written at ${this.#seq}, which was not due`;
      this.wrongs.push({ decision: id, what });
      return;
    }
    for (const step of this.steps.values()) {
      const open = this.#isOpen(step);
      this.#shut(step, "the end");
      if (status === "done" || !(open || (step.state === "pending" && status === "cancelled"))) continue;
      step.state = "failed";
      step.outcome = "cancelled";
    }
    this.#closePause();
    this.status = status;
  }

  // ── values ───────────────────────────────────────────────────────────────────────────────────────

  #set(key: string, value: unknown, step: string | undefined): void {
    this.env.set(key, { value, revision: this.#seq, step });
  }

  /** `env.K != null && env.K > NUMBER`: the only conditions that simulated workflows have. */
  #holds(when: string): boolean {
    const [, key = "", bound = ""] = /^env\.(\w+) != null && env\.\1 > ([\d.]+)$/.exec(when) ?? [];
    if (key === "") throw new Error(`the reference does not understand the condition ${when}`);
    const value = this.env.get(key)?.value ?? null;
    return typeof value === "number" && value > Number(bound);
  }

  #resolve(inputs: Record<string, unknown>): Record<string, unknown> {
    const resolved: Record<string, unknown> = {};
    for (const [name, value] of Object.entries(inputs)) {
      const key = typeof value === "string" ? /^\$\{env\.(\w+)\}$/.exec(value)?.[1] : undefined;
      resolved[name] = key === undefined ? value : (this.env.get(key)?.value ?? null);
    }
    return resolved;
  }
}

function needed({ dependsOn = [], join = "all" }: WorkflowStepDocument): number {
  if (dependsOn.length === 0) return 0;
  return join === "all" ? dependsOn.length : join === "any" ? 1 : join;
}

/** `500ms` or `5s`. */
function ms(duration: string): number {
  return Number.parseFloat(duration) * (duration.endsWith("ms") ? 1 : 1_000);
}
