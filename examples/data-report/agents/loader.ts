/** The loader: a file of any supported format becomes a typed table that the other agents share. */
import { z } from "zod";
import type { TaskContext } from "../../../src/agent/define.ts";
import { defineAgent } from "../../../src/agent/define-agent.ts";
import { runStep } from "../logbook.ts";
import { recogniseSource } from "../source.ts";
import { loadTable, saveTable } from "../table/load.ts";
import { bytesText, count } from "../wording.ts";

const inputs = z.object({
  /** The data file: CSV, TSV, JSON, NDJSON or Parquet. */
  path: z.string().min(1),
  workDir: z.string().min(1),
});

export const datasetSchema = z.object({
  /** The typed table as Parquet. */
  file: z.string(),
  /** What the explorer needs to know about the reading of the file. */
  reading: z.string(),
  source: z.string(),
  format: z.string(),
  bytes: z.number(),
  rows: z.int(),
  columns: z.int(),
  log: z.string(),
});
export type Dataset = z.infer<typeof datasetSchema>;

async function load(
  { path, workDir }: z.infer<typeof inputs>,
  ctx: TaskContext,
  task: string,
): Promise<Dataset> {
  const { value, log } = await runStep(
    ctx,
    { role: "loader", task, workDir },
    async ({ db, file, write, publish }) => {
      const source = await recogniseSource(db, path);
      ctx.progress(0.2, `reading ${source.name} as ${source.format}`);
      const table = await loadTable(db, source);
      ctx.progress(0.8, `${count(table.rows, "row")}, ${count(table.columns.length, "column")}`);
      const target = file("dataset.parquet");
      await publish(target, (temporary) => saveTable(db, "dataset", temporary));
      const reading = file("reading.json");
      await write(reading, JSON.stringify({ notes: table.notes, readings: [...table.readings] }));
      const value = {
        file: target,
        reading,
        source: path,
        format: source.format,
        bytes: source.bytes,
        rows: table.rows,
        columns: table.columns.length,
      };
      const size = `${count(table.rows, "row")} and ${count(table.columns.length, "column")}`;
      const summary = [
        `Read ${source.name} (${source.format.toUpperCase()}, ${bytesText(source.bytes)}): ${size}.`,
        ...table.notes.map((note) => note.sentence),
      ];
      return { value, summary };
    },
  );
  return { ...value, log };
}

export default defineAgent({
  role: "loader",
  description: "Reads CSV, TSV, JSON and Parquet files into a typed table.",
  tasks: {
    load: {
      description: "Load a data file into a typed table.",
      synonyms: ["read", "import", "open"],
      inputs,
      outputs: z.object({ dataset: datasetSchema }),
      needs: ["path", "workDir"],
      gives: ["dataset"],
      cost: 1,
      idempotent: true,
      timeout: "10m",
      async run(given, ctx) {
        return { dataset: await load(given, ctx, "load") };
      },
    },
    "load-tidy": {
      description: "Load a data file that needs no cleaning: the loaded table is the one to analyse.",
      inputs,
      outputs: z.object({ dataset: datasetSchema, table: z.unknown() }),
      needs: ["path", "workDir", "data"],
      gives: ["dataset", "table"],
      when: "env.data.problems == 0",
      // A little more than `load`, so that it is used only where its table is.
      cost: 1.01,
      idempotent: true,
      timeout: "10m",
      async run(given, ctx) {
        const dataset = await load(given, ctx, "load-tidy");
        const { file, rows, columns, log } = dataset;
        return { dataset, table: { file, rows, columns, log } };
      },
    },
  },
});
