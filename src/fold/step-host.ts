/** Where the fold keeps its step machines: as plain snapshots for replay, as live actors in the orchestrator. */
import {
  type StepContext,
  type StepEvent,
  type StepInput,
  type StepSnapshot,
  type StepState,
  stepLogic,
} from "../machines/step.ts";

export interface StepStatus {
  readonly state: StepState;
  readonly context: StepContext;
}

export interface StepHost {
  /** The step's status, or undefined when it never left `pending`. */
  read(id: string): StepStatus | undefined;
  /** Puts an event to the step, making it first when it is new; returns where it stands then. */
  send(id: string, event: StepEvent, input: () => StepInput): StepStatus;
}

/**
 * Steps as snapshots, moved by the machine alone: no actors, no system. For readers of a log.
 */
export class SnapshotStepHost implements StepHost {
  readonly #snapshots = new Map<string, StepSnapshot>();

  read(id: string): StepStatus | undefined {
    const snapshot = this.#snapshots.get(id);
    return snapshot && statusOf(snapshot);
  }

  send(id: string, event: StepEvent, input: () => StepInput): StepStatus {
    const after = stepLogic.next(this.#snapshots.get(id) ?? stepLogic.initial(input()), event);
    this.#snapshots.set(id, after);
    return statusOf(after);
  }
}

export function statusOf({ value, context }: StepSnapshot): StepStatus {
  return { state: value, context };
}
