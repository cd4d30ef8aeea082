/** `purge` and `archive`: finished runs, removed and kept in files. */
import { resolve } from "node:path";
import type { Bus } from "../../bus/bus.ts";
import { archiveRun } from "../../client/run-archive-file.ts";
import { type FinishedFilter, RunRemoval } from "../../client/run-removal.ts";
import { hasEnded } from "../../machines/run.ts";
import { InvalidInputError } from "../../workflow/errors.ts";
import { connectBus, endpointOf } from "../connection.ts";
import { EXIT } from "../exit-code.ts";
import { durationFlag } from "../given-file.ts";
import type { Command, Invocation } from "../invocation.ts";
import { statusFlag } from "./runs.ts";

interface FilterFlags {
  runs: string[];
  older?: string;
  status?: string;
}

export interface PurgeFlags extends FilterFlags {
  yes?: boolean;
}

export interface ArchiveFlags extends FilterFlags {
  out?: string;
}

export const purge: Command<PurgeFlags> = async (call, flags) => {
  const { output, shell, settings } = call;
  const filter = { ...filterOf(flags), signal: shell.interrupted };
  return withBus(call, async (bus) => {
    const removal = new RunRemoval(bus, shell.clock);
    if (!(await isMeant(call, removal, flags, filter))) {
      output.notice("nothing was removed");
      return EXIT.failed;
    }
    const folder = settings.archiveTo;
    const report = await removal.purge(filter, async (finished) => {
      if (folder !== undefined) await archiveRun(bus, finished, folder);
    });
    output.data(report, () => {
      return `removed ${count(report.runs, "run")}: ${count(report.messages, "message")}, ${report.bytes} bytes\n`;
    });
    return EXIT.done;
  });
};

export const archive: Command<ArchiveFlags> = async (call, flags) => {
  const { output, shell } = call;
  const { out } = flags;
  if (out === undefined) {
    throw new InvalidInputError("E_USAGE", "archive needs a folder to write to", {
      remedy: "Give --out DIR.",
    });
  }
  if (flags.runs.length === 0 && flags.older === undefined && flags.status === undefined) {
    throw new InvalidInputError("E_USAGE", "archive needs runs", {
      remedy: "Name them, or give --older DURATION (0s: all that ended) or --status.",
    });
  }
  const filter = { ...filterOf(flags), signal: shell.interrupted };
  const folder = resolve(shell.cwd, out);
  return withBus(call, async (bus) => {
    const written = { runs: 0, bytes: 0, files: [] as string[] };
    await new RunRemoval(bus, shell.clock).each(filter, async (finished) => {
      if (finished.remains) return;
      const { path, bytes } = await archiveRun(bus, finished, folder);
      written.runs++;
      written.bytes += bytes;
      written.files.push(path);
    });
    output.data(written, () => {
      return `archived ${count(written.runs, "run")} in ${folder}: ${written.bytes} bytes\n`;
    });
    return EXIT.done;
  });
};

/** Whether to go on: said by flag, or by the person who was asked. */
async function isMeant(
  { shell }: Invocation,
  removal: RunRemoval,
  { yes }: PurgeFlags,
  filter: FinishedFilter,
): Promise<boolean> {
  if (yes) return true;
  if (shell.confirm === undefined) {
    throw new InvalidInputError(
      "E_NOT_CONFIRMED",
      "purge removes runs for good, and nobody is here to be asked",
      {
        remedy: "Give --yes if that is meant; `datahammer archive` keeps runs in files.",
      },
    );
  }
  let found = 0;
  await removal.each(filter, async () => {
    found++;
  });
  if (found === 0) return true;
  return shell.confirm(`Remove ${count(found, "finished run")} with logs and artifacts, for good?`);
}

function filterOf({ runs, older, status }: FilterFlags): FinishedFilter {
  const wanted = status === undefined ? undefined : statusFlag(status);
  if (wanted !== undefined && !hasEnded(wanted)) {
    throw new InvalidInputError("E_STATUS", `--status ${wanted} is that of an open run, and those stay`, {
      remedy: "Use done, failed or cancelled; end a run with `datahammer cancel RUN`.",
    });
  }
  return {
    ...(runs.length === 0 ? {} : { runs }),
    ...(older === undefined ? {} : { olderMs: durationFlag("--older", older) }),
    ...(wanted === undefined ? {} : { status: wanted }),
  };
}

async function withBus<Result>(call: Invocation, work: (bus: Bus) => Promise<Result>): Promise<Result> {
  const bus = await connectBus(call, await endpointOf(call), "datahammer-cli");
  try {
    return await work(bus);
  } finally {
    await bus.close();
  }
}

const count = (amount: number, noun: string): string => `${amount} ${noun}${amount === 1 ? "" : "s"}`;
