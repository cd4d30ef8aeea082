/**
 * Distributions and tests that the findings rely on. Pure functions over numbers.
 *
 * Incomplete beta and gamma functions by continued fraction and series (Numerical Recipes, 3rd edition,
 * sections 6.2 and 6.4; Lentz's method), good to about 1e-10: far more than a printed p-value needs.
 */

function logGamma(x: number): number {
  const c = [
    76.18009172947146, -86.50532032941678, 24.01409824083091, -1.231739572450155, 0.1208650973866179e-2,
    -0.5395239384953e-5,
  ];
  const t = x + 5.5 - (x + 0.5) * Math.log(x + 5.5);
  let sum = 1.000000000190015;
  for (const [index, value] of c.entries()) sum += value / (x + index + 1);
  return -t + Math.log((Math.sqrt(2 * Math.PI) * sum) / x);
}

/** Regularised incomplete beta function I_x(a, b). */
function betaInc(a: number, b: number, x: number): number {
  if (x <= 0) return 0;
  if (x >= 1) return 1;
  const front = Math.exp(logGamma(a + b) - logGamma(a) - logGamma(b) + a * Math.log(x) + b * Math.log(1 - x));
  return x < (a + 1) / (a + b + 2)
    ? (front * betaFraction(a, b, x)) / a
    : 1 - (front * betaFraction(b, a, 1 - x)) / b;
}

const TINY = 1e-300;

function betaFraction(a: number, b: number, x: number): number {
  let c = 1;
  let d = 1 - ((a + b) * x) / (a + 1);
  d = 1 / (Math.abs(d) < TINY ? TINY : d);
  let h = d;
  for (let m = 1; m <= 500; m += 1) {
    const even = (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m));
    d = 1 / notZero(1 + even * d);
    c = notZero(1 + even / c);
    h *= d * c;
    const odd = (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 / notZero(1 + odd * d);
    c = notZero(1 + odd / c);
    h *= d * c;
    if (Math.abs(d * c - 1) < 1e-12) break;
  }
  return h;
}

function notZero(value: number): number {
  return Math.abs(value) < TINY ? TINY : value;
}

/** Regularised upper incomplete gamma function Q(a, x). */
function gammaQ(a: number, x: number): number {
  if (x <= 0) return 1;
  const front = Math.exp(-x + a * Math.log(x) - logGamma(a));
  if (x < a + 1) {
    let term = 1 / a;
    let sum = term;
    for (let n = 1; n < 1_000; n += 1) {
      term *= x / (a + n);
      sum += term;
      if (term < sum * 1e-14) break;
    }
    return 1 - sum * front;
  }
  let b = x + 1 - a;
  let c = 1 / TINY;
  let d = 1 / b;
  let h = d;
  for (let i = 1; i < 1_000; i += 1) {
    const an = -i * (i - a);
    b += 2;
    d = 1 / notZero(an * d + b);
    c = notZero(b + an / c);
    h *= d * c;
    if (Math.abs(d * c - 1) < 1e-14) break;
  }
  return front * h;
}

/** Two-sided p-value of Student's t. */
export function tTest(t: number, df: number): number {
  return df > 0 ? betaInc(df / 2, 0.5, df / (df + t * t)) : 1;
}

/** Upper tail of the F distribution. */
export function fTest(f: number, df1: number, df2: number): number {
  return f > 0 && df1 > 0 && df2 > 0 ? betaInc(df2 / 2, df1 / 2, df2 / (df2 + df1 * f)) : 1;
}

/** Upper tail of the chi-squared distribution. */
export function chiSquaredTest(x: number, df: number): number {
  return df > 0 ? gammaQ(df / 2, x / 2) : 1;
}

/** Two-sided p-value of a standard normal z. */
export function normalTest(z: number): number {
  return gammaQ(0.5, (z * z) / 2);
}

export interface Correlation {
  r: number;
  n: number;
  /** 95 % confidence interval by Fisher's transformation. */
  low: number;
  high: number;
  p: number;
}

export function correlation(r: number, n: number): Correlation {
  const bounded = Math.max(-0.9999999999, Math.min(0.9999999999, r));
  const z = Math.atanh(bounded);
  const half = n > 3 ? 1.959964 / Math.sqrt(n - 3) : Number.POSITIVE_INFINITY;
  const t = bounded * Math.sqrt((n - 2) / (1 - bounded * bounded));
  return { r, n, low: Math.tanh(z - half), high: Math.tanh(z + half), p: n > 2 ? tTest(t, n - 2) : 1 };
}

export interface Group {
  n: number;
  mean: number;
  variance: number;
}

/**
 * Welch's test of equal means (no equal variances assumed) and the share of variance between the groups
 * (ω², which unlike η² does not grow with the number of groups alone).
 * @returns undefined when fewer than two groups can be compared
 */
export function compareGroups(
  groups: readonly Group[],
): { p: number; explained: number; n: number } | undefined {
  const usable = groups.filter((group) => group.n >= 2);
  if (usable.length < 2) return undefined;
  const n = usable.reduce((sum, group) => sum + group.n, 0);
  const grand = usable.reduce((sum, group) => sum + group.n * group.mean, 0) / n;
  const between = usable.reduce((sum, group) => sum + group.n * (group.mean - grand) ** 2, 0);
  const within = usable.reduce((sum, group) => sum + (group.n - 1) * group.variance, 0);
  const noise = n > usable.length ? within / (n - usable.length) : 0;
  const whole = between + within + noise;
  const explained = whole > 0 ? Math.max(0, between - (usable.length - 1) * noise) / whole : 0;
  const varying = usable.filter((group) => group.variance > 0);
  if (varying.length < 2) return { p: 1, explained, n };
  const k = varying.length;
  const weights = varying.map((group) => group.n / group.variance);
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const mean = varying.reduce((sum, group, index) => sum + (weights[index] ?? 0) * group.mean, 0) / total;
  const numerator =
    varying.reduce((sum, group, index) => sum + (weights[index] ?? 0) * (group.mean - mean) ** 2, 0) /
    (k - 1);
  const spread = varying.reduce(
    (sum, group, index) => sum + (1 - (weights[index] ?? 0) / total) ** 2 / (group.n - 1),
    0,
  );
  const f = numerator / (1 + ((2 * (k - 2)) / (k * k - 1)) * spread);
  return { p: fTest(f, k - 1, (k * k - 1) / (3 * spread)), explained, n };
}

/** Cramér's V with the bias correction of Bergsma (2013), and the chi-squared test. */
export function cramersV(counts: readonly (readonly number[])[]): { v: number; p: number; n: number } {
  const rows = counts.map((row) => row.reduce((sum, value) => sum + value, 0));
  const width = counts[0]?.length ?? 0;
  const columns = Array.from({ length: width }, (_, j) =>
    counts.reduce((sum, row) => sum + (row[j] ?? 0), 0),
  );
  const n = rows.reduce((sum, value) => sum + value, 0);
  const r = rows.filter((value) => value > 0).length;
  const c = columns.filter((value) => value > 0).length;
  if (n < 2 || r < 2 || c < 2) return { v: 0, p: 1, n };
  let chi = 0;
  for (const [i, row] of counts.entries()) {
    for (let j = 0; j < width; j += 1) {
      const expected = ((rows[i] ?? 0) * (columns[j] ?? 0)) / n;
      if (expected > 0) chi += ((row[j] ?? 0) - expected) ** 2 / expected;
    }
  }
  const phi = Math.max(0, chi / n - ((r - 1) * (c - 1)) / (n - 1));
  const rr = r - (r - 1) ** 2 / (n - 1);
  const cc = c - (c - 1) ** 2 / (n - 1);
  return { v: Math.sqrt(phi / Math.min(rr - 1, cc - 1)), p: chiSquaredTest(chi, (r - 1) * (c - 1)), n };
}

export interface TrendTest {
  /** Theil–Sen: the median of all pairwise slopes, per step of `x`. */
  slope: number;
  /** Mann–Kendall, with the variance raised for lag-1 autocorrelation. */
  p: number;
  tau: number;
}

/** Points that the quadratic trend test takes; more are thinned evenly. */
const MAX_TREND_POINTS = 600;

/** @param values one per step, evenly spaced in `x` units of one step; null where there is none */
export function trendTest(values: readonly (number | null)[]): TrendTest | undefined {
  const points = values.flatMap((y, x) => (y === null ? [] : [{ x, y }]));
  const step = Math.ceil(points.length / MAX_TREND_POINTS);
  const used = points.filter((_, index) => index % step === 0);
  const n = used.length;
  if (n < 6) return undefined;
  const slopes: number[] = [];
  let s = 0;
  for (let i = 0; i < n; i += 1) {
    for (let j = i + 1; j < n; j += 1) {
      const a = used[i];
      const b = used[j];
      if (!a || !b) continue;
      s += Math.sign(b.y - a.y);
      slopes.push((b.y - a.y) / (b.x - a.x));
    }
  }
  slopes.sort((a, b) => a - b);
  const slope = middle(slopes);
  const ties = new Map<number, number>();
  for (const { y } of used) ties.set(y, (ties.get(y) ?? 0) + 1);
  let variance = n * (n - 1) * (2 * n + 5);
  for (const t of ties.values()) variance -= t * (t - 1) * (2 * t + 5);
  const residuals = used.map(({ x, y }) => y - slope * x);
  const rho = Math.max(0, Math.min(0.95, lagOne(residuals)));
  variance = (variance / 18) * ((1 + rho) / (1 - rho));
  const z = s === 0 || variance <= 0 ? 0 : (s - Math.sign(s)) / Math.sqrt(variance);
  return { slope, p: normalTest(z), tau: s / ((n * (n - 1)) / 2) };
}

function lagOne(values: readonly number[]): number {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  let top = 0;
  let bottom = 0;
  for (const [index, value] of values.entries()) {
    bottom += (value - mean) ** 2;
    const next = values[index + 1];
    if (next !== undefined) top += (value - mean) * (next - mean);
  }
  return bottom > 0 ? top / bottom : 0;
}

function middle(sorted: readonly number[]): number {
  const half = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? (sorted[half] ?? 0) : ((sorted[half - 1] ?? 0) + (sorted[half] ?? 0)) / 2;
}

/** Benjamini and Hochberg's adjusted p-values, in the order given. */
export function adjusted(p: readonly number[]): number[] {
  const order = p.map((value, index) => ({ value, index })).sort((a, b) => b.value - a.value);
  const result = new Array<number>(p.length).fill(1);
  let least = 1;
  for (const [rank, { value, index }] of order.entries()) {
    least = Math.min(least, (value * p.length) / (p.length - rank));
    result[index] = least;
  }
  return result;
}
