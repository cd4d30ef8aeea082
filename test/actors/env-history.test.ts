/**
 * What a daemon tells a watcher of a run's environment who missed something.
 * Would catch: a change that is left out or told twice at the border of a page, numbers that differ from daemon to
 * daemon, and an answer that does not fit a message.
 */
import { expect, it } from "vitest";
import type { Answer } from "../../src/bus/messages.ts";
import { SwarmStage } from "./swarm-stage.ts";

const WORKFLOW = { steps: [{ id: "a", agent: "worker", task: "t", outputs: ["x", "y"] }] };
const DISPATCH = { run: "r1", step: "a", n: 1, role: "worker" };

async function stageWith(values: readonly unknown[]): Promise<SwarmStage> {
  const stage = new SwarmStage();
  await stage.serve("worker");
  await stage.daemon();
  await stage.submit(WORKFLOW);
  for (const value of values) {
    await stage.bus.log.append("r1", { kind: "env", body: { v: 1, key: "k", value, by: "ada" } });
  }
  await stage.clock.advance(0);
  return stage;
}

async function changesSince(stage: SwarmStage, from: object): Promise<Answer> {
  const answer = stage.bus.live.ask(DISPATCH, { q: "changes", ...from }, 5_000);
  await stage.clock.advance(4_000);
  return (await answer) ?? {};
}

async function all(
  stage: SwarmStage,
  from: object,
): Promise<{ numbers: (number | undefined)[]; pages: number }> {
  const numbers: (number | undefined)[] = [];
  let answer = await changesSince(stage, from);
  for (let pages = 1; ; pages += 1) {
    numbers.push(...(answer.changes ?? []).map(({ number }) => number));
    if (answer.more !== true) return { numbers, pages };
    answer = await changesSince(stage, { after: answer.number });
  }
}

const upTo = (count: number): number[] => Array.from({ length: count }, (_, at) => at + 1);

it("every change since a number or a revision is told once, page by page", async () => {
  const stage = await stageWith(upTo(2_500));
  expect(await changesSince(stage, {})).toEqual({ number: 2_500, changes: [] });
  expect(await all(stage, { after: 0 })).toEqual({ numbers: upTo(2_500), pages: 3 });
  const [, second] = (await changesSince(stage, { after: 0 })).changes ?? [];
  const { numbers } = await all(stage, { afterRevision: second?.revision });
  expect(numbers).toEqual(upTo(2_500).slice(2));
  expect(await changesSince(stage, { after: 2_500 })).toEqual({ number: 2_500, changes: [] });
});

it("answers fit a message however large the values are", async () => {
  const stage = await stageWith(upTo(8).map((one) => `${one}`.repeat(200_000)));
  expect(await all(stage, { after: 0 })).toEqual({ numbers: upTo(8), pages: 4 });
});

it("keys that one result set have numbers of their own, the same for whichever daemon answers", async () => {
  const stage = await stageWith(["first"]);
  const [delivery] = stage.taken.get("worker") ?? [];
  if (delivery === undefined) throw new Error("no task");
  await stage.report(delivery, "worker", { outputs: { x: 1, y: 2 } });
  // The run ended, and with it its hold: the log is what answers.
  const { changes = [] } = await changesSince(stage, { after: 0 });
  expect(changes.map(({ key, number }) => `${number} ${key}`)).toEqual(["1 k", "2 x", "3 y"]);
  expect(changes[1]?.revision).toBe(changes[2]?.revision);
});
