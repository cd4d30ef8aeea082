/**
 * `npm run bench -- planner`: how long it takes to plan, and how often the plan is proven best.
 *
 * Times are CPU time of one process, of `createWorkflow` as a whole: problem, search, assignment, workflow. Time
 * on the wall would also count what else the machine does.
 */
import { type Plan, WorkflowPlanner } from "../src/planner/planner.ts";
import type { Capability } from "../src/workflow/capability.ts";
import { type PlanningCase, problemOf, randomOf, SHAPES, type Shape } from "./planning-problems.ts";
import { median, percentile } from "./statistics.ts";

/** What is measured, in full and to see that it works. */
const FULL = { sizes: [50, 200, 1_000, 10_000], repeats: 5, random: 1_000, small: 200 };
const SMOKE = { sizes: [20], repeats: 1, random: 6, small: 3 };

const WANTED = 50;
/** Of one search, in the part that goes by size. */
const SIZE_LIMIT_MS = 10_000;
/** Of one search, of the many. */
const RANDOM_LIMIT_MS = 1_000;
const SMALL_TASKS = 14;

export interface PlannerLine {
  measure: string;
  problems: number;
  p50Ms: number;
  p99Ms: number;
  /** Share of the problems, 0 to 1. */
  proven: number;
  provenIn100Ms: number;
  /** The largest gap of a plan that was not proven best; 0 when all were. */
  worstGap: number;
  /** Share whose cost is that of trying every set of tasks. */
  sameAsExhaustive?: number;
  exhaustiveP50Ms?: number;
}

interface Timed {
  plan: Plan;
  ms: number;
}

export function* plannerLines(smoke: boolean, isOver: () => boolean): Iterable<PlannerLine> {
  const { sizes, repeats, random, small } = smoke ? SMOKE : FULL;
  for (const shape of SHAPES) timed(problemOf(shape, 50, 10, 0), RANDOM_LIMIT_MS); // For the compiler.
  for (const shape of SHAPES) {
    for (const size of sizes) {
      if (isOver()) return;
      const wanted = Math.min(WANTED, Math.ceil(size / 4));
      const runs = range(repeats).map((seed) => timed(problemOf(shape, size, wanted, seed), SIZE_LIMIT_MS));
      yield lineOf(`${shape}: ${size} capabilities, ${wanted} wanted`, runs);
    }
  }
  if (isOver()) return;
  yield againstExhaustive(small);
  const runs: Timed[] = [];
  for (const seed of range(random)) {
    if (isOver()) return;
    runs.push(timed(randomCase(seed), RANDOM_LIMIT_MS));
  }
  yield lineOf(`${random} random problems of 20 to 200 capabilities, at most 1 s`, runs);
}

function randomCase(seed: number): PlanningCase {
  const chance = randomOf(seed + 1_000_000);
  const size = 20 + Math.floor(chance() * 181);
  const wanted = 1 + Math.floor((chance() * size) / 4);
  return problemOf(SHAPES[seed % SHAPES.length] as Shape, size, wanted, seed);
}

function timed({ cards, want }: PlanningCase, timeLimitMs: number): Timed {
  const now = cpuMs;
  const planner = new WorkflowPlanner({ capabilities: cards, timeLimitMs, now });
  const start = now();
  const plan = planner.createWorkflow(undefined, {}, { want });
  return { plan, ms: now() - start };
}

function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

function lineOf(measure: string, runs: readonly Timed[]): PlannerLine {
  const times = runs.map(({ ms }) => ms);
  const share = (test: (run: Timed) => boolean): number => runs.filter(test).length / runs.length;
  return {
    measure,
    problems: runs.length,
    p50Ms: median(times),
    p99Ms: percentile(times, 0.99),
    proven: share(({ plan }) => plan.optimal),
    provenIn100Ms: share(({ plan, ms }) => plan.optimal && ms <= 100),
    worstGap: Math.max(...runs.map(({ plan }) => plan.gap)),
  };
}

/** Small problems, also solved by trying every set of tasks. */
function againstExhaustive(count: number): PlannerLine {
  const cases = range(count).map((seed) => problemOf("tangle", SMALL_TASKS, 3, seed));
  const runs = cases.map((one) => timed(one, RANDOM_LIMIT_MS));
  const times: number[] = [];
  const same = cases.filter((one, index) => {
    const start = cpuMs();
    const least = leastCost(one);
    times.push(cpuMs() - start);
    return least === runs[index]?.plan.cost;
  });
  return {
    ...lineOf(`${count} random problems of ${SMALL_TASKS} capabilities, every set tried as well`, runs),
    sameAsExhaustive: same.length / count,
    exhaustiveP50Ms: median(times),
  };
}

/** The cost of the cheapest set of tasks that reaches what is wanted. Costs are whole numbers here. */
function leastCost({ cards, want }: PlanningCase): number {
  const tasks = cards.flatMap((card) => card.tasks);
  let least = Number.POSITIVE_INFINITY;
  for (let set = 0; set < 2 ** tasks.length; set++) {
    const chosen = tasks.filter((_, index) => (set >> index) & 1);
    const cost = chosen.reduce((sum, task) => sum + Number(task.cost), 0);
    if (cost < least && reaches(chosen, want)) least = cost;
  }
  return least;
}

function reaches(tasks: readonly Capability[], want: readonly string[]): boolean {
  const reached = new Set<string>();
  for (let before = -1; before !== reached.size; ) {
    before = reached.size;
    for (const { needs, gives } of tasks) {
      if (needs.every((need) => reached.has(need))) for (const key of gives) reached.add(key);
    }
  }
  return want.every((key) => reached.has(key));
}

const range = (count: number): number[] => Array.from({ length: count }, (_, index) => index);

export function plannerTable(lines: readonly PlannerLine[]): string {
  const percent = (share: number): string => `${Number((100 * share).toFixed(1))} %`;
  const ms = (value: number): string => `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`;
  const head = ["", "p50", "p99", "proven", "in 100 ms", "worst gap"];
  const rows = lines.map((line) => [
    line.measure,
    ms(line.p50Ms),
    ms(line.p99Ms),
    percent(line.proven),
    percent(line.provenIn100Ms),
    line.worstGap === 0 ? "" : percent(line.worstGap),
  ]);
  for (const { sameAsExhaustive, exhaustiveP50Ms } of lines) {
    if (sameAsExhaustive === undefined || exhaustiveP50Ms === undefined) continue;
    rows.push([`  … same cost as the exhaustive search: ${percent(sameAsExhaustive)}`, ms(exhaustiveP50Ms)]);
  }
  const widths = head.map((_, column) => Math.max(...[head, ...rows].map((row) => row[column]?.length ?? 0)));
  const text = (row: string[]): string =>
    row
      .map((cell, column) => {
        const width = widths[column] ?? 0;
        return column === 0 ? cell.padEnd(width) : cell.padStart(width);
      })
      .join("  ")
      .trimEnd();
  return [head, ...rows].map(text).join("\n");
}
