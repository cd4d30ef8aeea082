/** The analyst: relations, differences and extremes in a table, and how it moves over time. */
import { z } from "zod";
import { defineAgent } from "../../../src/agent/define-agent.ts";
import { type Findings, findFindings } from "../analysis/findings.ts";
import { findTrend, type Trend } from "../analysis/trend.ts";
import { timeColumns } from "../facts.ts";
import { readShared, runStep } from "../logbook.ts";
import { type Profile, profileSchema, tableSchema } from "../table/column.ts";
import { openTable } from "../table/load.ts";
import { count } from "../wording.ts";

const inputs = z.object({
  table: tableSchema,
  profile: profileSchema,
  workDir: z.string(),
  /** The facts that the plan was made from; the target is among them. */
  data: z.looseObject({ target: z.string().optional(), timeColumn: z.string().optional() }).nullish(),
});

export const findingsSchema = z.object({ file: z.string(), count: z.int(), log: z.string() });
export const trendSchema = z.object({
  file: z.string(),
  column: z.string(),
  period: z.string(),
  log: z.string(),
});

export default defineAgent({
  role: "analyst",
  description:
    "Finds what stands out: correlations, group differences, frequent values, outliers, trends over time.",
  tasks: {
    analyse: {
      description: "Find correlations, differences between groups, distributions and extremes in the data.",
      synonyms: ["analyze", "correlate", "outliers", "insights", "findings", "statistics", "compare"],
      inputs,
      outputs: z.object({ findings: findingsSchema }),
      needs: ["table", "profile", "workDir", "data"],
      gives: ["findings"],
      cost: 1,
      idempotent: true,
      timeout: "10m",
      async run({ table, profile: ref, workDir, data }, ctx) {
        const profile = await readShared<Profile>(table.profile ?? ref.file);
        const { value, log } = await runStep(
          ctx,
          { role: "analyst", task: "analyse", workDir },
          async (tools) => {
            const { db, file, write } = tools;
            await openTable(db, "table", table.file);
            const found: Findings = await findFindings(db, profile, data?.target ?? "");
            const path = file("findings.json");
            await write(path, JSON.stringify(found));
            const summary = [
              `Tested ${count(found.tested, "relation")} and kept ${count(found.findings.length, "finding")}.`,
              ...found.findings.slice(0, 3).map((finding) => finding.sentence),
            ];
            return { value: { file: path, count: found.findings.length }, summary };
          },
        );
        return { findings: { ...value, log } };
      },
    },
    trend: {
      description: "Follow the numbers over time: trends and seasonal cycles.",
      synonyms: ["time series", "over time", "seasonality", "history", "growth"],
      inputs,
      outputs: z.object({ trend: trendSchema }),
      needs: ["table", "profile", "workDir", "data"],
      gives: ["trend"],
      when: "env.data.dateColumns > 0",
      cost: 1,
      idempotent: true,
      timeout: "10m",
      async run({ table, profile: ref, workDir, data }, ctx) {
        const profile = await readShared<Profile>(table.profile ?? ref.file);
        const { value, log } = await runStep(
          ctx,
          { role: "analyst", task: "trend", workDir },
          async (tools) => {
            const { db, file, write } = tools;
            await openTable(db, "table", table.file);
            const times = timeColumns(profile.columns);
            const column = times.find((c) => c.name === data?.timeColumn) ?? times[0];
            const path = file("trend.json");
            const trend: Trend | null = column
              ? await findTrend(db, profile, column, data?.target ?? "")
              : null;
            await write(path, JSON.stringify(trend));
            const summary = trend
              ? trend.sentences.slice(0, 3)
              : ["No column carries a trend after cleaning."];
            return {
              value: { file: path, column: trend?.column ?? "", period: trend?.period ?? "" },
              summary,
            };
          },
        );
        return { trend: { ...value, log } };
      },
    },
  },
});
