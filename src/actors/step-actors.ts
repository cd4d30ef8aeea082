/**
 * Step actors: every running step of a run as a live XState actor under its orchestrator.
 *
 * An actor is made when its step starts and stopped when the step ends. Of a step that waits for its turn, or has
 * ended, there is where it stands: thousands may stand in line, and each actor takes two kilobytes. Actors are
 * made one by one with the orchestrator as parent: `spawnChild` inside a machine copies the map of children at
 * every spawn, which is quadratic in the steps.
 */
import { type Actor, type AnyActorScope, createActor } from "xstate";
import { type StepHost, type StepStatus, statusOf } from "../fold/step-host.ts";
import { type StepEvent, type StepInput, type StepSnapshot, stepLogic } from "../machines/step.ts";

type StepActor = Actor<typeof stepLogic>;

export class StepActors implements StepHost {
  readonly #scope: AnyActorScope;
  readonly #running = new Map<string, StepActor>();
  /** Where steps stand that do not run. */
  readonly #standing = new Map<string, StepSnapshot>();

  /** @param scope the orchestrator actor's own: steps are its children */
  constructor(scope: AnyActorScope) {
    this.#scope = scope;
  }

  read(id: string): StepStatus | undefined {
    const snapshot = this.#running.get(id)?.getSnapshot() ?? this.#standing.get(id);
    return snapshot && statusOf(snapshot);
  }

  send(id: string, event: StepEvent, input: () => StepInput): StepStatus {
    const actor = this.#running.get(id);
    return statusOf(actor ? this.#move(id, actor, event) : this.#moveStanding(id, event, input));
  }

  /** Stops every actor: the hold is over. */
  stop(): void {
    for (const actor of this.#running.values()) this.#scope.stopChild(actor);
    this.#running.clear();
  }

  #move(id: string, actor: StepActor, event: StepEvent): StepSnapshot {
    actor.send(event);
    const snapshot = actor.getSnapshot();
    if (snapshot.value !== "running") {
      this.#scope.stopChild(actor);
      this.#running.delete(id);
      this.#standing.set(id, snapshot);
    }
    return snapshot;
  }

  #moveStanding(id: string, event: StepEvent, input: () => StepInput): StepSnapshot {
    const snapshot = stepLogic.next(this.#standing.get(id) ?? stepLogic.initial(input()), event);
    if (snapshot.value === "running") {
      this.#standing.delete(id);
      const actor = createActor(stepLogic, { id, parent: this.#scope.self, input: input(), snapshot });
      this.#running.set(id, actor.start());
    } else if (snapshot.value !== "pending") this.#standing.set(id, snapshot);
    return snapshot;
  }
}
