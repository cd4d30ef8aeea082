/**
 * A seed is a whole history. Catches: anything in the runtime or in the simulation that takes its time, its
 * order or its names from somewhere else; random workflows that are invalid and so try nothing; a search for the
 * shortest failing history that loses the failure or shortens nothing.
 */
import { describe, expect, it } from "vitest";
import { randomScenario } from "../../src/simulation/random-scenario.ts";
import { report, shrink, type Trial, tryOut } from "../../src/simulation/shrink.ts";
import { WorkflowGraph } from "../../src/workflow/graph.ts";

describe("a seed", () => {
  it("gives the same history each time, byte for byte, and another seed another", async () => {
    // The last one has goals, also of nested runs, and a planner and a language model to propose plans.
    for (const seed of [7, 77, 777, 317]) {
      const once = report(await tryOut({ seed }));
      expect(report(await tryOut({ seed }))).toBe(once);
      expect(once).not.toBe(report(await tryOut({ seed: seed + 1 })));
    }
  });

  it("gives workflows that are valid, with every feature that a step can have", () => {
    const used = new Set<string>();
    for (let seed = 1; seed <= 500; seed++) {
      const { runs, seats } = randomScenario(seed);
      for (const { roles } of seats) for (const role of roles) used.add(role);
      for (const { workflow, goals, environment } of runs.values()) {
        if (workflow === undefined) {
          used.add(goals === undefined ? "planned" : "planned from words");
          continue;
        }
        const { issues } = WorkflowGraph.validate(workflow, { environmentKeys: Object.keys(environment) });
        expect({ seed, issues }).toEqual({ seed, issues: [] });
        for (const step of workflow.steps) for (const name of Object.keys(step)) used.add(name);
        for (const { inputs = {} } of workflow.steps) for (const name of Object.keys(inputs)) used.add(name);
        for (const name of Object.keys(workflow)) used.add(name);
      }
    }
    for (const feature of FEATURES) expect([...used]).toContain(feature);
  });
});

const FEATURES = [
  "when",
  "forEach",
  "repeat",
  "join",
  "priority",
  "retry",
  "onFailure",
  "timeout",
  "timeouts",
  "approval",
  "deadline",
  "compensate",
  "budget",
  "maxParallel",
  "planned",
  "planned from words",
  // Of nested runs.
  "goals",
  "want",
  "planner",
];

describe("a failing history", () => {
  /** Breaks a rule that no life breaks: somebody gave step s0 out. It needs one step, and no fault. */
  const judged = async (trial: Promise<Trial>): Promise<Trial> => {
    const found = await trial;
    const pushed = found.life.evidence.of("pushed").some(({ step }) => step === "s0");
    const wrongs = pushed ? [{ rule: "nobody gives s0 out", what: "somebody did" }] : [];
    return { ...found, verdict: { ...found.verdict, wrongs } };
  };

  it("is made short without losing the failure: one step, no fault that it does not need", async () => {
    const whole = await failing(judged);
    const least = await shrink(whole, { tries: 80, tryOut: (options) => judged(tryOut(options)) });
    expect(least.verdict.wrongs).toEqual(whole.verdict.wrongs);
    expect([...least.life.faults.kinds]).toEqual([]);
    const steps = [...least.life.scenario.runs.values()].flatMap(({ workflow }) => workflow?.steps ?? []);
    expect(steps.map(({ id }) => id)).toEqual(["s0"]);
    expect(least.life.world.lines.length).toBeLessThan(whole.life.world.lines.length);
    // What is printed is enough to live it again.
    expect(report(await judged(tryOut(least.options)))).toBe(report(least));
  });
});

/** The first life that is judged as failing and has something to leave out. */
async function failing(judged: (trial: Promise<Trial>) => Promise<Trial>): Promise<Trial> {
  for (let seed = 1; ; seed++) {
    const trial = await judged(tryOut({ seed }));
    const [run] = trial.life.scenario.runs.values();
    const isLarge = trial.life.faults.kinds.size > 3 && (run?.workflow?.steps.length ?? 0) > 4;
    const { evidence } = trial.life;
    // In its first run: others are the first thing to be left out.
    const fails = evidence.of("pushed").some((fact) => fact.run === "r1" && fact.step === "s0");
    if (isLarge && fails && trial.verdict.wrongs.length > 0) return trial;
  }
}
