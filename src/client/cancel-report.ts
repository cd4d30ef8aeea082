/**
 * What became of a cancellation, followed in the run's log until it is carried out.
 *
 * The control is stored before this begins, so that nothing is lost when the wait is over first.
 */
import type { Bus, Clock } from "../bus/bus.ts";
import type { Stopped } from "../fold/cancellations.ts";
import { RunFold } from "../fold/run-fold.ts";
import { stepLabel } from "../workflow/derived-step.ts";

/** One step that was open, and how it was stopped. */
export interface StoppedStep {
  step: string;
  outcome: Stopped;
}

export interface CancelReport {
  /** Whether the run, or the step, is closed by now. Not: the orchestrator still waits for an agent, or there is none. */
  settled: boolean;
  /** Dispatches that were out, each with what became of it. */
  steps: StoppedStep[];
}

/** Follows the run until it, or the step, is closed; at most for `waitMs`. */
export async function cancelReport(
  { bus, clock }: { bus: Bus; clock: Clock },
  run: string,
  step: string | undefined,
  waitMs: number,
): Promise<CancelReport> {
  const fold = new RunFold(run);
  const isClosed = (): boolean =>
    fold.ended || (step !== undefined && fold.steps?.has(step) === true && isOver(fold, step));
  let finish: () => void = () => {};
  const over = new Promise<void>((resolve) => {
    finish = resolve;
  });
  const timer = clock.setTimeout(() => finish(), waitMs);
  let current = false;
  const follower = await bus.log.follow(run, (record) => {
    fold.apply(record);
    if (current && isClosed()) finish();
  });
  try {
    await follower.caughtUp;
    current = true;
    if (!isClosed()) await over;
  } finally {
    clock.clearTimeout(timer);
    follower.close();
  }
  const chosen = [...fold.stopped].filter(([id]) => step === undefined || id === step);
  return { settled: isClosed(), steps: chosen.map(([id, outcome]) => ({ step: stepLabel(id), outcome })) };
}

function isOver(fold: RunFold, step: string): boolean {
  const { state } = fold.step(step);
  return state === "done" || state === "failed";
}
