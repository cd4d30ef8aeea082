/** Seeds that the suite lives through, in shares: each share is a file of its own, so that all cores take part. */
import { expect, it } from "vitest";
import { report, shrink, tryOut } from "../../src/simulation/shrink.ts";

const SEEDS = 500;
const SHARES = 4;
/** Seeds of one test: few enough for its time on a busy machine. */
const BATCH = 25;
/** Not a measure of anything: a batch takes a second or two. */
const PATIENCE_MS = 300_000;

/** Tests that no seed of a share breaks a rule. A failure prints its seed and the shortest history found. */
export function breaksNoRule(share: number): void {
  const size = SEEDS / SHARES;
  const batches = Array.from({ length: size / BATCH }, (_, at) => share * size + at * BATCH + 1);
  const live = async (first: number): Promise<void> => {
    for (let seed = first; seed < first + BATCH; seed++) {
      const trial = await tryOut({ seed });
      if (trial.verdict.wrongs.length > 0) expect.fail(report(await shrink(trial)));
    }
  };
  it.each(batches)("breaks no rule, seeds from %i", live, PATIENCE_MS);
}
