/**
 * Going on where another holder stopped: what it gave out and had no time to note, and what it noted ahead and
 * had no time to give out (H3). The queue knows.
 */
import type { DispatchRef, TaskMessage } from "../bus/messages.ts";
import { isConsultation } from "../fold/consultations.ts";
import type { Flights } from "./flights.ts";
import { HOLD_LIMITS } from "./hold-context.ts";
import type { HoldFrame } from "./hold-frame.ts";

/** What is in the queues, seen before the log was read to its end (L10). Empty when the hold is over. */
export async function leftInQueues(frame: HoldFrame): Promise<readonly DispatchRef[]> {
  const { run, context } = frame;
  for (; !frame.over; await frame.pause(HOLD_LIMITS.retryMs)) {
    try {
      const left = await context.bus.tasks.ofRun(run);
      await frame.readLog();
      return left;
    } catch (error) {
      context.log.debug({ run, err: error }, "the queue could not be looked into; trying again");
    }
  }
  return [];
}

/**
 * What a predecessor left in the queues counts as out.
 * @param pushNoted gives out what was noted ahead and is in no queue; undefined: this run notes nothing ahead
 */
export function takeOverFlights(
  frame: HoldFrame,
  flights: Flights,
  left: readonly DispatchRef[],
  pushNoted: ((task: TaskMessage) => void) | undefined,
): void {
  const { fold } = frame;
  const inQueue = new Set(left.map(({ step, n }) => `${step}#${n}`));
  for (const ref of left) {
    if (flights.has(ref.step) || !fold.isOpen(ref) || isConsultation(ref)) continue;
    const dispatchedAt = frame.now();
    flights.fly(ref.step, { ref, dispatchedAt, startedAt: undefined });
    flights.noteDispatch(ref, dispatchedAt);
  }
  if (pushNoted === undefined) return;
  for (const { ref, started } of flights.all()) {
    if (!started && !inQueue.has(`${ref.step}#${ref.n}`)) pushNoted(fold.taskOf(ref.step));
  }
}
