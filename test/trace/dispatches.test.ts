/**
 * Catches a dispatch that the account of a run misses, tells twice, or closes at the wrong moment, and time that
 * is told as spent on something else: on agents while a person was asked, on slots while the run was paused.
 */
import { describe, expect, it } from "vitest";
import type { LogEntry } from "../../src/bus/bus.ts";
import type { ResultMessage } from "../../src/bus/messages.ts";
import { criticalPath } from "../../src/trace/critical-path.ts";
import { dispatchTime } from "../../src/trace/dispatches.ts";
import { renderTrace } from "../../src/trace/format.ts";
import { otlpDocument } from "../../src/trace/otlp.ts";
import { endOf, replay, type Trace } from "../../src/trace/replay.ts";
import { renderPath, renderWhy } from "../../src/trace/story-text.ts";
import { whatIf } from "../../src/trace/what-if.ts";
import { whyStep } from "../../src/trace/why.ts";
import { recordsOf, START } from "./sample-run.ts";

type Entry = readonly [number, LogEntry];

const at = (ms: number) => START + ms;
let decisions = 0;
const decision = (ms: number, body: Record<string, unknown>): Entry =>
  [
    ms,
    { kind: "decision", body: { v: 1, id: `d${decisions++}`, epoch: 1, at: at(ms), ...body } },
  ] as unknown as Entry;
const control = (ms: number, body: Record<string, unknown>): Entry =>
  [ms, { kind: "control", body: { v: 1, by: "ann", ...body } }] as unknown as Entry;
const out = (ms: number, step: string, n: number, role = "worker"): Entry => [
  ms,
  {
    kind: "observed",
    body: { v: 1, epoch: 1, dispatched: [{ step, n, role, at: at(ms) }], started: [] },
  },
];
const began = (ms: number, step: string, n: number, agent = "w-1"): Entry => [
  ms,
  { kind: "observed", body: { v: 1, epoch: 1, dispatched: [], started: [{ step, n, agent, at: at(ms) }] } },
];
const result = (ms: number, step: string, n: number, more: Partial<ResultMessage> = {}): Entry => [
  ms,
  {
    kind: "result",
    role: "worker",
    body: { v: 1, run: "r", step, n, agent: "w-1", status: "done", outputs: {}, ...more },
  },
];

function traceOf(steps: readonly object[], entries: readonly Entry[]): Promise<Trace> {
  const workflow = { name: "w", steps: steps.map((step) => ({ agent: "worker", task: "work", ...step })) };
  return replay(
    "r",
    recordsOf("r", [
      [0, { kind: "submit", body: { v: 1, workflow, inputs: {} } }],
      decision(0, { type: "claim", holder: "o-1" }),
      ...entries,
    ]),
  );
}

const story = (trace: Trace, step: string): string => renderWhy(whyStep(trace, step), { width: 200 });

function spanIds(trace: Trace): string[] {
  const [resource] = otlpDocument(trace, endOf(trace)).resourceSpans as {
    scopeSpans: { spans: { spanId: string }[] }[];
  }[];
  return (resource?.scopeSpans ?? []).flatMap(({ spans }) => spans.map(({ spanId }) => spanId));
}

describe("the account of a run's dispatches", () => {
  it("has one lost before anybody began, and the one that followed, each with its own times", async () => {
    const trace = await traceOf(
      [{ id: "a" }],
      [
        out(10, "a", 1),
        decision(100, { type: "lost", step: "a", n: 1 }),
        out(110, "a", 2),
        began(120, "a", 2),
        result(200, "a", 2),
      ],
    );
    expect(trace.dispatches).toMatchObject([
      { n: 1, end: "lose", agent: null, dispatchedAt: at(10), startedAt: undefined, endedAt: at(100) },
      { n: 2, end: "complete", agent: "w-1", dispatchedAt: at(110), startedAt: at(120), endedAt: at(200) },
    ]);
    expect(story(trace, "a")).toContain("[13]  That dispatch was lost, so it was given out again:");
    expect(new Set(spanIds(trace)).size).toBe(4);
  });

  it("has one for a step that waited for a person, whose time is nobody's but that person's", async () => {
    const trace = await traceOf(
      [{ id: "a", approval: true }],
      [
        control(5_000, { verb: "approve", step: "a" }),
        out(5_010, "a", 1),
        began(5_020, "a", 1),
        result(5_100, "a", 1),
      ],
    );
    expect(trace.dispatches).toHaveLength(1);
    const [span] = trace.dispatches;
    expect(span && dispatchTime(span, endOf(trace), trace.halts)).toEqual({
      outsideMs: 5_000,
      backOffMs: 0,
      pausedMs: 0,
      slotMs: 0,
      daemonMs: 10,
      agentMs: 10,
      runMs: 80,
    });
    expect(story(trace, "a")).toContain("It waited 5.0s for approval of a");
    expect(new Set(spanIds(trace)).size).toBe(spanIds(trace).length);
    expect(renderPath(criticalPath(trace), whatIf(trace))).toContain("outside");
  });

  it("tells a question's answer as an answer, and asks for no more agents because of it", async () => {
    const trace = await traceOf(
      [
        { id: "ask", agent: "human", task: "choose", outputs: ["choice"] },
        { id: "b", dependsOn: ["ask"] },
      ],
      [control(60_000, { verb: "approve", step: "ask", value: { choice: 1 } }), result(60_100, "b", 1)],
    );
    expect(story(trace, "ask")).toMatch(/It waited 1m00s? for an answer to choose\./);
    expect(story(trace, "ask")).toContain("ann answered.");
    expect(whatIf(trace).variants).toEqual([]);
  });

  it("tells time in which the run was paused as such, and not as a want of places", async () => {
    const trace = await traceOf(
      [{ id: "a" }, { id: "b", dependsOn: ["a"] }],
      [
        out(0, "a", 1),
        began(10, "a", 1),
        control(50, { verb: "pause" }),
        result(100, "a", 1),
        control(3_100, { verb: "resume" }),
        out(3_110, "b", 1),
        result(3_200, "b", 1),
      ],
    );
    const b = trace.dispatches.find(({ step }) => step === "b");
    expect(b && dispatchTime(b, endOf(trace), trace.halts)).toMatchObject({
      pausedMs: 3_000,
      slotMs: 0,
      daemonMs: 10,
    });
    expect(story(trace, "b")).toContain(
      "It waited 3.0s while the run was paused, 10ms until it was given out",
    );
  });

  it("keeps what the agent that closed it reported, and nothing of a foreign or a late result", async () => {
    const trace = await traceOf(
      [{ id: "a" }],
      [
        result(100, "a", 1, {
          status: "handoff",
          handoff: { role: "expert", task: "do", inputs: {}, reason: "hard" },
        }),
        result(150, "a", 2, { outputs: { wrong: true } }),
        [
          200,
          {
            kind: "result",
            role: "expert",
            body: { v: 1, run: "r", step: "a", n: 2, agent: "e-1", status: "done", outputs: { x: 1 } },
          },
        ],
        result(300, "a", 1, { outputs: { late: true } }),
      ],
    );
    expect(
      trace.dispatches.map(({ role, agent, end, report }) => [role, agent, end, report?.outputs]),
    ).toEqual([
      ["worker", "w-1", "hand off", {}],
      ["expert", "e-1", "complete", { x: 1 }],
    ]);
    expect(trace.dispatches[0]?.report?.handoff).toEqual({ role: "expert", task: "do", reason: "hard" });
  });
});

describe("what is told of a step", () => {
  it("says once what an open step waits for from outside", async () => {
    const trace = await traceOf(
      [{ id: "q", agent: "human", task: "choose", outputs: ["x"] }],
      [control(5_000, { verb: "signal", name: "other" })],
    );
    const told = story(trace, "q");
    expect(told).toContain("It has been waiting for an answer to choose for 5.0s");
    expect(told.match(/an answer to choose/g)).toHaveLength(1);
  });

  it("gives links only to steps that have a span, whatever was skipped", async () => {
    const trace = await traceOf(
      [{ id: "a" }, { id: "no", dependsOn: ["a"], when: "1 > 2" }, { id: "b", dependsOn: ["a", "no"] }],
      [result(100, "a", 1), result(200, "b", 1)],
    );
    const [resource] = otlpDocument(trace, endOf(trace)).resourceSpans as {
      scopeSpans: { spans: { links?: { spanId: string }[] }[] }[];
    }[];
    const links = resource?.scopeSpans[0]?.spans.flatMap(({ links: own }) => own ?? []) ?? [];
    expect(links).toHaveLength(1);
    for (const { spanId } of links) expect(spanIds(trace)).toContain(spanId);
  });

  it("is drawn whatever its agent is called: no name ends a label or its line", async () => {
    const names = ['a"b', "a;b:c", "%% hm", "#quot;", "<b>x</b>", "`md`", "line\nbreak", "漢字 🙂"];
    for (const agent of names) {
      const trace = await traceOf(
        [{ id: "end" }],
        [began(10, "end", 1, agent), result(100, "end", 1, { agent })],
      );
      const [, node] = renderTrace(trace, "mermaid").split("\n");
      expect(node).toMatch(/^ {2}s0\["end<br\/>[^"<>`]*<br\/>completed"\]:::done$/);
      const path = renderTrace(await traceOf([{ id: "end" }], [began(10, "end", 1, agent)]), "mermaid", {
        step: "end",
      });
      const [label = ""] = /ready --> running: (.*)$/m.exec(path)?.slice(1) ?? [];
      expect(label).toMatch(/^\d\. start by [^:;"#%]*\(after 10ms\)$/);
    }
  });
});

describe("the critical path", () => {
  it("goes through a step that was skipped to what that had waited for", async () => {
    const trace = await traceOf(
      [
        { id: "slow" },
        { id: "maybe", dependsOn: ["slow"], when: "1 > 2" },
        { id: "last", dependsOn: ["maybe"] },
      ],
      [result(5_000, "slow", 1), result(5_100, "last", 1)],
    );
    const path = criticalPath(trace);
    expect(path.steps.map(({ step }) => step)).toEqual(["slow", "last"]);
    expect(path.beforeMs).toBe(0);
  });

  it("goes to the dependency that let a join go, not to one that ended later", async () => {
    const trace = await traceOf(
      [
        { id: "quick" },
        { id: "slow" },
        { id: "first", dependsOn: ["quick", "slow"], join: "any" },
        { id: "more", dependsOn: ["first"] },
      ],
      [result(100, "quick", 1), result(200, "first", 1), result(900, "slow", 1), result(1_000, "more", 1)],
    );
    expect(criticalPath(trace).steps.map(({ step }) => step)).toEqual(["quick", "first", "more"]);
  });

  it("tells the time in which a step stood failed until somebody had it tried again", async () => {
    const error = { name: "Error", message: "no", retryable: false };
    const trace = await traceOf(
      [{ id: "a" }],
      [
        result(100, "a", 1, { status: "failed", error }),
        decision(110, { type: "end", status: "failed", error: { code: "E", message: "no", step: "a" } }),
        control(9_100, { verb: "retry", step: "a" }),
        result(9_200, "a", 2),
      ],
    );
    expect(criticalPath(trace).steps).toMatchObject([{ stoodMs: 9_000, dispatches: 2 }]);
    expect(story(trace, "a")).toContain("It was opened again after 9.0s");
  });
});
