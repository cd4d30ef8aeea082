/** The modeler: predicts one column from the others and says honestly how well. */
import { z } from "zod";
import type { TaskContext } from "../../../src/agent/define.ts";
import { defineAgent } from "../../../src/agent/define-agent.ts";
import { NonRetryableError } from "../../../src/workflow/errors.ts";
import { chooseFeatures } from "../analysis/leakage.ts";
import { fitModel, type Model } from "../analysis/model.ts";
import { ident } from "../database.ts";
import { isPredictor } from "../facts.ts";
import { readShared, runStep } from "../logbook.ts";
import { type Profile, profileSchema, type TableRef, tableSchema } from "../table/column.ts";
import { openTable } from "../table/load.ts";
import { count, figure, percent } from "../wording.ts";

/** Rows that a model is made from at most: more would take minutes and change little. */
const MAX_MODEL_ROWS = 8_000;
/** Below this many rows a hold-out score is noise. */
export const MIN_MODEL_ROWS = 80;

const facts = z.looseObject({
  target: z.string(),
  targetKind: z.enum(["number", "category", ""]),
  targetChosen: z.enum(["goal", "guess", ""]),
});
const shared = { profile: profileSchema, workDir: z.string(), data: facts };

export const modelSchema = z.object({
  file: z.string(),
  target: z.string(),
  better: z.boolean(),
  error: z.number(),
  baselineError: z.number(),
  log: z.string(),
});

interface Given {
  table: TableRef;
  profile: z.infer<typeof profileSchema>;
  workDir: string;
  data: z.infer<typeof facts>;
}

async function model(given: Given, ctx: TaskContext, task: string) {
  const { table, data, workDir } = given;
  const profile = await readShared<Profile>(table.profile ?? given.profile.file);
  const target = profile.columns.find((column) => column.name === data.target);
  if (!target || data.targetKind === "") {
    throw new NonRetryableError(
      `There is no column "${data.target}" to predict after cleaning. Name one of: ` +
        `${profile.columns
          .filter(isPredictor)
          .map((column) => column.name)
          .slice(0, 12)
          .join(", ")}.`,
    );
  }
  const kind = data.targetKind;
  const { value, log } = await runStep(ctx, { role: "modeler", task, workDir }, async (tools) => {
    const { db, file, write } = tools;
    await openTable(db, "table", table.file);
    const { features, leftOut } = await chooseFeatures(db, profile, target, kind);
    if (features.length === 0) {
      const why = leftOut.map(({ column, reason }) => `${column} (${reason})`).slice(0, 12);
      throw new NonRetryableError(`No column is left to predict "${target.name}" from: ${why.join(", ")}.`);
    }
    const names = [...new Set([target.name, ...features.map((column) => column.name)])];
    const t = ident(target.name);
    const known = kind === "number" ? `isfinite(CAST(${t} AS DOUBLE))` : `${t} IS NOT NULL`;
    const list = names.map((name) => ident(name)).join(", ");
    const rows = await db.query(
      `Rows in which ${target.name} is known`,
      `SELECT ${list} FROM (SELECT ${list}, row_number() OVER () AS row_number FROM "table")\nWHERE ${known} ORDER BY hash(row_number), row_number LIMIT ${MAX_MODEL_ROWS}`,
    );
    const result: Model = await fitModel({
      rows,
      target,
      kind,
      chosen: data.targetChosen === "goal" ? "goal" : "guess",
      columns: features,
      leftOut,
      signal: ctx.signal,
      progress: (fraction, message) => ctx.progress(fraction, message),
    });
    result.caveats = caveatsOf(result, profile);
    const path = file("model.json");
    await write(path, JSON.stringify(result));
    const measured = (error: number) => (kind === "number" ? figure(error) : percent(error));
    const word = kind === "number" ? "mean absolute error" : "share of wrong answers";
    const summary = [
      `Fitted a ${result.method} of "${target.name}" on ${count(result.trainingRows, "row")} and ${count(features.length, "column")}.`,
      `On ${count(result.heldOutRows, "row")} held out, the ${word} is ${measured(result.error)}, the baseline's ${measured(result.baselineError)}.`,
    ];
    return {
      value: {
        file: path,
        target: target.name,
        better: result.better,
        error: result.error,
        baselineError: result.baselineError,
      },
      summary,
    };
  });
  return { ...value, log };
}

function caveatsOf(result: Model, profile: Profile): string[] {
  const caveats: string[] = [];
  const nearlyPerfect = result.kind === "number" ? (result.r2 ?? 0) > 0.99 : result.error < 0.005;
  if (nearlyPerfect && result.better) {
    caveats.push(
      "The score is almost perfect. Check that no column gives the answer away in a form that would not be known beforehand.",
    );
  }
  const top = result.importance[0];
  const second = result.importance[1];
  if (
    result.better &&
    top &&
    top.increase > 4 * Math.max(second?.increase ?? 0, 0) &&
    top.increase > result.gain.value
  ) {
    caveats.push(
      `Nearly all of the prediction comes from "${top.column}". If it is only known together with "${result.target}", the model is of no use.`,
    );
  }
  if (profile.columns.some((column) => column.kind === "date" || column.kind === "year")) {
    caveats.push(
      "Rows were held out at random, not by time: the score says how well gaps are filled, and is likely too good for a forecast.",
    );
  }
  if (result.heldOutRows < 100) {
    caveats.push(
      `Only ${result.heldOutRows} rows were held out: the score could be quite different on other rows.`,
    );
  }
  caveats.push(
    "Importance says what this model uses, not what causes what; columns that say the same share it.",
  );
  return caveats;
}

export default defineAgent({
  role: "modeler",
  description: "Predicts one column from the others, with a hold-out score against a baseline.",
  tasks: {
    model: {
      description: "Fit and score a model that predicts the target column from the others.",
      synonyms: [
        "predict",
        "prediction",
        "forecast",
        "explain",
        "factors",
        "influence",
        "regression",
        "classify",
        "machine learning",
        "drivers",
      ],
      inputs: z.object({ table: tableSchema, ...shared }),
      outputs: z.object({ model: modelSchema }),
      needs: ["table", "profile", "workDir", "data"],
      gives: ["model"],
      when: `env.data.modelRows >= ${MIN_MODEL_ROWS} && env.data.rows <= 1000000`,
      cost: 3,
      idempotent: true,
      timeout: "10m",
      async run(given, ctx) {
        return { model: await model(given, ctx, "model") };
      },
    },
    "model-sample": {
      description: "Fit and score a model on a sample of a table with more than a million rows.",
      inputs: z.object({ sample: tableSchema, ...shared }),
      outputs: z.object({ model: modelSchema }),
      needs: ["sample", "profile", "workDir", "data"],
      gives: ["model"],
      when: `env.data.modelRows >= ${MIN_MODEL_ROWS} && env.data.rows > 1000000`,
      cost: 3,
      idempotent: true,
      timeout: "10m",
      async run({ sample, ...rest }, ctx) {
        return { model: await model({ ...rest, table: sample }, ctx, "model-sample") };
      },
    },
  },
});
