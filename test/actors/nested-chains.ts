/** Nested runs of plain steps, for tests of what a run and the runs below it share. */
import type { SwarmStage } from "./swarm-stage.ts";

export const step = (id: string, more: Record<string, unknown> = {}) => ({
  id,
  agent: "worker",
  task: "work",
  ...more,
});

/** A run of steps one after the other. */
export const chain = (count: number) => ({
  steps: Array.from({ length: count }, (_, at) =>
    step(`x${at}`, at === 0 ? {} : { dependsOn: [`x${at - 1}`] }),
  ),
});

/** A step that is a run of its own; it is tried again at once. */
export const nested = (id: string, workflow: unknown, more: Record<string, unknown> = {}) => ({
  id,
  agent: "orchestrator",
  task: "run",
  inputs: { workflow },
  retry: { maxAttempts: 9, initial: "1ms" },
  ...more,
});

export const settled = (stage: SwarmStage) => stage.clock.advance(3_000);

/** Answers whatever comes until nothing does. @returns how much that was */
export async function answerAll(stage: SwarmStage, turns = 20): Promise<number> {
  let answered = 0;
  for (let turn = 0; turn < turns; turn++) {
    await settled(stage);
    for (const _ of stage.inHand("worker")) {
      await stage.answer("worker");
      answered += 1;
    }
  }
  return answered;
}
