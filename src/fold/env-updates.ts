/**
 * Environment updates in mid-step and from outside, judged: which apply, and what became of each.
 *
 * It owns the verdicts, and the values that are set aside until somebody has looked inside them. It does not own
 * the environment, nor what a step's result writes there.
 *
 *  - U1 A large value for a key with a schema counts only once it was held against it, which is a decision (L3).
 *    What is set for the same key meanwhile waits behind it.
 */
import { holdsReference } from "../bus/claim-check.ts";
import type { DecisionMessage } from "../bus/decisions.ts";
import type { EnvUpdateMessage } from "../bus/messages.ts";
import type { EnvironmentWriter } from "../workflow/environment.ts";
import { type EnvVerdictRecord, EnvVerdicts } from "./env-verdicts.ts";
import type { FoldFrame } from "./fold-frame.ts";
import type { RunCourse } from "./run-course.ts";
import { schemaError } from "./step-error.ts";

/** A value that has to be held against the schema of its key before it counts. */
export interface HeldValue {
  /** Log sequence of the update, or of the submission. */
  readonly seq: number;
  readonly key: string;
  readonly value: unknown;
  /** Undefined: it was submitted, and is in the environment. */
  readonly update?: EnvUpdateMessage;
}

export class EnvUpdates {
  readonly #frame: FoldFrame;
  readonly #course: RunCourse;
  readonly #verdicts = new EnvVerdicts();
  /** Log sequence of the submission. */
  submittedSeq = 0;
  #held: HeldValue[] = [];
  #isSubmittedHeld = false;

  constructor(frame: FoldFrame, course: RunCourse) {
    this.#frame = frame;
    this.#course = course;
  }

  /** What became of the update at this log sequence; undefined when it is not folded yet, or held. */
  verdict(seq: number): EnvVerdictRecord | undefined {
    return this.#verdicts.get(seq);
  }

  get held(): readonly HeldValue[] {
    return this.#held;
  }

  apply(update: EnvUpdateMessage): void {
    const { seq } = this.#frame;
    const problem = this.#problemOf(update);
    if (problem !== undefined) return this.#refuse(seq, update, problem);
    const { key, value } = update;
    if (this.#hasToWait(key, value)) return this.#hold({ seq, key, value, update });
    this.#write(seq, update);
  }

  /** What the run was submitted with, once there is a workflow and somebody who can look inside. */
  holdSubmitted(): void {
    const schemas = this.#course.flow?.values.schemas;
    if (!this.#frame.judges || schemas === undefined || this.#isSubmittedHeld) return;
    this.#isSubmittedHeld = true;
    const { environment } = this.#frame;
    for (const key of environment.hasLarge ? environment.keys() : []) {
      const { value, revision = 0 } = environment.entry(key) ?? {};
      if (revision > this.submittedSeq || !schemas.has(key) || !holdsReference(value)) continue;
      this.#hold({ seq: this.submittedSeq, key, value });
    }
  }

  /** U1. Returns why the verdict does not apply, or undefined when it does. */
  judged({ seq, key, problem }: DecisionMessage & { type: "judged" }): string | undefined {
    const held = this.#held.find((one) => one.seq === seq && one.key === key);
    if (held === undefined) return `nothing of ${seq} waits for a verdict on ${key}`;
    this.#held = this.#held.filter((one) => one !== held);
    const { update } = held;
    if (update === undefined) {
      const { code = "E_ENV_SCHEMA", message } = schemaError(problem ?? "");
      if (problem !== undefined) this.#course.failure ??= { code, message };
      return undefined;
    }
    const refusal = problem === undefined ? this.#problemOf(update) : schemaError(problem).message;
    if (refusal !== undefined) this.#refuse(seq, update, refusal);
    else this.#write(seq, update);
    return undefined;
  }

  /** The run ended before they were judged. */
  refuseHeld(): void {
    for (const { seq, update } of this.#held)
      if (update !== undefined) this.#refuse(seq, update, "the run has ended");
    this.#held = [];
  }

  #hasToWait(key: string, value: unknown): boolean {
    const schemas = this.#course.flow?.values.schemas;
    if (!this.#frame.judges || schemas === undefined || !schemas.has(key)) return false;
    return holdsReference(value) || this.#held.some((one) => one.key === key);
  }

  #hold(held: HeldValue): void {
    this.#held.push(held);
    this.#frame.effects.push({ type: "judge" });
  }

  /** @param seq of the update; its revision is that of the record by which it counts */
  #write(seq: number, update: EnvUpdateMessage): void {
    const writer = update.step === undefined ? { agent: update.by } : { step: update.step, agent: update.by };
    const outcome = this.#frame.setEnv(update.key, update.value, writer, update.ifRevision);
    if (outcome.applied) {
      this.#verdicts.keep(seq, outcome);
      const { flow } = this.#course;
      if (update.step === undefined && flow?.planned && !flow.complete) flow.facts.addOutside();
      return;
    }
    const { revision, writer: other } = outcome.conflict;
    const stands = revision === 0 ? "it is not set yet" : `${nameOfWriter(other)} wrote revision ${revision}`;
    const message = `${nameOfWriter(writer)} expected revision ${update.ifRevision} of ${update.key}, but ${stands}`;
    const conflict = { revision, writer: other.step ?? other.agent ?? "the submission", message };
    this.#refuse(seq, update, message, { applied: false, conflict });
  }

  #refuse(
    seq: number,
    update: EnvUpdateMessage,
    reason: string,
    verdict: EnvVerdictRecord = { applied: false, error: reason },
  ): void {
    this.#verdicts.keep(seq, verdict);
    this.#frame.void("refused", update.step ?? null, `update of ${update.key} by ${update.by}: ${reason}`);
  }

  #problemOf({ step, n, key, value }: EnvUpdateMessage): string | undefined {
    const { ended, flow } = this.#course;
    if (ended) return "the run has ended";
    if (!flow) return "the run has no workflow yet";
    const mismatch = flow.values.schemaProblemOf(key, value);
    if (mismatch !== undefined) return schemaError(mismatch).message;
    if (step === undefined) return undefined;
    if (!flow.steps.has(step)) return `the run has no step ${step}`;
    if (n === undefined || !flow.awaits(step, n)) return "its dispatch is closed";
    const { outputs, origin } = flow.steps.step(step);
    if (!outputs.includes(key)) return "the step does not declare this output";
    if (origin?.kind === "item") return "an item gives its outputs by its result, for the list of all items";
    return undefined;
  }
}

function nameOfWriter({ step, agent }: EnvironmentWriter): string {
  if (step === undefined) return agent ?? "the submission";
  return agent === undefined ? `step ${step}` : `step ${step} (${agent})`;
}
