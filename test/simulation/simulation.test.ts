/**
 * Simulated swarms, each from a seed, with everything that goes wrong. Catches whatever the judges can name:
 * a completion that counts twice, a run that never ends, a task that is acked too early, a decision of the past
 * that counts, folds that disagree. A failure prints its seed and the shortest history that was found.
 */
import { describe, expect, it } from "vitest";
import { report, shrink, tryOut } from "../../src/simulation/shrink.ts";

const SEEDS = 200;
const BATCH = 50;

describe("a simulated swarm", () => {
  const batches = Array.from({ length: SEEDS / BATCH }, (_, at) => at * BATCH + 1);
  it.each(batches)("breaks no rule, seeds from %i", async (first) => {
    for (let seed = first; seed < first + BATCH; seed++) {
      const trial = await tryOut({ seed });
      if (trial.verdict.wrongs.length > 0) expect.fail(report(await shrink(trial)));
    }
  });

  it("the same seed gives the same history, byte for byte", async () => {
    for (const seed of [7, 77, 777]) {
      const once = report(await tryOut({ seed }));
      expect(report(await tryOut({ seed }))).toBe(once);
      expect(once).not.toBe(report(await tryOut({ seed: seed + 1 })));
    }
  });
});
