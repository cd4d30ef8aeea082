/**
 * Fan-outs in the fold: `forEach` makes one step of the run per item.
 * Catches: items out of the list's order, an item that is lost or counted twice, a fan-out that ends too early
 * or never, a stray word for the step that fans out, and a cost that grows faster than the items.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { RunFold } from "../../src/fold/run-fold.ts";
import type { WorkflowStepDocument } from "../../src/workflow/document.ts";
import { LogWriter } from "./log-writer.ts";

function fanOut(more: Partial<WorkflowStepDocument> = {}) {
  return {
    name: "fan",
    steps: [
      {
        id: "resize",
        agent: "resizer",
        task: "resize",
        forEach: "env.images",
        inputs: { image: "${item}", name: "img-${index}", width: "${inputs.width}" },
        outputs: ["small"],
        retry: { maxAttempts: 1 },
        ...more,
      },
      {
        id: "sum",
        agent: "summer",
        task: "sum",
        dependsOn: ["resize"],
        inputs: { all: "${env.small}" },
        outputs: ["total"],
      },
    ],
    inputs: { width: 10 },
  };
}

const images = ["a", "b", "c"];
const begun = (more: Partial<WorkflowStepDocument> = {}, list: unknown = images) =>
  new LogWriter().submit(fanOut(more), { images: list });
const finish = (log: LogWriter, place: number, small: unknown = images[place]) =>
  log.result(`resize~${place}`, { outputs: { small } });
const crash = { name: "Error", message: "crashed", retryable: true };

describe("items are steps", () => {
  it("each has its own inputs, fixed when the step becomes ready", () => {
    const log = begun();
    expect([...log.fold.ready]).toEqual(["resize~0", "resize~1", "resize~2"]);
    expect(log.fold.taskOf("resize~1")).toMatchObject({
      step: "resize~1",
      n: 1,
      role: "resizer",
      inputs: { image: "b", name: "img-1", width: 10 },
      idempotencyKey: "r1:resize~1",
    });
    log.add({ kind: "env", body: { v: 1, key: "images", value: ["z"], by: "ada" } });
    expect(log.fold.taskOf("resize~2").inputs).toMatchObject({ image: "c" });
  });

  it("the step itself runs without a dispatch, and its outputs are lists in the list's order", () => {
    const log = begun();
    expect(log.states()).toEqual({ resize: "running", sum: "pending" });
    for (const place of [2, 0, 1]) finish(log, place);
    expect(log.states()).toEqual({ resize: "done", sum: "ready" });
    expect(log.fold.environment.get("small")).toEqual(["a", "b", "c"]);
    expect(log.fold.outputsOf("resize")).toEqual({ small: ["a", "b", "c"] });
    expect(log.fold.outputsOf("resize~1")).toEqual({ small: "b" });
    expect(log.fold.taskOf("sum").inputs).toEqual({ all: ["a", "b", "c"] });
    const path = log.transitions.filter(({ actor }) => actor === "resize").map(({ to }) => to);
    expect(path).toEqual(["ready", "running", "done"]);
  });

  it("every step and every item is counted once", () => {
    const log = begun();
    expect(log.fold.counts).toEqual({ total: 5, pending: 1, ready: 3, running: 1, done: 0, failed: 0 });
    for (const place of [0, 1, 2]) finish(log, place);
    log.result("sum", { outputs: { total: 1 } });
    expect(log.fold.counts).toEqual({ total: 5, pending: 0, ready: 0, running: 0, done: 5, failed: 0 });
    expect(log.fold.dueEnd()).toMatchObject({ status: "done" });
  });

  it("an item is tried again, times out, is lost and is handed off by itself", () => {
    const log = begun({ retry: { maxAttempts: 2 } });
    log.started("resize~0");
    log.result("resize~0", { status: "failed", error: crash });
    expect(log.fold.step("resize~0").context).toMatchObject({ n: 2, attempt: 2 });
    expect(log.fold.notBefore("resize~0")).toBeGreaterThan(0);
    log.started("resize~1");
    log.decide({ type: "lost", step: "resize~1", n: 1 });
    expect(log.fold.step("resize~1")).toMatchObject({ state: "ready", context: { n: 2, attempt: 1 } });
    log.started("resize~2");
    log.decide({ type: "timed-out", step: "resize~2", n: 1, code: "E_TIMEOUT", afterMs: 5 });
    expect(log.fold.step("resize~2").context).toMatchObject({ n: 2, attempt: 2 });
    log.result("resize~2", {
      status: "handoff",
      handoff: { role: "expert", task: "look", inputs: { hard: true }, reason: "too hard" },
    });
    expect(log.fold.taskOf("resize~2")).toMatchObject({ role: "expert", inputs: { hard: true } });
    expect(log.fold.step("resize").state).toBe("running");
  });

  it("an empty list is done at once, with empty lists", () => {
    const log = begun({}, []);
    expect(log.states()).toEqual({ resize: "done", sum: "ready" });
    expect(log.fold.environment.get("small")).toEqual([]);
  });

  it("a condition is asked once, for the whole", () => {
    const log = begun({ when: "size(env.images) > 5" });
    expect(log.states()).toEqual({ resize: "done", sum: "ready" });
    expect(log.fold.step("resize").context.outcome).toBe("skipped");
    expect(log.fold.environment.get("small")).toBeNull();
  });

  it("a list may be written out, with expressions in it", () => {
    const log = begun({ forEach: ["x", "${inputs.width}"] });
    expect(log.fold.taskOf("resize~1").inputs).toMatchObject({ image: 10 });
  });
});

describe("what cannot be fanned out", () => {
  it.each([
    ["text", "E_NOT_A_LIST", "a string"],
    [null, "E_NOT_A_LIST", "null"],
    [{ a: 1 }, "E_NOT_A_LIST", "a map"],
    [new Array(10_001).fill(0), "E_LIMIT", "10001 items, more than the 10000"],
  ])("a value that is no list of at most 10,000 fails the step: %#", (list, code, words) => {
    const log = begun({}, list);
    expect(log.states()).toEqual({ resize: "failed", sum: "pending" });
    expect(log.fold.dueEnd()).toMatchObject({ status: "failed", error: { code, step: "resize" } });
    expect(log.fold.dueEnd()?.error?.message).toContain(words);
  });

  it("nothing but the items closes a step that fans out", () => {
    const log = begun();
    log.result("resize", { n: 1, outputs: { small: "all of it" } }, "resizer");
    log.decide({ type: "timed-out", step: "resize", n: 1, code: "E_TIMEOUT", afterMs: 5 });
    log.decide({ type: "lost", step: "resize", n: 1 });
    expect(log.voids.map(({ verdict }) => verdict)).toEqual(["late", "void", "void"]);
    expect(log.fold.step("resize").state).toBe("running");
    expect(log.fold.isOpen({ run: "r1", step: "resize", n: 1, role: "resizer" })).toBe(false);
  });

  it("an item cannot write the key under which the list will stand", () => {
    const log = begun();
    log.started("resize~0");
    const body = { v: 1 as const, key: "small", value: 1, step: "resize~0", n: 1, by: "agent-1" };
    log.add({ kind: "env", body });
    expect(log.voids[0]).toMatchObject({ verdict: "refused", step: "resize~0" });
  });
});

describe("items that fail", () => {
  it("onFailure continue leaves null at the item's place", () => {
    const log = begun({ onFailure: "continue" });
    finish(log, 0);
    log.result("resize~1", { status: "failed", error: crash });
    expect(log.fold.step("resize").state).toBe("running");
    finish(log, 2);
    expect(log.fold.environment.get("small")).toEqual(["a", null, "c"]);
    expect(log.states().sum).toBe("ready");
  });

  it("onFailure fail fails the step with the item's error, and takes the open items back", () => {
    const log = begun();
    log.started("resize~0");
    finish(log, 2);
    const effects = log.result("resize~1", { status: "failed", error: { ...crash, code: "E_HARD" } });
    expect(effects).toContainEqual(
      expect.objectContaining({ type: "withdraw", ref: expect.objectContaining({ step: "resize~0" }) }),
    );
    expect(log.fold.step("resize~0").context.outcome).toBe("cancelled");
    expect(log.fold.dueEnd()).toMatchObject({
      status: "failed",
      error: { code: "E_HARD", message: "resize[1]: crashed", step: "resize" },
    });
    finish(log, 0);
    expect(log.voids.at(-1)).toMatchObject({ verdict: "late", step: "resize~0" });
  });

  it("an input that cannot be computed fails its item only", () => {
    const log = begun({ onFailure: "continue", inputs: { n: "${item.n}" } }, [{ n: 1 }, {}, { n: 2 }]);
    expect(log.fold.step("resize~1").state).toBe("failed");
    finish(log, 0);
    finish(log, 2);
    expect(log.fold.environment.get("small")).toEqual(["a", null, "c"]);
  });

  it.each(["resize", "resize~1", undefined])("a retry of %s runs only what is not done", (step) => {
    const log = begun();
    finish(log, 0);
    log.result("resize~1", { status: "failed", error: crash });
    log.decide({ type: "end", status: "failed", error: { code: "E", message: "crashed" } });
    log.control("retry", step === undefined ? {} : { step });
    expect(log.fold.status).toBe("running");
    expect([...log.fold.ready]).toEqual(["resize~1", "resize~2"]);
    expect(log.fold.taskOf("resize~1")).toMatchObject({ n: 2, inputs: { image: "b" } });
    finish(log, 1);
    finish(log, 2);
    expect(log.fold.environment.get("small")).toEqual(["a", "b", "c"]);
  });

  it("a recovery does the whole step another way", () => {
    const log = begun({ onFailure: "recover" });
    finish(log, 0);
    log.result("resize~1", { status: "failed", error: crash });
    expect([...log.fold.recovering]).toEqual(["resize"]);
    const { n } = log.fold.step("resize").context;
    log.decide({ type: "recover", step: "resize", n, role: "bulk", task: "all", inputs: {}, reason: "b" });
    expect(log.fold.taskOf("resize")).toMatchObject({ role: "bulk", task: "all", step: "resize" });
    log.result("resize", { outputs: { small: ["A", "B", "C"] } });
    expect(log.fold.environment.get("small")).toEqual(["A", "B", "C"]);
    expect(log.states().sum).toBe("ready");
  });
});

it("a fan-out gives the same lists in whatever order its items end, and a replay agrees", () => {
  const property = fc.property(
    fc.integer({ min: 1, max: 12 }).chain((size) => {
      const order = fc.shuffledSubarray([...Array(size).keys()], { minLength: size });
      return fc.record({ order, failing: fc.subarray([...Array(size).keys()]) });
    }),
    ({ order, failing }) => {
      const log = begun({ onFailure: "continue" }, [...order.keys()]);
      for (const place of order) {
        if (failing.includes(place)) log.result(`resize~${place}`, { status: "failed", error: crash });
        else finish(log, place, place);
      }
      const expected = [...order.keys()].map((place) => (failing.includes(place) ? null : place));
      expect(log.fold.environment.get("small")).toEqual(expected);
      const again = new RunFold("r1");
      for (const record of log.records) again.apply(record);
      expect(again.environment.values).toEqual(log.fold.environment.values);
      expect(again.counts).toEqual(log.fold.counts);
    },
  );
  fc.assert(property);
});

it("ten thousand items, the most there may be, give a list in their order", () => {
  const size = 10_000;
  const log = begun({}, [...Array(size).keys()]);
  for (let place = size - 1; place >= 0; place -= 1) finish(log, place, place);
  expect(log.states().sum).toBe("ready");
  expect(log.fold.environment.get("small")).toEqual([...Array(size).keys()]);
});
