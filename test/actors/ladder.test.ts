/**
 * The ladder that a failed step climbs: retry, another way, fallback, a person, failure with compensation.
 * Would catch: a rung that is left out or climbed twice, a person who is not asked or whose word changes nothing, a
 * question that is lost with its daemon or that nobody's silence ends, and a run that fails without undoing.
 */
import { describe, expect, it } from "vitest";
import { waitViewOf } from "../../src/fold/wait-view.ts";
import type { Capability } from "../../src/workflow/capability.ts";
import { WorkflowGraph } from "../../src/workflow/graph.ts";
import { SwarmStage } from "./swarm-stage.ts";

type Task = Partial<Capability> & { name: string };

async function stageWith(roles: Record<string, Task[]>): Promise<SwarmStage> {
  const stage = new SwarmStage();
  for (const [role, tasks] of Object.entries(roles)) {
    await stage.join(role, tasks);
  }
  await stage.daemon();
  return stage;
}

async function say(stage: SwarmStage, verb: "approve" | "reject" | "retry", value?: unknown): Promise<void> {
  const body = { v: 1 as const, verb, step: "pay", by: "ada", ...(value !== undefined && { value }) };
  await stage.bus.log.append("r1", { kind: "control", body });
  await stage.clock.advance(2_000);
}

const FINAL = { name: "Error", message: "the bank is closed", retryable: false };
const MAY_HELP = { ...FINAL, retryable: true };

const PAYMENT = {
  steps: [
    {
      id: "reserve",
      agent: "stock",
      task: "reserve",
      outputs: ["item"],
      compensate: { agent: "stock", task: "release" },
    },
    {
      id: "pay",
      agent: "bank",
      task: "pay",
      dependsOn: ["reserve"],
      outputs: ["receipt"],
      onFailure: "recover",
      ask: { after: "1h" },
    },
    { id: "send", agent: "stock", task: "send", dependsOn: ["pay"], inputs: { receipt: "${env.receipt}" } },
  ],
};
const SHOP = { stock: [{ name: "reserve" }, { name: "send" }], bank: [{ name: "pay" }] };

async function asked(workflow: object = PAYMENT): Promise<SwarmStage> {
  const stage = await stageWith(SHOP);
  await stage.submit(workflow);
  await stage.answer("stock", { outputs: { item: 1 } });
  await stage.answer("bank", { status: "failed", error: FINAL });
  return stage;
}

it("every rung is climbed in its order, and what was tried is told", async () => {
  const stage = await stageWith({
    best: [{ name: "pay", gives: ["x"] }],
    other: [{ name: "borrow", gives: ["x"], cost: 5 }],
    end: [{ name: "tell", needs: ["x"], gives: ["y"] }],
  });
  const body = { v: 1 as const, want: ["y"], inputs: {}, ask: "1h" };
  await stage.bus.log.append("r1", { kind: "submit", body }, { expectLast: 0 });
  await stage.clock.advance(0);
  for (const attempt of [1, 2, 3]) {
    const { task } = await stage.answer("best", { status: "failed", error: MAY_HELP, agent: `b-${attempt}` });
    expect(task.attempt).toBe(attempt);
    expect(task.avoid ?? []).toEqual([`b-2`, `b-1`].slice(3 - attempt));
    await stage.clock.advance(60_000);
  }
  await stage.answer("other", { status: "failed", error: FINAL });
  const fold = await stage.fold();
  expect(fold.status).toBe("waiting");
  expect(fold.revisions).toMatchObject([{ added: ["borrow"], dropped: ["pay"] }]);
  expect(waitViewOf(fold, "borrow")).toMatchObject({ for: "failure", error: "the bank is closed" });
  expect(fold.step("pay").context.failures).toHaveLength(3);
});

describe("a person who is asked about a failed step", () => {
  it("is asked only where the workflow says so", async () => {
    const steps = PAYMENT.steps.map(({ ask: _, ...step }) => step);
    const stage = await asked({ steps });
    await stage.answer("stock");
    expect((await stage.fold()).status).toBe("failed");
  });

  it("may let it be tried again, and again", async () => {
    const stage = await asked();
    expect((await stage.fold()).status).toBe("waiting");
    expect(stage.inHand("bank")).toEqual([]);
    await say(stage, "approve");
    await stage.answer("bank", { status: "failed", error: FINAL });
    expect((await stage.fold()).status).toBe("waiting");
    await say(stage, "approve");
    await stage.answer("bank", { outputs: { receipt: 7 } });
    const { task } = await stage.answer("stock");
    expect(task).toMatchObject({ step: "send", inputs: { receipt: 7 } });
    expect((await stage.fold()).status).toBe("done");
  });

  it("may give its outputs, and the run goes on with them", async () => {
    const stage = await asked();
    await say(stage, "approve", { receipt: "paid in cash" });
    const { task } = await stage.answer("stock");
    expect(task).toMatchObject({ step: "send", inputs: { receipt: "paid in cash" } });
    const fold = await stage.fold();
    expect(fold.status).toBe("done");
    expect(fold.step("pay").context).toMatchObject({ outcome: "completed", agent: "ada" });
    expect(fold.step("pay").context.failures).toMatchObject([{ error: FINAL }]);
  });

  it("may let it fail: what was done is undone, and the reason is the step's", async () => {
    const stage = await asked();
    await say(stage, "reject", "too risky");
    expect(stage.inHand("stock")).toEqual(["reserve~undo#1"]);
    await stage.answer("stock");
    const fold = await stage.fold();
    expect(fold.status).toBe("failed");
    expect(fold.error).toMatchObject({ code: "E_REJECTED", step: "pay" });
    expect(fold.error?.message).toBe("given up by ada (too risky): the bank is closed");
  });

  it("who says nothing has let it fail when the time is over", async () => {
    const stage = await asked();
    await stage.clock.advance(59 * 60_000);
    expect((await stage.fold()).status).toBe("waiting");
    await stage.clock.advance(2 * 60_000);
    await stage.answer("stock");
    const fold = await stage.fold();
    expect(fold.status).toBe("failed");
    expect(fold.error).toMatchObject({ code: "E_NO_ANSWER", step: "pay" });
  });

  it("who says nothing may have said what counts then", async () => {
    const ask = { after: "1h", answer: "approve", value: { receipt: "on credit" } };
    const steps = PAYMENT.steps.map((step) => ("ask" in step ? { ...step, ask } : step));
    const stage = await asked({ steps });
    await stage.clock.advance(61 * 60_000);
    const { task } = await stage.answer("stock");
    expect(task.inputs).toEqual({ receipt: "on credit" });
  });

  it("is heard by the daemon that took the run over", async () => {
    const stage = await asked();
    await stage.daemons[0]?.bus.close();
    await stage.daemon();
    await stage.clock.advance(30_000);
    expect((await stage.fold()).status).toBe("waiting");
    await say(stage, "approve");
    await stage.answer("bank", { outputs: { receipt: 7 } });
    await stage.answer("stock");
    expect((await stage.fold()).status).toBe("done");
  });

  it("is not asked instead of a retry of the failed run", async () => {
    const steps = PAYMENT.steps.map(({ compensate: _, ...step }: (typeof PAYMENT.steps)[number]) => step);
    const stage = await asked({ steps });
    await say(stage, "reject");
    expect((await stage.fold()).status).toBe("failed");
    await say(stage, "retry");
    expect(stage.inHand("bank")).toEqual(["pay#3"]);
  });
});

it.each([
  ["on a step that does not recover", { onFailure: "fail", ask: { after: "1h" } }, "onFailure: recover"],
  [
    "that would try again for ever",
    { onFailure: "recover", ask: { after: "1h", answer: "approve" } },
    "for ever",
  ],
  ["for no time", { onFailure: "recover", ask: {} }, "after is missing"],
])("asking people %s is refused", (_what, more, message) => {
  const { issues } = WorkflowGraph.validate({ steps: [{ id: "a", agent: "x", task: "y", ...more }] });
  expect(issues.map((issue) => issue.message).join()).toContain(message);
});

it("a step whose inputs cannot be worked out goes another way, and is given up where there is none", async () => {
  const stage = await stageWith({ ...SHOP, cash: [{ name: "pay", gives: ["receipt"] }] });
  const [reserve, pay] = PAYMENT.steps;
  const lost = { ...pay, inputs: { of: "${env.item.price.net}" } };
  await stage.submit({
    steps: [reserve, lost, { ...lost, id: "other", outputs: ["change"], ask: undefined }],
  });
  await stage.answer("stock", { outputs: { item: 1 } });
  await stage.clock.advance(10_000);
  const fold = await stage.fold();
  expect(fold.step("pay").context).toMatchObject({ role: "cash", n: 1 });
  expect(fold.step("other")).toMatchObject({ state: "failed", context: { n: 0 } });
  expect(stage.inHand("stock")).toEqual(["reserve~undo#1"]);
});
