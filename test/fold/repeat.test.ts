/**
 * Repeated steps in the fold.
 * Catches: an iteration that is not done, or done once too often, one that gets another's inputs, attempts or
 * idempotency key, and a loop without end.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { WorkflowStepDocument } from "../../src/workflow/document.ts";
import { LogWriter } from "./log-writer.ts";

function begun(more: Partial<WorkflowStepDocument> = {}, environment: Record<string, unknown> = {}) {
  const step = {
    id: "draft",
    agent: "writer",
    task: "write",
    repeat: { until: "outputs.score >= 3", max: 5 },
    inputs: { round: "${iteration}", before: "${outputs.?text.orValue('')}" },
    outputs: ["text"],
    ...more,
  };
  const after = { id: "print", agent: "printer", task: "print", dependsOn: ["draft"] };
  return new LogWriter().submit({ steps: [step, after] }, environment);
}
const round = (log: LogWriter, score: number, step = "draft") =>
  log.result(step, { outputs: { text: `text ${score}`, score } });
const crash = { name: "Error", message: "crashed", retryable: true };

describe("iterations", () => {
  it("a step is done again until its condition holds, with what it gave last and its own number", () => {
    const log = begun();
    expect(log.fold.taskOf("draft")).toMatchObject({
      n: 1,
      iteration: 1,
      inputs: { round: 1, before: "" },
      idempotencyKey: "r1:draft:r1",
    });
    round(log, 1);
    expect(log.states()).toEqual({ draft: "ready", print: "pending" });
    expect(log.fold.environment.get("text")).toBe("text 1");
    expect(log.fold.taskOf("draft")).toMatchObject({
      n: 2,
      attempt: 1,
      iteration: 2,
      inputs: { round: 2, before: "text 1" },
      idempotencyKey: "r1:draft:r2",
    });
    round(log, 3);
    expect(log.states()).toEqual({ draft: "done", print: "ready" });
    expect(log.fold.environment.get("text")).toBe("text 3");
    expect(log.fold.outputsOf("draft")).toEqual({ text: "text 3", score: 3 });
  });

  it("the condition may read the key that the step writes, and its number", () => {
    const log = begun({ repeat: { until: "env.text == 'text 2' || iteration == 4" } });
    round(log, 1);
    expect(log.states().draft).toBe("ready");
    round(log, 2);
    expect(log.states().draft).toBe("done");
  });

  it("every iteration has all its attempts, and keeps its key over them", () => {
    const log = begun({ retry: { maxAttempts: 2 } });
    for (const iteration of [1, 2]) {
      log.result("draft", { status: "failed", error: crash });
      const idempotencyKey = `r1:draft:r${iteration}`;
      expect(log.fold.taskOf("draft")).toMatchObject({ attempt: 2, iteration, idempotencyKey });
      round(log, 1);
      expect(log.fold.taskOf("draft")).toMatchObject({ attempt: 1, iteration: iteration + 1 });
    }
    expect(log.fold.step("draft").context.failures).toHaveLength(2);
  });

  it("an iteration that was handed off is followed by one of the step's own role", () => {
    const log = begun();
    const handoff = { role: "expert", task: "polish", inputs: { hint: 1 }, reason: "too hard" };
    log.result("draft", { status: "handoff", handoff });
    expect(log.fold.taskOf("draft")).toMatchObject({ role: "expert", idempotencyKey: "r1:draft:r1:h1" });
    round(log, 1);
    expect(log.fold.taskOf("draft")).toMatchObject({
      role: "writer",
      task: "write",
      inputs: { round: 2, before: "text 1" },
      idempotencyKey: "r1:draft:r2",
    });
  });

  it("a result of an earlier iteration is late", () => {
    const log = begun();
    round(log, 1);
    log.result("draft", { n: 1, outputs: { text: "old", score: 9 } });
    expect(log.voids.at(-1)).toMatchObject({ verdict: "late", step: "draft" });
    expect(log.states().draft).toBe("ready");
  });
});

describe("the end of repeating", () => {
  it("fails with E_REPEAT_LIMIT when the condition did not hold in time; a retry allows as many again", () => {
    const log = begun({ repeat: { until: "outputs.score >= 3", max: 2 } });
    round(log, 0);
    round(log, 1);
    expect(log.fold.dueEnd()).toMatchObject({ error: { code: "E_REPEAT_LIMIT", step: "draft" } });
    log.decide({ type: "end", status: "failed", error: { code: "E_REPEAT_LIMIT", message: "limit" } });
    log.control("retry");
    const expected = { iteration: 3, inputs: { round: 3, before: "text 1" } };
    expect(log.fold.taskOf("draft")).toMatchObject(expected);
    round(log, 2);
    round(log, 2);
    expect(log.fold.dueEnd()).toMatchObject({ error: { code: "E_REPEAT_LIMIT" } });
  });

  it("a condition that cannot be evaluated fails the step", () => {
    const log = begun({ repeat: { until: "outputs.nothing > 1" } });
    round(log, 1);
    expect(log.fold.dueEnd()).toMatchObject({ error: { code: "E_EXPRESSION", step: "draft" } });
  });

  it("the items of a fan-out are repeated each by itself", () => {
    const log = begun(
      {
        forEach: "env.topics",
        inputs: { topic: "${item}", round: "${iteration}", before: "${outputs.?text.orValue('')}" },
      },
      { topics: ["a", "b"] },
    );
    round(log, 3, "draft~1");
    round(log, 1, "draft~0");
    expect(log.fold.taskOf("draft~0")).toMatchObject({
      iteration: 2,
      inputs: { topic: "a", round: 2, before: "text 1" },
      idempotencyKey: "r1:draft~0:r2",
    });
    expect(log.states().draft).toBe("running");
    round(log, 4, "draft~0");
    expect(log.fold.environment.get("text")).toEqual(["text 4", "text 3"]);
  });

  it("whoever recovers a fan-out as a whole does it once", () => {
    const log = begun({ forEach: ["a", "b"], inputs: { topic: "${item}" }, onFailure: "recover" });
    log.result("draft~0", { status: "failed", error: { ...crash, retryable: false } });
    const { n } = log.fold.step("draft").context;
    log.decide({ type: "recover", step: "draft", n, role: "bulk", task: "all", inputs: {}, reason: "b" });
    round(log, 0);
    expect(log.states().draft).toBe("done");
    expect(log.fold.environment.get("text")).toBe("text 0");
  });
});

it("a step is done exactly as often as its condition says, whatever goes wrong in between", () => {
  const mishap = fc.constantFrom("failed", "lost", "handoff", "none");
  const property = fc.property(
    fc.integer({ min: 1, max: 5 }),
    fc.array(mishap, { minLength: 5, maxLength: 5 }),
    (rounds, mishaps) => {
      const log = begun({ repeat: { until: `iteration == ${rounds}`, max: 5 }, retry: { maxAttempts: 2 } });
      let done = 0;
      while (log.states().draft !== "done") {
        const what = mishaps[done];
        const { n } = log.fold.step("draft").context;
        if (what === "failed") log.result("draft", { status: "failed", error: crash });
        if (what === "lost") log.decide({ type: "lost", step: "draft", n });
        const handoff = { role: "expert", task: "polish", inputs: {}, reason: "hard" };
        if (what === "handoff") log.result("draft", { status: "handoff", handoff });
        done += 1;
        expect(log.fold.taskOf("draft").iteration).toBe(done);
        round(log, done);
      }
      expect(done).toBe(rounds);
    },
  );
  fc.assert(property);
});
