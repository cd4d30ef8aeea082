/** The explorer: profiles a table column by column, and takes samples of large ones. */
import { z } from "zod";
import { defineAgent } from "../../../src/agent/define-agent.ts";
import { num } from "../database.ts";
import { readShared, runStep } from "../logbook.ts";
import type { SourceNote } from "../source.ts";
import { profileSchema, tableSchema } from "../table/column.ts";
import { openTable, saveTable } from "../table/load.ts";
import { profileTable } from "../table/profile.ts";
import type { TextReading } from "../table/typing.ts";
import { count } from "../wording.ts";
import { datasetSchema } from "./loader.ts";

/** Rows of a sample. */
const SAMPLE_ROWS = 50_000;
/** The same sample every time. */
const SAMPLE_SEED = 42;

export default defineAgent({
  role: "explorer",
  description: "Profiles tables: types, missing values, ranges, frequent values, quality problems.",
  tasks: {
    profile: {
      description: "Profile every column of the data and list the quality problems.",
      synonyms: ["describe", "explore", "overview", "inspect", "quality"],
      inputs: z.object({ dataset: datasetSchema, workDir: z.string() }),
      outputs: z.object({ profile: profileSchema }),
      needs: ["dataset", "workDir"],
      gives: ["profile"],
      cost: 1,
      idempotent: true,
      timeout: "10m",
      async run({ dataset, workDir }, ctx) {
        const reading = await readShared<{ notes: SourceNote[]; readings: [string, TextReading][] }>(
          dataset.reading,
        );
        const { value, log } = await runStep(
          ctx,
          { role: "explorer", task: "profile", workDir },
          async (tools) => {
            const { db, file, write } = tools;
            await openTable(db, "dataset", dataset.file);
            const columns = await db.describe("dataset");
            ctx.progress(0.1, `measuring ${count(columns.length, "column")}`);
            const profile = await profileTable(db, {
              relation: "dataset",
              rows: dataset.rows,
              bytes: dataset.bytes,
              columns,
              readings: new Map(reading.readings),
              notes: reading.notes,
              detail: "full",
            });
            const path = file("profile.json");
            await write(path, JSON.stringify(profile));
            const treatable = profile.problems.filter((problem) => problem.treatable).length;
            const value = {
              file: path,
              rows: profile.rows,
              columns: profile.columns.length,
              missingCells: profile.missingCells,
              problems: profile.problems.length,
              treatable,
            };
            const cells = profile.rows * profile.columns.length;
            const summary = [
              `${count(profile.missingCells, "cell")} of ${cells.toLocaleString("en-US")} ${profile.missingCells === 1 ? "is" : "are"} missing.`,
              `${count(profile.problems.length, "quality problem")} found, ${treatable} of them for the cleaner.`,
            ];
            return { value, summary };
          },
        );
        return { profile: { ...value, log } };
      },
    },
    sample: {
      description: "Take a random sample of a table that is too large for a model.",
      synonyms: ["subsample", "subset"],
      inputs: z.object({ table: tableSchema, workDir: z.string() }),
      outputs: z.object({ sample: tableSchema }),
      needs: ["table", "workDir"],
      gives: ["sample"],
      cost: 1,
      idempotent: true,
      timeout: "10m",
      async run({ table, workDir }, ctx) {
        const { value, log } = await runStep(
          ctx,
          { role: "explorer", task: "sample", workDir },
          async (tools) => {
            const { db, file, publish } = tools;
            await openTable(db, "table", table.file);
            // One thread: with several, a seeded reservoir sample depends on their race.
            await db.rows("SET threads = 1");
            await db.query(
              `Sample ${SAMPLE_ROWS.toLocaleString("en-US")} rows`,
              `CREATE TABLE sample AS SELECT * FROM "table" USING SAMPLE reservoir(${SAMPLE_ROWS} ROWS) REPEATABLE (${SAMPLE_SEED})`,
            );
            const path = file("sample.parquet");
            await publish(path, (temporary) => saveTable(db, "sample", temporary));
            const [row] = await db.rows("SELECT count(*) AS n FROM sample");
            const rows = num(row?.n);
            const value = {
              file: path,
              rows,
              columns: table.columns,
              ...(table.profile ? { profile: table.profile } : {}),
            };
            const share = `${count(rows, "row")} of ${table.rows.toLocaleString("en-US")}`;
            return { value, summary: [`Took a random sample of ${share} (seed ${SAMPLE_SEED}).`] };
          },
        );
        return { sample: { ...value, log } };
      },
    },
  },
});
