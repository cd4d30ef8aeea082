/**
 * Orchestrator agents and their holds, on the memory bus under a virtual clock.
 * Catches: a run that stops when its daemon dies, two daemons that both act, more work out than allowed, a
 * time-out or a back-off that is not kept, a lost task that hangs its run, watchers that are not told.
 */
import { describe, expect, it } from "vitest";
import { HOLD_LIMITS } from "../../src/actors/hold-context.ts";
import type { TaskDelivery } from "../../src/bus/bus.ts";
import type { EnvChangeMessage, HandoffHopMessage } from "../../src/bus/messages.ts";
import { UnreachableError } from "../../src/workflow/errors.ts";
import { SwarmStage } from "./swarm-stage.ts";

const step = (id: string, more: Record<string, unknown> = {}) => ({
  id,
  agent: "worker",
  task: "work",
  ...more,
});
const failed = (retryable: boolean) => ({
  status: "failed" as const,
  error: { name: "Error", message: "crashed", retryable },
});

describe("one daemon", () => {
  it("runs a graph to its end and removes the run's task", async () => {
    const stage = new SwarmStage();
    await stage.serve("worker");
    const { agent } = await stage.daemon();
    await stage.submit({ steps: [step("a"), step("b", { dependsOn: ["a"] })] });
    expect(stage.inHand("worker")).toEqual(["a#1"]);
    await stage.answer("worker");
    expect(stage.inHand("worker")).toEqual(["b#1"]);
    await stage.answer("worker");
    expect((await stage.fold()).status).toBe("done");
    expect(agent.runs).toEqual([]);
    expect(await stage.bus.runs.push("r1")).toBe("queued");
  });

  it("never has more out than maxParallel, and gives out the longest remaining path first", async () => {
    const stage = new SwarmStage();
    await stage.serve("worker");
    await stage.daemon();
    const steps = [
      step("leaf"),
      step("head"),
      step("tail", { dependsOn: ["head"] }),
      step("urgent", { priority: 9 }),
    ];
    await stage.submit({ maxParallel: 2, steps });
    expect(stage.inHand("worker")).toEqual(["urgent#1", "head#1"]);
    await stage.answer("worker");
    expect(stage.inHand("worker")).toEqual(["head#1", "leaf#1"]);
  });

  it("gives a failed step out again after its back-off, not before", async () => {
    const stage = new SwarmStage();
    await stage.serve("worker");
    await stage.daemon();
    await stage.submit({ steps: [step("a", { retry: { initial: "10s", jitter: 0 } })] });
    await stage.answer("worker", failed(true));
    await stage.clock.advance(9_000);
    expect(stage.inHand("worker")).toEqual([]);
    await stage.clock.advance(1_500);
    expect(stage.inHand("worker")).toEqual(["a#2"]);
  });

  it("a step whose role is absent times out, and the run says so", async () => {
    const stage = new SwarmStage();
    await stage.daemon();
    await stage.submit({ steps: [step("a", { timeout: "30s" })] });
    await stage.clock.advance(29_000);
    expect((await stage.fold()).status).toBe("running");
    await stage.clock.advance(2_000);
    const fold = await stage.fold();
    expect(fold).toMatchObject({ status: "failed", error: { code: "E_TIMEOUT", step: "a" } });
    expect(fold.step("a").context.outcome).toBe("timed-out");
  });

  it("the run's own time-out ends it, whatever its steps do", async () => {
    const stage = new SwarmStage();
    await stage.serve("worker");
    await stage.daemon();
    await stage.submit({ timeout: "1m", steps: [step("a")] });
    await stage.clock.advance(61_000 + HOLD_LIMITS.cancelWaitMs);
    expect(await stage.fold()).toMatchObject({ status: "failed", error: { code: "E_RUN_TIMEOUT" } });
  });

  it("a task that vanished without a result is given out again as a new dispatch", async () => {
    const stage = new SwarmStage();
    await stage.serve("worker");
    await stage.daemon();
    await stage.submit({ steps: [step("a")] });
    stage.taken.get("worker")?.pop()?.ack();
    await stage.clock.advance(2 * HOLD_LIMITS.watchdogMs + 1_000);
    expect(stage.inHand("worker")).toEqual(["a#2"]);
    expect((await stage.fold()).step("a").context).toMatchObject({ n: 2, attempt: 1 });
  });

  it("a task that vanishes again and again is not given out for ever: its step fails", async () => {
    const stage = new SwarmStage();
    await stage.serve("worker");
    await stage.daemon();
    await stage.submit({ steps: [step("a")] });
    for (let n = 1; n <= HOLD_LIMITS.lostInARow + 1; n++) {
      expect(stage.inHand("worker")).toEqual([`a#${n}`]);
      stage.taken.get("worker")?.pop()?.ack();
      await stage.clock.advance(2 * HOLD_LIMITS.watchdogMs + 1_000);
    }
    const fold = await stage.fold();
    expect(fold.status).toBe("failed");
    expect(fold.error).toMatchObject({ code: "E_LOST", message: expect.stringContaining("6 times") });
  });

  it("a word of an agent in between gives a vanishing task all its chances again", async () => {
    const stage = new SwarmStage();
    await stage.serve("worker");
    await stage.daemon();
    await stage.submit({ steps: [step("a", { retry: { maxAttempts: 2, initial: "1s" } })] });
    const vanish = async (times: number): Promise<void> => {
      for (; times > 0; times--) {
        stage.taken.get("worker")?.pop()?.ack();
        await stage.clock.advance(2 * HOLD_LIMITS.watchdogMs + 1_000);
      }
    };
    await vanish(HOLD_LIMITS.lostInARow);
    await stage.answer("worker", failed(true));
    await stage.clock.advance(2_000);
    await vanish(HOLD_LIMITS.lostInARow);
    await stage.answer("worker");
    expect((await stage.fold()).status).toBe("done");
  });

  it("a cancelled run takes back what is queued", async () => {
    const stage = new SwarmStage();
    await stage.bus.tasks.ensureRole({ role: "worker" });
    await stage.daemon();
    await stage.submit({ steps: [step("a"), step("b", { dependsOn: ["a"] })] });
    expect((await stage.bus.tasks.roles())[0]?.queued).toBe(1);
    await stage.bus.log.append("r1", { kind: "control", body: { v: 1, verb: "cancel", by: "ada" } });
    await stage.clock.advance(HOLD_LIMITS.cancelWaitMs);
    expect((await stage.fold()).status).toBe("cancelled");
    expect((await stage.bus.tasks.roles())[0]?.queued).toBe(0);
  });

  it("a paused run gives nothing out until it is resumed", async () => {
    const stage = new SwarmStage();
    await stage.serve("worker");
    await stage.daemon();
    await stage.submit({ steps: [step("a"), step("b", { dependsOn: ["a"] })] });
    const control = (verb: "pause" | "resume") =>
      stage.bus.log.append("r1", { kind: "control", body: { v: 1, verb, by: "ada" } });
    await control("pause");
    await stage.answer("worker");
    expect(stage.inHand("worker")).toEqual([]);
    await control("resume");
    await stage.clock.advance(0);
    expect(stage.inHand("worker")).toEqual(["b#1"]);
  });

  it("a task whose push got no answer before the run was paused keeps its place", async () => {
    const stage = new SwarmStage();
    await stage.serve("worker");
    const { tasks } = (await stage.daemon()).bus;
    const push = tasks.push.bind(tasks);
    let unanswered = 1;
    tasks.push = async (task) => {
      const pushed = await push(task);
      if (unanswered-- > 0) throw new UnreachableError("E_TIMEOUT", "no answer");
      return pushed;
    };
    // What is approved meanwhile has the longer path behind it, and would be the next.
    const steps = [step("a"), step("b", { approval: true }), step("c", { dependsOn: ["b"] })];
    await stage.submit({ maxParallel: 1, steps });
    const control = (body: { verb: "pause" | "resume" | "approve"; step?: string }) =>
      stage.bus.log.append("r1", { kind: "control", body: { v: 1, by: "ada", ...body } });
    await control({ verb: "pause" });
    await control({ verb: "approve", step: "b" });
    // The push is given up, and the run not yet put away.
    await stage.clock.advance(HOLD_LIMITS.retryMs + 100);
    await control({ verb: "resume" });
    await stage.clock.advance(2_000);
    expect(stage.inHand("worker")).toEqual(["a#1"]);
    await stage.answer("worker");
    expect(stage.inHand("worker")).toEqual(["b#1"]);
  });

  it("a person's retry of a failed run is heard although nobody held it any more", async () => {
    const stage = new SwarmStage();
    await stage.serve("worker");
    await stage.daemon();
    await stage.submit({ steps: [step("a"), step("b", { dependsOn: ["a"] })] });
    await stage.answer("worker", failed(false));
    expect((await stage.fold()).status).toBe("failed");
    await stage.bus.log.append("r1", { kind: "control", body: { v: 1, verb: "retry", by: "ada" } });
    await stage.clock.advance(1_000);
    await stage.answer("worker");
    await stage.answer("worker");
    expect((await stage.fold()).status).toBe("done");
  });

  it("an invalid submission ends failed, with its first code", async () => {
    const stage = new SwarmStage();
    await stage.daemon();
    await stage.submit({ steps: [step("a", { dependsOn: ["nowhere"] })] });
    expect(await stage.fold()).toMatchObject({ status: "failed", error: { code: "E_UNKNOWN_DEPENDENCY" } });
  });

  it("inputs that can never be sent fail their step instead of blocking the run", async () => {
    const stage = new SwarmStage();
    await stage.serve("worker");
    const { bus } = await stage.daemon();
    bus.artifacts.put = () => Promise.reject(Object.assign(new Error("no room"), { name: "FullError" }));
    await stage.submit({
      steps: [step("a", { inputs: { text: "x".repeat(400_000) }, retry: { maxAttempts: 1 } })],
    });
    const fold = await stage.fold();
    expect(fold.status).toBe("failed");
    expect(fold.error?.message).toContain("no room");
  });
});

describe("what watchers are told", () => {
  it("every environment change with its revision and writer, and every hand-over with its reason", async () => {
    const stage = new SwarmStage();
    await stage.serve("worker");
    await stage.serve("expert");
    await stage.daemon();
    const changes: EnvChangeMessage[] = [];
    const hops: HandoffHopMessage[] = [];
    stage.bus.live.onEnv(undefined, (change) => changes.push(change));
    stage.bus.live.onHandoff(undefined, (hop) => hops.push(hop));
    await stage.submit({ steps: [step("a", { outputs: ["x"] }), step("b", { dependsOn: ["a"] })] });
    await stage.answer("worker", { outputs: { x: 5 } });
    const handoff = { role: "expert", task: "look", inputs: {}, reason: "too hard" };
    await stage.answer("worker", { status: "handoff", handoff });
    const fold = await stage.fold();
    const revision = fold.environment.entry("x")?.revision;
    expect(changes).toMatchObject([
      { key: "x", value: 5, revision, writer: { step: "a", agent: "worker-1" } },
    ]);
    expect(hops).toMatchObject([
      {
        kind: "flow",
        step: "b",
        from: [{ step: "a", role: "worker" }],
        to: { role: "worker" },
        reason: "a done",
      },
      {
        kind: "handoff",
        step: "b",
        from: [{ step: "b", role: "worker" }],
        to: { role: "expert" },
        reason: "too hard",
      },
    ]);
  });

  it("an agent's question is answered by the holder, and from the log where nobody holds the run", async () => {
    const stage = new SwarmStage();
    await stage.serve("worker");
    await stage.daemon();
    await stage.submit({ steps: [step("a", { outputs: ["x"] })] });
    const ref = { run: "r1", step: "a", n: 1, role: "worker" };
    expect(await stage.bus.live.ask(ref, { q: "open" }, 1_000)).toEqual({ open: true });
    await stage.answer("worker", { outputs: { x: 1 } });
    const late = stage.bus.live.ask(ref, { q: "open" }, 1_000);
    await stage.clock.advance(500);
    expect(await late).toEqual({ open: false });
    const one = stage.bus.live.ask(ref, { q: "env", key: "x" }, 1_000);
    const none = stage.bus.live.ask(ref, { q: "env", key: "y" }, 1_000);
    await stage.clock.advance(500);
    expect(await one).toMatchObject({ values: { x: 1 } });
    expect(await none).toEqual({ values: {}, revision: 0 });
  });
});

describe("two daemons", () => {
  it("when one dies its run goes on at the other, and the task that is out is not given out twice", async () => {
    const stage = new SwarmStage();
    await stage.serve("worker");
    const first = await stage.daemon();
    await stage.submit({ steps: [step("a"), step("b", { dependsOn: ["a"] })] });
    await stage.clock.advance(200);
    expect(first.agent.runs).toEqual(["r1"]);
    const second = await stage.daemon();
    await first.bus.close();
    await stage.clock.advance(15_000);
    expect(second.agent.runs).toEqual(["r1"]);
    expect(await stage.fold()).toMatchObject({ epoch: 2, holder: "daemon-2" });
    expect(stage.inHand("worker")).toEqual(["a#1"]);
    await stage.answer("worker", { step: "a" });
    await stage.answer("worker", { step: "b" });
    const fold = await stage.fold();
    expect(fold.status).toBe("done");
    expect(fold.step("a").context.n).toBe(1);
  });

  it("what the dead one gave out and had no time to note is not given out beside", async () => {
    const stage = new SwarmStage();
    await stage.serve("worker");
    const first = await stage.daemon();
    await stage.submit({ maxParallel: 2, steps: ["a", "b", "c", "d"].map((id) => step(id)) });
    expect(stage.inHand("worker")).toEqual(["a#1", "b#1"]);
    // Before the note of them is written.
    await first.bus.close();
    expect([...(await stage.fold()).dispatches.keys()]).toEqual([]);
    await stage.daemon();
    await stage.answer("worker", { step: "a" });
    await stage.clock.advance(15_000);
    expect(stage.inHand("worker")).toEqual(["b#1", "c#1"]);
    expect([...(await stage.fold()).dispatches.keys()].sort()).toEqual(["b", "c"]);
  });

  it("a daemon that is stopped hands its runs over at once", async () => {
    const stage = new SwarmStage();
    await stage.serve("worker");
    const first = await stage.daemon();
    await stage.submit({ steps: [step("a")] });
    const second = await stage.daemon();
    await first.agent.stop();
    await stage.clock.advance(100);
    expect(second.agent.runs).toEqual(["r1"]);
  });

  it("a holder that was replaced leaves the run's task with its successor", async () => {
    const stage = new SwarmStage();
    await stage.serve("worker");
    await stage.daemon();
    await stage.submit({ steps: [step("a")] });
    const second = await stage.daemon();
    await stage.bus.runs.reclaim();
    await stage.clock.advance(0);
    expect(second.agent.runs).toEqual(["r1"]);
    // Given back, it would be taken from the successor, who would give it back in turn, and so on.
    await stage.clock.advance(60_000);
    expect((await stage.fold()).epoch).toBe(2);
    await stage.answer("worker");
    expect((await stage.fold()).status).toBe("done");
  });

  it("a holder whose lease ran out reads the log before it gives anything out", async () => {
    const stage = new SwarmStage();
    await stage.serve("worker");
    await stage.daemon();
    await stage.submit({ steps: [step("a"), step("b", { dependsOn: ["a"] })] });
    // While the process slept a result came, and then another's claim; of the claim it has not heard yet.
    stage.lost = (subject) => subject.endsWith(".decision");
    stage.sleptMs = 20_000;
    const [delivery] = stage.taken.get("worker") ?? [];
    const reported = stage.report(delivery as TaskDelivery, "worker");
    const claim = { type: "claim", holder: "other", v: 1, id: "x", epoch: 2, at: 0 } as const;
    await Promise.all([reported, stage.bus.log.append("r1", { kind: "decision", body: claim })]);
    expect(stage.inHand("worker")).toEqual(["a#1"]);
  });

  it("a holder that was replaced stops acting and lets go", async () => {
    const stage = new SwarmStage();
    await stage.serve("worker");
    const first = await stage.daemon();
    await stage.submit({ steps: [step("a"), step("b", { dependsOn: ["a"] })] });
    const { lastDecisionSeq } = await stage.fold();
    const body = { v: 1, id: "x", epoch: 2, at: 0, type: "claim", holder: "other" } as const;
    await stage.bus.log.append("r1", { kind: "decision", body }, { expectLast: lastDecisionSeq });
    await stage.clock.advance(0);
    expect(first.agent.runs).toEqual([]);
    await stage.answer("worker");
    expect(stage.inHand("worker")).toEqual([]);
  });
});

describe("a log that comes out of order", () => {
  it("is folded anew, and the run goes on", async () => {
    const stage = new SwarmStage();
    await stage.serve("worker");
    const { agent, bus } = await stage.daemon();
    const follow = bus.log.follow.bind(bus.log);
    let disorder: ((missedSeq: number) => void) | undefined;
    bus.log.follow = (run, onRecord, options) => {
      disorder = options?.onDisorder;
      return follow(run, onRecord, options);
    };
    await stage.submit({ steps: [step("a")] });
    disorder?.(1);
    await stage.clock.advance(2_000);
    expect(agent.runs).toEqual(["r1"]);
    expect((await stage.fold()).epoch).toBe(2);
    await stage.answer("worker");
    expect((await stage.fold()).status).toBe("done");
  });
});

it("a step that was reopened while its run was cleared away waits for its back-off", async () => {
  const stage = new SwarmStage();
  await stage.serve("worker");
  const { bus } = await stage.daemon();
  bus.tasks.removeRun = async (run) => {
    await stage.bus.log.append(run, { kind: "control", body: { v: 1, verb: "retry", by: "ada" } });
    return 0;
  };
  const steps = [step("a", { priority: 1 }), step("b", { retry: { initial: "10s", jitter: 0 } })];
  await stage.submit({ maxParallel: 1, steps });
  await stage.answer("worker", { step: "a", ...failed(false) });
  await stage.clock.advance(2_000);
  await stage.answer("worker", { step: "a" });
  await stage.answer("worker", { step: "b", ...failed(true) });
  await stage.clock.advance(9_000);
  expect(stage.inHand("worker")).toEqual([]);
  await stage.clock.advance(2_000);
  expect(stage.inHand("worker")).toEqual(["b#3"]);
});

it("a run that another holder ended while it was being claimed is let go", async () => {
  const stage = new SwarmStage();
  const { agent, bus } = await stage.daemon();
  const append = bus.log.append.bind(bus.log);
  const base = { v: 1, id: "x", epoch: 1, at: 0 } as const;
  let rival = true;
  bus.log.append = async (run, entry, options) => {
    if (rival) {
      rival = false;
      await stage.bus.log.append(run, { kind: "control", body: { v: 1, verb: "cancel", by: "ada" } });
      await stage.bus.log.append(run, {
        kind: "decision",
        body: { ...base, type: "claim", holder: "other" },
      });
      await stage.bus.log.append(run, {
        kind: "decision",
        body: { ...base, type: "end", status: "cancelled" },
      });
    }
    return append(run, entry, options);
  };
  await stage.submit({ steps: [step("a")] });
  await stage.clock.advance(2_000);
  expect((await stage.fold()).status).toBe("cancelled");
  expect(agent.runs).toEqual([]);
});

describe("a log that was not heard whole", () => {
  it("an unreadable message among the decisions does not stop the run", async () => {
    const stage = new SwarmStage();
    await stage.serve("worker");
    await stage.daemon();
    await stage.submit({ steps: [step("a")] });
    stage.broker.inject("dh.main.run.r1.decision", new Uint8Array([1, 2, 3]));
    await stage.answer("worker");
    await stage.clock.advance(1_000);
    expect((await stage.fold()).status).toBe("done");
  });

  it("a person's word whose live copy was lost is found although nothing is out", async () => {
    const stage = new SwarmStage();
    await stage.serve("worker");
    await stage.daemon();
    const control = (verb: "pause" | "resume") =>
      stage.bus.log.append("r1", { kind: "control", body: { v: 1, verb, by: "ada" } });
    await stage.submit({ steps: [step("a"), step("b", { dependsOn: ["a"] })] });
    await control("pause");
    await stage.answer("worker");
    stage.lost = (subject) => subject.endsWith(".control");
    await control("resume");
    await stage.clock.advance(3 * HOLD_LIMITS.silenceMs);
    expect(stage.inHand("worker")).toEqual(["b#1"]);
  });

  it("a result whose live copy was lost is found before its time-out is decided", async () => {
    const stage = new SwarmStage();
    await stage.serve("worker");
    await stage.daemon();
    await stage.submit({ steps: [step("a", { timeout: "2s" })] });
    stage.lost = (subject) => subject.includes(".result.");
    await stage.answer("worker");
    await stage.clock.advance(3_000);
    const fold = await stage.fold();
    expect(fold).toMatchObject({ status: "done" });
    expect(fold.step("a").context.n).toBe(1);
  });

  it("a daemon that was replaced does not call closed what its successor opened", async () => {
    const stage = new SwarmStage();
    await stage.serve("worker");
    await stage.daemon();
    await stage.submit({ steps: [step("a", { retry: { initial: "1ms" } })] });
    stage.lost = () => true;
    await stage.report(stage.taken.get("worker")?.[0] as never, "worker", failed(true));
    const late = stage.bus.live.ask({ run: "r1", step: "a", n: 2, role: "worker" }, { q: "open" }, 1_000);
    await stage.clock.advance(500);
    expect(await late).toEqual({ open: true });
  });
});
