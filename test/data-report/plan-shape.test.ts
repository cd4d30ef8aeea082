/** Would catch: a plan that does not depend on the data or the goal: guards or facts that are wrong. */
import { describe, expect, it } from "vitest";
import { inspectData } from "../../examples/data-report/facts.ts";
import { namedTarget, readGoal } from "../../examples/data-report/goal.ts";
import { defaultDataPath } from "../../examples/data-report/swarm.ts";
import { planFor } from "./one-process.ts";

async function planned(file: string, goal: string, facts: Record<string, unknown> = {}): Promise<string[]> {
  const path = defaultDataPath().replace("movies.json", file);
  const data = { ...(await inspectData(path, goal)), ...facts };
  return planFor("report", { path, workDir: "/w", outDir: "/o", goal: readGoal(goal), data }).map(
    (step) => step.name,
  );
}

describe("the plan depends on the data", () => {
  it("dirty rows with dates and a target take every agent", async () => {
    const steps = await planned("movies.json", "predict the IMDB Rating");
    expect(new Set(steps.map((step) => step.split(".")[0])).size).toBe(7);
    expect(steps).toContain("cleaner.clean");
    expect(steps).toContain("analyst.trend");
    expect(steps).toContain("modeler.model");
  });

  it("without missing values there is no cleaning step", async () => {
    expect(await planned("seattle-weather.csv", "report")).not.toContain("cleaner.clean");
  });

  it("without a date there is no trend", async () => {
    expect(await planned("penguins.json", "report")).not.toContain("analyst.trend");
  });

  it("with too few rows there is no model", async () => {
    expect(await planned("penguins.json", "report", { modelRows: 20 })).not.toContain("modeler.model");
  });

  it("over a million rows are sampled before the model", async () => {
    const steps = await planned("stocks.csv", "report", { rows: 3_000_000, modelRows: 3_000_000 });
    expect(steps.indexOf("explorer.sample")).toBeGreaterThan(-1);
    expect(steps.indexOf("explorer.sample")).toBeLessThan(steps.indexOf("modeler.model-sample"));
  });
});

describe("the plan depends on the goal", () => {
  it("only profile it: three steps", async () => {
    const steps = ["loader.load", "explorer.profile", "reporter.profile-report"];
    expect(await planned("movies.json", "only profile it")).toEqual(steps);
  });

  it("a goal without a model has none", async () => {
    expect(await planned("penguins.json", "report, but without a model")).not.toContain("modeler.model");
  });

  it("a named column is the target, however it is written", () => {
    const columns = ["Title", "IMDB Rating", "Rating", "Body Mass (g)"];
    expect(namedTarget("Report, and predict the imdb rating", columns)).toBe("IMDB Rating");
    expect(namedTarget("what drives body mass (g)?", columns)).toBe("Body Mass (g)");
    expect(namedTarget("say something about Title", columns)).toBeUndefined();
  });
});
