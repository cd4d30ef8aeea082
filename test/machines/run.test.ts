/**
 * The run machine, state by event.
 * Catches: a run that leaves its end by itself, or a pause that is taken while nothing runs.
 */
import { describe, expect, it } from "vitest";
import { initialTransition, transition } from "xstate";
import { hasEnded, type RunEvent, type RunState, runMachine } from "../../src/machines/run.ts";

const events: Record<string, RunEvent> = {
  planned: { type: "planned" },
  pause: { type: "pause" },
  resume: { type: "resume" },
  "end done": { type: "end", status: "done" },
  "end failed": { type: "end", status: "failed" },
  "end cancelled": { type: "end", status: "cancelled" },
  reopen: { type: "reopen" },
  compensate: { type: "compensate" },
};

const pathTo: Partial<Record<RunState, string[]>> = {
  planning: [],
  running: ["planned"],
  paused: ["planned", "pause"],
  done: ["planned", "end done"],
  failed: ["planned", "end failed"],
  cancelled: ["planned", "end cancelled"],
};

const ends = { "end done": "done", "end failed": "failed", "end cancelled": "cancelled" } as const;
const expected: Record<string, Record<string, RunState>> = {
  planning: { planned: "running", ...ends },
  running: { pause: "paused", ...ends },
  paused: { resume: "running", compensate: "running", ...ends },
  done: {},
  failed: { reopen: "running" },
  cancelled: {},
};

function following(names: readonly string[]) {
  let [snapshot] = initialTransition(runMachine);
  for (const name of names) [snapshot] = transition(runMachine, snapshot, events[name] as RunEvent);
  return snapshot;
}

describe("every state and every event", () => {
  for (const [state, path] of Object.entries(pathTo)) {
    for (const name of Object.keys(events)) {
      const target = expected[state]?.[name];
      it(target ? `${name} leads from ${state} to ${target}` : `${name} changes nothing in ${state}`, () => {
        expect(following(path).value).toBe(state);
        expect(following([...path, name]).value).toBe(target ?? state);
      });
    }
  }
});

it("only done, failed and cancelled are ends", () => {
  const ended = Object.keys(pathTo).filter((state) => hasEnded(state as RunState));
  expect(ended.sort()).toEqual(["cancelled", "done", "failed"]);
});
