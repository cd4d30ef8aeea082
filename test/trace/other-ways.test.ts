/**
 * Traces of runs that did not go straight: handed on, undone, planned anew. Catches a picture that leaves out what
 * undid a step, an arrow that goes back in time, and a story that denies a step because the plan left it out.
 */
import { describe, expect, it } from "vitest";
import type { LogEntry, LogRecord } from "../../src/bus/bus.ts";
import { renderTrace } from "../../src/trace/format.ts";
import { replay } from "../../src/trace/replay.ts";
import { whyStep } from "../../src/trace/why.ts";
import { recordsOf, START } from "./sample-run.ts";

type Timed = readonly [number, LogEntry];

const submit = (workflow: object): Timed => [0, { kind: "submit", body: { v: 1, workflow, inputs: {} } }];
const claim: Timed = [
  5,
  { kind: "decision", body: { v: 1, id: "d1", epoch: 1, at: START + 5, type: "claim", holder: "o-1" } },
];
const result = (at: number, step: string, n: number, role: string, more: object): Timed => [
  at,
  {
    kind: "result",
    role,
    body: { v: 1, run: "r", step, n, agent: `${role}-1`, startedAt: START + at - 50, ...more } as never,
  },
];
const decide = (at: number, id: string, more: object): Timed => [
  at,
  { kind: "decision", body: { v: 1, id, epoch: 1, at: START + at, ...more } as never },
];
const error = { name: "Error", message: "no money", retryable: false };

function undone(): LogRecord[] {
  const hotel = { id: "hotel", agent: "desk", task: "book", compensate: "leave" };
  const pay = { id: "pay", agent: "desk", task: "pay", dependsOn: ["hotel"] };
  return recordsOf("r", [
    submit({ steps: [hotel, pay] }),
    claim,
    result(100, "hotel", 1, "desk", { status: "done", outputs: {} }),
    result(200, "pay", 1, "desk", { status: "failed", error }),
    decide(210, "d2", { type: "compensate", status: "failed", error: { code: "E_X", message: "no money" } }),
    result(300, "hotel~undo", 1, "desk", { status: "done", outputs: {} }),
  ]);
}

describe("what undid a step", () => {
  it("stands under it in the tree, and beside it in the graph", async () => {
    const trace = await replay("r", undone());
    expect(renderTrace(trace, "text")).toMatch(/✔ hotel[\s\S]*✔ hotel~undo/);
    const drawn = renderTrace(trace, "mermaid");
    const nodeOf = (id: string): string => new RegExp(`(s\\d+)\\["${id}<br`).exec(drawn)?.[1] ?? "";
    expect(drawn).toContain(`${nodeOf("hotel")} -. undone by .-> ${nodeOf("hotel~undo")}`);
  });
});

it("an arrow of a handoff goes from the first holder to the second, whichever role came first", async () => {
  const handoff = { role: "early", task: "work", inputs: {}, reason: "not mine" };
  const records = recordsOf("r", [
    submit({
      steps: [
        { id: "first", agent: "early", task: "work" },
        { id: "passed", agent: "late", task: "work", dependsOn: ["first"] },
      ],
    }),
    claim,
    result(100, "first", 1, "early", { status: "done", outputs: {} }),
    result(300, "passed", 1, "late", { status: "handoff", handoff }),
    result(500, "passed", 2, "early", { status: "done", outputs: {} }),
  ]);
  const { traceEvents } = JSON.parse(renderTrace(await replay("r", records), "perfetto")) as {
    traceEvents: {
      ph: string;
      name: string;
      cat?: string;
      pid: number;
      tid: number;
      ts: number;
      dur: number;
    }[];
  };
  const slices = traceEvents.filter(({ ph }) => ph === "X");
  const arrow = traceEvents.filter(({ cat }) => cat === "handoff");
  expect(arrow.map(({ ph }) => ph)).toEqual(["s", "f"]);
  expect(arrow[0]?.ts).toBeLessThan(arrow[1]?.ts ?? 0);
  for (const { pid, tid, ts } of traceEvents.filter(({ ph }) => ph === "s" || ph === "f")) {
    const around = slices.some((s) => s.pid === pid && s.tid === tid && s.ts <= ts && ts <= s.ts + s.dur);
    expect(around).toBe(true);
  }
});

it("a step that a revision of the plan left out still has its story", async () => {
  const scan = { id: "scan", agent: "scout", task: "scan", outputs: ["field"] };
  const make = (id: string) => ({ id, agent: "smith", task: id, dependsOn: ["scan"], outputs: ["blade"] });
  const plan = { cost: 5, optimal: true, explored: 0, reasons: { forge: "Gives blade." } };
  const forge = { ...make("forge"), onFailure: "recover" };
  const records = recordsOf("r", [
    [0, { kind: "submit", body: { v: 1, want: ["blade"], inputs: {} } }],
    claim,
    decide(10, "d2", { type: "plan", workflow: { steps: [scan, forge] }, ...plan }),
    result(100, "scan", 1, "scout", { status: "done", outputs: { field: 1 } }),
    result(200, "forge", 1, "smith", { status: "failed", error }),
    decide(210, "d3", {
      type: "revise",
      weighed: [],
      workflow: { steps: [scan, make("cast")] },
      reason: "cast instead of forge",
    }),
  ]);
  const told = whyStep(await replay("r", records), "forge").map(({ text }) => text);
  expect(told).toContainEqual("Revision 1 of the plan left it out: cast instead of forge.");
  expect(told).toContain("The planner put it there: Gives blade.");
  expect(told.join(" ")).toContain("no money");
});

it("a step that was left out before its turn came is remembered by the plan, and by what took its place", async () => {
  const step = (id: string, dependsOn: string[]) => ({ id, agent: "smith", task: id, dependsOn });
  const plan = { cost: 5, optimal: true, explored: 0, reasons: { forge: "Gives blade." } };
  const records = recordsOf("r", [
    [0, { kind: "submit", body: { v: 1, want: ["blade"], inputs: {} } }],
    claim,
    decide(10, "d2", {
      type: "plan",
      workflow: { steps: [step("scan", []), step("forge", ["scan"])] },
      ...plan,
    }),
    decide(20, "d3", {
      type: "revise",
      weighed: [],
      workflow: { steps: [step("scan", []), step("cast", ["scan"])] },
      reason: "cast instead of forge",
    }),
  ]);
  const trace = await replay("r", records);
  expect(whyStep(trace, "forge")).toEqual([
    { text: "The planner had put it there: Gives blade.", seq: null },
    {
      text: "Revision 1 of the plan left it out before it began: cast instead of forge.",
      seq: records.at(-1)?.seq,
    },
  ]);
  expect(() => whyStep(trace, "forje")).toThrow(expect.objectContaining({ code: "E_STEP_NOT_FOUND" }));
});
