/**
 * Where two runs went different ways: which steps took another course or gave other results, and which of these
 * follow from others.
 *
 * Runs are compared by what their machines did and what their steps gave, not by when: agents and times differ
 * between any two runs. How long steps took is told apart, where it differs much.
 */
import { isDeepStrictEqual } from "node:util";
import { masked } from "../workflow/secrets.ts";
import { type StepTime, stepTimes } from "./critical-path.ts";
import { groupBy } from "./grouping.ts";
import type { Trace } from "./replay.ts";
import { oneLine } from "./text-width.ts";

/** How one step differs; `one` is the first run's, `other` the second's. */
export interface StepDifference {
  step: string;
  /** Whether none of its dependencies differs: then it is where the runs parted, and not a consequence. */
  parted: boolean;
  /** `only`: just one run has it; `definition`: the workflows say otherwise; `course`; `outputs`. */
  what: "only" | "definition" | "course" | "outputs";
  one: string;
  other: string;
  /** Log sequences where the courses part. */
  seqs: [number | null, number | null];
}

export interface TimeDifference {
  step: string;
  oneMs: number;
  otherMs: number;
}

export interface TraceDiff {
  runs: [string, string];
  statuses: [string, string];
  steps: StepDifference[];
  /** Inputs of the runs that differ. */
  inputs: string[];
  /** Steps that took much longer in one of them, the largest difference first. */
  times: TimeDifference[];
}

/** A difference in time that is told: at least this long, and one twice the other. */
const MUCH_MS = 100;
const TIMES_TOLD = 10;

export function diffTraces(one: Trace, other: Trace): TraceDiff {
  const sides = [new Side(one), new Side(other)] as const;
  const ids = new Set([...sides[0].ids, ...sides[1].ids]);
  const steps: StepDifference[] = [];
  for (const id of ids) {
    const difference = stepDifference(id, sides[0], sides[1]);
    if (difference !== undefined) steps.push({ step: id, parted: true, ...difference });
  }
  const differing = new Set(steps.map(({ step }) => step));
  for (const difference of steps) {
    const sources = [...sides[0].sources(difference.step), ...sides[1].sources(difference.step)];
    difference.parted = !sources.some((id) => differing.has(id));
  }
  const inputs = new Set([...Object.keys(one.fold.inputs), ...Object.keys(other.fold.inputs)]);
  const diff: TraceDiff = {
    runs: [one.fold.run, other.fold.run],
    statuses: [one.fold.status, other.fold.status],
    steps,
    inputs: [...inputs].filter((key) => !isDeepStrictEqual(one.fold.inputs[key], other.fold.inputs[key])),
    times: timeDifferences(stepTimes(one), stepTimes(other)),
  };
  return masked(one.fold.secrets, masked(other.fold.secrets, diff));
}

/** One run, as it is compared. */
class Side {
  readonly #trace: Trace;
  readonly #courses: Map<string, { text: string; seq: number }[]>;

  constructor(trace: Trace) {
    this.#trace = trace;
    const moves = trace.transitions.filter(({ kind }) => kind === "step");
    this.#courses = new Map(
      [...groupBy(moves, ({ actor }) => actor)].map(([id, own]) => [
        id,
        own.map(({ event, to, seq }) => ({ text: `${event}: ${to}`, seq })),
      ]),
    );
  }

  get ids(): string[] {
    return [...(this.#trace.fold.steps?.all() ?? [])].map(({ id }) => id);
  }

  has(id: string): boolean {
    return this.#trace.fold.steps?.has(id) ?? false;
  }

  sources(id: string): readonly string[] {
    if (!this.has(id)) return [];
    const step = this.#trace.fold.steps?.step(id);
    return step?.origin === undefined ? (step?.dependsOn ?? []) : [step.origin.of];
  }

  course(id: string): { text: string; seq: number }[] {
    return this.#courses.get(id) ?? [];
  }

  definition(id: string): string {
    const step = this.#trace.fold.steps?.step(id);
    if (step === undefined) return "";
    const { agent, task, inputs, dependsOn, when, onFailure } = step;
    return JSON.stringify({ agent, task, inputs, dependsOn, when, onFailure });
  }

  /** How the step stands, in words. */
  standing(id: string): string {
    const { state, context } = this.#trace.fold.step(id);
    const failure = state === "failed" ? context.failures.at(-1)?.error : undefined;
    const why =
      failure === undefined ? "" : ` (${failure.code ?? failure.name}: ${oneLine(failure.message)})`;
    const tries = context.attempt > 1 ? ` at attempt ${context.attempt}` : "";
    const away = context.hops.length > 0 ? ` by ${context.role}, handed off` : "";
    return `${context.outcome ?? state}${tries}${away}${why}`;
  }

  outputs(id: string): Record<string, unknown> {
    return this.#trace.fold.outputsOf(id) ?? {};
  }

  /** Outputs of a step as text, secrets hidden before anything is cut. */
  shown(id: string, keys: readonly string[]): string {
    const { secrets } = this.#trace.fold;
    const outputs = secrets?.values(this.outputs(id)) ?? this.outputs(id);
    return keys
      .map((key) => `${key} = ${oneLine(JSON.stringify(outputs[key]) ?? "nothing").slice(0, 60)}`)
      .join(", ");
  }
}

function stepDifference(
  id: string,
  one: Side,
  other: Side,
): Omit<StepDifference, "step" | "parted"> | undefined {
  if (!one.has(id) || !other.has(id)) {
    const text = (side: Side) => (side.has(id) ? side.standing(id) : "no such step");
    return { what: "only", one: text(one), other: text(other), seqs: [null, null] };
  }
  const [mine, theirs] = [one.course(id), other.course(id)];
  const at = mine.findIndex(({ text }, index) => text !== theirs[index]?.text);
  const parts = at >= 0 ? at : theirs.length > mine.length ? mine.length : -1;
  if (parts >= 0) {
    const seqs: [number | null, number | null] = [mine[parts]?.seq ?? null, theirs[parts]?.seq ?? null];
    return { what: "course", one: one.standing(id), other: other.standing(id), seqs };
  }
  const [gave, gaveToo] = [one.outputs(id), other.outputs(id)];
  const keys = [...new Set([...Object.keys(gave), ...Object.keys(gaveToo)])];
  const changed = keys.filter((key) => !isDeepStrictEqual(gave[key], gaveToo[key]));
  const seqs: [number | null, number | null] = [mine.at(-1)?.seq ?? null, theirs.at(-1)?.seq ?? null];
  if (changed.length > 0)
    return { what: "outputs", one: one.shown(id, changed), other: other.shown(id, changed), seqs };
  if (one.definition(id) === other.definition(id)) return undefined;
  return { what: "definition", one: one.definition(id), other: other.definition(id), seqs: [null, null] };
}

function timeDifferences(
  one: ReadonlyMap<string, StepTime>,
  other: ReadonlyMap<string, StepTime>,
): TimeDifference[] {
  const differences: TimeDifference[] = [];
  for (const [step, { runMs: oneMs }] of one) {
    const otherMs = other.get(step)?.runMs;
    if (otherMs === undefined || Math.abs(oneMs - otherMs) < MUCH_MS) continue;
    if (Math.max(oneMs, otherMs) >= 2 * Math.min(oneMs, otherMs)) differences.push({ step, oneMs, otherMs });
  }
  return differences
    .sort((a, b) => Math.abs(b.oneMs - b.otherMs) - Math.abs(a.oneMs - a.otherMs))
    .slice(0, TIMES_TOLD);
}
