/**
 * The run machine: where a whole run stands. Its state is the run's status.
 *
 * It owns the status alone; the graph's progress is the steps' matter. Like the step machine it is driven
 * only by the fold of the log (L1) and has no effects of its own.
 */
import { setup } from "xstate";

export const RUN_STATES = [
  "planning",
  "running",
  "paused",
  "waiting",
  "done",
  "failed",
  "cancelled",
] as const;
export type RunState = (typeof RUN_STATES)[number];

export type RunEvent =
  /** There is a valid workflow: submitted, or planned from goals. */
  | { type: "planned" }
  | { type: "pause" }
  | { type: "resume" }
  /** Every open step waits for somebody outside. */
  | { type: "wait" }
  /** Somebody answered: there is something to do again. */
  | { type: "go on" }
  /** It will fail or be cancelled, and undoes first what was done. */
  | { type: "compensate" }
  | { type: "end"; status: "done" | "failed" | "cancelled" }
  /** A person gives the failed steps of a failed run a new chance. */
  | { type: "reopen" };

const ending = {
  end: [
    { guard: "isDone", target: "done", description: "Every step is closed well." },
    { guard: "isCancelled", target: "cancelled", description: "Somebody cancelled it." },
    {
      target: "failed",
      description: "A step failed for good, no plan was found, or its time or budget is over.",
    },
  ],
} as const;

export const runMachine = setup({
  types: { events: {} as RunEvent },
  guards: {
    isDone: ({ event }) => event.type === "end" && event.status === "done",
    isCancelled: ({ event }) => event.type === "end" && event.status === "cancelled",
  },
}).createMachine({
  id: "run",
  initial: "planning",
  states: {
    planning: {
      description: "Submitted; its workflow is not known yet.",
      on: { planned: { target: "running", description: "There is a valid workflow." }, ...ending },
    },
    running: {
      description: "Steps are given out.",
      on: {
        pause: { target: "paused", description: "A person, or a budget, stops giving out." },
        wait: { target: "waiting", description: "Every open step waits for somebody outside." },
        ...ending,
      },
    },
    waiting: {
      description: "Nothing moves until somebody outside says something.",
      on: {
        "go on": { target: "running", description: "Somebody answered." },
        pause: { target: "paused", description: "A person stops giving out." },
        compensate: {
          target: "running",
          description: "It will not be done, and undoes first what was done.",
        },
        ...ending,
      },
    },
    paused: {
      description: "What is out goes on, and nothing new is given out.",
      on: {
        resume: { target: "running", description: "A person lets it go on." },
        compensate: {
          target: "running",
          description: "It will not be done, and undoes first what was done.",
        },
        ...ending,
      },
    },
    done: { type: "final", description: "Its outputs are there." },
    failed: {
      description: "It did not do what it was for. Not the end: it can be opened again.",
      on: { reopen: { target: "running", description: "A person gives its failed steps a new chance." } },
    },
    cancelled: { type: "final", description: "A person or program stopped it." },
  },
});

/** Statuses after which nothing happens by itself. */
export function hasEnded(status: RunState): status is "done" | "failed" | "cancelled" {
  return status === "done" || status === "failed" || status === "cancelled";
}
