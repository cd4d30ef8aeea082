/** `env RUN [KEY]` and `env RUN set KEY JSON`: a run's environment, read and written. */
import type { SwarmClient } from "../../client/swarm.ts";
import { replay, type Trace } from "../../trace/replay.ts";
import { isoTime } from "../../trace/view.ts";
import { DataHammerError, InvalidInputError } from "../../workflow/errors.ts";
import { withClient, withReader } from "../connection.ts";
import { EXIT, type ExitCode } from "../exit-code.ts";
import { integerFlag, parseJsonArgument } from "../given-file.ts";
import type { Command, Invocation } from "../invocation.ts";
import { momentFlag } from "../moment.ts";
import { table } from "../output.ts";
import { shownValue, valueLines } from "../run-report.ts";
import { wallTime } from "../wall-clock.ts";

export interface EnvFlags {
  run: string;
  words: string[];
  archive?: string;
  ifRevision?: string;
  history?: boolean;
  follow?: boolean;
  after?: string;
  at?: string;
}

export const env: Command<EnvFlags> = async (call, flags) => {
  const { run, words, ifRevision, archive } = flags;
  const [first, key, json, ...rest] = words;
  if (first === "set" && words.length > 1) {
    if (key === undefined || json === undefined || rest.length > 0) throw usage("`env RUN set KEY JSON`");
    if (archive !== undefined) throw usage("--archive to read with: what has been archived stays as it was");
    const revision =
      ifRevision === undefined
        ? undefined
        : integerFlag("--if-revision", ifRevision, 0, Number.MAX_SAFE_INTEGER);
    return set(call, run, key, parseJsonArgument(json), revision);
  }
  if (words.length > 1) throw usage("`env RUN`, `env RUN KEY` or `env RUN set KEY JSON`");
  if (ifRevision !== undefined) throw usage("--if-revision with `env RUN set KEY JSON` only");
  if (flags.after !== undefined && !flags.follow) throw usage("--after with --follow only");
  if (flags.follow) return follow(call, flags, first);
  return flags.history ? history(call, flags, first) : get(call, flags, first);
};

/** Every write of the environment, or of one key. */
async function history(call: Invocation, flags: EnvFlags, key: string | undefined): Promise<ExitCode> {
  const { writes } = await withReader(call, flags, (reader) => replayed(call, reader, flags));
  const own = writes.filter((write) => key === undefined || write.key === key);
  const shown = own.map(({ ts, ...write }) => ({ ts: isoTime(ts), ...write }));
  call.output.data(shown, () => {
    if (own.length === 0) return key === undefined ? "nothing was written\n" : `"${key}" was never written\n`;
    const rows = own.map(({ revision, ts, key: written, value, writer }) => [
      String(revision),
      wallTime(ts, call.shell.zoneOffsetMs),
      written,
      [writer.step, writer.agent].filter((part) => part !== undefined).join(" by ") || "the submission",
      shownValue(value),
    ]);
    return table(["REVISION", "WHEN", "KEY", "WRITER", "VALUE"], rows, call.output.colors);
  });
  return EXIT.done;
}

/** What is there, then each update as it comes, until the run ends or Ctrl-C. */
async function follow(call: Invocation, flags: EnvFlags, key: string | undefined): Promise<ExitCode> {
  const { run, after, at, archive, history: past } = flags;
  if (at !== undefined || archive !== undefined || past) throw usage("--follow with --after and --json only");
  const { shell, output } = call;
  const { interrupted: signal } = shell;
  const from =
    after === undefined ? {} : { after: integerFlag("--after", after, 0, Number.MAX_SAFE_INTEGER) };
  await withClient(call, async (client) => {
    for await (const change of client.watchEnvironment(run, { ...from, signal })) {
      if (key !== undefined && change.key !== key) continue;
      output.line(change, () => {
        const writer = change.writer.step ?? change.writer.agent ?? "the submission";
        return `${change.revision}  ${change.key} = ${shownValue(change.value)}  (${writer})`;
      });
    }
  });
  return signal.aborted ? EXIT.interrupted : EXIT.done;
}

function replayed(
  { shell }: Invocation,
  reader: Pick<SwarmClient, "records">,
  { run, at }: EnvFlags,
): Promise<Trace> {
  return replay(run, reader.records(run), at === undefined ? {} : momentFlag(at, shell));
}

async function get(call: Invocation, flags: EnvFlags, key: string | undefined): Promise<ExitCode> {
  const { output } = call;
  const view = await withReader(call, flags, async (reader) => {
    const at = flags.at === undefined ? {} : { at: (await replayed(call, reader, flags)).fold.lastSeq };
    return reader.environment(flags.run, key, at);
  });
  output.data(view, () => {
    if (key !== undefined) {
      const value = view.values[key];
      return `${typeof value === "string" ? value : JSON.stringify(value, undefined, 2)}\n`;
    }
    const lines = valueLines(view.values, output.colors);
    return `revision ${view.revision}\n${lines.map((line) => `${line}\n`).join("")}`;
  });
  return EXIT.done;
}

async function set(
  call: Invocation,
  run: string,
  key: string,
  value: unknown,
  ifRevision: number | undefined,
): Promise<ExitCode> {
  const { output } = call;
  const options = ifRevision === undefined ? {} : { ifRevision };
  const { verdict, shown } = await withClient(call, async (client) => {
    const given = await client.setEnvironment(run, key, value, options);
    // As everybody is shown it: the run's workflow may name secrets that are in it.
    return {
      verdict: given,
      shown: given.applied ? (await client.environment(run, key)).values[key] : value,
    };
  });
  if (!verdict.applied) {
    const conflict = verdict.conflict;
    throw new DataHammerError("E_NOT_APPLIED", `"${key}" of run "${run}" was not set: ${verdict.reason}`, {
      remedy:
        conflict === undefined
          ? `Look at the run with \`datahammer show ${run}\`.`
          : `Read it again and give --if-revision ${conflict.revision}, or leave that out.`,
      data: { run, key },
    });
  }
  output.data({ revision: verdict.revision, values: { [key]: shown } }, () => {
    return `${key} = ${shownValue(shown)} (revision ${verdict.revision})\n`;
  });
  return EXIT.done;
}

function usage(how: string): InvalidInputError {
  return new InvalidInputError("E_USAGE", "these arguments make no sense together", {
    remedy: `Use ${how}.`,
  });
}
