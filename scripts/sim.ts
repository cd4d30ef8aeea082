/**
 * `npm run sim -- --seeds N [--seed S]`: simulates N lives of a swarm, from seed S on, and judges each.
 * Prints the shortest history found of the first seed that fails, and ends with 1.
 */
import { parseArgs } from "node:util";
import { report, shrink, tryOut } from "../src/simulation/shrink.ts";

const { values } = parseArgs({
  options: {
    seeds: { type: "string" },
    seed: { type: "string" },
    keep: { type: "boolean" },
    history: { type: "boolean" },
  },
});
const first = Number(values.seed ?? 1);
const count = Number(values.seeds ?? (values.seed === undefined ? 1_000 : 1));
if (!Number.isInteger(first) || !Number.isInteger(count) || count < 1) {
  process.stderr.write("--seeds and --seed must be whole numbers, --seeds from 1.\n");
  process.exit(2);
}

const begun = performance.now();
let events = 0;
let failed = 0;
let overshoot = 0;
const rules = new Map<string, number>();
for (let seed = first; seed < first + count; seed++) {
  const trial = await tryOut({ seed });
  events += trial.life.world.happened;
  overshoot = Math.max(overshoot, trial.verdict.overshoot);
  if (values.history) process.stdout.write(report(trial));
  if (trial.verdict.wrongs.length > 0) {
    failed++;
    for (const rule of new Set(trial.verdict.wrongs.map((wrong) => wrong.rule))) {
      rules.set(rule, (rules.get(rule) ?? 0) + 1);
    }
    if (!values.keep) {
      process.stdout.write(report(await shrink(trial)));
      process.stdout.write(`\nsee it whole: npm run sim -- --seed ${seed} --history\n`);
      break;
    }
    process.stdout.write(
      `seed ${seed}: ${trial.verdict.wrongs[0]?.rule}: ${trial.verdict.wrongs[0]?.what}\n`,
    );
  }
  if ((seed - first + 1) % 500 === 0) process.stderr.write(`${seed - first + 1} seeds, ${failed} failed\n`);
}
const seconds = (performance.now() - begun) / 1_000;
process.stdout.write(
  `${count} seeds from ${first}: ${failed} failed; ${events} events in ${seconds.toFixed(1)} s; at most ${overshoot} over maxParallel across holders\n`,
);
for (const [rule, times] of rules) process.stdout.write(`  ${times} × ${rule}\n`);
process.exitCode = failed > 0 ? 1 : 0;
