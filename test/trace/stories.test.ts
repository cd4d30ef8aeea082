/**
 * Catches a story that the log does not bear out: a wrong reason or sequence in `why`, a critical path that is
 * not one, savings that no schedule has, a difference between runs that is missed or blamed on the wrong step.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { LogRecord } from "../../src/bus/bus.ts";
import { criticalPath } from "../../src/trace/critical-path.ts";
import { diffTraces } from "../../src/trace/diff.ts";
import { dispatchTime } from "../../src/trace/dispatches.ts";
import { replay } from "../../src/trace/replay.ts";
import { renderDiff, renderPath, renderWhy } from "../../src/trace/story-text.ts";
import { type Job, schedule, whatIf } from "../../src/trace/what-if.ts";
import { whyStep } from "../../src/trace/why.ts";
import { START, sampleRecords } from "./sample-run.ts";

const NOW = START + 4_000;
const sample = () => replay("sample", sampleRecords());

describe("the dispatches of a trace", () => {
  it("split a dispatch's time into back-off, slot, agent and running, without a gap", async () => {
    const { dispatches, halts } = await sample();
    const times = dispatches.map((span) => [
      span.step,
      span.n,
      span.end ?? "open",
      dispatchTime(span, NOW, halts),
    ]);
    expect(times[0]).toEqual([
      "load",
      1,
      "complete",
      { outsideMs: 0, backOffMs: 0, pausedMs: 0, slotMs: 0, daemonMs: 8, agentMs: 92, runMs: 500 },
    ]);
    expect(times[2]?.slice(0, 3)).toEqual(["model", 1, "fail"]);
    for (const span of dispatches) {
      const { backOffMs, slotMs, daemonMs, agentMs, runMs } = dispatchTime(span, NOW, halts);
      expect(backOffMs + slotMs + daemonMs + agentMs + runMs).toBe((span.endedAt ?? NOW) - span.readyAt);
      for (const part of [backOffMs, slotMs, agentMs, runMs]) expect(part).toBeGreaterThanOrEqual(0);
    }
  });
});

describe("why a step went as it did", () => {
  it("is told in sentences that cite the log", async () => {
    const text = renderWhy(whyStep(await sample(), "model", NOW), { width: 120 });
    expect(text.split("\n")).toEqual([
      "          model is task model of role modeler.",
      "    [15]  It waited 1.0s from the start of the run for clean.",
      "    [17]  modeler-1 ran it for 495ms.",
      "    [17]  That failed: Error: singular matrix red. It was tried again, as attempt 2.",
      "    [17]  Dispatch 2 (attempt 2) waited 1.0s for its back-off.",
      "    [21]  modeler-2 ran it for 500ms.",
      "    [21]  It ended as completed at attempt 2, 2.0s after it became ready.",
      "    [19]  What came at this point changed nothing (foreign): result of dispatch 2 by cleaner-1 for role cleaner:",
      "          dispatch 2 is with modeler.",
      "",
    ]);
  });

  it("says what a skipped step's condition was, and what an open one is doing", async () => {
    const trace = await sample();
    const texts = (step: string) => whyStep(trace, step, NOW).map(({ text }) => text);
    expect(texts("sample")).toContain("It was skipped: its condition is false: env.dataset > 1000.");
    expect(texts("report").at(-1)).toMatch(/^It has been running for 9\d\dms/);
  });

  it("names a step that is misspelled", async () => {
    const trace = await sample();
    expect(() => whyStep(trace, "modle")).toThrow(
      expect.objectContaining({ remedy: expect.stringContaining("model") }),
    );
  });
});

describe("the critical path", () => {
  it("goes back from what ended last, over the dependency that ended last", async () => {
    const path = criticalPath(await sample(), NOW);
    expect(path.steps.map(({ step }) => step)).toEqual(["load", "clean", "model", "report"]);
    const onPath = path.steps.reduce((sum, { endedAt, readyAt }) => sum + endedAt - readyAt, 0);
    expect(path.beforeMs + onPath + path.betweenMs + path.afterMs).toBe(path.totalMs);
  });

  it("is told with where the time of each step went", async () => {
    const trace = await sample();
    const [head, , , ...rows] = renderPath(criticalPath(trace, NOW), whatIf(trace, NOW)).split("\n");
    expect(head).toBe("It took 4.0s. These steps made it that long, one after the other:");
    expect(rows[0]?.split(/ {2,}/).slice(1)).toEqual(["load", "–", "–", "8ms", "92ms", "500ms", "15 %"]);
  });
});

/** Jobs whose dependencies come before them. */
const jobs = fc
  .array(
    fc.record({
      delayMs: fc.constant(0),
      durationMs: fc.integer({ min: 0, max: 50 }),
      role: fc.constantFrom("a", "b"),
      after: fc.uniqueArray(fc.nat(7), { maxLength: 3 }),
      priority: fc.constantFrom(0, 1),
    }),
    { minLength: 1, maxLength: 8 },
  )
  .map((list): Job[] =>
    list.map((job, index) => ({
      ...job,
      id: `j${index}`,
      depth: 1,
      after: job.after.filter((before) => before < index),
    })),
  );

const NO_BOUND = {
  maxParallel: Number.POSITIVE_INFINITY,
  perPool: new Map<string, number>(),
  poolOf: new Map<string, string>(),
};

describe("the schedule of what might have been", () => {
  it("takes the sum of all with one place, and the longest path with places for all", () => {
    fc.assert(
      fc.property(jobs, (list) => {
        const sum = list.reduce((total, { durationMs }) => total + durationMs, 0);
        const longest: number[] = [];
        for (const { after, durationMs } of list)
          longest.push(durationMs + Math.max(0, ...after.map((before) => longest[before] ?? 0)));
        expect(schedule(list, { ...NO_BOUND, maxParallel: 1 })).toBe(sum);
        expect(schedule(list, NO_BOUND)).toBe(Math.max(...longest));
      }),
    );
  });

  it("lets roles that share an agent share its places, too", () => {
    const poolOf = new Map(["a", "b"].map((role) => [role, "a, b"]));
    fc.assert(
      fc.property(jobs, fc.integer({ min: 1, max: 3 }), (list, places) => {
        const shared = schedule(list, { ...NO_BOUND, poolOf, perPool: new Map([["a, b", places]]) });
        expect(shared).toBe(schedule(list, { ...NO_BOUND, maxParallel: places }));
      }),
    );
  });

  it("is never shorter than the work of a role divided by its places, nor than what no bound gives", () => {
    fc.assert(
      fc.property(
        jobs,
        fc.integer({ min: 1, max: 3 }),
        fc.integer({ min: 1, max: 4 }),
        (list, places, maxParallel) => {
          const took = schedule(list, { ...NO_BOUND, maxParallel, perPool: new Map([["a", places]]) });
          const work = list.reduce(
            (total, { role, durationMs }) => total + (role === "a" ? durationMs : 0),
            0,
          );
          expect(took).toBeGreaterThanOrEqual(work / Math.min(places, maxParallel));
          expect(took).toBeGreaterThanOrEqual(schedule(list, NO_BOUND));
        },
      ),
    );
  });
});

describe("where two runs parted", () => {
  it("is nowhere for a run and itself", async () => {
    const diff = diffTraces(await sample(), await sample());
    expect(diff).toMatchObject({ steps: [], inputs: [], times: [] });
    expect(renderDiff(diff)).toContain("the same course");
  });

  it("is the step that gave something else, and what came after it follows", async () => {
    const records = sampleRecords().map((record): LogRecord => {
      if (record.kind !== "result" || record.body.step !== "load" || record.seq > 14) return record;
      return { ...record, body: { ...record.body, outputs: { dataset: 5_000 } } };
    });
    const diff = diffTraces(await sample(), await replay("sample", records));
    expect(diff.steps.map(({ step, what, parted }) => [step, what, parted])).toEqual([
      ["load", "outputs", true],
      ["sample", "course", true],
      ["report", "course", false],
    ]);
  });
});
