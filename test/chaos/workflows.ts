/** Workflows of hundreds of steps for the chaos rounds, in the words that the reference understands. */
import type { Chance } from "../../src/simulation/chance.ts";
import { midwayKey, outputKey, ROLES, type Script } from "../../src/simulation/workflows.ts";
import type { WorkflowDocument, WorkflowStepDocument } from "../../src/workflow/document.ts";

/** Steps that the next one may depend on: small for chains and diamonds, large for fans. */
const SHAPES = [
  { name: "diamonds", reach: 6, most: 3 },
  { name: "fans", reach: 60, most: 2 },
  { name: "chains", reach: 12, most: 1 },
] as const;

export function chaosWorkflow(chance: Chance, count: number): WorkflowDocument {
  const { name, reach, most } = chance.pick(SHAPES);
  const steps = Array.from({ length: count }, (_, at): WorkflowStepDocument => {
    const script = chaosScript(chance);
    const id = `s${at}`;
    const outputs = [outputKey(id)];
    if (script.act === "midway") outputs.push(midwayKey(id));
    const before = Array.from({ length: at < 4 ? 0 : chance.between(1, most) }, () =>
      chance.between(Math.max(0, at - reach), at - 1),
    );
    const dependencies = [...new Set(before)];
    const inputs: Record<string, unknown> = { script };
    for (const [place, position] of dependencies.entries()) inputs[`a${place}`] = `\${env.v${position}}`;
    return {
      id,
      agent: chance.pick(ROLES),
      task: "work",
      inputs,
      outputs,
      retry: { maxAttempts: 4, initial: "100ms", factor: 2, max: "1s", jitter: 0.2 },
      // What fails must not end the run: that would leave nothing to judge.
      onFailure: "continue",
      ...(dependencies.length === 0 ? {} : { dependsOn: dependencies.map((position) => `s${position}`) }),
      ...(chance.happens(0.1) ? { priority: chance.between(-3, 3) } : {}),
    };
  });
  return { name, steps, maxParallel: chance.pick([4, 8, 16, 32]) };
}

function chaosScript(chance: Chance): Script {
  const act = chance.pick<Script["act"]>([
    ...Array<"work">(14).fill("work"),
    "flaky",
    "flaky",
    "midway",
    "pass",
    "refuse",
  ]);
  return {
    act,
    ms: chance.happens(0.05) ? chance.between(300, 1_500) : chance.between(0, 60),
    until: chance.between(1, 3),
    heeds: true,
  };
}
