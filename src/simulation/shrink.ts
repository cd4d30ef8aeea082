/** Running seeds, and making a failing one small: fewer kinds of faults, fewer runs, fewer steps. */
import { FAULT_KINDS, type FaultKind } from "./faults.ts";
import { judge, type Verdict } from "./judge.ts";
import { type RandomScenarioOptions, randomScenario } from "./random-scenario.ts";
import { leaks } from "./secret-judge.ts";
import { type Life, type SimulationOptions, simulate } from "./simulate.ts";
import { MAX_STEPS } from "./workflows.ts";

export interface TrialOptions extends SimulationOptions, RandomScenarioOptions {}

export interface Trial {
  options: TrialOptions;
  life: Life;
  verdict: Verdict;
}

export async function tryOut(options: TrialOptions): Promise<Trial> {
  const life = await simulate(randomScenario(options.seed, options), options);
  const verdict = judge(life);
  verdict.wrongs.push(...(await leaks(life)));
  return { options, life, verdict };
}

export interface ShrinkOptions {
  /** Trials at most. Default 60. */
  tries?: number;
  tryOut?(options: TrialOptions): Promise<Trial>;
}

/** The smallest trial found that breaks the same rule: with one run, without needless faults, with fewest steps. */
export async function shrink(
  failing: Trial,
  { tries = 60, tryOut: live = tryOut }: ShrinkOptions = {},
): Promise<Trial> {
  const rules = new Set(failing.verdict.wrongs.map(({ rule }) => rule));
  let best = failing;
  let left = tries;
  const better = async (options: TrialOptions): Promise<boolean> => {
    if (left-- <= 0) return false;
    const trial = await live(options);
    if (!trial.verdict.wrongs.some(({ rule }) => rules.has(rule))) return false;
    best = trial;
    return true;
  };
  await better({ ...best.options, maxRuns: 1 });
  for (const kind of FAULT_KINDS) {
    if (!best.life.faults.kinds.has(kind)) continue;
    const without = new Set<FaultKind>([...(best.options.faults?.without ?? []), kind]);
    await better({ ...best.options, faults: { ...best.options.faults, without } });
  }
  for (let steps = 1; steps < (best.options.maxSteps ?? MAX_STEPS); steps++) {
    if (await better({ ...best.options, maxSteps: steps })) break;
  }
  return best;
}

/** What a person needs to see: what was broken, how to see it again, and what happened. */
export function report({ options, life, verdict }: Trial): string {
  const without = [...(options.faults?.without ?? [])];
  const lines = [
    `${seedOf(options)} breaks ${verdict.wrongs.length} rule${verdict.wrongs.length === 1 ? "" : "s"}:`,
    ...verdict.wrongs.map(({ rule, what }) => `  ${rule}: ${what}`),
    `with faults: ${[...life.faults.kinds].join(", ") || "none"}${without.length > 0 ? `; left out: ${without.join(", ")}` : ""}`,
    "",
    ...life.world.lines,
  ];
  return `${lines.join("\n")}\n`;
}

/** What to give to live it again. */
function seedOf({ seed, maxSteps, maxRuns }: TrialOptions): string {
  const steps = maxSteps === undefined ? "" : `, first ${maxSteps} steps`;
  return `seed ${seed}${maxRuns === undefined ? "" : ", one run"}${steps}`;
}
