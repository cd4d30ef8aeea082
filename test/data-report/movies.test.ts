/**
 * Would catch: wrong numbers in the report. The default data goes through all agents once, and what they
 * found is compared with plain JavaScript over the raw file: no SQL, no code shared with the agents.
 */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { median, quantile, sampleCorrelation } from "simple-statistics";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Findings } from "../../examples/data-report/analysis/findings.ts";
import type { Model } from "../../examples/data-report/analysis/model.ts";
import type { Trend } from "../../examples/data-report/analysis/trend.ts";
import { DEFAULT_MOVIES_GOAL, defaultDataPath, reportOf } from "../../examples/data-report/swarm.ts";
import type { Cleaning } from "../../examples/data-report/table/cleaning.ts";
import type { Profile } from "../../examples/data-report/table/column.ts";
import { type Finished, runJob } from "./one-process.ts";

type Movie = Record<string, string | number | null>;

let folder = "";
let movies: Movie[] = [];
let job: Finished;
let page = "";

const shared = async <T>(name: string): Promise<T> =>
  JSON.parse(await readFile(join(folder, "work", name), "utf8")) as T;
const numbers = (column: string, rows = movies) =>
  rows.flatMap((row) => (typeof row[column] === "number" ? [row[column]] : []));

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "data-report-movies-"));
  movies = JSON.parse(await readFile(defaultDataPath(), "utf8")) as Movie[];
  job = await runJob(defaultDataPath(), DEFAULT_MOVIES_GOAL, folder);
  page = await readFile(reportOf(job.environment)?.path ?? "", "utf8");
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe("the profile of the movies", () => {
  it("counts rows, missing and different values as the file has them", async () => {
    const profile = await shared<Profile>("profile.json");
    expect(profile.rows).toBe(movies.length);
    expect(profile.columns.map((column) => column.name)).toEqual(Object.keys(movies[0] ?? {}));
    for (const column of profile.columns) {
      const values = movies.map((row) => row[column.name]).filter((value) => value !== null);
      expect([column.name, column.missing]).toEqual([column.name, movies.length - values.length]);
      expect([column.name, column.distinct]).toEqual([column.name, new Set(values.map(String)).size]);
    }
  });

  it("has the smallest, largest, mean and median value of every number", async () => {
    const profile = await shared<Profile>("profile.json");
    const measured = profile.columns.filter((column) => column.kind === "number");
    expect(measured.length).toBe(8);
    for (const { name, number } of measured) {
      const values = numbers(name);
      expect(number?.min).toBe(Math.min(...values));
      expect(number?.max).toBe(Math.max(...values));
      expect(number?.mean).toBeCloseTo(values.reduce((sum, v) => sum + v, 0) / values.length, 4);
      expect(number?.median).toBe(median(values));
    }
  });
});

describe("the cleaning of the movies", () => {
  it("empties the dates that cannot be, and says how many", async () => {
    const cleaning = await shared<Cleaning>("cleaning.json");
    const after = await shared<Profile>("table-profile.json");
    const late = movies.filter((row) => Number(String(row["Release Date"]).slice(-4)) > 2011).length;
    const action = cleaning.actions.find((candidate) => candidate.problem === "future-dates");
    expect(action?.changed).toBe(late);
    expect(after.columns.find((column) => column.name === "Release Date")?.missing).toBe(late);
    expect(page).toContain(`${action?.did.split('"')[0]}`);
  });

  it("changes no other value", async () => {
    const before = await shared<Profile>("profile.json");
    const after = await shared<Profile>("table-profile.json");
    expect(after.rows).toBe(before.rows);
    for (const column of after.columns.filter((candidate) => candidate.name !== "Release Date")) {
      const same = before.columns.find((candidate) => candidate.name === column.name);
      expect([column.name, column.missing, column.distinct]).toEqual([
        column.name,
        same?.missing,
        same?.distinct,
      ]);
    }
  });
});

describe("the findings about the movies", () => {
  it("have Pearson's r of every pair of numbers, over the rows that have both", async () => {
    const findings = await shared<Findings>("findings.json");
    expect(findings.correlations.length).toBe(28);
    for (const pair of findings.correlations) {
      const both = movies.filter((row) => typeof row[pair.a] === "number" && typeof row[pair.b] === "number");
      expect(pair.n).toBe(both.length);
      expect(pair.r).toBeCloseTo(sampleCorrelation(numbers(pair.a, both), numbers(pair.b, both)), 8);
    }
  });

  it("have the groups' medians and quartiles", async () => {
    const findings = await shared<Findings>("findings.json");
    expect(findings.groups.length).toBe(5);
    const groups = findings.groups.flatMap(({ number, category, groups }) =>
      groups.map((group) => ({ number, category, ...group })),
    );
    expect(groups.length).toBeGreaterThan(20);
    for (const group of groups) {
      const values = numbers(
        group.number,
        movies.filter((row) => row[group.category] === group.name),
      );
      expect(group.n).toBe(values.length);
      expect(group.median).toBeCloseTo(median(values), 6);
      expect(group.mean).toBeCloseTo(values.reduce((sum, v) => sum + v, 0) / values.length, 4);
    }
  });

  it("follow the yearly median of the ratings", async () => {
    const trend = await shared<Trend>("trend.json");
    expect(trend.column).toBe("Release Date");
    const index = trend.measures.indexOf("IMDB Rating");
    const point = trend.points.find((candidate) => candidate.t.startsWith("2004"));
    const values = numbers(
      "IMDB Rating",
      movies.filter((row) => String(row["Release Date"]).endsWith("2004")),
    );
    expect(point?.values[index]).toBeCloseTo(median(values), 9);
  });

  it("stand in the report with their numbers", () => {
    const both = movies.filter((row) => row["US Gross"] !== null && row["Worldwide Gross"] !== null);
    const r = sampleCorrelation(numbers("US Gross", both), numbers("Worldwide Gross", both)).toFixed(2);
    expect(page).toContain(
      `US Gross and Worldwide Gross tend to rise together: a strong correlation, r = ${r}`,
    );
    expect(page).toContain(`${both.length.toLocaleString("en-US")} rows`);
    expect(page).toContain("Avatar");
  });
});

describe("the model of the ratings", () => {
  it("splits the rows whose rating is known, and never uses the target", async () => {
    const model = await shared<Model>("model.json");
    expect(model.trainingRows + model.heldOutRows).toBe(numbers("IMDB Rating").length);
    expect(model.features).not.toContain("IMDB Rating");
    expect(model.chosen).toBe("goal");
  });

  it("is compared with an honest baseline: the error of always guessing the median", async () => {
    const model = await shared<Model>("model.json");
    const ratings = numbers("IMDB Rating");
    const whole = ratings.reduce((sum, v) => sum + Math.abs(v - median(ratings)), 0) / ratings.length;
    // The held-out rows are a quarter of all, so their error is near that of all.
    expect(Math.abs(model.baselineError - whole)).toBeLessThan(0.12);
    expect(model.better).toBe(model.gain.low > 0);
    expect(model.gain.value).toBeCloseTo(model.baselineError - model.error, 9);
  });

  it("reports the error that its own predictions have", async () => {
    const model = await shared<Model>("model.json");
    const errors = model.points.map((point) => Math.abs(point.actual - point.predicted));
    const mean = errors.reduce((sum, e) => sum + e, 0) / errors.length;
    expect(Math.abs(mean - model.error)).toBeLessThan(0.08);
    expect(model.error).toBeLessThan(model.baselineError);
  });

  it("is the same again: the seed is fixed", async () => {
    const first = await shared<Model>("model.json");
    const again = await mkdtemp(join(tmpdir(), "data-report-again-"));
    try {
      await runJob(defaultDataPath(), DEFAULT_MOVIES_GOAL, again);
      const second = JSON.parse(await readFile(join(again, "work", "model.json"), "utf8")) as Model;
      expect(second).toEqual(first);
    } finally {
      await rm(again, { recursive: true, force: true });
    }
  });
});

it("quartiles of the report are those of the file", () => {
  const budget = numbers("Production Budget");
  const half = (v: number) => (v / 1e6).toLocaleString("en-US", { maximumFractionDigits: v >= 1e7 ? 1 : 2 });
  expect(quantile(budget, 0.5)).toBe(20_000_000);
  expect(page).toContain(`median ${half(median(budget))} million`);
});
