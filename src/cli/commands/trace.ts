/** `trace RUN`: every transition of every machine, replayed from the log. */
import { renderTrace, traceFormat } from "../../trace/format.ts";
import { replay } from "../../trace/replay.ts";
import { withReader } from "../connection.ts";
import { EXIT } from "../exit-code.ts";
import { integerFlag } from "../given-file.ts";
import type { Command } from "../invocation.ts";
import { usesColor } from "../shell.ts";

const DEFAULT_WIDTH = 100;

export interface TraceFlags {
  run: string;
  archive?: string;
  step?: string;
  format?: string;
  at?: string;
}

export const trace: Command<TraceFlags> = async (call, flags) => {
  const { run, step, format: name, at } = flags;
  const { shell, output } = call;
  const format = traceFormat(name ?? (output.json ? "json" : "text"));
  const options = {
    ...(step === undefined ? {} : { step }),
    ...(at === undefined ? {} : { at: integerFlag("--at", at, 1, Number.MAX_SAFE_INTEGER) }),
  };
  const found = await withReader(call, flags, (reader) => replay(run, reader.records(run), options));
  const open = !found.fold.ended && at === undefined;
  shell.stdout.write(
    renderTrace(found, format, {
      width: shell.stdout.isTTY ? shell.stdout.columns : DEFAULT_WIDTH,
      color: usesColor(shell, shell.stdout),
      ...(step === undefined ? {} : { step }),
      ...(open ? { now: shell.clock.now() } : {}),
    }),
  );
  return EXIT.done;
};
