/**
 * Tasks that came back, or stayed, although their dispatch is closed.
 * Catches: a ghost that blocks its subject for ever, and a sweep that takes away what somebody still waits for.
 */
import { expect, it } from "vitest";
import type { TaskMessage } from "../../src/bus/messages.ts";
import { SwarmStage } from "./swarm-stage.ts";

const taskOf = (run: string, step: string, n = 1): TaskMessage => ({
  ...{ v: 1, run, step, n, role: "idle", task: "work", inputs: {}, outputs: [] },
  ...{ attempt: 1, idempotencyKey: `${run}:${step}` },
});

it("within a minute tasks of closed dispatches are gone, and those of open ones are there", async () => {
  const stage = new SwarmStage();
  await stage.serve("worker");
  await stage.bus.tasks.ensureRole({ role: "idle" });
  await stage.daemon();
  const step = { id: "a", agent: "worker", task: "work" };
  await stage.submit({ steps: [step] }, "ended");
  await stage.answer("worker");
  await stage.submit({ steps: [step, { id: "b", agent: "idle", task: "work" }] }, "held");
  await stage.answer("worker");
  const left = [taskOf("ended", "a"), taskOf("held", "a"), taskOf("purged", "a")];
  const wanted = [taskOf("held", "b"), taskOf("ended", "a", 2)];
  for (const task of left) expect(await stage.bus.tasks.push(task)).toBe("queued");
  // A dispatch that the log does not know yet may be another daemon's, of which this one has not heard.
  await stage.bus.tasks.push(wanted[1] as TaskMessage);
  await stage.clock.advance(60_000);
  const has = (tasks: TaskMessage[]) => Promise.all(tasks.map((task) => stage.bus.tasks.has(task)));
  expect(await has(left)).toEqual([false, false, false]);
  expect(await has(wanted)).toEqual([true, true]);
});

it("a task of a closed dispatch goes, however many runs have their tasks before it", async () => {
  const stage = new SwarmStage();
  await stage.serve("worker");
  await stage.bus.tasks.ensureRole({ role: "idle" });
  await stage.daemon();
  for (let count = 0; count < 20; count += 1) {
    const run = `ended-${count}`;
    await stage.submit({ steps: [{ id: "a", agent: "worker", task: "work" }] }, run);
    await stage.answer("worker");
    // Not in its log as far as it was read: it stays.
    await stage.bus.tasks.push(taskOf(run, "a", 2));
  }
  const ghost = taskOf("purged", "a");
  await stage.bus.tasks.push(ghost);
  await stage.clock.advance(180_000);
  expect(await stage.bus.tasks.has(ghost)).toBe(false);
  // And again, from the beginning.
  await stage.bus.tasks.push(ghost);
  await stage.clock.advance(360_000);
  expect(await stage.bus.tasks.has(ghost)).toBe(false);
});
