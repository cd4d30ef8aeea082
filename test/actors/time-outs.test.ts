/**
 * Time-outs of steps and runs, on the memory bus under a virtual clock.
 * Catches: a time-out of the wrong kind or without effect, one that starts anew with every daemon, one that is
 * retried although nothing can come of it, and a running step that is taken for one that nobody took.
 */
import { describe, expect, it } from "vitest";
import { SwarmStage } from "./swarm-stage.ts";

const step = (more: object = {}) => ({ id: "a", agent: "worker", task: "work", ...more });
const failed = { status: "failed" as const, error: { name: "Error", message: "crashed", retryable: true } };

async function swarm(workflow: object, serve = true) {
  const stage = new SwarmStage();
  if (serve) await stage.serve("worker");
  const daemon = await stage.daemon();
  await stage.submit(workflow);
  return { stage, daemon };
}

function live(stage: SwarmStage, type: "started" | "progress" | "heartbeat", n = 1): void {
  stage.bus.live.publish({ type, run: "r1", step: "a", n, agent: "worker-1", role: "worker" });
}

async function errorOf(stage: SwarmStage) {
  const fold = await stage.fold();
  return [fold.status, fold.error?.code, fold.step("a").context.attempt];
}

/** Another daemon in place of the one that dies. */
async function failover({ stage, daemon }: Awaited<ReturnType<typeof swarm>>): Promise<void> {
  await daemon.bus.close();
  await stage.daemon();
  await stage.clock.advance(12_000);
}

describe("the queue time-out", () => {
  const timeouts = { queue: "30s" };

  it("ends a step that no agent took, without another attempt, and takes its task back", async () => {
    const { stage } = await swarm({ steps: [step({ timeouts })] }, false);
    await stage.clock.advance(29_000);
    expect((await stage.fold()).status).toBe("running");
    await stage.clock.advance(2_000);
    expect(await errorOf(stage)).toEqual(["failed", "E_QUEUE_TIMEOUT", 1]);
    const ref = { run: "r1", step: "a", n: 1, role: "worker" };
    expect(await stage.bus.tasks.has(ref)).toBe(false);
  });

  it("goes on counting over a failover", async () => {
    const running = await swarm({ steps: [step({ timeouts })] }, false);
    await running.stage.clock.advance(15_000);
    await failover(running);
    await running.stage.clock.advance(4_000);
    expect(await errorOf(running.stage)).toEqual(["failed", "E_QUEUE_TIMEOUT", 1]);
  });

  it("leaves a step alone that was taken while no daemon listened", async () => {
    const running = await swarm({ steps: [step({ timeouts })] }, false);
    await running.daemon.bus.close();
    await running.stage.serve("worker");
    live(running.stage, "started");
    await running.stage.daemon();
    await running.stage.clock.advance(60_000);
    expect(await errorOf(running.stage)).toEqual(["running", undefined, 1]);
    await running.stage.answer("worker");
    expect((await running.stage.fold()).status).toBe("done");
  });
});

describe("the time-out of the work", () => {
  const work = { timeouts: { run: "20s" }, retry: { maxAttempts: 2, initial: "1s", jitter: 0 } };

  it("counts from the start, not from the dispatch, and gives the step another attempt", async () => {
    const { stage } = await swarm({ steps: [step(work)] });
    await stage.clock.advance(30_000);
    live(stage, "started");
    await stage.clock.advance(19_000);
    expect((await stage.fold()).step("a").context.attempt).toBe(1);
    await stage.clock.advance(3_000);
    expect((await stage.fold()).step("a").context).toMatchObject({ attempt: 2, n: 2 });
    live(stage, "started", 2);
    await stage.clock.advance(25_000);
    expect(await errorOf(stage)).toEqual(["failed", "E_EXECUTION_TIMEOUT", 2]);
  });

  it("goes on counting over a failover, from the logged start or from finding the task taken", async () => {
    const running = await swarm({ steps: [step({ ...work, retry: { maxAttempts: 1 } })] });
    live(running.stage, "started");
    await running.stage.clock.advance(5_000);
    await failover(running);
    await running.stage.clock.advance(4_000);
    expect(await errorOf(running.stage)).toEqual(["failed", "E_EXECUTION_TIMEOUT", 1]);
    const unheard = await swarm({ steps: [step({ ...work, retry: { maxAttempts: 1 } })] });
    await failover(unheard);
    await unheard.stage.clock.advance(25_000);
    expect(await errorOf(unheard.stage)).toEqual(["failed", "E_EXECUTION_TIMEOUT", 1]);
  });
});

describe("the heartbeat", () => {
  const beat = { timeouts: { heartbeat: "10s" }, retry: { maxAttempts: 1 } };

  it("lets a step run for as long as its agent says something, and not longer", async () => {
    const { stage } = await swarm({ steps: [step(beat)] });
    live(stage, "started");
    for (let at = 0; at < 6; at++) {
      await stage.clock.advance(8_000);
      live(stage, at % 2 === 0 ? "progress" : "heartbeat");
    }
    await stage.clock.advance(8_000);
    expect((await stage.fold()).status).toBe("running");
    await stage.clock.advance(3_000);
    expect(await errorOf(stage)).toEqual(["failed", "E_HEARTBEAT_TIMEOUT", 1]);
  });

  it("starts again with the claim of another daemon, at worst", async () => {
    const running = await swarm({ steps: [step(beat)] });
    live(running.stage, "started");
    await running.stage.clock.advance(8_000);
    await failover(running);
    expect((await running.stage.fold()).status).toBe("running");
    await running.stage.clock.advance(11_000);
    expect(await errorOf(running.stage)).toEqual(["failed", "E_HEARTBEAT_TIMEOUT", 1]);
  });
});

describe("the time-out of the step", () => {
  const whole = {
    timeouts: { step: "30s" },
    retry: { maxAttempts: 9, initial: "20s", factor: 1, jitter: 0 },
  };

  it("counts over all attempts and back-offs, and is final", async () => {
    const running = await swarm({ steps: [step(whole)] });
    await running.stage.clock.advance(5_000);
    await running.stage.answer("worker", failed);
    await failover(running);
    expect((await running.stage.fold()).step("a").context.attempt).toBe(2);
    await running.stage.clock.advance(14_000);
    expect(await errorOf(running.stage)).toEqual(["failed", "E_STEP_TIMEOUT", 2]);
  });

  it("counts anew when a person retries the step", async () => {
    const { stage } = await swarm({ steps: [step(whole)] });
    await stage.clock.advance(31_000);
    expect(await errorOf(stage)).toEqual(["failed", "E_STEP_TIMEOUT", 1]);
    await stage.bus.log.append("r1", { kind: "control", body: { v: 1, verb: "retry", by: "ada" } });
    await stage.clock.advance(20_000);
    expect((await stage.fold()).status).toBe("running");
    await stage.clock.advance(11_000);
    expect(await errorOf(stage)).toEqual(["failed", "E_STEP_TIMEOUT", 1]);
  });

  it("is of no matter once the step is done", async () => {
    const { stage } = await swarm({ steps: [step(whole), step({ id: "b", dependsOn: ["a"] })] });
    await stage.answer("worker");
    await stage.clock.advance(60_000);
    expect((await stage.fold()).status).toBe("running");
  });
});

it("a run's time-out counts from the retry that opened the run again", async () => {
  const { stage } = await swarm({ timeout: "60s", steps: [step({ retry: { maxAttempts: 1 } })] });
  await stage.clock.advance(50_000);
  await stage.answer("worker", failed);
  expect((await stage.fold()).status).toBe("failed");
  await stage.clock.advance(50_000);
  await stage.bus.log.append("r1", { kind: "control", body: { v: 1, verb: "retry", by: "ada" } });
  await stage.clock.advance(50_000);
  expect((await stage.fold()).status).toBe("running");
  await stage.clock.advance(11_000);
  expect(await errorOf(stage)).toEqual(["failed", "E_RUN_TIMEOUT", 1]);
});
