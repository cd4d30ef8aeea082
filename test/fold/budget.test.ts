/**
 * Budgets, as the log alone decides them.
 * Catches: spending that counts twice or not at all, a run that goes on past a limit, one that stops although
 * it wants nothing more, a resume that changes nothing, readers of one log that disagree.
 */
import { describe, expect, it } from "vitest";
import { RunFold } from "../../src/fold/run-fold.ts";
import { LogWriter } from "./log-writer.ts";

const step = (id: string, more: Record<string, unknown> = {}) => ({
  id,
  agent: "worker",
  task: "work",
  ...more,
});
const chain = (budget: Record<string, unknown>, count = 3) => ({
  budget,
  steps: Array.from({ length: count }, (_, at) =>
    step(`s${at}`, at === 0 ? {} : { dependsOn: [`s${at - 1}`] }),
  ),
});

describe("what is spent", () => {
  it("is the sum over results, per step and in all", () => {
    const log = new LogWriter().submit(chain({ tokens: 1_000 }));
    log.started("s0");
    log.result("s0", { usage: { tokens: 30, usd: 0.1 } });
    log.started("s1");
    log.result("s1", { usage: { tokens: 12, usd: 0.2 } });
    expect(log.fold.spending.total.tokens).toBe(42);
    expect(log.fold.spending.total.usd).toBeCloseTo(0.3);
    expect(log.fold.spending.total.dispatches).toBe(2);
    expect(log.fold.spending.of("s1")).toMatchObject({ tokens: 12, dispatches: 1 });
  });

  it("counts a failed attempt and a late result, but no result twice and no foreign one", () => {
    const log = new LogWriter().submit(chain({ tokens: 1_000 }));
    const failed = { status: "failed" as const, error: { name: "E", message: "no", retryable: true } };
    log.result("s0", { ...failed, usage: { tokens: 10 } });
    log.result("s0", { n: 1, ...failed, usage: { tokens: 10 } });
    log.result("s0", { n: 1, agent: "agent-2", usage: { tokens: 5 } });
    log.result("s0", { n: 7, agent: "stranger", usage: { tokens: 100 } });
    log.result("s0", { usage: { tokens: -50 } });
    expect(log.fold.spending.total).toMatchObject({ tokens: 15, dispatches: 2 });
  });
});

describe("what planning has cost", () => {
  const planned = (usage: { tokens: number; usd?: number }) => {
    const log = new LogWriter();
    const body = { v: 1 as const, goals: "work", inputs: {}, budget: { tokens: 100 } };
    log.add({ kind: "submit", body });
    log.claim(1);
    const workflow = { steps: [step("s0")] };
    log.decide({ type: "plan", workflow, cost: 1, optimal: true, explored: 0, reasons: {}, usage });
    return log.fold;
  };

  it("counts as the run's, and as no step's", () => {
    const fold = planned({ tokens: 40, usd: 0.5 });
    expect(fold.spending.total).toMatchObject({ tokens: 40, usd: 0.5 });
    expect(fold.spending.of("s0")?.tokens ?? 0).toBe(0);
    expect(fold.status).toBe("running");
  });

  it("may use the budget up: nothing is given out then", () => {
    const fold = planned({ tokens: 120 });
    expect(fold.pause?.message).toBe("the budget of 100 tokens is spent: 120 tokens");
  });
});

describe("at a limit", () => {
  it("a run that wants to go on pauses, and says what is spent and what was allowed", () => {
    const log = new LogWriter().submit(chain({ tokens: 100 }));
    log.started("s0");
    log.result("s0", { usage: { tokens: 130 } });
    expect(log.fold.status).toBe("paused");
    expect(log.fold.pause).toEqual({
      code: "E_BUDGET",
      message: "the budget of 100 tokens is spent: 130 tokens",
    });
  });

  it("a run whose last step has spent it all is done", () => {
    const log = new LogWriter().submit(chain({ tokens: 100, dispatches: 1 }, 1));
    log.started("s0");
    log.result("s0", { usage: { tokens: 130 } });
    expect(log.fold.dueEnd()).toMatchObject({ status: "done" });
  });

  it("what is out may end while the run is paused", () => {
    const steps = [step("a"), step("b"), step("c")];
    const log = new LogWriter().submit({ budget: { dispatches: 2 }, steps });
    log.started("a");
    log.started("b");
    expect(log.fold.status).toBe("paused");
    log.result("a");
    expect(log.states()).toEqual({ a: "done", b: "running", c: "ready" });
  });

  it("a run that shall fail then fails with E_BUDGET", () => {
    const log = new LogWriter().submit(chain({ usd: 0.5, onLimit: "fail" }));
    log.started("s0");
    log.result("s0", { usage: { usd: 0.5 } });
    expect(log.fold.dueEnd()).toEqual({
      status: "failed",
      error: { code: "E_BUDGET", message: "the budget of 0.5 USD is spent: 0.5 USD" },
    });
  });

  it("no dispatch counts that was noted past the limit, by a former holder, or while the run is paused", () => {
    const log = new LogWriter().submit({ budget: { dispatches: 1 }, steps: [step("a"), step("b")] });
    const note = (id: string, epoch: number) =>
      log.add({
        kind: "observed",
        body: { v: 1, epoch, dispatched: [{ step: id, n: 1, role: "worker", at: 0 }], started: [] },
      });
    log.claim(2);
    note("a", 1);
    expect(log.fold.dispatches.has("a")).toBe(false);
    note("a", 2);
    note("b", 2);
    expect([...log.fold.dispatches.keys()]).toEqual(["a"]);
    expect(log.voids.map(({ verdict }) => verdict)).toEqual(["refused", "refused"]);
  });

  it("time that is decided to be over pauses the run, though not one that wants nothing more", () => {
    const log = new LogWriter().submit(chain({ wall: "1m" }, 2));
    log.started("s0");
    log.decide({ type: "time-spent", elapsedMs: 60_000 });
    expect(log.fold.status).toBe("running");
    log.result("s0");
    expect(log.fold.pause?.message).toBe("the budget of 60000 ms is spent: 60000 ms");
  });

  it("the submission's budget narrows the workflow's", () => {
    const log = new LogWriter();
    log.add({
      kind: "submit",
      body: { v: 1, workflow: chain({ tokens: 500, dispatches: 9 }), inputs: {}, budget: { tokens: 50 } },
    });
    expect(log.fold.budget?.limits).toEqual({ tokens: 50, dispatches: 9 });
  });
});

describe("resuming", () => {
  const paused = () => {
    const log = new LogWriter().submit(chain({ tokens: 100 }));
    log.started("s0");
    log.result("s0", { usage: { tokens: 130 } });
    return log;
  };

  it("with a higher limit goes on", () => {
    const log = paused();
    log.control("resume", { value: { budget: { tokens: 200 } } });
    expect(log.fold.status).toBe("running");
    expect(log.fold.pause).toBeUndefined();
    log.started("s1");
    log.result("s1", { usage: { tokens: 70 } });
    expect(log.fold.pause?.message).toBe("the budget of 200 tokens is spent: 200 tokens");
  });

  it.each([
    ["without a higher one", undefined],
    ["with one that is spent already", { budget: { tokens: 130 } }],
    ["with another resource's", { budget: { usd: 9 } }],
    ["with something else", { budget: "lots" }],
  ])("%s is refused and changes nothing", (_, value) => {
    const log = paused();
    log.control("resume", { value });
    expect(log.fold.status).toBe("paused");
    expect(log.voids.at(-1)).toMatchObject({ verdict: "refused" });
    expect(log.fold.budget?.limits).toEqual({ tokens: 100 });
  });

  it("a run that failed on its budget goes on with a retry that raises it", () => {
    const log = new LogWriter().submit(chain({ tokens: 100, onLimit: "fail" }));
    log.started("s0");
    log.result("s0", { usage: { tokens: 130 } });
    const due = log.fold.dueEnd();
    if (due) log.decide({ type: "end", ...due });
    log.control("retry");
    expect(log.fold.status).toBe("failed");
    log.control("retry", { value: { budget: { tokens: 1_000 } } });
    expect(log.fold.status).toBe("running");
    expect(log.states()).toMatchObject({ s0: "done", s1: "ready" });
  });

  it("a retry that is refused raises nothing, though it did in logs of earlier versions", () => {
    const afterRefusal = (raises: boolean) => {
      const log = new LogWriter().submit(chain({ tokens: 100 }, 1));
      log.decide({ type: "claim", holder: "daemon-2", ...(raises && { raises }) }, 2);
      log.result("s0", { status: "failed", error: { name: "E", message: "no", retryable: false } });
      log.decide({ type: "end", status: "failed" });
      log.control("retry", { step: "nobody", value: { budget: { tokens: 1_000 } } });
      expect(log.voids.at(-1)?.reason).toContain("no step nobody");
      return log.fold.budget?.limits;
    };
    expect(afterRefusal(true)).toEqual({ tokens: 100 });
    expect(afterRefusal(false)).toEqual({ tokens: 1_000 });
  });

  it("is told the same to every reader of the log", () => {
    const log = paused();
    log.control("resume", { value: { budget: { tokens: 200 } } });
    const replayed = new RunFold(log.run);
    for (const record of log.records) replayed.apply(record);
    expect(replayed.status).toBe(log.fold.status);
    expect(replayed.budget?.limits).toEqual(log.fold.budget?.limits);
    expect(replayed.spending.total).toEqual(log.fold.spending.total);
  });
});

describe("a nested run that wants more than there is", () => {
  const parent = () => {
    const sub = step("sub", {
      agent: "orchestrator",
      task: "run",
      inputs: { workflow: { steps: [step("x")] } },
    });
    const log = new LogWriter().submit({ budget: { dispatches: 1 }, steps: [sub] });
    log.started("sub", 1, "child-1");
    return log;
  };
  const draw = (log: LogWriter, more: { pauses?: true } = { pauses: true }) => {
    const drawn = [
      { child: "child-1", step: "sub", n: 1, tokens: 0, usd: 0, dispatches: 0, wants: 1, ...more },
    ];
    log.add({ kind: "observed", body: { v: 1, epoch: 1, dispatched: [], started: [], drawn } });
  };

  it("pauses the run whose limit it is, until that is raised or its dispatch is closed", () => {
    const log = parent();
    draw(log);
    expect(log.fold.status).toBe("paused");
    expect(log.fold.pause?.message).toBe(
      "the budget of 1 dispatches is spent: 1 dispatches; its nested run child-1 waits for more",
    );
    log.control("resume", { value: { budget: { dispatches: 2 } } });
    expect(log.fold.status).toBe("running");
    // It was told so, and did not yet ask again.
    expect(log.fold.waitsBelow).toMatchObject([{ child: "child-1" }]);
    draw(log);
    expect(log.fold.waitsBelow).toEqual([]);
    expect(log.fold.spending.total.dispatches).toBe(2);
    log.result("sub");
    expect(log.fold.dueEnd()).toMatchObject({ status: "done" });
  });

  it("did not in the logs of earlier versions, whose nested runs failed then", () => {
    const log = parent();
    draw(log, {});
    expect(log.fold.status).toBe("running");
    expect(log.fold.waitsBelow).toEqual([]);
  });

  const child = (onLimit?: "fail") => {
    const log = new LogWriter();
    const budgets = [{ run: "above", step: "sub", n: 1 }];
    const above = { run: "above", step: "sub", n: 1, depth: 1, outputs: [], budgets };
    const budget = { tokens: 9, ...(onLimit && { onLimit }) };
    log.add({
      kind: "submit",
      body: { v: 1, workflow: { steps: [step("x")] }, inputs: {}, parent: above, budget },
    });
    log.decide({ type: "claim", holder: "daemon-1", raises: true }, 1);
    return log;
  };
  const excess = { resource: "tokens" as const, bound: 9, actual: 9 };
  const refused = (log: LogWriter, seq: number) =>
    log.decide({ type: "spent-above", run: "above", excess, onLimit: "pause", seq });
  const raised = (log: LogWriter, seq: number) =>
    log.control("resume", { by: "run above", raised: { run: "above", seq } });

  it("waits for a raise that comes after what was refused, and for no older one", () => {
    const log = child();
    refused(log, 40);
    expect(log.fold.pause).toMatchObject({ code: "E_BUDGET", above: "above" });
    raised(log, 30);
    expect(log.fold.status).toBe("paused");
    raised(log, 50);
    expect(log.fold.status).toBe("running");
    // A successor says it again, and the word of a holder that was slow is overtaken.
    raised(log, 50);
    refused(log, 45);
    expect(log.fold.status).toBe("running");
    expect(log.voids).toMatchObject([{ verdict: "void", reason: expect.stringContaining("raised since") }]);
    refused(log, 60);
    expect(log.fold.status).toBe("paused");
  });

  it("stays paused where a person paused it, and asks again when that person lets it go on", () => {
    const log = child();
    log.control("pause");
    refused(log, 40);
    raised(log, 50);
    expect(log.fold.pause).toMatchObject({ code: "E_PAUSED" });
    log.control("resume");
    expect(log.fold.status).toBe("running");
  });

  it("failed in the logs of earlier versions", () => {
    const log = child("fail");
    log.decide({ type: "spent-above", run: "above", excess });
    expect(log.fold.dueEnd()?.error?.message).toBe("the budget of 9 tokens of run above is spent: 9 tokens");
  });
});
