/**
 * Cancelling runs and steps, on the memory bus under a virtual clock.
 * Catches: an agent that is not told, a cancelled run that tries its steps again or recovers them, a step that
 * is left out or in the queue, and a caller who does not learn what came of it.
 */
import { describe, expect, it } from "vitest";
import { HOLD_LIMITS } from "../../src/actors/hold-context.ts";
import type { DispatchRef } from "../../src/bus/messages.ts";
import { SwarmStage } from "./swarm-stage.ts";

const step = (id: string, more: object = {}) => ({ id, agent: "worker", task: "work", ...more });
const stopped = {
  status: "failed" as const,
  error: { name: "AbortError", message: "cancelled", code: "E_CANCELLED", retryable: false },
};

async function say(
  stage: SwarmStage,
  verb: "cancel" | "retry" | "approve",
  more: object = {},
): Promise<void> {
  await stage.bus.log.append("r1", { kind: "control", body: { v: 1, verb, by: "ada", ...more } });
  await stage.clock.advance(10);
}

/** An agent that answers every cancel as told, and a swarm with the steps. */
async function swarm(steps: unknown[], obey: (ref: DispatchRef) => Promise<boolean>) {
  const stage = new SwarmStage();
  await stage.serve("worker", 1);
  const told: string[] = [];
  stage.bus.live.onCancel("worker", (ref) => {
    const isHere = stage.inHand("worker").includes(`${ref.step}#${ref.n}`);
    if (!isHere) return undefined;
    told.push(`${ref.step}#${ref.n}`);
    return obey(ref);
  });
  await stage.daemon();
  await stage.submit({ steps });
  await stage.clock.advance(200);
  return { stage, told };
}

const outcomes = async (stage: SwarmStage) => {
  const fold = await stage.fold();
  return Object.fromEntries(
    [...(fold.graph?.steps() ?? [])].map(({ id }) => [id, fold.step(id).context.outcome]),
  );
};

describe("a run that is cancelled", () => {
  it("tells the agent that runs, takes out what is queued, and says in the log which was which", async () => {
    const { stage, told } = await swarm(
      [step("a"), step("b"), step("c", { dependsOn: ["a"] })],
      async () => true,
    );
    await say(stage, "cancel");
    expect(told).toEqual(["a#1"]);
    const fold = await stage.fold();
    expect(fold.status).toBe("cancelled");
    expect(Object.fromEntries(fold.stopped)).toEqual({ a: "stopped", b: "removed" });
    expect(await outcomes(stage)).toEqual({ a: "cancelled", b: "cancelled", c: "cancelled" });
  });

  it("gives up an agent that does not answer, after the bound and not before", async () => {
    const { stage } = await swarm([step("a")], () => new Promise(() => {}));
    await say(stage, "cancel");
    await stage.clock.advance(HOLD_LIMITS.cancelWaitMs - 1_000);
    expect((await stage.fold()).ended).toBe(false);
    await stage.clock.advance(2_000);
    const fold = await stage.fold();
    expect([fold.status, fold.stopped.get("a")]).toEqual(["cancelled", "given-up"]);
  });

  it("keeps its steps cancelled when the agents' word comes before the end, and recovers none of them", async () => {
    const steps = [step("a", { onFailure: "continue" }), step("b", { dependsOn: ["a"] })];
    const { stage } = await swarm(steps, async () => {
      await stage.answer("worker", stopped);
      return true;
    });
    await say(stage, "cancel");
    expect(await outcomes(stage)).toEqual({ a: "cancelled", b: "cancelled" });
    expect((await stage.fold()).stopped.get("a")).toBe("stopped");
  });

  it("takes a result that comes in time for what it is", async () => {
    const { stage } = await swarm([step("a"), step("b", { dependsOn: ["a"] })], async () => {
      await stage.answer("worker");
      return true;
    });
    await say(stage, "cancel");
    expect(await outcomes(stage)).toEqual({ a: "completed", b: "cancelled" });
    expect((await stage.fold()).status).toBe("cancelled");
  });
});

describe("a step that is cancelled", () => {
  it("is stopped and fails the run, as its onFailure says by default; a retry does it again", async () => {
    const { stage, told } = await swarm([step("a"), step("b", { dependsOn: ["a"] })], async () => {
      await stage.answer("worker", stopped);
      return true;
    });
    await say(stage, "cancel", { step: "a", value: "wrong file" });
    expect(told).toEqual(["a#1"]);
    const fold = await stage.fold();
    expect([fold.status, fold.error?.code, fold.error?.message]).toEqual([
      "failed",
      "E_CANCELLED",
      "cancelled by ada: wrong file",
    ]);
    expect(await outcomes(stage)).toMatchObject({ a: "cancelled", b: null });
    await say(stage, "retry");
    expect(stage.inHand("worker")).toEqual(["a#2"]);
  });

  it("is completed by outputs that come before it is closed, and by none that come after", async () => {
    const outputs = { k: 1 };
    const inTime = await swarm([step("a", { outputs: ["k"] })], async () => {
      await inTime.stage.answer("worker", { outputs });
      return true;
    });
    await say(inTime.stage, "cancel", { step: "a" });
    expect(await outcomes(inTime.stage)).toEqual({ a: "completed" });
    expect((await inTime.stage.fold()).status).toBe("done");

    const late = await swarm([step("a", { outputs: ["k"] })], async () => true);
    await say(late.stage, "cancel", { step: "a" });
    const [delivery] = late.stage.taken.get("worker") ?? [];
    if (delivery === undefined) throw new Error("no task");
    await late.stage.report(delivery, "worker", { outputs });
    const fold = await late.stage.fold();
    expect([fold.status, fold.environment.has("k")]).toEqual(["failed", false]);
    expect(await outcomes(late.stage)).toEqual({ a: "cancelled" });
  });

  it("lets the run go on where its failure is allowed, and touches no other step", async () => {
    const steps = [
      step("a", { priority: 5 }),
      step("b", { onFailure: "continue", outputs: ["k"] }),
      step("c", { dependsOn: ["b"] }),
    ];
    const { stage, told } = await swarm(steps, async () => true);
    await say(stage, "cancel", { step: "b" });
    expect(told).toEqual([]);
    expect(await outcomes(stage)).toMatchObject({ a: null, b: "cancelled", c: null });
    expect((await stage.fold()).stopped.get("b")).toBe("removed");
    await stage.answer("worker");
    await stage.answer("worker");
    expect((await stage.fold()).status).toBe("done");
  });

  it("before its turn comes never starts, and one that waits for a person stops waiting", async () => {
    const steps = [
      step("a"),
      step("b", { dependsOn: ["a"], onFailure: "continue" }),
      step("c", { dependsOn: ["b"] }),
    ];
    const { stage } = await swarm(steps, async () => true);
    await say(stage, "cancel", { step: "b" });
    await stage.answer("worker");
    await stage.clock.advance(100);
    expect(stage.inHand("worker")).toEqual(["c#1"]);
    expect(await outcomes(stage)).toMatchObject({ a: "completed", b: "cancelled" });
    const asked = await swarm([step("q", { agent: "human" })], async () => true);
    await say(asked.stage, "cancel", { step: "q" });
    expect((await asked.stage.fold()).error?.code).toBe("E_CANCELLED");
  });

  it("is stopped by the next daemon when the one that was told dies", async () => {
    const { stage } = await swarm([step("a")], () => new Promise(() => {}));
    await stage.bus.log.append("r1", {
      kind: "control",
      body: { v: 1, verb: "cancel", step: "a", by: "ada" },
    });
    await stage.daemons[0]?.bus.close();
    await stage.daemon();
    await stage.clock.advance(30_000);
    expect(await outcomes(stage)).toEqual({ a: "cancelled" });
  });

  it("that is done, or does not exist, is refused", async () => {
    const { stage } = await swarm([step("a"), step("b")], async () => true);
    await stage.answer("worker");
    await say(stage, "cancel", { step: "a" });
    await say(stage, "cancel", { step: "zz" });
    expect(await outcomes(stage)).toEqual({ a: "completed", b: null });
  });
});
