/**
 * The orchestrator actor: one run, folded from its log, with its steps as child actors.
 *
 * It decides and does nothing else: records go in, the run's state and the effects that follow from them
 * come out (L2). Performing effects is the hold's work. The actor's snapshot holds the fold itself, not a
 * copy of it: a run of 10,000 steps would otherwise be copied 30,000 times.
 */
import type { ActorLogic, ActorSystem, AnyActorScope, EventObject, Snapshot } from "xstate";
import type { LogRecord } from "../bus/bus.ts";
import type { Effect } from "../fold/effect.ts";
import { RunFold } from "../fold/run-fold.ts";
import type { FoldObserver } from "../fold/transition-record.ts";
import { StepActors } from "./step-actors.ts";

export type OrchestratorEvent = EventObject &
  (
    | { type: "record"; record: LogRecord }
    /** The hold is over: finished, handed back, or fenced. */
    | { type: "release" }
  );

export type OrchestratorSnapshot = Snapshot<undefined> & {
  readonly fold: RunFold;
  readonly steps: StepActors;
  /** What the last event made necessary. */
  readonly effects: readonly Effect[];
};

export interface OrchestratorInput {
  run: string;
  observer?: FoldObserver;
}

export type OrchestratorLogic = ActorLogic<
  OrchestratorSnapshot,
  OrchestratorEvent,
  OrchestratorInput,
  ActorSystem<never>
>;

const NO_EFFECTS: readonly Effect[] = [];

export const orchestratorLogic: OrchestratorLogic = {
  getInitialSnapshot(scope, input) {
    const steps = new StepActors(scope as AnyActorScope);
    const fold = new RunFold(input.run, { steps, ...(input.observer ? { observer: input.observer } : {}) });
    return { status: "active", output: undefined, error: undefined, fold, steps, effects: NO_EFFECTS };
  },
  transition(snapshot, event) {
    switch (event.type) {
      case "record":
        return { ...snapshot, effects: snapshot.fold.apply(event.record) };
      case "release":
        snapshot.steps.stop();
        return { ...snapshot, status: "done", effects: NO_EFFECTS, output: undefined, error: undefined };
      default:
        // A step that reached its final state reports to its parent; the fold knows already.
        return snapshot;
    }
  },
  // Never persisted: a run is rebuilt by replaying its log (L1).
  getPersistedSnapshot: (snapshot) => snapshot,
};
