/**
 * Would catch: a wrong p-value, interval or effect size. Expected values come from published tables and
 * from closed forms, not from the code under test.
 */
import { sampleCorrelation } from "simple-statistics";
import { describe, expect, it } from "vitest";
import {
  adjusted,
  chiSquaredTest,
  compareGroups,
  correlation,
  cramersV,
  fTest,
  normalTest,
  trendTest,
  tTest,
} from "../../examples/data-report/analysis/statistics.ts";

describe("the tests' tails", () => {
  it("agree with the tables of the t, F, chi-squared and normal distributions", () => {
    expect(tTest(2.228, 10)).toBeCloseTo(0.05, 4);
    expect(tTest(12.706, 1)).toBeCloseTo(0.05, 4);
    expect(fTest(4.1028, 2, 10)).toBeCloseTo(0.05, 4);
    expect(fTest(3.8415, 1, 1e7)).toBeCloseTo(0.05, 4);
    expect(chiSquaredTest(3.8415, 1)).toBeCloseTo(0.05, 4);
    expect(chiSquaredTest(18.307, 10)).toBeCloseTo(0.05, 4);
    expect(normalTest(1.959964)).toBeCloseTo(0.05, 6);
  });

  it("are 1 where there is no difference and fall towards 0", () => {
    expect(tTest(0, 20)).toBeCloseTo(1, 10);
    expect(normalTest(0)).toBe(1);
    expect(tTest(40, 20)).toBeLessThan(1e-15);
  });
});

describe("a correlation's interval", () => {
  it("is Fisher's: r = 0.5 over 103 rows lies between 0.339 and 0.632", () => {
    const { low, high } = correlation(0.5, 103);
    expect(low).toBeCloseTo(0.3392, 3);
    expect(high).toBeCloseTo(0.6326, 3);
  });

  it("holds a perfect correlation without becoming infinite", () => {
    expect(correlation(1, 50).p).toBeLessThan(1e-12);
    expect(Number.isFinite(correlation(1, 50).low)).toBe(true);
  });
});

describe("group comparison", () => {
  it("of two groups is Welch's t-test squared", () => {
    const a = { n: 20, mean: 10, variance: 4 };
    const b = { n: 30, mean: 12, variance: 9 };
    const t = (10 - 12) / Math.sqrt(4 / 20 + 9 / 30);
    const df = (4 / 20 + 9 / 30) ** 2 / ((4 / 20) ** 2 / 19 + (9 / 30) ** 2 / 29);
    expect(compareGroups([a, b])?.p).toBeCloseTo(tTest(t, df), 8);
  });

  it("needs two groups", () => {
    expect(compareGroups([{ n: 5, mean: 1, variance: 1 }])).toBeUndefined();
  });
});

it("categories that determine each other have V = 1, independent ones V = 0", () => {
  expect(
    cramersV([
      [50, 0],
      [0, 50],
    ]).v,
  ).toBeCloseTo(1, 2);
  expect(
    cramersV([
      [25, 25],
      [25, 25],
    ]).v,
  ).toBe(0);
});

describe("the trend test", () => {
  it("finds the slope of a line under noise", () => {
    const values = Array.from({ length: 40 }, (_, i) => 3 * i + ((i * 7919) % 11));
    const test = trendTest(values);
    expect(test?.slope).toBeCloseTo(3, 0);
    expect(test?.p).toBeLessThan(0.001);
  });

  it("takes no rise for certain that a slow swing can make", () => {
    const swing = Array.from({ length: 60 }, (_, i) => Math.sin(i / 19));
    expect(trendTest(swing)?.p ?? 0).toBeGreaterThan(0.01);
  });

  it("says nothing about five points", () => {
    expect(trendTest([1, 2, 3, 4, 5])).toBeUndefined();
  });
});

it("adjusted p-values are Benjamini and Hochberg's and keep their order", () => {
  expect(adjusted([0.01, 0.04, 0.03, 0.005])).toEqual([0.02, 0.04, 0.04, 0.02]);
});

it("the library that other tests compare with agrees with a sum written out", () => {
  expect(sampleCorrelation([1, 2, 3], [2, 4, 7])).toBeCloseTo(0.993399, 5);
});
