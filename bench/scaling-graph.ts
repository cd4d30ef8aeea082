/** The graphs whose cost is measured, by their shape. */
import { ROLE, TASK } from "./subject.ts";

/** One step, then many side by side, then one that waits for all; or layers of ten, each step after two. */
export const GRAPHS = ["wide", "layers"] as const;
export type GraphKind = (typeof GRAPHS)[number];

/** CPU time. */
export interface GraphCost {
  validateMs: number;
  runMs: number;
}

const LAYER = 10;

export function graphOf(kind: GraphKind, steps: number): object {
  return { name: kind, maxParallel: 256, steps: kind === "wide" ? wide(steps) : layers(steps) };
}

function wide(steps: number): object[] {
  const middle = Array.from({ length: steps - 2 }, (_, index) => step(`s${index}`, ["first"]));
  const last = step(
    "last",
    middle.map(({ id }) => id),
  );
  return [step("first", []), ...middle, last];
}

function layers(steps: number): object[] {
  return Array.from({ length: steps }, (_, index) => {
    // Straight above, and the one left of it.
    const above = [index - LAYER, index - (index % LAYER === 0 ? 1 : LAYER + 1)];
    return step(`s${index}`, index < LAYER ? [] : above.map((position) => `s${position}`));
  });
}

function step(id: string, dependsOn: string[]) {
  return { id, agent: ROLE, task: TASK, dependsOn };
}
