/** The cleaner: treats the problems that the profile found, and counts what it changed. */
import { z } from "zod";
import { defineAgent } from "../../../src/agent/define-agent.ts";
import { readShared, runStep } from "../logbook.ts";
import { cleanTable } from "../table/cleaning.ts";
import { type Profile, profileSchema, tableSchema } from "../table/column.ts";
import { openTable, saveTable } from "../table/load.ts";
import { profileTable } from "../table/profile.ts";
import { count } from "../wording.ts";
import { datasetSchema } from "./loader.ts";

export const cleaningSchema = z.object({ file: z.string(), actions: z.int(), rowsRemoved: z.int() });

export default defineAgent({
  role: "cleaner",
  description: "Cleans tables: duplicates, unreadable values, spellings, mistaken dates.",
  tasks: {
    clean: {
      description:
        "Clean the data: remove duplicates and treat every quality problem that the profile found.",
      synonyms: ["tidy", "fix", "repair", "deduplicate", "missing values"],
      inputs: z.object({ dataset: datasetSchema, profile: profileSchema, workDir: z.string() }),
      outputs: z.object({ table: tableSchema, cleaning: cleaningSchema }),
      needs: ["dataset", "profile", "workDir", "data"],
      gives: ["table", "cleaning"],
      when: "env.data.problems > 0",
      cost: 1,
      idempotent: true,
      timeout: "10m",
      async run({ dataset, profile: ref, workDir }, ctx) {
        const profile = await readShared<Profile>(ref.file);
        const { value, log } = await runStep(
          ctx,
          { role: "cleaner", task: "clean", workDir },
          async (tools) => {
            const { db, file, write, publish } = tools;
            await openTable(db, "dataset", dataset.file);
            const cleaning = await cleanTable(db, profile);
            ctx.progress(0.5, `${count(cleaning.actions.length, "rule")} applied`);
            const path = file("table.parquet");
            await publish(path, (temporary) => saveTable(db, "cleaned", temporary));
            const columns = await db.describe("cleaned");
            const after = await profileTable(db, {
              relation: "cleaned",
              rows: cleaning.rowsAfter,
              bytes: dataset.bytes,
              columns,
              readings: new Map(),
              notes: [],
              detail: "full",
            });
            await write(file("table-profile.json"), JSON.stringify(after));
            await write(file("cleaning.json"), JSON.stringify(cleaning));
            return {
              value: {
                table: {
                  file: path,
                  rows: cleaning.rowsAfter,
                  columns: columns.length,
                  profile: file("table-profile.json"),
                },
                cleaning: {
                  file: file("cleaning.json"),
                  actions: cleaning.actions.length,
                  rowsRemoved: cleaning.rowsBefore - cleaning.rowsAfter,
                },
              },
              summary: cleaning.actions.filter((action) => action.changed > 0).map((action) => action.did),
            };
          },
        );
        return { table: { ...value.table, log }, cleaning: value.cleaning };
      },
    },
  },
});
