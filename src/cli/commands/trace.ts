/** `trace RUN`: every transition of every machine, replayed from the log, as it was at any moment or as it goes on. */
import pc from "picocolors";
import { renderTrace, traceFormat } from "../../trace/format.ts";
import { replay, traceTransition } from "../../trace/replay.ts";
import { transitionLine } from "../../trace/text.ts";
import { stepRefOf } from "../../workflow/derived-step.ts";
import { InvalidInputError } from "../../workflow/errors.ts";
import { withClient, withReader } from "../connection.ts";
import { EXIT, type ExitCode } from "../exit-code.ts";
import type { Command, Invocation } from "../invocation.ts";
import { momentFlag } from "../moment.ts";
import { usesColor } from "../shell.ts";
import { diff, textOptions } from "./why.ts";

export interface TraceFlags {
  run: string;
  /** With `diff` in the place of the run: the two runs. */
  others?: string[];
  archive?: string;
  step?: string;
  format?: string;
  at?: string;
  follow?: boolean;
}

export const trace: Command<TraceFlags> = async (call, flags) => {
  const { run, step, format: name, at } = flags;
  const [one, other, ...rest] = flags.others ?? [];
  if (one !== undefined) {
    if (run === "diff" && other !== undefined && rest.length === 0) {
      return diff(call, { one, other, ...(flags.archive === undefined ? {} : { archive: flags.archive }) });
    }
    throw new InvalidInputError("E_USAGE", "trace takes one run", {
      remedy: "Use `trace RUN`, or `trace diff RUN RUN` for two.",
    });
  }
  if (flags.follow) return follow(call, flags);
  const { shell, output } = call;
  const format = traceFormat(name ?? (output.json ? "json" : "text"));
  const options = {
    ...(step === undefined ? {} : { step }),
    ...(at === undefined ? {} : momentFlag(at, shell)),
  };
  const found = await withReader(call, flags, (reader) => replay(run, reader.records(run), options));
  const open = !found.fold.ended && at === undefined;
  shell.stdout.write(
    renderTrace(found, format, {
      ...textOptions(call),
      ...(step === undefined ? {} : { step }),
      ...(open ? { now: shell.clock.now() } : {}),
      ...(at === undefined ? {} : { moment: true }),
    }),
  );
  return EXIT.done;
};

/** One line per transition: those that were, then each as it happens, until the run ends or Ctrl-C. */
async function follow(call: Invocation, { run, step, format, at, archive }: TraceFlags): Promise<ExitCode> {
  if (at !== undefined || archive !== undefined || (format !== undefined && format !== "text")) {
    throw new InvalidInputError("E_USAGE", "--follow goes with --step and --json only", {
      remedy: "Leave --at, --archive and --format out, or leave --follow out.",
    });
  }
  const { shell, output } = call;
  const colors = pc.createColors(usesColor(shell, shell.stdout));
  await withClient(call, (client) =>
    client.watch(
      run,
      ({ transitions, fold }) => {
        for (const transition of transitions) {
          if (step !== undefined && transition.actor !== stepRefOf(step)) continue;
          const line = output.json
            ? JSON.stringify(traceTransition(transition))
            : transitionLine(transition, fold.startedAt ?? transition.ts, colors);
          shell.stdout.write(`${line}\n`);
        }
      },
      { signal: shell.interrupted },
    ),
  );
  return shell.interrupted.aborted ? EXIT.interrupted : EXIT.done;
}
