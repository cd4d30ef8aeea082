/**
 * Steps that wait for people and signals, in the fold.
 * Catches: a step that is given out before it was approved, a second answer that counts, a signal that is lost
 * because nobody waited yet, a run that says running while nothing can move, and replays that disagree.
 */
import { describe, expect, it } from "vitest";
import { RunFold } from "../../src/fold/run-fold.ts";
import { MAX_KEPT_SIGNALS } from "../../src/fold/waits.ts";
import { LogWriter } from "./log-writer.ts";

const approval = {
  steps: [
    { id: "build", agent: "builder", task: "build", outputs: ["image"] },
    {
      id: "deploy",
      agent: "deployer",
      task: "deploy",
      dependsOn: ["build"],
      inputs: { image: "${env.image}" },
      outputs: ["url"],
      approval: true,
    },
  ],
};

const question = (more: object = {}) => ({
  steps: [
    { id: "ask", agent: "human", task: "choose", inputs: { of: [1, 2] }, outputs: ["choice"], ...more },
    { id: "use", agent: "worker", task: "use", dependsOn: ["ask"], inputs: { c: "${env.choice}" } },
  ],
});

const signals = {
  steps: [
    { id: "a", agent: "signal", task: "paid", outputs: ["first"] },
    { id: "b", agent: "signal", task: "paid", dependsOn: ["a"], outputs: ["second"] },
  ],
};

const waitingDeploy = () => {
  const log = new LogWriter().submit(approval);
  log.result("build", { outputs: { image: "v1" } });
  return log;
};

const replayed = (log: LogWriter): RunFold => {
  const fold = new RunFold(log.run);
  for (const record of log.records) fold.apply(record);
  return fold;
};

describe("approval", () => {
  it("a step that needs one is not given out before it has it, and the run waits meanwhile", () => {
    const log = waitingDeploy();
    expect(log.fold.status).toBe("waiting");
    expect(log.fold.waits.get("deploy")).toMatchObject({ kind: "approval", task: "deploy" });
    expect(log.fold.inputsOf("deploy")).toEqual({ image: "v1" });
    const effects = log.control("approve", { step: "deploy" });
    expect(effects).toContainEqual({ type: "offer", step: "deploy" });
    expect(log.fold.status).toBe("running");
    expect(log.transitions.at(-2)).toMatchObject({
      actor: "deploy",
      event: "approve",
      cause: "approved by ada",
    });
  });

  it("nobody closes the step before it is approved: not an agent, not a note, not a watchdog", () => {
    const log = waitingDeploy();
    log.result("deploy", { outputs: { url: "evil" } });
    log.started("deploy");
    log.decide({ type: "lost", step: "deploy", n: 1 });
    expect(log.voids.map(({ verdict }) => verdict)).toEqual(["late", "void"]);
    expect(log.states().deploy).toBe("ready");
    expect(log.fold.isOpen({ run: log.run, step: "deploy", n: 1, role: "deployer" })).toBe(false);
    expect(log.fold.dispatches.size).toBe(0);
  });

  it("only the first answer counts, and the second is told who won", () => {
    const log = waitingDeploy();
    log.control("reject", { step: "deploy", value: "not today", by: "bob" });
    log.control("approve", { step: "deploy" });
    expect(log.voids.at(-1)?.reason).toContain("step deploy was rejected by bob with not today before");
    expect(log.fold.step("deploy").context.failures.at(-1)?.error).toMatchObject({
      code: "E_REJECTED",
      message: "rejected by bob: not today",
      retryable: false,
    });
    expect(log.fold.dueEnd()?.error?.code).toBe("E_REJECTED");
  });

  it("tells the second who won also when the first answer ended the run", () => {
    const log = waitingDeploy();
    log.control("reject", { step: "deploy", value: "not today", by: "bob" });
    log.decide({ type: "end", status: "failed" });
    log.control("approve", { step: "deploy" });
    expect(log.voids.at(-1)?.reason).toContain(
      "was rejected by bob with not today before; the run is failed",
    );
    log.control("signal", { name: "deploy" });
    expect(log.voids.at(-1)?.reason).toContain("the run is failed");
  });

  it("holds over retries by policy and by people; a rejected step asks again when it is retried", () => {
    const log = waitingDeploy();
    log.control("approve", { step: "deploy" });
    const error = { name: "Error", message: "boom", retryable: true };
    log.result("deploy", { status: "failed", error });
    expect(log.fold.waits.size).toBe(0);
    const rejected = waitingDeploy();
    rejected.control("reject", { step: "deploy" });
    rejected.decide({ type: "end", status: "failed" });
    rejected.control("retry");
    expect([rejected.fold.status, rejected.fold.waits.has("deploy")]).toEqual(["waiting", true]);
  });

  it("counts while the run is paused, and gives nothing out until it goes on", () => {
    const log = waitingDeploy();
    log.control("pause");
    log.control("approve", { step: "deploy" });
    expect(log.fold.status).toBe("paused");
    log.control("resume");
    expect(log.fold.status).toBe("running");
    const waiting = waitingDeploy();
    waiting.control("pause");
    waiting.control("resume");
    expect(waiting.fold.status).toBe("waiting");
  });
});

describe("a question to people", () => {
  it("is completed by its answer: the value itself, or an object with the declared keys", () => {
    for (const value of [2, { choice: 2 }, { choice: 2, why: "smaller" }]) {
      const log = new LogWriter().submit(question());
      expect(log.fold.waits.get("ask")).toMatchObject({
        kind: "human",
        task: "choose",
      });
      expect(log.fold.inputsOf("ask")).toEqual({ of: [1, 2] });
      log.control("approve", { step: "ask", value });
      expect(log.fold.environment.values.choice).toBe(2);
      expect(log.fold.environment.entry("choice")?.writer).toEqual({ step: "ask", agent: "ada" });
      expect(log.fold.taskOf("use").inputs).toEqual({ c: 2 });
    }
  });

  it("refuses an answer that does not fit, and goes on waiting", () => {
    const log = new LogWriter().submit(question({ outputs: ["choice", "why"] }));
    log.control("approve", { step: "ask", value: { choice: 2 } });
    expect(log.voids.at(-1)?.reason).toContain("the value lacks why; it has choice");
    expect(log.fold.status).toBe("waiting");
  });

  it("may come by a handoff, too", () => {
    const log = new LogWriter().submit({ steps: [{ id: "s", agent: "worker", task: "t", outputs: ["k"] }] });
    const handoff = { role: "human", task: "decide", inputs: { sum: 9 }, reason: "too much for me" };
    log.result("s", { status: "handoff", handoff });
    expect(log.fold.waits.get("s")).toMatchObject({ kind: "human", task: "decide" });
    expect(log.fold.inputsOf("s")).toEqual({ sum: 9 });
    log.control("approve", { step: "s", value: "yes" });
    expect(log.fold.environment.values.k).toBe("yes");
  });

  it("says what it waits for when the wrong step is answered", () => {
    const log = new LogWriter().submit(question());
    log.control("approve", { step: "use" });
    log.control("approve", { step: "nope" });
    log.control("approve");
    expect(log.voids.map(({ reason }) => reason.split(": ")[1])).toEqual([
      "step use is pending and waits for no answer",
      "the run has no step nope",
      "it names no step",
    ]);
  });
});

describe("a deadline", () => {
  it("gives its default answer by a decision, and a person who comes later is told", () => {
    const log = new LogWriter().submit(question());
    log.decide({ type: "defaulted", step: "ask", n: 1, answer: "approve", value: 1, afterMs: 500 });
    expect(log.fold.environment.values.choice).toBe(1);
    log.control("approve", { step: "ask", value: 2 });
    expect(log.voids.at(-1)?.reason).toContain("was approved by its deadline with 1 before");
    expect(log.fold.environment.values.choice).toBe(1);
  });

  it("that comes after the answer is void", () => {
    const log = new LogWriter().submit(question());
    log.control("approve", { step: "ask", value: 2 });
    log.decide({ type: "defaulted", step: "ask", n: 1, answer: "approve", value: 1, afterMs: 500 });
    expect(log.voids.at(-1)?.verdict).toBe("void");
    expect(log.fold.environment.values.choice).toBe(2);
  });

  it("without a default answer times the step out", () => {
    const log = new LogWriter().submit(question());
    log.decide({ type: "timed-out", step: "ask", n: 1, code: "E_NO_ANSWER", afterMs: 500 });
    expect(log.fold.step("ask").context.outcome).toBe("timed-out");
    expect(log.fold.waits.size).toBe(0);
  });
});

describe("signals", () => {
  it("that come before their step waits are kept, and consumed in order", () => {
    const log = new LogWriter().submit({
      steps: [
        { id: "first", agent: "worker", task: "t" },
        ...signals.steps.map((s) => ({ ...s, dependsOn: ["first", ...(s.dependsOn ?? [])] })),
      ],
    });
    for (const value of [1, 2]) log.control("signal", { name: "paid", value });
    log.result("first");
    expect(log.fold.environment.values).toMatchObject({ first: 1, second: 2 });
    expect(log.fold.dueEnd()?.status).toBe("done");
  });

  it("go to the step that waits longest, one each", () => {
    const log = new LogWriter().submit({
      steps: signals.steps.map(({ dependsOn: _, ...step }) => step),
    });
    log.control("signal", { name: "paid", value: "x" });
    expect(log.states()).toEqual({ a: "done", b: "ready" });
    expect(log.fold.status).toBe("waiting");
  });

  it("with a name that no step waits for are refused with the names that exist", () => {
    const log = new LogWriter().submit(signals);
    log.control("signal", { name: "payed" });
    expect(log.voids.at(-1)?.reason).toContain(
      'no step of this run waits for a signal "payed"; it waits for paid',
    );
  });

  it("are kept up to a bound, and the one beyond it is told", () => {
    const log = new LogWriter().submit({
      steps: [
        { id: "w", agent: "worker", task: "t" },
        { id: "s", agent: "signal", task: "tick", dependsOn: ["w"] },
      ],
    });
    for (let at = 0; at <= MAX_KEPT_SIGNALS; at++) log.control("signal", { name: "tick", value: at });
    expect(log.voids).toHaveLength(1);
    expect(log.voids[0]?.reason).toContain(`${MAX_KEPT_SIGNALS} signals are kept`);
  });

  it("are not answered by people", () => {
    const log = new LogWriter().submit(signals);
    log.control("approve", { step: "a" });
    expect(log.voids.at(-1)?.reason).toContain('waits for the signal "paid"');
  });
});

it("items of a fan-out ask on their own, and the run waits while all of them do", () => {
  const log = new LogWriter().submit({
    steps: [
      {
        id: "each",
        agent: "human",
        task: "look",
        forEach: "[7, 8]",
        inputs: { at: "${item}" },
        outputs: ["seen"],
      },
    ],
  });
  expect(log.fold.status).toBe("waiting");
  expect(log.fold.inputsOf("each~1")).toEqual({ at: 8 });
  log.control("approve", { step: "each~1", value: "b" });
  expect(log.fold.status).toBe("waiting");
  for (const step of ["each~1", "each~2"]) log.control("approve", { step, value: "c" });
  expect(log.voids.map(({ reason }) => reason)).toEqual([
    "approve by ada: step each[1] was approved by ada with b before",
    "approve by ada: the run has no step each[2]",
  ]);
  log.control("approve", { step: "each~0", value: "a" });
  expect(log.fold.environment.values.seen).toEqual(["a", "b"]);
});

it("a replay of a run that waited agrees with its first folding", () => {
  const log = waitingDeploy();
  log.control("pause");
  log.control("approve", { step: "deploy" });
  log.control("resume");
  log.result("deploy", { outputs: { url: "u" } });
  const again = replayed(log);
  expect([again.status, again.environment.values]).toEqual([log.fold.status, log.fold.environment.values]);
  expect(again.dueEnd()).toEqual(log.fold.dueEnd());
});

it("a cancelled or failed run waits for nobody", () => {
  const log = new LogWriter().submit(question());
  log.control("cancel");
  expect(log.fold.status).toBe("running");
  log.decide({ type: "end", status: "cancelled" });
  expect(log.fold.waits.size).toBe(0);
  expect(log.fold.step("ask").context.outcome).toBe("cancelled");
  log.control("approve", { step: "ask" });
  expect(log.voids.at(-1)?.reason).toContain("the run is cancelled");
});
