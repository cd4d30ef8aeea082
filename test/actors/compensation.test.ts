/**
 * Undoing, by daemons that die while they do.
 * Catches: an undoing step that is left out or done twice by a successor, a run that never ends, one that
 * begins to undo while a step of it is still at work.
 */
import { expect, it } from "vitest";
import { HOLD_LIMITS } from "../../src/actors/hold-context.ts";
import { connectSwarm } from "../../src/client/connect.ts";
import { SwarmStage } from "./swarm-stage.ts";

const step = (id: string, more: Record<string, unknown> = {}) => ({
  id,
  agent: "worker",
  task: id,
  outputs: [id],
  ...more,
});
const saga = {
  steps: [
    step("a", { compensate: "undo" }),
    step("b", { dependsOn: ["a"], compensate: "undo" }),
    step("c", { dependsOn: ["b"] }),
  ],
};
const failure = { status: "failed" as const, error: { name: "Error", message: "no", retryable: false } };

async function failedSaga(stage: SwarmStage): Promise<void> {
  await stage.submit(saga);
  await stage.answer("worker", { outputs: { a: 1 } });
  await stage.answer("worker", { outputs: { b: 2 } });
  await stage.answer("worker", failure);
  await stage.clock.advance(HOLD_LIMITS.cancelWaitMs);
}

it("a failed run is undone and then ends, and a rerun from a step does again what was undone", async () => {
  const stage = new SwarmStage();
  await stage.serve("worker");
  await stage.daemon();
  await failedSaga(stage);
  expect(stage.inHand("worker")).toEqual(["b~undo#1"]);
  await stage.answer("worker");
  expect(stage.inHand("worker")).toEqual(["a~undo#1"]);
  await stage.answer("worker", failure);
  const client = await connectSwarm({ bus: stage.bus, by: "ada" });
  const view = await client.show("r1");
  expect(view).toMatchObject({ status: "failed", error: { step: "c", message: "no" } });
  expect(view.compensations).toMatchObject([
    { step: "b~undo", outcome: "completed" },
    { step: "a~undo", outcome: "failed", error: { message: "no" } },
  ]);
  expect((await client.rerun("r1", { from: "c", run: "r2" })).kept).toEqual([]);
});

it("a successor goes on undoing where its predecessor was killed", async () => {
  const stage = new SwarmStage();
  await stage.serve("worker");
  const first = await stage.daemon();
  await failedSaga(stage);
  await stage.clock.advance(500);
  await stage.daemon();
  await first.bus.close();
  await stage.clock.advance(15_000);
  expect(stage.inHand("worker")).toEqual(["b~undo#1"]);
  await stage.answer("worker");
  await stage.answer("worker");
  const fold = await stage.fold();
  expect(fold.status).toBe("failed");
  expect(fold.compensations.map(({ id }) => fold.step(id).context.n)).toEqual([1, 1]);
});

it("a cancelled run stops what is out before it undoes what is done", async () => {
  const stage = new SwarmStage();
  await stage.serve("worker");
  await stage.daemon();
  await stage.submit(saga);
  await stage.answer("worker", { outputs: { a: 1 } });
  let stop: (stopped: boolean) => void = () => {};
  stage.bus.live.onCancel("worker", () => new Promise((resolve) => (stop = resolve)));
  stage.bus.live.publish({ type: "started", run: "r1", step: "b", n: 1, agent: "w", role: "worker" });
  await stage.clock.advance(500);
  await stage.bus.log.append("r1", { kind: "control", body: { v: 1, verb: "cancel", by: "ada" } });
  await stage.clock.advance(HOLD_LIMITS.cancelWaitMs - 2_000);
  expect(stage.inHand("worker")).toEqual(["b#1"]);
  stop(true);
  await stage.clock.advance(100);
  stage.taken.get("worker")?.shift();
  expect(stage.inHand("worker")).toEqual(["a~undo#1"]);
  await stage.answer("worker");
  expect((await stage.fold()).status).toBe("cancelled");
});
