/**
 * Runs mutants, given as `[{ "entry", "rule"? }, …]`, in one process each after the other, and prints one line of
 * JSON for each. With a rule only that one counts.
 */
import { pathToFileURL } from "node:url";
import type { tryOut } from "../../src/simulation/shrink.ts";

const [seeds = "1", given = "[]"] = process.argv.slice(2);
const mutants = JSON.parse(given) as { entry: string; rule?: string }[];
for (const [at, { entry, rule }] of mutants.entries()) {
  const mutant = (await import(pathToFileURL(entry).href)) as { tryOut: typeof tryOut };
  let caught: { seed: number; rule: string } | undefined;
  for (let seed = 1; seed <= Number(seeds) && caught === undefined; seed++) {
    const { verdict } = await mutant.tryOut({ seed });
    const wrong = verdict.wrongs.find((one) => rule === undefined || one.rule === rule);
    if (wrong) caught = { seed, rule: wrong.rule };
  }
  process.stdout.write(`${JSON.stringify({ at, caught: caught ?? null })}\n`);
}
