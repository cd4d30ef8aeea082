/** Where the fold keeps its step machines: as plain snapshots for replay, as live actors in the orchestrator. */
import { createActor, type SnapshotFrom } from "xstate";
import {
  type StepContext,
  type StepEvent,
  type StepInput,
  type StepState,
  stepMachine,
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

type StepSnapshot = SnapshotFrom<typeof stepMachine>;
type TransitionScope = Parameters<typeof stepMachine.transition>[2];

const statusOf = (snapshot: StepSnapshot): StepStatus => ({
  state: snapshot.value,
  context: snapshot.context,
});

/**
 * Steps as snapshots, moved by the machine's own transition function. One inert scope serves all of them:
 * the machine has no effects that could use it, and XState's `transition` makes a new one at every call,
 * which costs seven times as much as the transition.
 */
export class SnapshotStepHost implements StepHost {
  readonly #snapshots = new Map<string, StepSnapshot>();
  readonly #scope = inertScope();

  read(id: string): StepStatus | undefined {
    const snapshot = this.#snapshots.get(id);
    return snapshot && statusOf(snapshot);
  }

  send(id: string, event: StepEvent, input: () => StepInput): StepStatus {
    const before = this.#snapshots.get(id) ?? stepMachine.getInitialSnapshot(this.#scope, input());
    const after = stepMachine.transition(before, event, this.#scope);
    this.#snapshots.set(id, after);
    return statusOf(after);
  }
}

function inertScope(): TransitionScope {
  const self = createActor(stepMachine, { input: { id: "", role: "", task: "", maxAttempts: 1 } });
  const nothing = () => {};
  return {
    self,
    id: self.id,
    sessionId: self.sessionId,
    system: self.system,
    logger: nothing,
    defer: nothing,
    emit: nothing,
    stopChild: nothing,
    actionExecutor: nothing,
  };
}
