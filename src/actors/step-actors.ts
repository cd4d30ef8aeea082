/**
 * Step actors: every open step of a run as a live XState actor under its orchestrator.
 *
 * An actor is made when its step leaves `pending` and stopped when the step ends; what stays is where it
 * ended. Actors are made one by one with the orchestrator as parent: `spawnChild` inside a machine copies
 * the map of children at every spawn, which is quadratic in the steps.
 */
import { type Actor, type AnyActorScope, createActor } from "xstate";
import { type StepHost, type StepStatus, statusOf } from "../fold/step-host.ts";
import { type StepEvent, type StepInput, type StepSnapshot, stepLogic } from "../machines/step.ts";

type StepActor = Actor<typeof stepLogic>;

export class StepActors implements StepHost {
  readonly #scope: AnyActorScope;
  readonly #open = new Map<string, StepActor>();
  readonly #closed = new Map<string, StepSnapshot>();

  /** @param scope the orchestrator actor's own: steps are its children */
  constructor(scope: AnyActorScope) {
    this.#scope = scope;
  }

  read(id: string): StepStatus | undefined {
    const snapshot = this.#open.get(id)?.getSnapshot() ?? this.#closed.get(id);
    return snapshot && statusOf(snapshot);
  }

  send(id: string, event: StepEvent, input: () => StepInput): StepStatus {
    const actor = this.#open.get(id);
    return statusOf(actor ? this.#move(id, actor, event) : this.#begin(id, event, input));
  }

  /** Stops every actor: the hold is over. */
  stop(): void {
    for (const actor of this.#open.values()) this.#scope.stopChild(actor);
    this.#open.clear();
  }

  #move(id: string, actor: StepActor, event: StepEvent): StepSnapshot {
    actor.send(event);
    const snapshot = actor.getSnapshot();
    if (isClosed(snapshot)) {
      this.#scope.stopChild(actor);
      this.#open.delete(id);
      this.#closed.set(id, snapshot);
    }
    return snapshot;
  }

  /** The event that opens a step, or opens it again, makes its actor; one that ends it at once needs none. */
  #begin(id: string, event: StepEvent, input: () => StepInput): StepSnapshot {
    const snapshot = stepLogic.next(this.#closed.get(id) ?? stepLogic.initial(input()), event);
    if (snapshot.value === "pending") return snapshot;
    if (isClosed(snapshot)) {
      this.#closed.set(id, snapshot);
      return snapshot;
    }
    this.#closed.delete(id);
    const actor = createActor(stepLogic, { id, parent: this.#scope.self, input: input(), snapshot });
    this.#open.set(id, actor.start());
    return snapshot;
  }
}

function isClosed({ value }: StepSnapshot): boolean {
  return value === "done" || value === "failed";
}
