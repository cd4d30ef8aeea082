/**
 * Live progress as lines: would catch a picture that overflows the terminal, hides what failed, or costs as
 * much as the run is large.
 */
import pc from "picocolors";
import { describe, expect, it } from "vitest";
import type { LogRecord } from "../../src/bus/bus.ts";
import { renderProgress } from "../../src/cli/progress/render.ts";
import { RunProgress } from "../../src/cli/progress/run-progress.ts";
import type { WatchEvent } from "../../src/client/swarm.ts";
import { RunFold } from "../../src/fold/run-fold.ts";
import type { TransitionRecord } from "../../src/fold/transition-record.ts";
import { textWidth } from "../../src/trace/text-width.ts";
import { viewOf } from "../../src/trace/view.ts";
import { recordsOf, START, sampleEnd, sampleRecords } from "../trace/sample-run.ts";

const colors = pc.createColors(false);

function progressOf(records: readonly LogRecord[], live: WatchEvent["live"][] = []): RunProgress {
  let transitions: TransitionRecord[] = [];
  const fold = new RunFold("sample", {
    observer: { onTransition: (transition) => transitions.push(transition) },
  });
  const progress = new RunProgress();
  const note = (what: Partial<WatchEvent>): void =>
    progress.note({ transitions, voids: [], fold, current: true, view: viewOf(fold, START), ...what });
  for (const log of records) {
    transitions = [];
    fold.apply(log);
    note({ log });
  }
  transitions = [];
  for (const message of live) if (message) note({ live: message });
  return progress;
}

const drawn = (
  progress: RunProgress,
  size: { width?: number; height?: number; now?: number } = {},
): string[] =>
  renderProgress(progress, { width: 90, height: 24, now: START + 3_300, colors, frame: 0, ...size });

const drawing = {
  type: "progress" as const,
  role: "reporter",
  run: "sample",
  step: "report",
  n: 1,
  agent: "reporter-1",
  fraction: 0.42,
  message: "drawing 📊 plots",
};

describe("the progress of a run", () => {
  it("is a tree with state, agent, duration and what is being done", async () => {
    await expect(drawn(progressOf(sampleRecords(), [drawing])).join("\n")).toMatchFileSnapshot(
      "golden/running.txt",
    );
  });

  it("shows when a failed step is tried again, and a run that has ended without a spinner", async () => {
    const retrying = drawn(progressOf(sampleRecords().slice(0, 8)), { now: START + 1_600 });
    expect(retrying.join("\n")).toMatch(/model.*attempt 2 of 2 in \d+ms|model.*attempt 2 of 2 in \d\.\ds/);
    const ended = drawn(progressOf([...sampleRecords(), ...sampleEnd()]), { now: START + 99_000 });
    expect(ended[0]).toMatch(/^✔ sample {2}done {2}━+ {2}5\/5 {2}4\.0s$/);
  });

  it("fits terminals of every size, with any message", () => {
    const progress = progressOf(sampleRecords(), [{ ...drawing, message: "語\u001b[2J\n".repeat(90) }]);
    for (let width = 30; width <= 140; width += 5) {
      for (const height of [3, 5, 7, 24]) {
        const lines = drawn(progress, { width, height });
        expect(lines.length).toBeLessThanOrEqual(height);
        for (const line of lines) {
          expect(textWidth(line), line).toBeLessThanOrEqual(width);
          expect(line).not.toMatch(/\p{Cc}/u);
        }
      }
    }
  });

  it("shows failed, running and the latest steps of a run that is larger than the terminal", () => {
    const steps = Array.from({ length: 5_000 }, (_, n) => ({
      id: `s${n}`,
      agent: "w",
      task: "t",
      onFailure: "continue",
    }));
    const result = (step: string, status: "done" | "failed") => ({
      kind: "result" as const,
      role: "w",
      body: {
        v: 1 as const,
        run: "sample",
        step,
        n: 1,
        agent: "w-1",
        status,
        ...(status === "failed"
          ? { error: { name: "Error", message: "broken", retryable: false } }
          : { outputs: {} }),
      },
    });
    const records = recordsOf("sample", [
      [0, { kind: "submit", body: { v: 1, workflow: { steps }, inputs: {} } }],
      [1, { kind: "decision", body: { v: 1, id: "d", epoch: 1, at: START, type: "claim", holder: "o" } }],
      ...Array.from({ length: 1_000 }, (_, n) => [2, result(`s${n}`, n === 7 ? "failed" : "done")] as const),
      [
        3,
        {
          kind: "observed",
          body: {
            v: 1,
            epoch: 1,
            dispatched: [],
            started: [{ step: "s4000", n: 1, agent: "w-1", at: START + 3 }],
          },
        },
      ],
    ]);
    const lines = drawn(progressOf(records), { height: 12 });
    expect(lines).toHaveLength(12);
    expect(lines.some((line) => /✖ s7 .*broken/.test(line))).toBe(true);
    expect(lines.some((line) => line.includes("s4000"))).toBe(true);
    expect(lines.some((line) => line.includes("✔ s999"))).toBe(true);
    expect(lines.at(-1)).toBe("… 4991 more steps; in all 999 done, 1 failed, 1 running, 3999 ready");
  });

  it("says nothing before it knows anything", () => {
    expect(drawn(new RunProgress())).toEqual([]);
  });
});
