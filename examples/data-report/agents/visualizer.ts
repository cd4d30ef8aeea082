/** The visualizer: chooses and draws the charts of a report. */
import { z } from "zod";
import type { TaskContext } from "../../../src/agent/define.ts";
import { defineAgent } from "../../../src/agent/define-agent.ts";
import type { Findings } from "../analysis/findings.ts";
import type { Model } from "../analysis/model.ts";
import type { Trend } from "../analysis/trend.ts";
import { drawCharts } from "../charts/charts.ts";
import type { Chart } from "../charts/draft.ts";
import { readShared, runStep } from "../logbook.ts";
import { type Profile, profileSchema, tableSchema } from "../table/column.ts";
import { openTable } from "../table/load.ts";
import { count } from "../wording.ts";
import { findingsSchema, trendSchema } from "./analyst.ts";
import { modelSchema } from "./modeler.ts";

const shared = {
  table: tableSchema,
  profile: profileSchema,
  findings: findingsSchema,
  model: modelSchema.nullish(),
  workDir: z.string(),
  data: z.looseObject({ target: z.string().optional() }).nullish(),
};
const inputs = z.object({ ...shared, trend: trendSchema.nullish() });

export const chartsSchema = z.object({ file: z.string(), count: z.int(), log: z.string() });

async function draw(given: z.infer<typeof inputs>, ctx: TaskContext, task: string) {
  const { table, workDir } = given;
  const loaded = await readShared<Profile>(given.profile.file);
  const profile = table.profile ? await readShared<Profile>(table.profile) : loaded;
  const findings = await readShared<Findings>(given.findings.file);
  const trend = given.trend ? await readShared<Trend | null>(given.trend.file) : null;
  const model = given.model ? await readShared<Model>(given.model.file) : null;
  const { value, log } = await runStep(ctx, { role: "visualizer", task, workDir }, async (tools) => {
    const { db, file, write } = tools;
    await openTable(db, "table", table.file);
    const charts: Chart[] = await drawCharts(db, {
      profile,
      loaded,
      findings,
      trend,
      model,
      target: given.data?.target ?? "",
    });
    const path = file("charts.json");
    await write(path, JSON.stringify(charts));
    return {
      value: { file: path, count: charts.length },
      summary: [`Drew ${count(charts.length, "chart")}.`],
    };
  });
  return { charts: { ...value, log } };
}

const common = {
  inputs,
  outputs: z.object({ charts: chartsSchema }),
  gives: ["charts"],
  uses: ["model"],
  cost: 1,
  idempotent: true,
  timeout: "10m",
};

export default defineAgent({
  role: "visualizer",
  description: "Draws charts: distributions, categories, relations, groups, trends, the model's quality.",
  tasks: {
    draw: {
      ...common,
      description: "Draw the charts of the findings.",
      synonyms: ["plot", "chart", "visualize", "visualise", "graph", "figures"],
      needs: ["table", "profile", "findings", "workDir", "data"],
      // Where the trend cannot be had, charts without it are better than none.
      cost: "env.data.dateColumns > 0 ? 5 : 1",
      run: (given, ctx) => draw(given, ctx, "draw"),
    },
    "draw-trend": {
      ...common,
      description: "Draw the charts of the findings and of the trend over time.",
      needs: ["table", "profile", "findings", "trend", "workDir", "data"],
      when: "env.data.dateColumns > 0",
      run: (given, ctx) => draw(given, ctx, "draw-trend"),
    },
  },
});
