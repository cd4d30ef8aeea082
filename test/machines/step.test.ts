/**
 * The step machine, state by event, through XState's pure `transition`.
 * Catches: a transition that is missing, one that should be refused, a dispatch number or attempt that does
 * not count, and a diagram in the documents that says something else than the machine.
 */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { initialTransition, type SnapshotFrom, transition } from "xstate";
import {
  MAX_HANDOFFS,
  STEP_STATES,
  type StepError,
  type StepEvent,
  type StepState,
  stepMachine,
} from "../../src/machines/step.ts";

type Snapshot = SnapshotFrom<typeof stepMachine>;

const crash: StepError = { name: "Error", message: "crashed", retryable: true };
const final: StepError = { name: "NonRetryableError", message: "no such file", retryable: false };

const events = {
  "dependencies met": { type: "dependencies met" },
  skip: { type: "skip" },
  refuse: { type: "refuse", error: final },
  "fan out": { type: "fan out" },
  "take over": { type: "take over", outcome: "completed", agent: "loader-1" },
  start: { type: "start", agent: "loader-1" },
  complete: { type: "complete" },
  repeat: { type: "repeat" },
  fail: { type: "fail", error: crash },
  "time out": { type: "time out", error: crash },
  "hand off": { type: "hand off", role: "expert", task: "look", inputs: { a: 1 }, reason: "too hard" },
  lose: { type: "lose" },
  cancel: { type: "cancel" },
  reopen: { type: "reopen" },
} as const satisfies Record<StepEvent["type"], StepEvent>;

const pathTo: Record<StepState, StepEvent[]> = {
  pending: [],
  ready: [events["dependencies met"]],
  running: [events["dependencies met"], events.start],
  done: [events["dependencies met"], events.start, events.complete],
  failed: [events["dependencies met"], events.start, { type: "fail", error: final }],
};

function following(...sequence: StepEvent[]): Snapshot {
  const input = { id: "load", role: "loader", task: "load", maxAttempts: 3 };
  let [snapshot] = initialTransition(stepMachine, input);
  for (const event of sequence) [snapshot] = transition(stepMachine, snapshot, event);
  return snapshot;
}

/** Where each event leads from each state, with attempts left. What is not here must change nothing. */
const expected: Record<StepState, Partial<Record<StepEvent["type"], StepState>>> = {
  pending: {
    "dependencies met": "ready",
    skip: "done",
    refuse: "failed",
    "take over": "done",
    cancel: "failed",
  },
  ready: {
    start: "running",
    "fan out": "running",
    "time out": "failed",
    lose: "ready",
    refuse: "failed",
    cancel: "failed",
  },
  running: {
    complete: "done",
    repeat: "ready",
    fail: "ready",
    "time out": "ready",
    "hand off": "ready",
    lose: "ready",
    cancel: "failed",
  },
  done: {},
  failed: { reopen: "ready" },
};

describe("every state and every event", () => {
  for (const state of STEP_STATES) {
    for (const [type, event] of Object.entries(events)) {
      const target = expected[state][type as StepEvent["type"]];
      it(target ? `${type} leads from ${state} to ${target}` : `${type} changes nothing in ${state}`, () => {
        const before = following(...pathTo[state]);
        expect(before.value).toBe(state);
        const [next] = transition(stepMachine, before, event);
        expect(next.value).toBe(target ?? state);
        if (!target) expect(next.context).toEqual(before.context);
      });
    }
  }
});

describe("counting", () => {
  it("a step has dispatch 1 and attempt 1 when it first becomes ready", () => {
    expect(following(...pathTo.ready).context).toMatchObject({ n: 1, attempt: 1, outcome: null });
  });

  it("a retry raises the dispatch and the attempt", () => {
    expect(following(...pathTo.running, events.fail).context).toMatchObject({
      n: 2,
      attempt: 2,
      agent: null,
    });
  });

  it("a handoff, and a loss, raise the dispatch and not the attempt", () => {
    expect(following(...pathTo.running, events["hand off"]).context).toMatchObject({ n: 2, attempt: 1 });
    expect(following(...pathTo.running, events.lose).context).toMatchObject({ n: 2, attempt: 1 });
    expect(following(...pathTo.ready, events.lose).context).toMatchObject({ n: 2, attempt: 1 });
  });

  it("the last allowed attempt that fails is final, and every failure is kept", () => {
    const again = [events.fail, events.start] as const;
    const last = following(...pathTo.running, ...again, ...again, events.fail);
    expect(last.value).toBe("failed");
    expect(last.context).toMatchObject({ outcome: "failed", n: 3, attempt: 3 });
    expect(last.context.failures.map(({ n, attempt }) => [n, attempt])).toEqual([
      [1, 1],
      [2, 2],
      [3, 3],
    ]);
  });

  it("an error that another attempt cannot help is final at once", () => {
    expect(following(...pathTo.running, { type: "fail", error: final }).value).toBe("failed");
  });

  it("a person's retry starts the attempts over and keeps the history", () => {
    const reopened = following(...pathTo.failed, events.reopen);
    expect(reopened.context).toMatchObject({ n: 2, attempt: 1, outcome: null });
    expect(reopened.context.failures).toHaveLength(1);
  });
});

describe("handoffs", () => {
  it("a handoff changes the role, the task and the inputs, and remembers who had it", () => {
    expect(following(...pathTo.running, events["hand off"]).context).toMatchObject({
      role: "expert",
      task: "look",
      inputs: { a: 1 },
      handoffReason: "too hard",
      hops: [{ role: "loader", task: "load", agent: "loader-1", reason: "too hard" }],
    });
  });

  it("the chain is bounded, and the error shows it", () => {
    const hop = [events["hand off"], events.start] as const;
    const hops = Array.from({ length: MAX_HANDOFFS }, () => hop).flat();
    expect(following(...pathTo.running, ...hops).value).toBe("running");
    const beyond = following(...pathTo.running, ...hops, events["hand off"]);
    expect(beyond.value).toBe("failed");
    const error = beyond.context.failures.at(-1)?.error;
    expect(error?.code).toBe("E_HANDOFF_LIMIT");
    expect(error?.message).toContain("loader → expert → expert");
  });
});

describe("outcomes", () => {
  const table: [string, StepEvent[], string][] = [
    ["completed", pathTo.done, "completed"],
    ["skipped", [events.skip], "skipped"],
    ["failed", pathTo.failed, "failed"],
    ["timed out in the queue", [...pathTo.ready, events["time out"]], "timed-out"],
    ["timed out while running", [...pathTo.running, { type: "time out", error: final }], "timed-out"],
    ["cancelled", [...pathTo.running, events.cancel], "cancelled"],
  ];
  for (const [name, sequence, outcome] of table) {
    it(`a step that ${name} says so`, () => {
      expect(following(...sequence).context.outcome).toBe(outcome);
    });
  }

  it("an open step has none, even after a failure", () => {
    expect(following(...pathTo.failed, events.reopen).context.outcome).toBeNull();
  });
});

it("the diagram in the documents shows exactly the machine's transitions", () => {
  const text = readFileSync(new URL("../../docs/lifecycle.md", import.meta.url), "utf8");
  const drawn = [...text.matchAll(/^ +(\w+) --> (\w+): (.+)$/gm)].map(
    ([, from, to, event]) => `${from} ${event} ${to}`,
  );
  const built = Object.entries(stepMachine.config.states ?? {}).flatMap(([from, node]) =>
    Object.entries(node.on ?? {}).flatMap(([event, transitions]) =>
      [transitions].flat().map((one) => `${from} ${event} ${(one as { target?: string }).target ?? from}`),
    ),
  );
  expect(drawn.sort()).toEqual(built.sort());
});
