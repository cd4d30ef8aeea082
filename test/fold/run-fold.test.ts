/**
 * The fold of a run's log.
 * Catches: a record that counts although it must not (late, foreign, of an old epoch), one that should count
 * and does not, and an environment that depends on timing.
 */
import { describe, expect, it } from "vitest";
import { RunFold } from "../../src/fold/run-fold.ts";
import { LogWriter } from "./log-writer.ts";

const chain = {
  name: "chain",
  steps: [
    { id: "load", agent: "loader", task: "load", outputs: ["dataset"] },
    {
      id: "clean",
      agent: "cleaner",
      task: "clean",
      dependsOn: ["load"],
      when: "env.dataset.nulls > 0",
      inputs: { dataset: "${env.dataset}" },
      outputs: ["clean"],
    },
    { id: "report", agent: "reporter", task: "report", dependsOn: ["clean"], outputs: ["report"] },
  ],
  outputs: { report: "${env.report}" },
};

const failure = (retryable: boolean) => ({
  status: "failed" as const,
  error: { name: "Error", message: "crashed", retryable },
});

describe("the usual way", () => {
  it("steps become ready as their dependencies are done, and their results become environment keys", () => {
    const log = new LogWriter().submit(chain);
    expect(log.states()).toEqual({ load: "ready", clean: "pending", report: "pending" });
    log.started("load");
    expect(log.states().load).toBe("running");
    log.result("load", { outputs: { dataset: { nulls: 4 } } });
    expect(log.states()).toEqual({ load: "done", clean: "ready", report: "pending" });
    expect(log.fold.taskOf("clean").inputs).toEqual({ dataset: { nulls: 4 } });
    expect(log.fold.environment.entry("dataset")).toMatchObject({
      writer: { step: "load", agent: "agent-1" },
    });
    log.result("clean", { outputs: { clean: "c" } });
    log.result("report", { outputs: { report: "file.html" } });
    expect(log.fold.dueEnd()).toEqual({ status: "done", outputs: { report: "file.html" } });
    log.decide({ type: "end", status: "done", outputs: { report: "file.html" } });
    expect(log.fold.status).toBe("done");
  });

  it("a step passes through every state, also when only its result is in the log", () => {
    const log = new LogWriter().submit(chain);
    log.result("load", { outputs: { dataset: { nulls: 0 } } });
    const path = log.transitions
      .filter(({ actor }) => actor === "load")
      .map(({ from, to }) => `${from}>${to}`);
    expect(path).toEqual(["pending>ready", "ready>running", "running>done"]);
  });

  it("a false condition skips the step, its outputs are null, and dependents go on", () => {
    const log = new LogWriter().submit(chain);
    log.result("load", { outputs: { dataset: { nulls: 0 } } });
    expect(log.fold.step("clean").context.outcome).toBe("skipped");
    expect(log.fold.environment.values.clean).toBeNull();
    expect(log.states().report).toBe("ready");
  });

  it("keys that were not declared stay with the step and out of the environment", () => {
    const log = new LogWriter().submit(chain);
    log.result("load", { outputs: { dataset: { nulls: 0 }, rows: 7 } });
    expect(log.fold.environment.has("rows")).toBe(false);
    expect(log.fold.outputsOf("load")).toEqual({ dataset: { nulls: 0 }, rows: 7 });
  });

  it("inputs are fixed when a step becomes ready: a later update does not change its retry", () => {
    const log = new LogWriter().submit(chain);
    log.result("load", { outputs: { dataset: { nulls: 4 } } });
    log.add({ kind: "env", body: { v: 1, key: "dataset", value: { nulls: 9 }, by: "ada" } });
    log.result("clean", failure(true));
    expect(log.fold.taskOf("clean").inputs).toEqual({ dataset: { nulls: 4 } });
  });
});

describe("results that must not count", () => {
  it("the second result of a dispatch is late", () => {
    const log = new LogWriter().submit(chain);
    log.result("load", { outputs: { dataset: { nulls: 1 } } });
    const effects = log.result("load", { n: 1, agent: "zombie", outputs: { dataset: { nulls: 99 } } });
    expect(effects).toEqual([]);
    expect(log.fold.environment.values.dataset).toEqual({ nulls: 1 });
    expect(log.voids).toMatchObject([{ verdict: "late", step: "load" }]);
  });

  it("a result that arrives after its time-out changes nothing", () => {
    const log = new LogWriter().submit(chain);
    log.started("load");
    log.decide({ type: "timed-out", step: "load", n: 1, code: "E_TIMEOUT", afterMs: 50 });
    expect(log.fold.step("load")).toMatchObject({ state: "ready", context: { n: 2, attempt: 2 } });
    log.result("load", { n: 1, outputs: { dataset: { nulls: 1 } } });
    expect(log.states().load).toBe("ready");
    expect(log.voids.at(-1)?.verdict).toBe("late");
  });

  it("a result for a role that does not hold the dispatch is foreign", () => {
    const log = new LogWriter().submit(chain);
    log.result("load", { outputs: { dataset: 1 } }, "cleaner");
    expect(log.states().load).toBe("ready");
    expect(log.voids.at(-1)?.verdict).toBe("foreign");
  });

  it("results for a later dispatch, or for a step that does not exist, are foreign", () => {
    const log = new LogWriter().submit(chain);
    log.result("load", { n: 2 });
    log.add({
      kind: "result",
      role: "loader",
      body: { v: 1, run: "r1", step: "x", n: 1, agent: "a", status: "done" },
    });
    expect(log.voids.map(({ verdict }) => verdict)).toEqual(["foreign", "foreign"]);
  });

  it("a result for an ended run is late", () => {
    const log = new LogWriter().submit(chain);
    log.control("cancel");
    log.decide({ type: "end", status: "cancelled" });
    log.result("load", { n: 1, outputs: { dataset: 1 } });
    expect(log.voids.at(-1)?.verdict).toBe("late");
    expect(log.fold.environment.has("dataset")).toBe(false);
  });
});

describe("failures", () => {
  it("a declared output that the result lacks fails the step for good", () => {
    const log = new LogWriter().submit(chain);
    log.result("load", { outputs: { rows: 3 } });
    expect(log.fold.step("load").state).toBe("failed");
    expect(log.fold.dueEnd()).toMatchObject({
      status: "failed",
      error: { code: "E_OUTPUT_MISSING", step: "load" },
    });
  });

  it("a retry waits for its back-off, the same at every replay", () => {
    const log = new LogWriter().submit(chain);
    log.result("load", failure(true));
    const wait = log.fold.notBefore("load") - (log.records.at(-1)?.ts ?? 0);
    expect(wait).toBeGreaterThanOrEqual(800);
    expect(wait).toBeLessThanOrEqual(1_200);
    const replayed = new RunFold("r1");
    for (const record of log.records) replayed.apply(record);
    expect(replayed.notBefore("load")).toBe(log.fold.notBefore("load"));
  });

  it.each([
    ["its name", { name: "NoSuchFile", message: "gone", retryable: true }, ["NoSuchFile"]],
    ["its code", { name: "Error", code: "ENOENT", message: "gone", retryable: true }, ["ENOENT"]],
  ])(
    "an error that the policy names by %s is not tried again, whatever its agent says",
    (_by, error, names) => {
      const log = new LogWriter().submit({ ...chain, defaults: { retry: { nonRetryable: names } } });
      log.result("load", failure(true));
      expect(log.fold.step("load")).toMatchObject({ state: "ready", context: { attempt: 2 } });
      log.result("load", { status: "failed", error });
      expect(log.fold.step("load").state).toBe("failed");
      const history = log.fold.step("load").context.failures;
      expect(history.map(({ attempt, error }) => [attempt, error.message])).toEqual([
        [1, "crashed"],
        [2, "gone"],
      ]);
    },
  );

  it("a time-out that the policy names is not tried again", () => {
    const retry = { nonRetryable: ["E_TIMEOUT"] };
    const log = new LogWriter().submit({ ...chain, defaults: { retry } });
    log.started("load");
    log.decide({ type: "timed-out", step: "load", n: 1, code: "E_TIMEOUT", afterMs: 5 });
    expect(log.fold.step("load").context.outcome).toBe("timed-out");
  });

  it("a step that may fail leaves nulls and lets its dependents run", () => {
    const steps = chain.steps.map((step) => (step.id === "load" ? { ...step, onFailure: "continue" } : step));
    const log = new LogWriter().submit({ ...chain, steps: steps.map(({ when: _, ...step }) => step) });
    log.result("load", failure(false));
    expect(log.states()).toMatchObject({ load: "failed", clean: "ready" });
    expect(log.fold.dueEnd()).toBeUndefined();
    expect(log.fold.taskOf("clean").inputs).toEqual({ dataset: null });
  });

  it("a failed run leaves what never became ready pending, and a retry opens what failed", () => {
    const log = new LogWriter().submit(chain);
    log.result("load", failure(false));
    const due = log.fold.dueEnd();
    if (due) log.decide({ type: "end", ...due });
    expect(log.states()).toEqual({ load: "failed", clean: "pending", report: "pending" });
    log.control("retry");
    expect(log.fold.status).toBe("running");
    expect(log.states().load).toBe("ready");
    log.result("load", { outputs: { dataset: { nulls: 0 } } });
    expect(log.states()).toMatchObject({ load: "done", report: "ready" });
  });

  it("a retry that has nothing to do says why", () => {
    const step = (id: string, more = {}) => ({ id, agent: "worker", task: "work", ...more });
    const log = new LogWriter().submit({
      timeout: "1m",
      steps: [step("a"), step("b", { onFailure: "continue" }), step("c")],
    });
    log.result("a");
    log.result("b", failure(false));
    log.decide({ type: "run-timed-out", afterMs: 60_000 });
    const due = log.fold.dueEnd();
    if (due) log.decide({ type: "end", ...due });
    for (const chosen of ["a", "b", "nope"]) log.control("retry", { step: chosen });
    expect(log.voids.map(({ reason }) => reason)).toEqual([
      "retry by ada: step a is done",
      "retry by ada: step b failed, and the run went on without it",
      "retry by ada: the run has no step nope",
    ]);
  });

  it("a retry of one step lets it and what follows be done before another's failure ends the run again", () => {
    const step = (id: string, more = {}) => ({ id, agent: "worker", task: "work", ...more });
    const steps = [step("a"), step("b"), step("after", { dependsOn: ["a"] })];
    const log = new LogWriter().submit({ steps });
    log.result("a", failure(false));
    log.result("b", failure(false));
    log.decide({ type: "end", status: "failed", error: { code: "Error", message: "crashed", step: "a" } });
    log.add({ kind: "control", body: { v: 1, verb: "retry", step: "a", others: "later", by: "ada" } });
    expect(log.fold.dueEnd()).toBeUndefined();
    log.result("a");
    expect(log.states()).toEqual({ a: "done", b: "failed", after: "ready" });
    expect(log.fold.dueEnd()).toBeUndefined();
    log.decide({ type: "end", status: "failed", error: { code: "Error", message: "crashed", step: "b" } });
    expect(log.fold.status).toBe("running");
    log.result("after");
    const due = log.fold.dueEnd();
    expect(due).toMatchObject({ status: "failed", error: { step: "b" } });
    if (due) log.decide({ type: "end", ...due });
    log.control("retry");
    expect(log.states()).toEqual({ a: "done", b: "ready", after: "done" });
    log.result("b");
    expect(log.fold.dueEnd()).toMatchObject({ status: "done" });
  });

  it("a condition that cannot be evaluated fails its step and names the expression's trouble", () => {
    const log = new LogWriter().submit(chain);
    log.result("load", { outputs: { dataset: { other: 1 } } });
    expect(log.fold.step("clean").state).toBe("failed");
    expect(log.fold.dueEnd()?.error).toMatchObject({ code: "E_EXPRESSION", step: "clean" });
  });

  it("a step that wants recovery waits for the decision and goes on with another role", () => {
    const steps = chain.steps.map((step) => (step.id === "load" ? { ...step, onFailure: "recover" } : step));
    const log = new LogWriter().submit({ ...chain, steps });
    const effects = log.result("load", failure(false));
    expect(effects).toContainEqual({ type: "recover", step: "load" });
    expect(log.fold.dueEnd()).toBeUndefined();
    log.decide({
      type: "recover",
      step: "load",
      n: 1,
      role: "reader",
      task: "read",
      inputs: {},
      reason: "gives dataset too",
    });
    expect(log.fold.taskOf("load")).toMatchObject({ role: "reader", task: "read", n: 2, attempt: 1 });
  });

  it("an invalid workflow ends the run with its issues instead of throwing", () => {
    const log = new LogWriter().submit({ steps: [{ id: "a", agent: "x", task: "y", dependsOn: ["a"] }] });
    expect(log.fold.dueEnd()).toMatchObject({ status: "failed", error: { code: "E_SELF_DEPENDENCY" } });
  });
});

describe("handoffs", () => {
  it("the next role gets the new inputs, the chain and the reason, under another idempotency key", () => {
    const log = new LogWriter().submit(chain);
    const handoff = { role: "expert", task: "dig", inputs: { hint: 1 }, reason: "unknown format" };
    log.result("load", { status: "handoff", handoff });
    expect(log.fold.taskOf("load")).toMatchObject({
      role: "expert",
      task: "dig",
      n: 2,
      attempt: 1,
      inputs: { hint: 1 },
      idempotencyKey: "r1:load:h1",
      handoff: { from: [{ step: "load", role: "loader" }], reason: "unknown format" },
    });
    log.result("load", { outputs: { dataset: { nulls: 0 } } });
    expect(log.states().load).toBe("done");
  });

  it("a retry after too many hops leaves the step with its last holder, who may end it and not pass it on", () => {
    const log = new LogWriter().submit(chain);
    const pass = () => {
      const handoff = { role: "expert", task: "dig", inputs: { hint: 1 }, reason: "not mine" };
      log.result("load", { status: "handoff", handoff });
    };
    const fail = () => {
      expect(log.fold.dueEnd()).toMatchObject({ status: "failed", error: { code: "E_HANDOFF_LIMIT" } });
      const { error } = log.fold.dueEnd() ?? {};
      log.decide({ type: "end", status: "failed", ...(error && { error }) });
      log.control("retry");
    };
    for (let hop = 0; hop < 9; hop++) pass();
    fail();
    expect(log.fold.taskOf("load")).toMatchObject({ role: "expert", n: 10, attempt: 1, inputs: { hint: 1 } });
    expect(log.fold.taskOf("load").handoff?.from).toHaveLength(8);
    pass();
    fail();
    log.result("load", { outputs: { dataset: { nulls: 0 } } });
    expect(log.states().load).toBe("done");
  });

  it("what every holder learnt and spent travels to the next", () => {
    const log = new LogWriter().submit(chain);
    const pass = (role: string, notes?: unknown, usage?: { tokens: number }) =>
      log.result("load", {
        status: "handoff",
        handoff: { role, task: "dig", inputs: {}, reason: `needs ${role}`, notes },
        ...(usage === undefined ? {} : { usage }),
      });
    pass("expert", { looksLike: "parquet" }, { tokens: 40 });
    pass("wizard");
    expect(log.fold.taskOf("load").handoff).toEqual({
      from: [
        { step: "load", role: "loader" },
        { step: "load", role: "expert" },
      ],
      reason: "needs wizard",
      hops: [
        {
          role: "loader",
          task: "load",
          agent: "agent-1",
          reason: "needs expert",
          notes: { looksLike: "parquet" },
          usage: { tokens: 40 },
        },
        { role: "expert", task: "dig", agent: "agent-1", reason: "needs wizard" },
      ],
    });
  });
});

describe("epochs", () => {
  it("a decision of a holder that was replaced is void", () => {
    const log = new LogWriter().submit(chain);
    log.claim(2);
    log.decide({ type: "end", status: "failed" }, 1);
    expect(log.fold.status).toBe("running");
    expect(log.voids).toMatchObject([{ verdict: "void" }]);
    expect(log.fold.lastDecisionSeq).toBe(log.records.at(-1)?.seq);
  });

  it("a claim of an epoch that is taken does not change the holder", () => {
    const log = new LogWriter().submit(chain);
    log.claim(2);
    log.decide({ type: "claim", holder: "late" }, 2);
    expect(log.fold.holder).toBe("daemon-2");
  });

  it("a time-out of a closed dispatch is void", () => {
    const log = new LogWriter().submit(chain);
    log.result("load", { outputs: { dataset: { nulls: 0 } } });
    log.decide({ type: "timed-out", step: "load", n: 1, code: "E_TIMEOUT", afterMs: 1 });
    expect(log.states().load).toBe("done");
    expect(log.voids.at(-1)?.verdict).toBe("void");
  });

  it("nothing is decided after the end", () => {
    const log = new LogWriter().submit(chain);
    log.decide({ type: "run-timed-out", afterMs: 1 });
    log.decide({ type: "end", status: "failed" });
    log.control("cancel");
    log.decide({ type: "end", status: "cancelled" });
    expect(log.fold.status).toBe("failed");
  });
});

describe("environment updates", () => {
  const update = { v: 1 as const, key: "dataset", value: 5, by: "agent-1", step: "load", n: 1 };

  it("a declared key may be set in mid-step, and satisfies the step's outputs", () => {
    const log = new LogWriter().submit(chain);
    log.started("load");
    log.add({ kind: "env", body: { ...update, value: { nulls: 0 } } });
    expect(log.fold.verdict(log.fold.lastSeq)).toEqual({ applied: true, revision: log.fold.lastSeq });
    log.result("load", { outputs: {} });
    expect(log.states().load).toBe("done");
  });

  it("an update against an old revision is refused and names both writers", () => {
    const log = new LogWriter().submit(chain, { dataset: 1 });
    log.started("load");
    log.add({ kind: "env", body: update });
    const first = log.fold.lastSeq;
    log.add({ kind: "env", body: { ...update, value: 6, ifRevision: 1 } });
    const message = `step load (agent-1) expected revision 1 of dataset, but step load (agent-1) wrote revision ${first}`;
    expect(log.fold.verdict(log.fold.lastSeq)).toEqual({
      applied: false,
      conflict: { revision: first, writer: "load", message },
    });
    expect(log.fold.environment.values.dataset).toBe(5);
  });

  it("updates of undeclared keys, closed dispatches and ended runs are refused", () => {
    const log = new LogWriter().submit(chain);
    log.add({ kind: "env", body: { ...update, key: "other" } });
    log.add({ kind: "env", body: { ...update, n: 7 } });
    log.control("cancel");
    log.decide({ type: "end", status: "cancelled" });
    log.add({ kind: "env", body: update });
    expect(log.voids.map(({ verdict }) => verdict)).toEqual(["refused", "refused", "refused"]);
    expect(log.fold.environment.size).toBe(0);
  });
});

describe("controls", () => {
  it("pause keeps what is out and resume goes on; each is refused where it does not apply", () => {
    const log = new LogWriter().submit(chain);
    log.control("resume");
    log.control("pause");
    expect(log.fold.status).toBe("paused");
    log.result("load", { outputs: { dataset: { nulls: 0 } } });
    expect(log.states().report).toBe("ready");
    log.control("resume");
    expect(log.fold.status).toBe("running");
    expect(log.voids.map(({ verdict }) => verdict)).toEqual(["refused"]);
  });

  it("a cancelled run closes every step and names who cancelled it", () => {
    const log = new LogWriter().submit(chain);
    log.started("load");
    log.control("cancel", { value: "wrong file" });
    const due = log.fold.dueEnd();
    expect(due).toMatchObject({ status: "cancelled", error: { message: "cancelled by ada: wrong file" } });
    const effects = due ? log.decide({ type: "end", ...due }) : [];
    expect(effects).toContainEqual(expect.objectContaining({ type: "withdraw" }));
    expect(log.states()).toEqual({ load: "failed", clean: "failed", report: "failed" });
    expect(log.fold.step("report").context.outcome).toBe("cancelled");
  });
});

describe("decisions that do not fit the log", () => {
  it("an unreadable message on the decision subject is what the next decision has to expect", () => {
    const log = new LogWriter().submit({ steps: [{ id: "a", agent: "worker", task: "work" }] });
    const seq = log.fold.lastSeq + 3;
    log.fold.apply({ run: "r1", seq, ts: 0, kind: "unreadable", of: "decision", subject: "s", problem: "p" });
    expect(log.fold.lastDecisionSeq).toBe(seq);
    log.fold.apply({
      run: "r1",
      seq: seq + 1,
      ts: 0,
      kind: "unreadable",
      of: "env",
      subject: "s",
      problem: "p",
    });
    expect(log.fold.lastDecisionSeq).toBe(seq);
  });

  it("an end that the log does not call for is void, whatever its writer believed", () => {
    const log = new LogWriter().submit({ steps: [{ id: "a", agent: "worker", task: "work" }] });
    for (const status of ["done", "failed", "cancelled"] as const) log.decide({ type: "end", status });
    expect(log.fold.status).toBe("running");
    expect(log.voids.map(({ verdict }) => verdict)).toEqual(["void", "void", "void"]);
    log.result("a");
    log.decide({ type: "end", status: "done" });
    expect(log.fold.status).toBe("done");
  });

  it("a dispatch that was not opened yet is not known, one that was closed is", () => {
    const log = new LogWriter().submit({ steps: [{ id: "a", agent: "worker", task: "work" }] });
    expect(log.fold.knows({ step: "a", n: 1 })).toBe(true);
    expect(log.fold.knows({ step: "a", n: 2 })).toBe(false);
    expect(log.fold.knows({ step: "b", n: 1 })).toBe(false);
  });
});

it("a control that comes before its run changes nothing", () => {
  const log = new LogWriter();
  log.control("cancel");
  log.submit({ steps: [{ id: "a", agent: "worker", task: "work" }] });
  expect(log.voids.map(({ verdict }) => verdict)).toEqual(["refused"]);
  expect(log.fold.dueEnd()).toBeUndefined();
});

it("a recovery that was decided for a step which a person has retried meanwhile is void", () => {
  const log = new LogWriter();
  const rescued = { id: "a", agent: "worker", task: "work", outputs: ["x"], onFailure: "recover" };
  log.submit({ steps: [rescued, { id: "b", agent: "worker", task: "work" }] });
  const error = { name: "Error", message: "crashed", retryable: false };
  log.result("a", { status: "failed", error });
  log.result("b", { status: "failed", error });
  log.decide({ type: "end", status: "failed" });
  log.control("retry");
  log.decide({ type: "recover", step: "a", n: 1, reason: "no other way" });
  expect(log.voids.at(-1)?.verdict).toBe("void");
  expect(log.fold.dueEnd()).toBeUndefined();
  expect([...log.fold.recovering]).toEqual([]);
});

it("what an interrupted purge left of an older run with the same id decides nothing about the newer one", () => {
  const log = new LogWriter().claim(1);
  log.decide({ type: "run-timed-out", afterMs: 5 });
  log.decide({ type: "end", status: "failed", error: { code: "E", message: "old" } });
  log.submit({ steps: [{ id: "a", agent: "worker", task: "work" }] }).claim(2);
  expect(log.fold.dueEnd()).toBeUndefined();
  log.result("a");
  log.decide({ type: "end", status: "done" });
  expect(log.fold.status).toBe("done");
});
