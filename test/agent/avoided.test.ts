/**
 * Would catch: a retry that goes to the process that failed although another of the role is free, and one that nobody
 * takes because the only agent there is was told to leave it to others, or that waits until that agent has nothing
 * else to do.
 */
import { expect, it } from "vitest";
import { setStage } from "./stage.ts";

const tasks = { work: { run: () => ({}) } };

it("a task that failed here goes to another agent of the role", async () => {
  const stage = await setStage({ tasks, answer: () => ({ open: true }) });
  await stage.join([{ role: "worker", tasks }], { id: "agent-2" });
  await stage.push({ avoid: ["agent-1"] });
  await stage.clock.advance(1_000);
  expect(stage.results.map(({ agent }) => agent)).toEqual(["agent-2"]);
});

it("an agent that is alone tries again itself, soon", async () => {
  const stage = await setStage({ tasks, answer: () => ({ open: true }) });
  await stage.push({ avoid: ["agent-1"] });
  await stage.clock.advance(1_000);
  expect(stage.results).toMatchObject([{ agent: "agent-1", status: "done" }]);
});

it("an agent that is alone tries again beside what it runs, and goes on taking work", async () => {
  const ends: (() => void)[] = [];
  const work = {
    run: (_: unknown, { step }: { step: string }) =>
      step === "long" ? new Promise<object>((resolve) => ends.push(() => resolve({}))) : {},
  };
  const stage = await setStage({ tasks: { work }, answer: () => ({ open: true }) });
  await stage.push({ step: "long" });
  await stage.push({ step: "again", avoid: ["agent-1"] });
  await stage.clock.advance(1_000);
  await stage.push({ step: "other" });
  await stage.clock.advance(1_000);
  expect(stage.results.map(({ step }) => step)).toEqual(["again", "other"]);
  for (const end of ends) end();
});

it("when all of the role failed, one of them tries again", async () => {
  const stage = await setStage({ tasks, answer: () => ({ open: true }) });
  await stage.join([{ role: "worker", tasks }], { id: "agent-2" });
  await stage.push({ avoid: ["agent-2", "agent-1"] });
  await stage.clock.advance(1_000);
  expect(stage.results).toHaveLength(1);
});
