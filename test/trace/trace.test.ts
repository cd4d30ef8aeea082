/**
 * The trace of a run, from log records to pictures: would catch a trace that disagrees with the log, drops
 * what changed nothing, or draws lines that do not fit.
 */
import { describe, expect, it } from "vitest";
import type { LogEntry } from "../../src/bus/bus.ts";
import { formatDuration } from "../../src/trace/duration.ts";
import { renderTrace, traceFormat } from "../../src/trace/format.ts";
import { renderFlowchart } from "../../src/trace/mermaid.ts";
import { replay, traceRun } from "../../src/trace/replay.ts";
import { MAX_INDENT, stepTree } from "../../src/trace/step-tree.ts";
import { renderText } from "../../src/trace/text.ts";
import { cut, fill, oneLine, textWidth } from "../../src/trace/text-width.ts";
import { viewOf } from "../../src/trace/view.ts";
import { InvalidInputError, NotFoundError } from "../../src/workflow/errors.ts";
import { LogWriter } from "../fold/log-writer.ts";
import { recordsOf, START, sampleEnd, sampleRecords } from "./sample-run.ts";

const whole = () => [...sampleRecords(), ...sampleEnd()];

describe("the trace of a run", () => {
  it("has every transition of every machine in log order, with what caused it", async () => {
    const trace = await traceRun("sample", whole());
    const path = (actor: string) =>
      trace.filter((one) => one.actor === actor).map(({ from, to }) => `${from}>${to}`);
    expect(path("run")).toEqual(["planning>running", "running>done"]);
    expect(path("load")).toEqual(["pending>ready", "ready>running", "running>done"]);
    expect(path("sample")).toEqual(["pending>done"]);
    expect(path("model")).toEqual([
      "pending>ready",
      "ready>running",
      "running>ready",
      "ready>running",
      "running>done",
    ]);
    expect(trace.map(({ seq }) => seq)).toEqual([...trace.map(({ seq }) => seq)].sort((a, b) => a - b));
    expect(trace.find(({ actor, event }) => actor === "model" && event === "fail")).toEqual({
      seq: 17,
      ts: "2026-01-02T03:04:06.506Z",
      actor: "model",
      from: "running",
      to: "ready",
      event: "fail",
      attempt: 2,
      agent: "modeler-1",
      cause: expect.stringContaining("singular"),
    });
  });

  it("keeps late and foreign results, which changed nothing", async () => {
    const { voids } = await replay("sample", whole());
    expect(voids.map(({ seq, verdict, step }) => ({ seq, verdict, step }))).toEqual([
      { seq: 18, verdict: "late", step: "load" },
      { seq: 19, verdict: "foreign", step: "model" },
    ]);
  });

  it("ends at the sequence that was asked for, and shows the run as it stood there", async () => {
    const { fold, transitions } = await replay("sample", whole(), { at: 13 });
    expect(fold.lastSeq).toBe(13);
    expect(transitions.every(({ seq }) => seq <= 13)).toBe(true);
    expect(fold.step("load").state).toBe("done");
    expect(fold.step("clean").state).toBe("ready");
  });

  it("refuses a step that is not there with the nearest one, a run without a log, and a time before the run", async () => {
    await expect(replay("sample", whole(), { step: "modle" })).rejects.toThrow(NotFoundError);
    await expect(replay("sample", whole(), { step: "modle" })).rejects.toMatchObject({
      remedy: expect.stringContaining('"model"'),
    });
    await expect(replay("sample", [])).rejects.toThrow(NotFoundError);
    await expect(replay("sample", whole(), { at: 3 })).rejects.toThrow(InvalidInputError);
  });

  it("is drawn as a tree beside a time axis", async () => {
    const text = renderTrace(await replay("sample", whole()), "text", { width: 90 });
    await expect(text).toMatchFileSnapshot("golden/run.txt");
  });

  it("tells one step line by line", async () => {
    const trace = await replay("sample", whole(), { step: "model" });
    await expect(renderTrace(trace, "text", { width: 90, step: "model" })).toMatchFileSnapshot(
      "golden/step.txt",
    );
  });

  it("is drawn as Mermaid: the graph with its states, and the path of one step", async () => {
    await expect(renderTrace(await replay("sample", whole()), "mermaid")).toMatchFileSnapshot(
      "golden/run.mmd",
    );
    const step = await replay("sample", whole(), { step: "model" });
    await expect(renderTrace(step, "mermaid", { step: "model" })).toMatchFileSnapshot("golden/step.mmd");
  });

  it("fits the width of the terminal at every width, whatever the steps are called", async () => {
    const trace = await replay("sample", whole());
    for (const width of [60, 61, 79, 100, 200]) {
      const chart = renderTrace(trace, "text", { width }).split("\n\n")[1] ?? "";
      for (const line of chart.split("\n")) expect(textWidth(line)).toBeLessThanOrEqual(width);
    }
  });

  it("has no format that nobody wrote", () => {
    expect(traceFormat("mermaid")).toBe("mermaid");
    expect(() => traceFormat("gif")).toThrow(InvalidInputError);
    expect(() => traceFormat("constructor")).toThrow(InvalidInputError);
  });
});

describe("the view of a run", () => {
  it("tells states, outcomes and attempts, and counts time until now while the run is open", async () => {
    const open = viewOf((await replay("sample", sampleRecords())).fold, START + 5_000);
    expect(open).toMatchObject({ status: "running", endedAt: null, durationMs: 5_000, seq: 22 });
    expect(open.steps.report).toEqual({ state: "running", outcome: null, attempts: 1, agent: "reporter-1" });
    expect(open.steps.sample).toEqual({ state: "done", outcome: "skipped", attempts: 0, agent: null });
    expect(open.steps.model).toEqual({
      state: "done",
      outcome: "completed",
      attempts: 2,
      agent: "modeler-2",
      failures: [
        {
          n: 1,
          attempt: 1,
          agent: "modeler-1",
          name: "Error",
          message: "singular\n matrix \u001b[31mred",
          retryable: true,
        },
      ],
    });
    const ended = viewOf((await replay("sample", whole())).fold, START + 60_000);
    expect(ended).toMatchObject({ status: "done", endedAt: "2026-01-02T03:04:09.016Z", durationMs: 4_010 });
  });
});

describe("money", () => {
  it("is shown as people add it up", () => {
    const steps = ["a", "b"].map((id) => ({ id, agent: "x", task: "t" }));
    const log = new LogWriter().submit({ steps });
    log.result("a", { usage: { usd: 0.1 } });
    log.result("b", { usage: { usd: 0.2 } });
    expect(log.fold.spending.total.usd).not.toBe(0.3);
    expect(viewOf(log.fold, 0).spent.usd).toBe(0.3);
  });
});

describe("a fan-out", () => {
  const items = 10_000;
  const workflow = {
    steps: [
      { id: "each", agent: "worker", task: "work", forEach: "env.list", onFailure: "continue" },
      { id: "end", agent: "worker", task: "end", dependsOn: ["each"] },
    ],
  };
  const result = (place: number): readonly [number, LogEntry] => {
    const body = { v: 1 as const, run: "fan", step: `each~${place}`, n: 1, agent: "w" };
    const error = { name: "Error", message: "no", retryable: false };
    return [
      place,
      place < 100
        ? { kind: "result", role: "worker", body: { ...body, status: "failed", error } }
        : { kind: "result", role: "worker", body: { ...body, status: "done", outputs: {} } },
    ];
  };
  const list = [...Array(items).keys()];
  const records = recordsOf("fan", [
    [0, { kind: "submit", body: { v: 1, workflow, inputs: {}, environment: { list } } }],
    ...list.slice(0, 5_000).map(result),
  ]);

  it("is one line, with how far it is; failures of items are shown up to a bound", async () => {
    const lines = renderText(await replay("fan", records)).split("\n");
    expect(lines.length).toBeLessThan(40);
    expect(lines.filter((line) => line.includes("4900 of 10000 items, 100 failed"))).toHaveLength(1);
    expect(lines.join("\n")).toContain("each[3], attempt 1 by w: no");
    expect(lines.join("\n")).toContain("… and 80 more failures of items");
    expect(renderFlowchart(await replay("fan", records))).toContain("4900 of 10000 items, 100 failed");
  });

  it("as of a moment says which one it is, and what happened last before it", async () => {
    const trace = await replay("fan", records, { until: START + 60_000 });
    const timeText = (epochMs: number) => `T${epochMs - START}`;
    const lines = renderText(trace, { moment: true, timeText }).split("\n");
    expect(lines[1]).toContain("as it was at T60000, log up to");
    const told = lines.slice(lines.indexOf("Last before T60000:") + 1, -1);
    expect(told).toHaveLength(10);
    expect(told.at(-1)).toContain(trace.transitions.at(-1)?.cause);
    expect(renderText(trace, { timeText })).not.toContain("T60000");
  });

  it("an item is a step of its own, by the name that people use", async () => {
    const { fold } = await replay("fan", records);
    const { steps } = viewOf(fold, START);
    expect(steps.each).toMatchObject({ state: "running", items: { items, done: 4_900, failed: 100 } });
    expect(steps["each[3]"]).toMatchObject({ state: "failed", failures: [{ message: "no" }] });
    const trace = await traceRun("fan", records, { step: "each[3]" });
    expect(trace.map(({ actor, to }) => `${actor} ${to}`)).toEqual([
      "each[3] ready",
      "each[3] running",
      "each[3] failed",
    ]);
    expect(await traceRun("fan", records, { step: "each~3" })).toEqual(trace);
    const detail = renderText(await replay("fan", records, { step: "each[3]" }), { step: "each[3]" });
    expect(detail).toContain("each[3]  running → failed");
  });
});

describe("a graph drawn as a tree", () => {
  it("puts each step once, under its deepest dependency, after it", () => {
    const steps = [
      { id: "last", dependsOn: ["a", "c"] },
      { id: "a", dependsOn: [] },
      { id: "b", dependsOn: ["a"] },
      { id: "c", dependsOn: ["b"] },
      { id: "alone", dependsOn: [] },
    ];
    const lines = stepTree(steps).map(({ prefix, id }) => `${prefix}${id}`);
    expect(lines).toEqual(["a", "└ b", "  └ c", "    └ last", "alone"]);
  });

  it("stays narrow and quick for a chain of ten thousand steps", () => {
    const chain = Array.from({ length: 10_000 }, (_, n) => ({
      id: `s${n}`,
      dependsOn: n === 0 ? [] : [`s${n - 1}`],
    }));
    const lines = stepTree(chain.reverse());
    expect(lines).toHaveLength(10_000);
    expect(lines.map(({ id }) => id)[9_999]).toBe("s9999");
    for (const { prefix } of lines) expect(prefix.length).toBeLessThanOrEqual(2 * MAX_INDENT);
  });
});

describe("text for terminals", () => {
  it("gives durations at most six columns", () => {
    expect(
      [0, 999, 1_000, 59_949, 60_000, 3_599_499, 3_600_000, 86_399_000, 86_400_000 * 12].map(formatDuration),
    ).toEqual(["0ms", "999ms", "1.0s", "59.9s", "1m00s", "59m59s", "1h00m", "1d00h", "12d00h"]);
  });

  it("counts wide and combining characters as terminals do, and never exceeds a width", () => {
    expect(textWidth("日本")).toBe(4);
    expect(textWidth("e\u0301")).toBe(1);
    for (const text of ["日本語テキスト", "plain text", "📊📊📊", ""]) {
      for (let width = 0; width < 12; width++) {
        expect(textWidth(cut(text, width))).toBeLessThanOrEqual(width);
        expect(textWidth(fill(text, width))).toBe(width);
      }
    }
  });

  it("takes away what could steer the terminal", () => {
    expect(oneLine("a\u001b[31mred\u001b[0m\r\nb\u0007 \u001b]0;title\u0007c")).toBe("ared b c");
  });
});
