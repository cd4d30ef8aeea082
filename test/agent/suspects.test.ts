/**
 * Which of the tasks that may be deadly begins when.
 * Catches: a harmless task that dies again and again beside a deadly one, a process that waits for ever for a task
 * that goes on for hours, and tasks that a draining process keeps.
 */
import { describe, expect, it } from "vitest";
import { MAX_DELIVERIES } from "../../src/agent/dispatch.ts";
import { isSuspect } from "../../src/agent/suspects.ts";
import type { Bus } from "../../src/bus/bus.ts";
import { setStage, settle } from "./stage.ts";

/** The bus, with every task delivered as often before as the last character of its step says. */
function counting(bus: Bus): Bus {
  const { tasks } = bus;
  const counted: Bus["tasks"] = Object.create(tasks, {
    pull: {
      value: ((role, options) =>
        tasks.pull(role, {
          ...options,
          onDelivery: (delivery) => {
            const deliveryCount = Number(delivery.task.step.at(-1));
            options.onDelivery(Object.create(delivery, { deliveryCount: { value: deliveryCount } }));
          },
        })) satisfies Bus["tasks"]["pull"],
    },
  });
  return Object.create(bus, { tasks: { value: counted } });
}

/** A process that finds these tasks in its queue; they run until told, and `begun` has them in order. */
async function agentOf(...steps: string[]) {
  const begun: string[] = [];
  const ends = new Map<string, () => void>();
  const stage = await setStage({
    tamper: counting,
    answer: () => ({ open: true }),
    agents: [{ role: "other", tasks: { rest: { run: () => ({}) } } }],
  });
  await stage.daemonBus.tasks.ensureRole({ role: "worker", ackWaitMs: 3_000 });
  for (const step of steps) await stage.push({ step });
  const work = {
    run: async (_: unknown, { step }: { step: string }) => {
      begun.push(step);
      await new Promise<void>((resolve) => ends.set(step, resolve));
      return {};
    },
  };
  const { agent } = await stage.join([{ role: "worker", tasks: { work } }], { id: "agent-2" });
  await stage.clock.advance(1_000);
  return {
    stage,
    agent,
    begun,
    async end(step: string): Promise<void> {
      ends.get(step)?.();
      await settle();
    },
  };
}

describe("a task that was delivered often", () => {
  it("is suspect from the third delivery until it is refused", () => {
    const counts = Array.from({ length: MAX_DELIVERIES + 2 }, (_, at) => at + 1);
    expect(counts.filter((count) => isSuspect(count, false))).toEqual([3, 4, 5]);
  });

  it("is suspect one delivery later when agents at which it failed gave the first two back", () => {
    const counts = Array.from({ length: MAX_DELIVERIES + 2 }, (_, at) => at + 1);
    expect(counts.filter((count) => isSuspect(count, true))).toEqual([4, 5]);
  });

  it("runs alone: after what runs, one after the other, and nothing new is taken meanwhile", async () => {
    const { stage, begun, end } = await agentOf("plain-1", "b-4", "a-4");
    await stage.push({ step: "new-1" });
    expect(begun).toEqual(["plain-1"]);
    await end("plain-1");
    expect(begun).toEqual(["plain-1", "a-4"]);
    await end("a-4");
    expect(begun).toEqual(["plain-1", "a-4", "b-4"]);
    await end("b-4");
    expect(begun).toEqual(["plain-1", "a-4", "b-4", "new-1"]);
  });

  it("begins before those that have more chances left, and among equals in turns", async () => {
    const { begun, end } = await agentOf("a-3", "b-3", "c-4", "d-4", "e-5");
    for (const step of ["e-5", "c-4", "d-4", "b-3", "a-3"]) await end(step);
    expect(begun).toEqual(["e-5", "c-4", "d-4", "b-3", "a-3"]);
  });

  it("does not wait longer than half a minute for a task that goes on", async () => {
    const { stage, begun } = await agentOf("plain-1", "a-3");
    await stage.clock.advance(28_000);
    expect(begun).toEqual(["plain-1"]);
    await stage.clock.advance(2_000);
    expect(begun).toEqual(["plain-1", "a-3"]);
  });

  it("goes back to its queue when the process drains before it began", async () => {
    const { stage, agent, begun, end } = await agentOf("plain-1", "a-3");
    const draining = agent.drain();
    await end("plain-1");
    await draining;
    await stage.clock.advance(1_000);
    expect(begun).toEqual(["plain-1"]);
    expect(await stage.daemonBus.tasks.roles()).toContainEqual(
      expect.objectContaining({ role: "worker", queued: 1, held: 0 }),
    );
  });
});
