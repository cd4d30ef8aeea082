/**
 * What every step leaves behind for the report and the notebook: what it did, in sentences and in SQL.
 *
 * One JSON file per step in the work folder, referred to by path: a logbook of a wide table is far too large
 * for a message. Files are written under another name and renamed, so that a step that runs twice (execution
 * is at least once) never leaves half a file.
 */
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { TaskContext } from "../../src/agent/define.ts";
import { NonRetryableError } from "../../src/workflow/errors.ts";
import { type Database, type SqlEntry, withDatabase } from "./database.ts";

export interface StepLog {
  step: string;
  role: string;
  task: string;
  attempt: number;
  startedAt: string;
  endedAt: string;
  durationMs: number;
  /** What the step did and found, in sentences. */
  summary: string[];
  sql: SqlEntry[];
}

export interface StepWork<T> {
  /** What the step's outputs are made from. */
  value: T;
  summary: string[];
}

/** What a step's work may use. */
export interface StepTools {
  db: Database;
  /** A path in the work folder for a file of this step. */
  file(name: string): string;
  /** Writes a file so that it is either whole or not there. */
  write(file: string, text: string): Promise<void>;
  /** Makes a file through `make`, which is given a temporary path. */
  publish(file: string, make: (temporary: string) => Promise<void>): Promise<void>;
}

/**
 * Runs one step's work with a database, and writes its logbook entry.
 * @returns the work's value and the path of the logbook entry
 */
export async function runStep<T>(
  ctx: TaskContext,
  by: { role: string; task: string; workDir: string },
  work: (tools: StepTools) => Promise<StepWork<T>>,
): Promise<{ value: T; log: string }> {
  const startedAt = new Date();
  await makeFolder(by.workDir);
  return withDatabase({ spillFolder: join(by.workDir, "spill"), signal: ctx.signal }, async (db) => {
    const publish = async (file: string, make: (temporary: string) => Promise<void>) => {
      const temporary = `${file}.${ctx.step}-${ctx.n}.tmp`;
      await make(temporary);
      await rename(temporary, file);
    };
    const tools: StepTools = {
      db,
      file: (name) => join(by.workDir, name),
      write: (file, text) => publish(file, (temporary) => writeFile(temporary, text)),
      publish,
    };
    const { value, summary } = await work(tools);
    const endedAt = new Date();
    const log: StepLog = {
      step: ctx.step,
      role: by.role,
      task: by.task,
      attempt: ctx.attempt,
      startedAt: startedAt.toISOString(),
      endedAt: endedAt.toISOString(),
      durationMs: endedAt.getTime() - startedAt.getTime(),
      summary,
      sql: db.log,
    };
    const path = join(by.workDir, `step-${ctx.step}.json`);
    await tools.write(path, JSON.stringify(log));
    return { value, log: path };
  });
}

async function makeFolder(folder: string): Promise<void> {
  try {
    await mkdir(folder, { recursive: true });
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code ?? String(cause);
    throw new NonRetryableError(
      `The work folder ${folder} cannot be made (${code}). Give another folder with --out.`,
      { cause },
    );
  }
}

/** Reads what another agent left in the shared work folder. */
export async function readShared<T>(file: string): Promise<T> {
  try {
    return JSON.parse(await readFile(file, "utf8")) as T;
  } catch (cause) {
    throw new NonRetryableError(
      `${file}, left by an earlier step, cannot be read here. All agents of this swarm need the same work ` +
        "folder: run them on one machine or share the folder between the machines.",
      { cause },
    );
  }
}
