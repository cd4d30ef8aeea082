/**
 * What is opened again, by the log alone: fan-outs that never began, items and steps that lack their inputs, people
 * who are asked about such a step. Each twice: as records mean since the third edition of the rules, and as they meant
 * before.
 * Catches: a retry that fails at once because a list is large, a failure that is called a cancellation, a run that
 * hangs after a retry, a question to people that is never put, and an old log that is read in a new way.
 */
import { describe, expect, it } from "vitest";
import { RunFold } from "../../src/fold/run-fold.ts";
import type { WorkflowStepDocument } from "../../src/workflow/document.ts";
import { LogWriter } from "./log-writer.ts";

const LARGE = { $artifact: { name: "r1/list", bytes: 300_000, holds: "value" } };
const WRONG = { name: "ExpressionError", code: "E_EXPRESSION", message: "no such key: n", retryable: false };

/** A run of one step, under a holder that goes by this edition of the rules. */
function begun(
  rules: number,
  step: Partial<WorkflowStepDocument>,
  environment: Record<string, unknown>,
  more: Record<string, unknown> = {},
): LogWriter {
  const fan = { id: "fan", agent: "worker", task: "work", outputs: ["out"], ...step };
  const log = new LogWriter();
  log.add({ kind: "submit", body: { v: 1, workflow: { steps: [fan], ...more }, inputs: {}, environment } });
  log.decide({ type: "claim", holder: "daemon", looks: true, judges: true, raises: true, rules }, 1);
  return log;
}

const each = { forEach: "env.list", inputs: { n: "${item.n}" } } as const;
const set = (log: LogWriter, key: string, value: unknown) =>
  log.add({ kind: "env", body: { v: 1, key, value, by: "ada" } });

/** The run fails as it has to, and a person gives it a new chance. */
function retried(log: LogWriter): LogWriter {
  const end = log.fold.dueEnd();
  expect(end).toMatchObject({ status: "failed" });
  log.decide({ type: "end", status: "failed", ...(end?.error && { error: end.error }) });
  log.control("retry");
  expect(log.voids).toEqual([]);
  return log;
}

/** Where the step and its items stand. */
const standing = ({ fold }: LogWriter) =>
  Object.fromEntries(
    [...(fold.steps?.all() ?? [])].map(({ id }) => {
      const { state, context } = fold.step(id);
      return [id, context.outcome ?? state];
    }),
  );

describe("a fan-out over a large list that was cancelled before it began", () => {
  function cancelled(rules: number): LogWriter {
    const log = begun(rules, each, { list: LARGE });
    expect([...log.fold.unresolved]).toEqual(["fan"]);
    log.control("cancel", { step: "fan" });
    log.decide({ type: "resolved", step: "fan", from: 0, items: [{ n: 1 }, { n: 2 }], more: false });
    expect(standing(log)).toEqual({ fan: "cancelled" });
    return log;
  }

  it("stands for its list once more after a retry, and begins with what is found then", () => {
    const log = retried(cancelled(3));
    expect(log.fold.status).toBe("running");
    expect([...log.fold.unresolved]).toEqual(["fan"]);
    expect(log.fold.dueEnd()).toBeUndefined();
    const { n } = log.fold.step("fan").context;
    log.decide({ type: "resolved", step: "fan", n, from: 0, items: [{ n: 7 }], more: true });
    log.decide({ type: "resolved", step: "fan", n, from: 1, items: [{ n: 8 }], more: false });
    expect(standing(log)).toEqual({ fan: "running", "fan~0": "ready", "fan~1": "ready" });
    expect(log.fold.taskOf("fan~1").inputs).toEqual({ n: 8 });
    for (const step of ["fan~0", "fan~1"]) log.result(step, { outputs: { out: step } });
    expect(log.fold.environment.get("out")).toEqual(["fan~0", "fan~1"]);
    expect(log.fold.dueEnd()).toMatchObject({ status: "done" });
  });

  it("is given what its items need anew, and nothing of what was found first", () => {
    const log = begun(3, each, { list: LARGE });
    log.control("cancel", { step: "fan" });
    const found = { items: [{ n: 1 }, {}], itemInputs: [{ n: 1 }, {}] };
    log.decide({
      type: "resolved",
      step: "fan",
      from: 0,
      ...found,
      itemErrors: [{ place: 1, error: WRONG }],
      more: false,
    });
    retried(log);
    log.decide({ type: "resolved", step: "fan", n: 1, from: 0, items: [{ n: 3 }, { n: 4 }], more: false });
    expect(["fan~0", "fan~1"].map((id) => log.fold.taskOf(id).inputs)).toEqual([{ n: 3 }, { n: 4 }]);
  });

  it("takes no word about the list that was found before the retry", () => {
    const log = retried(cancelled(3));
    log.decide({ type: "resolved", step: "fan", from: 0, items: [{ n: 1 }], more: false });
    expect(log.voids.at(-1)).toMatchObject({ verdict: "void", step: "fan" });
    expect([...log.fold.unresolved]).toEqual(["fan"]);
  });

  it("fails again when there is no list, with the reason, and has another chance after that", () => {
    const log = retried(cancelled(3));
    const error = { ...WRONG, code: "E_NOT_A_LIST", message: "a map is no list" };
    log.decide({ type: "resolved", step: "fan", n: 1, error });
    expect(standing(log)).toEqual({ fan: "failed" });
    expect(log.fold.dueEnd()?.error).toMatchObject({ code: "E_NOT_A_LIST", step: "fan" });
    expect([...retried(log).fold.unresolved]).toEqual(["fan"]);
  });

  it("waits no more once its run has failed for something else, and not for a retry of that alone", () => {
    const log = retried(cancelled(3));
    log.decide({ type: "run-timed-out", afterMs: 5 });
    log.decide({ type: "end", status: "failed", error: { code: "E_RUN_TIMEOUT", message: "late" } });
    expect([...log.fold.unresolved]).toEqual([]);
    log.control("retry");
    expect([...log.fold.unresolved]).toEqual(["fan"]);
  });

  it("failed at once under a holder of before, and does so in its log", () => {
    const log = retried(cancelled(2));
    expect([...log.fold.unresolved]).toEqual([]);
    expect(log.fold.step("fan").context).toMatchObject({ outcome: "cancelled", n: 1 });
    expect(log.fold.dueEnd()).toMatchObject({ status: "failed", error: { code: "E_EXPRESSION" } });
  });
});

describe("an item of a large list whose inputs cannot be worked out", () => {
  const items = [{ n: 1 }, {}, { n: 3 }];
  function resolved(onFailure: "fail" | "continue"): LogWriter {
    const log = begun(3, { ...each, onFailure }, { list: LARGE });
    log.decide({
      type: "resolved",
      step: "fan",
      from: 0,
      items,
      itemInputs: [{ n: 1 }, {}, { n: 3 }],
      itemErrors: [{ place: 1, error: WRONG }],
      more: false,
    });
    return log;
  }
  const small = (onFailure: "fail" | "continue") => begun(3, { ...each, onFailure }, { list: items });

  it.each(["fail", "continue"] as const)("is to the run what one of a small list is: %s", (onFailure) => {
    const [one, other] = [resolved(onFailure), small(onFailure)];
    expect(standing(one)).toEqual(standing(other));
    expect(one.fold.dueEnd()?.status).toBe(other.fold.dueEnd()?.status);
    // Those of every item are fixed with the list, whichever of them fails.
    expect([0, 2].map((place) => one.fold.inputsOf(`fan~${place}`))).toEqual([{ n: 1 }, { n: 3 }]);
  });

  it("leaves null at its place where its failure is allowed", () => {
    const log = resolved("continue");
    for (const step of ["fan~0", "fan~2"]) log.result(step, { outputs: { out: step } });
    expect(log.fold.environment.get("out")).toEqual(["fan~0", null, "fan~2"]);
  });

  it("fails the whole where it is not, by its name", () => {
    const error = { code: "E_EXPRESSION", message: `fan[1]: ${WRONG.message}`, step: "fan" };
    expect(resolved("fail").fold.dueEnd()).toEqual({ status: "failed", error });
  });

  it("has its inputs worked out anew by a retry, and fails the whole again", () => {
    const log = retried(resolved("fail"));
    expect(standing(log)).toMatchObject({ fan: "failed", "fan~1": "failed" });
    expect(log.fold.dueEnd()?.error?.message).toMatch(/^fan\[1\]: /);
  });
});

describe("an item that is opened again and lacks its inputs", () => {
  const items = [{ n: 1 }, {}];
  const limit = { ...each, inputs: { n: "${item.n + env.more}" } };

  it("fails the whole by its name", () => {
    const log = retried(begun(3, each, { list: items }));
    expect(standing(log)).toEqual({ fan: "failed", "fan~0": "cancelled", "fan~1": "failed" });
    expect(log.fold.dueEnd()?.error).toMatchObject({ code: "E_EXPRESSION", step: "fan" });
    expect(log.fold.dueEnd()?.error?.message).toMatch(/^fan\[1\]: /);
  });

  it("goes on with the others once they can be worked out", () => {
    const log = begun(3, limit, { list: [{ n: 1 }, { n: 2 }], more: "a" });
    expect(standing(log)).toEqual({ fan: "failed", "fan~0": "failed", "fan~1": "cancelled" });
    set(log, "more", 5);
    retried(log);
    expect(["fan~0", "fan~1"].map((id) => log.fold.taskOf(id).inputs)).toEqual([{ n: 6 }, { n: 7 }]);
  });

  it("takes those with it that still wait for what is in a large value", () => {
    const log = begun(3, each, { list: LARGE });
    const larger = { $artifact: { name: "r1/item", bytes: 300_000, holds: "value" } };
    log.decide({
      type: "resolved",
      step: "fan",
      from: 0,
      items: [larger, larger],
      itemInputs: [{}, {}],
      itemErrors: [0, 1].map((place) => ({ place, error: WRONG })),
      more: false,
    });
    retried(log);
    expect([...log.fold.unresolved]).toEqual(["fan~0", "fan~1"]);
    log.decide({ type: "resolved", step: "fan~0", n: 0, error: WRONG });
    expect([...log.fold.unresolved]).toEqual([]);
    expect(standing(log)).toMatchObject({ fan: "failed", "fan~0": "failed" });
    log.decide({ type: "resolved", step: "fan~1", n: 0, inputs: { n: 1 } });
    expect(log.voids.at(-1)).toMatchObject({ verdict: "void", step: "fan~1" });
  });

  it("left the whole running until its run ended without it, in a log of before", () => {
    const log = retried(begun(2, each, { list: items }));
    expect(standing(log)).toMatchObject({ fan: "running", "fan~0": "ready", "fan~1": "failed" });
    log.decide({ type: "end", status: "failed", error: { code: "E_EXPRESSION", message: "no" } });
    expect(standing(log)).toMatchObject({ fan: "cancelled", "fan~0": "cancelled" });
  });
});

it.each([
  [3, []],
  [2, ["fan~0"]],
])(
  "when the plan leaves out a step whose item stands for a large value, rules %i wait for %j",
  (rules, left) => {
    const repeat = { until: "env.more.n > 5", max: 9 };
    const log = begun(rules, { ...each, inputs: {}, repeat }, { list: [1], more: LARGE });
    log.result("fan~0", { outputs: { out: 1 } });
    expect([...log.fold.unresolved]).toEqual(["fan~0"]);
    const workflow = { steps: [{ id: "other", agent: "worker", task: "work" }] };
    log.decide({ type: "revise", weighed: [], workflow, reason: "another way" });
    expect(log.voids).toEqual([]);
    expect([...log.fold.unresolved]).toEqual(left);
  },
);

describe("a fan-out whose lists were refused", () => {
  const schemas = {
    environment: { out: { schema: { type: "array", items: { type: "integer", maximum: 5 } } } },
  };
  function refused(rules: number): LogWriter {
    const log = begun(rules, { ...each, inputs: {} }, { list: [1, 2] }, schemas);
    for (const place of [0, 1]) log.result(`fan~${place}`, { outputs: { out: 9 * place } });
    expect(log.fold.dueEnd()?.error?.code).toBe("E_ENV_SCHEMA");
    return retried(log);
  }

  it("fails by them again after a retry, since its items are done", () => {
    const log = refused(3);
    expect(standing(log)).toEqual({ fan: "failed", "fan~0": "completed", "fan~1": "completed" });
    expect(log.fold.dueEnd()?.error?.code).toBe("E_ENV_SCHEMA");
  });

  it("was left running in a log of before", () => {
    const log = refused(2);
    expect(log.fold.step("fan").state).toBe("running");
    expect(log.fold.dueEnd()).toBeUndefined();
  });
});

describe("a step that is opened again and lacks its inputs", () => {
  const lacking = { inputs: { n: "${env.list.n}" } };

  it("fails as it did the first time, and what comes next is looked for again", () => {
    const log = begun(3, { ...lacking, onFailure: "recover" }, { list: {} });
    log.decide({ type: "recover", step: "fan", n: 0, reason: "no other way" });
    retried(log);
    expect([...log.fold.recovering]).toEqual(["fan"]);
    expect(log.fold.step("fan").context.failures).toHaveLength(2);
  });

  it("just stayed failed, and failed its run, in a log of before", () => {
    const log = begun(2, { ...lacking, onFailure: "recover" }, { list: {} });
    log.decide({ type: "recover", step: "fan", n: 0, reason: "no other way" });
    retried(log);
    expect([...log.fold.recovering]).toEqual([]);
    expect(log.fold.step("fan").context.failures).toHaveLength(1);
    expect(log.fold.dueEnd()).toMatchObject({ status: "failed", error: { code: "E_EXPRESSION" } });
  });

  describe("and of which people are asked", () => {
    const asking = { ...lacking, onFailure: "recover", ask: { after: "1h" } } as const;
    function asked(rules: number, list: unknown = {}): LogWriter {
      const log = begun(rules, asking, { list });
      log.decide({ type: "recover", step: "fan", n: 0, ask: true, reason: "nothing else is left" });
      return log;
    }

    it("waits for them all the same, and goes on with the outputs that they give", () => {
      const log = asked(3);
      expect(log.fold.status).toBe("waiting");
      expect(log.fold.waits.get("fan")).toMatchObject({ kind: "failure" });
      log.control("approve", { step: "fan", value: { out: 7 } });
      expect(log.fold.dueEnd()).toMatchObject({ status: "done" });
      expect(log.fold.environment.get("out")).toBe(7);
    });

    it("is tried again with what its inputs are by then", () => {
      const log = asked(3);
      set(log, "list", { n: 4 });
      log.control("approve", { step: "fan" });
      expect([...log.fold.ready]).toEqual(["fan"]);
      expect(log.fold.waits.size).toBe(0);
      expect(log.fold.taskOf("fan").inputs).toEqual({ n: 4 });
    });

    it("is tried again after what it needs was found in a large value", () => {
      const log = asked(3);
      set(log, "list", LARGE);
      log.control("approve", { step: "fan" });
      expect([...log.fold.unresolved]).toEqual(["fan"]);
      const { n } = log.fold.step("fan").context;
      log.decide({ type: "resolved", step: "fan", n, inputs: { n: 4 } });
      expect(log.fold.taskOf("fan").inputs).toEqual({ n: 4 });
    });

    it("fails again, and may be asked of again, while nothing can be worked out", () => {
      const log = asked(3);
      log.control("approve", { step: "fan" });
      expect([...log.fold.ready]).toEqual([]);
      expect([...log.fold.recovering]).toEqual(["fan"]);
      const { n } = log.fold.step("fan").context;
      log.decide({ type: "recover", step: "fan", n, ask: true, reason: "nothing else is left" });
      log.control("reject", { step: "fan" });
      expect(log.fold.dueEnd()).toMatchObject({ status: "failed", error: { code: "E_REJECTED" } });
    });

    it("failed without a question in a log of before", () => {
      const log = asked(2);
      expect(log.fold.waits.size).toBe(0);
      expect(log.fold.dueEnd()).toMatchObject({ status: "failed", error: { code: "E_EXPRESSION" } });
    });
  });
});

it("a replay of a log whose holders went by different rules agrees with those who folded it live", () => {
  const log = retried(begun(2, each, { list: [{ n: 1 }, {}] }));
  log.decide({ type: "end", status: "failed", error: { code: "E_EXPRESSION", message: "no" } });
  log.decide({ type: "claim", holder: "newer", looks: true, judges: true, raises: true, rules: 3 }, 2);
  log.control("retry");
  expect(standing(log)).toEqual({ fan: "failed", "fan~0": "cancelled", "fan~1": "failed" });
  const again = new RunFold("r1");
  for (const record of log.records) again.apply(record);
  expect(again.counts).toEqual(log.fold.counts);
  expect(again.dueEnd()).toEqual(log.fold.dueEnd());
});
