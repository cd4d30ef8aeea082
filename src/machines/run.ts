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
    { guard: "isDone", target: "done" },
    { guard: "isCancelled", target: "cancelled" },
    { target: "failed" },
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
    planning: { on: { planned: "running", ...ending } },
    running: { on: { pause: "paused", wait: "waiting", ...ending } },
    waiting: { on: { "go on": "running", pause: "paused", compensate: "running", ...ending } },
    paused: { on: { resume: "running", compensate: "running", ...ending } },
    done: { type: "final" },
    failed: { on: { reopen: "running" } },
    cancelled: { type: "final" },
  },
});

/** Statuses after which nothing happens by itself. */
export function hasEnded(status: RunState): status is "done" | "failed" | "cancelled" {
  return status === "done" || status === "failed" || status === "cancelled";
}
