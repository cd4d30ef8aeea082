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

  /** Steps that are neither pending nor ended. */
  get openCount(): number {
    return this.#open.size;
  }

  read(id: string): StepStatus | undefined {
    const snapshot = this.#open.get(id)?.getSnapshot() ?? this.#closed.get(id);
    return snapshot && statusOf(snapshot);
  }

  send(id: string, event: StepEvent, input: () => StepInput): StepStatus {
    const actor = this.#open.get(id) ?? this.#spawn(id, input);
    actor.send(event);
    const snapshot = actor.getSnapshot();
    if (snapshot.value === "done" || snapshot.value === "failed") {
      this.#scope.stopChild(actor);
      this.#open.delete(id);
      this.#closed.set(id, snapshot);
    }
    return statusOf(snapshot);
  }

  /** Stops every actor: the hold is over. */
  stop(): void {
    for (const actor of this.#open.values()) this.#scope.stopChild(actor);
    this.#open.clear();
  }

  #spawn(id: string, input: () => StepInput): StepActor {
    const ended = this.#closed.get(id);
    const actor = createActor(stepLogic, {
      id,
      parent: this.#scope.self,
      input: input(),
      ...(ended ? { snapshot: ended } : {}),
    });
    this.#closed.delete(id);
    this.#open.set(id, actor);
    return actor.start();
  }
}
