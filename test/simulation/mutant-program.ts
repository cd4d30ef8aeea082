/** Runs mutants, given as `ENTRY…`, in one process each after the other, and prints one line of JSON for each. */
import { pathToFileURL } from "node:url";
import type { tryOut } from "../../src/simulation/shrink.ts";

const [seeds = "1", ...entries] = process.argv.slice(2);
for (const [at, entry] of entries.entries()) {
  const mutant = (await import(pathToFileURL(entry).href)) as { tryOut: typeof tryOut };
  let caught: { seed: number; rule: string } | undefined;
  for (let seed = 1; seed <= Number(seeds) && caught === undefined; seed++) {
    const { verdict } = await mutant.tryOut({ seed });
    const [wrong] = verdict.wrongs;
    if (wrong) caught = { seed, rule: wrong.rule };
  }
  process.stdout.write(`${JSON.stringify({ at, caught: caught ?? null })}\n`);
}
