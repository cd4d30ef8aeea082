/**
 * Environment updates in mid-step and from outside, judged: which apply, and what became of each.
 *
 * It owns the verdicts. It does not own the environment, nor what a step's result writes there.
 */
import type { EnvUpdateMessage } from "../bus/messages.ts";
import type { EnvironmentWriter } from "../workflow/environment.ts";
import { type EnvVerdictRecord, EnvVerdicts } from "./env-verdicts.ts";
import type { FoldFrame } from "./fold-frame.ts";
import type { RunCourse } from "./run-course.ts";
import { schemaError } from "./step-error.ts";

export class EnvUpdates {
  readonly #frame: FoldFrame;
  readonly #course: RunCourse;
  readonly #verdicts = new EnvVerdicts();

  constructor(frame: FoldFrame, course: RunCourse) {
    this.#frame = frame;
    this.#course = course;
  }

  /** What became of the update at this log sequence; undefined when it is not folded yet. */
  verdict(seq: number): EnvVerdictRecord | undefined {
    return this.#verdicts.get(seq);
  }

  apply(update: EnvUpdateMessage): void {
    const problem = this.#problemOf(update);
    if (problem !== undefined) return this.#refuse(update, problem, { applied: false, error: problem });
    const writer = update.step === undefined ? { agent: update.by } : { step: update.step, agent: update.by };
    const outcome = this.#frame.setEnv(update.key, update.value, writer, update.ifRevision);
    if (outcome.applied) {
      this.#verdicts.keep(this.#frame.seq, outcome);
      const { flow } = this.#course;
      if (update.step === undefined && flow?.planned && !flow.complete) flow.facts.addOutside();
      return;
    }
    const { revision, writer: other } = outcome.conflict;
    const stands = revision === 0 ? "it is not set yet" : `${nameOfWriter(other)} wrote revision ${revision}`;
    const message = `${nameOfWriter(writer)} expected revision ${update.ifRevision} of ${update.key}, but ${stands}`;
    const conflict = { revision, writer: other.step ?? other.agent ?? "the submission", message };
    this.#refuse(update, message, { applied: false, conflict });
  }

  #refuse(update: EnvUpdateMessage, reason: string, verdict: EnvVerdictRecord): void {
    this.#verdicts.keep(this.#frame.seq, verdict);
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
