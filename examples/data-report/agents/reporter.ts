/** The reporter: writes the page and the logbook from what the other agents left. */
import { mkdir } from "node:fs/promises";
import { basename, join } from "node:path";
import { z } from "zod";
import type { TaskContext } from "../../../src/agent/define.ts";
import { defineAgent } from "../../../src/agent/define-agent.ts";
import { NonRetryableError } from "../../../src/workflow/errors.ts";
import type { Findings } from "../analysis/findings.ts";
import type { Model } from "../analysis/model.ts";
import type { Trend } from "../analysis/trend.ts";
import type { Chart } from "../charts/draft.ts";
import { readShared, runStep, type StepLog } from "../logbook.ts";
import { notebookOf } from "../report/notebook.ts";
import { reportPage } from "../report/page.ts";
import type { ReportParts } from "../report/parts.ts";
import type { Cleaning } from "../table/cleaning.ts";
import { type Profile, profileSchema, tableSchema } from "../table/column.ts";
import { count } from "../wording.ts";
import { findingsSchema, trendSchema } from "./analyst.ts";
import { cleaningSchema } from "./cleaner.ts";
import { datasetSchema } from "./loader.ts";
import { MIN_MODEL_ROWS, modelSchema } from "./modeler.ts";
import { chartsSchema } from "./visualizer.ts";

const basis = {
  dataset: datasetSchema,
  profile: profileSchema,
  workDir: z.string(),
  outDir: z.string(),
  goal: z.looseObject({ text: z.string() }).nullish(),
  data: z.looseObject({ target: z.string().optional(), modelRows: z.number().optional() }).nullish(),
};
const optional = {
  cleaning: cleaningSchema.nullish(),
  trend: trendSchema.nullish(),
  sample: tableSchema.nullish(),
  model: modelSchema.nullish(),
};
const inputs = z.object({
  ...basis,
  ...optional,
  table: tableSchema,
  findings: findingsSchema,
  charts: chartsSchema,
});
type Given = z.infer<z.ZodObject<typeof basis>> & Partial<Omit<z.infer<typeof inputs>, keyof typeof basis>>;

export const reportSchema = z.object({
  /** The HTML page. */
  path: z.string(),
  /** The Jupyter notebook. */
  logbook: z.string(),
  bytes: z.int(),
});

async function write(given: Given, ctx: TaskContext, task: string) {
  const { workDir, outDir, dataset } = given;
  try {
    await mkdir(outDir, { recursive: true });
  } catch (cause) {
    throw new NonRetryableError(
      `The folder ${outDir} for the report cannot be made. Give another with --out.`,
      { cause },
    );
  }
  const { value } = await runStep(ctx, { role: "reporter", task, workDir }, async (tools) => {
    const parts = await gather(given, ctx);
    const page = reportPage(parts);
    const path = join(outDir, "report.html");
    const logbook = join(outDir, "logbook.ipynb");
    await tools.write(
      logbook,
      `${JSON.stringify(notebookOf(parts.name, parts.goal, parts.steps), null, 1)}\n`,
    );
    await tools.write(path, page);
    ctx.progress(1, path);
    const bytes = Buffer.byteLength(page);
    return {
      value: { path, logbook, bytes },
      summary: [
        `Wrote ${basename(path)} about ${count(dataset.rows, "row")} with ${count(parts.charts.length, "chart")}.`,
      ],
    };
  });
  return { report: value };
}

async function gather(given: Given, ctx: TaskContext): Promise<ReportParts> {
  const { dataset, profile } = given;
  const loaded = await readShared<Profile>(profile.file);
  const optionalPart = async <T>(ref: { file: string } | null | undefined): Promise<T | null> =>
    ref ? readShared<T>(ref.file) : null;
  const logs = [
    dataset,
    profile,
    given.table,
    given.findings,
    given.trend,
    given.sample,
    given.model,
    given.charts,
  ].flatMap((ref) => (ref ? [ref.log] : []));
  const steps = await Promise.all([...new Set(logs)].map((log) => readShared<StepLog>(log)));
  steps.sort((a, b) => a.startedAt.localeCompare(b.startedAt) || a.step.localeCompare(b.step));
  return {
    name: basename(dataset.source),
    source: dataset.source,
    format: dataset.format,
    goal: given.goal?.text ?? "",
    madeAt: new Date(),
    run: ctx.run,
    loaded,
    table: given.table?.profile ? await readShared<Profile>(given.table.profile) : loaded,
    cleaning: await optionalPart<Cleaning>(given.cleaning),
    findings: await optionalPart<Findings>(given.findings),
    trend: await optionalPart<Trend>(given.trend),
    model: await optionalPart<Model>(given.model),
    sample: given.sample ? { rows: given.sample.rows } : null,
    charts: (await optionalPart<Chart[]>(given.charts)) ?? [],
    steps,
    notDone: notDone(given),
  };
}

function notDone({ goal, findings, model, ...given }: Given): string[] {
  if (goal?.scope === "full" && !findings)
    return ["Only the profile was made: the analysis did not succeed, and the run's trace says why."];
  return findings && !model ? [whyNoModel({ goal, ...given })] : [];
}

function whyNoModel({ data, goal }: Pick<Given, "data" | "goal">): string {
  if (goal?.noModel === true) return "The goal asks for no model.";
  if (!data?.target) return "No model was made: no column lends itself to being predicted.";
  const rows = data.modelRows ?? 0;
  if (rows === 0) return `No model was made: no other column could predict ${data.target}.`;
  if (rows >= MIN_MODEL_ROWS)
    return `No model of ${data.target} was made: the modelling did not succeed, and the run's trace says why.`;
  return `No model was made: ${data.target} is known in ${count(rows, "row")}, and a score from fewer than ${MIN_MODEL_ROWS} would be noise.`;
}

const needs = ["dataset", "profile", "workDir", "outDir", "goal", "data"];
/** A report that lacks something costs more than all the steps that it saves: it is planned when they fail. */
const SECOND_BEST = 20;
const LAST_RESORT = 40;

const common = {
  outputs: z.object({ report: reportSchema }),
  gives: ["report"],
  cost: 1,
  idempotent: true,
  timeout: "5m",
};

export default defineAgent({
  role: "reporter",
  description: "Writes the report (one HTML page) and the logbook (a Jupyter notebook).",
  tasks: {
    report: {
      ...common,
      description: "Write a report with findings, charts and a model.",
      synonyms: ["report", "summary", "summarise", "summarize", "document", "write up", "write it up"],
      inputs,
      needs: [...needs, "table", "findings", "charts", "model"],
      uses: ["cleaning", "trend", "sample"],
      when: `env.goal.scope == "full" && env.data.modelRows >= ${MIN_MODEL_ROWS}`,
      run: (given, ctx) => write(given, ctx, "report"),
    },
    "report-without-model": {
      ...common,
      description: "Write a report with findings and charts, where the data or the modeler gives no model.",
      inputs,
      needs: [...needs, "table", "findings", "charts"],
      uses: ["cleaning", "trend", "sample"],
      when: `env.goal.scope == "full"`,
      cost: `env.data.modelRows >= ${MIN_MODEL_ROWS} ? ${SECOND_BEST} : 1`,
      run: (given, ctx) => write(given, ctx, "report-without-model"),
    },
    "profile-report": {
      ...common,
      description: "Write a report of the profile only: what the data is and what is wrong with it.",
      synonyms: ["only profile", "just describe"],
      inputs: z.object(basis),
      needs,
      cost: `env.goal.scope == "profile" ? 1 : ${LAST_RESORT}`,
      run: (given, ctx) => write(given, ctx, "profile-report"),
    },
  },
});
