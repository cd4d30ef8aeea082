/**
 * A model of one column from the others, judged on rows that it has not seen.
 *
 * A quarter of the rows is held out before anything is learned. Two kinds of model, a linear one (ridge) and
 * a random forest, are compared by cross-validation on the rest; the better is fitted once and scored once
 * on the rows held out, against a baseline that knows only the target's usual value. Whether it is better at
 * all is asked with a bootstrap over the held-out rows. The seed is fixed: the same data, the same report.
 */
import { Matrix, solve } from "ml-matrix";
import { mean, median, quantile, quantileSorted, shuffle, standardDeviation } from "simple-statistics";
import type { Row } from "../database.ts";
import type { ColumnProfile } from "../table/column.ts";
import { type Encoder, type LeftOut, learnEncoders, levelOf, seeded } from "./features.ts";
import { growForest } from "./forest.ts";

const MODEL_SEED = 20_240_229;
const HELD_OUT = 0.25;
const FOLDS = 3;
const TREES = 100;
const CV_TREES = 25;
const BOOTSTRAPS = 1_000;
/** Held-out rows on which importance is measured. */
const IMPORTANCE_ROWS = 1_000;
const IMPORTANCE_REPEATS = 3;

export interface Model {
  target: string;
  kind: "number" | "category";
  chosen: "goal" | "guess";
  /** What was fitted in the end. */
  method: "random forest" | "linear model";
  /** The target has long tails and was modelled on an asinh scale, which compresses them. */
  compressed: boolean;
  features: string[];
  leftOut: LeftOut[];
  trainingRows: number;
  heldOutRows: number;
  /** Mean absolute error, or share of rows that are wrong: less is better. */
  error: number;
  baselineError: number;
  baseline: string;
  /** By how much the error is lower than the baseline's, with a 95 % bootstrap interval. */
  gain: { value: number; low: number; high: number };
  better: boolean;
  /** Numbers only: the share of the held-out variance explained (on the scale it was modelled on). */
  r2: number | null;
  /** Categories only: the mean over classes of the share found. */
  balancedAccuracy: number | null;
  classes: string[];
  /** Rows of the held-out part, by actual class, then predicted. */
  confusion: number[][];
  /** Held-out actual and predicted values, at most 600. */
  points: { actual: number; predicted: number }[];
  /** How much the error grows when a column's values are shuffled. */
  importance: { column: string; increase: number }[];
  compared: { method: Model["method"]; error: number }[];
  caveats: string[];
}

export interface ModelRequest {
  rows: readonly Row[];
  target: ColumnProfile;
  kind: "number" | "category";
  chosen: "goal" | "guess";
  columns: readonly ColumnProfile[];
  leftOut: LeftOut[];
  signal: AbortSignal;
  progress(fraction: number, message: string): void;
}

interface Data {
  x: number[][];
  /** One number, or one column per class. */
  y: number[][];
}

interface Fitted {
  predict(row: readonly number[]): number[];
}

export async function fitModel(request: ModelRequest): Promise<Model> {
  const { target, kind, columns, progress } = request;
  const random = seeded(MODEL_SEED);
  const rows = shuffle([...request.rows], random);
  const heldOutRows = Math.max(10, Math.round(rows.length * HELD_OUT));
  const heldOut = rows.slice(0, heldOutRows);
  const training = rows.slice(heldOutRows);
  const pause = async () => {
    await new Promise((resolve) => setImmediate(resolve));
    request.signal.throwIfAborted();
  };

  const values = training.map((row) => Number(row[target.name]));
  const scale = kind === "number" ? scaleFor(values) : undefined;
  const classes = kind === "category" ? classesOf(training, target.name) : [];
  const answer = (row: Row): number[] => {
    if (kind === "category")
      return classes.map((name) => (name === levelOf(row[target.name] ?? null) ? 1 : 0));
    const value = Number(row[target.name]);
    return [scale ? scale.shrink(value) : value];
  };
  const encode = (encoders: readonly Encoder[], part: readonly Row[]): Data => ({
    x: part.map((row) => encoders.flatMap((encoder) => encoder.encode(row[encoder.column] ?? null))),
    y: part.map(answer),
  });
  const decode = (prediction: readonly number[]): number => {
    if (kind === "category") return prediction.indexOf(Math.max(...prediction));
    return scale ? scale.grow(prediction[0] ?? 0) : (prediction[0] ?? 0);
  };
  const actual = (row: Row): number =>
    kind === "category" ? classes.indexOf(levelOf(row[target.name] ?? null)) : Number(row[target.name]);
  const errorOf = (predicted: number, truth: number): number =>
    kind === "category" ? Number(predicted !== truth) : Math.abs(predicted - truth);

  const train = async (method: Model["method"], data: Data, trees: number): Promise<Fitted> => {
    if (method === "linear model") return fitRidge(data);
    const width = data.x[0]?.length ?? 1;
    const tried = kind === "category" ? Math.ceil(Math.sqrt(width)) : Math.min(12, Math.ceil(width / 3));
    const minLeaf = kind === "category" ? 2 : 4;
    return growForest(data.x, data.y, {
      trees,
      maxDepth: 14,
      minLeaf,
      tried,
      random: seeded(MODEL_SEED + 1),
      pause,
    });
  };

  const compared: Model["compared"] = [];
  for (const method of ["linear model", "random forest"] as const) {
    const errors: number[] = [];
    for (let fold = 0; fold < FOLDS; fold += 1) {
      const inside = training.filter((_, index) => index % FOLDS !== fold);
      const outside = training.filter((_, index) => index % FOLDS === fold);
      const encoders = learnEncoders(columns, inside);
      const fitted = await train(method, encode(encoders, inside), CV_TREES);
      for (const [index, row] of encode(encoders, outside).x.entries()) {
        errors.push(errorOf(decode(fitted.predict(row)), actual(outside[index] as Row)));
      }
      progress(
        (method === "linear model" ? 0 : 0.3) + ((fold + 1) / FOLDS) * 0.3,
        `cross-validating the ${method}`,
      );
      await pause();
    }
    compared.push({ method, error: mean(errors) });
  }
  const method = compared.reduce((a, b) => (b.error < a.error ? b : a)).method;

  const encoders = learnEncoders(columns, training);
  const fitted = await train(method, encode(encoders, training), TREES);
  progress(0.8, `scoring on ${heldOutRows} rows held out`);
  const test = encode(encoders, heldOut);
  const truths = heldOut.map(actual);
  const predictions = test.x.map((row) => decode(fitted.predict(row)));
  const usual = kind === "category" ? mostFrequent(training.map(actual)) : median(values);
  const errors = predictions.map((predicted, index) => errorOf(predicted, truths[index] ?? 0));
  const baselineErrors = truths.map((truth) => errorOf(usual, truth));
  const gain = bootstrapGain(errors, baselineErrors);
  const importance = await measureImportance({
    fitted,
    encoders,
    test: test.x,
    truths,
    decode,
    errorOf,
    pause,
  });
  const scaled = (value: number) => (scale ? scale.shrink(value) : value);
  const r2 =
    kind === "number"
      ? explained(predictions.map(scaled), truths.map(scaled), mean(values.map(scaled)))
      : null;
  return {
    target: target.name,
    kind,
    chosen: request.chosen,
    method,
    compressed: scale !== undefined,
    features: columns.map((column) => column.name),
    leftOut: request.leftOut,
    trainingRows: training.length,
    heldOutRows,
    error: mean(errors),
    baselineError: mean(baselineErrors),
    baseline: kind === "category" ? (classes[usual] ?? "") : String(usual),
    gain,
    better: gain.low > 0,
    r2,
    balancedAccuracy: kind === "category" ? balanced(predictions, truths, classes.length) : null,
    classes,
    confusion: kind === "category" ? confusionOf(predictions, truths, classes.length) : [],
    points:
      kind === "number"
        ? predictions.slice(0, 600).map((predicted, index) => ({ actual: truths[index] ?? 0, predicted }))
        : [],
    importance,
    compared,
    caveats: [],
  };
}

/** Ridge regression on standardised columns; the intercept is not shrunk. */
function fitRidge({ x, y }: Data): Fitted {
  const width = x[0]?.length ?? 0;
  const outputs = y[0]?.length ?? 1;
  const means = Array.from({ length: width }, (_, j) => mean(x.map((row) => row[j] ?? 0)));
  const scales = means.map((m, j) => Math.sqrt(mean(x.map((row) => ((row[j] ?? 0) - m) ** 2))) || 1);
  const standard = (row: readonly number[]) =>
    row.map((value, j) => (value - (means[j] ?? 0)) / (scales[j] ?? 1));
  const centres = Array.from({ length: outputs }, (_, k) => mean(y.map((row) => row[k] ?? 0)));
  const X = new Matrix(x.map(standard));
  const Y = new Matrix(y.map((row) => row.map((value, k) => value - (centres[k] ?? 0))));
  const penalty = Matrix.eye(width).mul(Math.max(1, x.length * 0.002));
  const weights = solve(X.transpose().mmul(X).add(penalty), X.transpose().mmul(Y)).to2DArray();
  return {
    predict(row) {
      const z = standard(row);
      return centres.map((centre, k) =>
        z.reduce((sum, value, j) => sum + value * (weights[j]?.[k] ?? 0), centre),
      );
    },
  };
}

interface Scale {
  shrink(value: number): number;
  grow(value: number): number;
}

/**
 * A scale for targets with long tails: near the median as it was, far out like a logarithm, on both sides.
 * Without it a few extreme rows decide the fit, and the typical row is predicted worse than by the median.
 * @returns undefined where the target is even enough as it is
 */
function scaleFor(values: readonly number[]): Scale | undefined {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = quantileSorted(sorted, 0.5);
  const low = quantileSorted(sorted, 0.25);
  const high = quantileSorted(sorted, 0.75);
  const spread = high - low;
  if (spread <= 0) return undefined;
  const farOut = sorted.filter((value) => value < low - 3 * spread || value > high + 3 * spread).length;
  const lopsided = Math.abs(mean(sorted) - middle) > 0.25 * standardDeviation(sorted);
  if (farOut <= sorted.length * 0.01 && !lopsided) return undefined;
  return {
    shrink: (value) => Math.asinh((2 * (value - middle)) / spread),
    grow: (value) => middle + (Math.sinh(value) * spread) / 2,
  };
}

function classesOf(rows: readonly Row[], target: string): string[] {
  const counts = new Map<string, number>();
  for (const row of rows) {
    const level = levelOf(row[target] ?? null);
    counts.set(level, (counts.get(level) ?? 0) + 1);
  }
  return [...counts].sort((a, b) => b[1] - a[1] || a[0].localeCompare(b[0])).map(([name]) => name);
}

function mostFrequent(values: readonly number[]): number {
  const counts = new Map<number, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return [...counts].sort((a, b) => b[1] - a[1])[0]?.[0] ?? 0;
}

/** Resamples the held-out rows: how sure is it that the model errs less than the baseline? */
function bootstrapGain(errors: readonly number[], baseline: readonly number[]): Model["gain"] {
  const differences = baseline.map((value, index) => value - (errors[index] ?? 0));
  const random = seeded(MODEL_SEED + 2);
  const means: number[] = [];
  for (let b = 0; b < BOOTSTRAPS; b += 1) {
    let sum = 0;
    for (let i = 0; i < differences.length; i += 1)
      sum += differences[Math.floor(random() * differences.length)] ?? 0;
    means.push(sum / differences.length);
  }
  return { value: mean(differences), low: quantile(means, 0.025), high: quantile(means, 0.975) };
}

function explained(predicted: readonly number[], truths: readonly number[], usual: number): number {
  let left = 0;
  let whole = 0;
  for (const [index, truth] of truths.entries()) {
    left += (truth - (predicted[index] ?? 0)) ** 2;
    whole += (truth - usual) ** 2;
  }
  return whole > 0 ? 1 - left / whole : 0;
}

function confusionOf(predicted: readonly number[], truths: readonly number[], classes: number): number[][] {
  const table = Array.from({ length: classes }, () => new Array<number>(classes).fill(0));
  for (const [index, truth] of truths.entries()) {
    const line = table[truth];
    const guess = predicted[index] ?? 0;
    if (line) line[guess] = (line[guess] ?? 0) + 1;
  }
  return table;
}

function balanced(predicted: readonly number[], truths: readonly number[], classes: number): number {
  const shares = confusionOf(predicted, truths, classes).flatMap((line, index) => {
    const all = line.reduce((sum, value) => sum + value, 0);
    return all > 0 ? [(line[index] ?? 0) / all] : [];
  });
  return mean(shares);
}

interface ImportanceRequest {
  fitted: Fitted;
  encoders: readonly Encoder[];
  test: readonly (readonly number[])[];
  truths: readonly number[];
  decode(prediction: readonly number[]): number;
  errorOf(predicted: number, truth: number): number;
  pause(): Promise<void>;
}

/** Shuffles one column at a time, all the numbers that it became together. */
async function measureImportance(request: ImportanceRequest): Promise<Model["importance"]> {
  const { fitted, encoders, truths, decode, errorOf } = request;
  const test = request.test.slice(0, IMPORTANCE_ROWS);
  const scored = (rows: readonly (readonly number[])[]) =>
    mean(rows.map((row, index) => errorOf(decode(fitted.predict(row)), truths[index] ?? 0)));
  const whole = scored(test);
  const random = seeded(MODEL_SEED + 3);
  const found: Model["importance"] = [];
  let start = 0;
  for (const encoder of encoders) {
    const end = start + encoder.outputs.length;
    const increases: number[] = [];
    for (let repeat = 0; repeat < IMPORTANCE_REPEATS && end > start; repeat += 1) {
      const order = shuffle(
        test.map((_, index) => index),
        random,
      );
      let sum = 0;
      for (const [index, row] of test.entries()) {
        const other = test[order[index] ?? 0] ?? row;
        const mixed = row.slice();
        for (let at = start; at < end; at += 1) mixed[at] = other[at] ?? 0;
        sum += errorOf(decode(fitted.predict(mixed)), truths[index] ?? 0);
      }
      increases.push(sum / test.length - whole);
    }
    if (increases.length > 0) found.push({ column: encoder.column, increase: mean(increases) });
    start = end;
    await request.pause();
  }
  return found.sort((a, b) => b.increase - a.increase);
}
