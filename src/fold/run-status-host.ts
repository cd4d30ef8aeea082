/** The run machine at work inside a fold. */
import { createActor } from "xstate";
import { type RunEvent, type RunState, runMachine } from "../machines/run.ts";

export class RunStatusHost {
  // An actor of the machine itself: it has no delays and no effects, so it is as pure as its transitions.
  readonly #actor = createActor(runMachine).start();

  get state(): RunState {
    return this.#actor.getSnapshot().value;
  }

  send(event: RunEvent): RunState {
    this.#actor.send(event);
    return this.state;
  }
}
