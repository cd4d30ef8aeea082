/**
 * Archives in a folder: `<run>.jsonl` for each run.
 *
 * Owns the file names and that a file is whole or not there: it is written beside its place, flushed to the disk
 * and then moved, so that a run may be purged once its archive was written. A run whose id was used before gets
 * a file of its own, `<run>.<start>.jsonl`; the same run written again replaces its file.
 */
import { constants } from "node:fs";
import { type FileHandle, open, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Bus } from "../bus/bus.ts";
import { InvalidInputError, NotFoundError } from "../workflow/errors.ts";
import { makeFolder } from "./make-folder.ts";
import { type ArchiveInput, archiveLines, RunArchive } from "./run-archive.ts";
import type { FinishedRun } from "./run-removal.ts";

const EXTENSION = ".jsonl";
/** Text that is gathered before it is written. */
const WRITE_CHARS = 256 * 1024;

export interface ArchivedFile {
  path: string;
  bytes: number;
}

/** @throws InvalidInputError `E_ARCHIVE_FOLDER` when the folder cannot be written */
export async function archiveRun(bus: Bus, finished: FinishedRun, folder: string): Promise<ArchivedFile> {
  const { run, name, status, artifacts, lastSeq } = finished;
  const startedAt = new Date(finished.startedAt).toISOString();
  const input: ArchiveInput = {
    header: {
      swarm: bus.swarm,
      run,
      name,
      status,
      startedAt,
      endedAt: new Date(finished.endedAt).toISOString(),
    },
    records: bus.log.read(run, { to: lastSeq }),
    artifacts,
    store: bus.artifacts,
  };
  await inFolder(folder, () => makeFolder(folder));
  const path = await placeOf(folder, run, startedAt);
  const draft = `${path}.${process.pid}.part`;
  const file = await inFolder(folder, () => open(draft, "w", 0o600));
  try {
    const bytes = await writeLines(file, archiveLines(input));
    await file.sync();
    await inFolder(folder, () => rename(draft, path));
    await syncFolder(folder);
    return { path, bytes };
  } finally {
    await file.close();
    await rm(draft, { force: true });
  }
}

/**
 * @param path an archive, or a folder with the run's archive in it
 * @throws NotFoundError when there is none; InvalidInputError `E_ARCHIVE` when it is none
 */
export async function openArchive(path: string, run: string): Promise<RunArchive> {
  const found = await stat(path).catch((cause: unknown) => {
    throw new NotFoundError("E_FILE_NOT_FOUND", `there is no archive ${path}`, {
      remedy: "Give the file that `datahammer archive` wrote, or its folder.",
      data: { path },
      cause,
    });
  });
  if (!found.isDirectory()) return RunArchive.open(path, () => linesOf(path));
  return openArchive(join(path, `${run}${EXTENSION}`), run);
}

async function placeOf(folder: string, run: string, startedAt: string): Promise<string> {
  const usual = join(folder, `${run}${EXTENSION}`);
  try {
    const { header } = await openArchive(usual, run);
    if (header.startedAt === startedAt) return usual;
  } catch (error) {
    if (error instanceof NotFoundError) return usual;
    // Something else has that name: it is left alone.
    if (!(error instanceof InvalidInputError)) throw error;
  }
  return join(folder, `${run}.${startedAt.replaceAll(/[^0-9]/g, "")}${EXTENSION}`);
}

async function writeLines(file: FileHandle, lines: AsyncIterable<string>): Promise<number> {
  let bytes = 0;
  let gathered = "";
  const write = async (): Promise<void> => {
    bytes += Buffer.byteLength(gathered);
    await file.appendFile(gathered);
    gathered = "";
  };
  for await (const line of lines) {
    gathered += `${line}\n`;
    if (gathered.length >= WRITE_CHARS) await write();
  }
  await write();
  return bytes;
}

async function* linesOf(path: string): AsyncGenerator<string> {
  const file = await open(path, constants.O_RDONLY);
  try {
    yield* file.readLines();
  } finally {
    await file.close();
  }
}

/** A new name is on the disk once its folder is. */
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, constants.O_RDONLY);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function inFolder<Value>(folder: string, work: () => Promise<Value>): Promise<Value> {
  try {
    return await work();
  } catch (cause) {
    throw new InvalidInputError(
      "E_ARCHIVE_FOLDER",
      `${folder} cannot take archives: ${(cause as Error).message}`,
      { remedy: "Name a folder that can be written.", data: { folder }, cause },
    );
  }
}
