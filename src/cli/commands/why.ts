/** `why RUN [STEP]` and `diff RUN RUN`: a trace told in sentences. */
import { criticalPath } from "../../trace/critical-path.ts";
import { diffTraces } from "../../trace/diff.ts";
import { replay, type Trace } from "../../trace/replay.ts";
import { renderDiff, renderPath, renderWhy } from "../../trace/story-text.ts";
import type { TextOptions } from "../../trace/text.ts";
import { whatIf } from "../../trace/what-if.ts";
import { whyStep } from "../../trace/why.ts";
import { stepRefOf } from "../../workflow/derived-step.ts";
import { withReader } from "../connection.ts";
import { EXIT } from "../exit-code.ts";
import type { Command, Invocation } from "../invocation.ts";
import { momentFlag } from "../moment.ts";
import { usesColor } from "../shell.ts";
import { wallTime } from "../wall-clock.ts";

const DEFAULT_WIDTH = 100;

/** How a text is laid out for where it goes. */
export function textOptions({
  shell,
}: Invocation): Required<Pick<TextOptions, "width" | "color" | "timeText">> {
  return {
    timeText: (epochMs) => wallTime(epochMs, shell.zoneOffsetMs),
    width: (shell.stdout.isTTY ? shell.stdout.columns : undefined) ?? DEFAULT_WIDTH,
    color: usesColor(shell, shell.stdout),
  };
}

export interface WhyFlags {
  run: string;
  step?: string;
  at?: string;
  archive?: string;
}

export const why: Command<WhyFlags> = async (call, flags) => {
  const { run, step, at } = flags;
  const found = await readTrace(call, run, flags.archive, at);
  const now = found.fold.ended || at !== undefined ? undefined : call.shell.clock.now();
  if (step !== undefined) {
    const reasons = whyStep(found, stepRefOf(step), now);
    call.output.data(reasons, () => renderWhy(reasons, textOptions(call)));
    return EXIT.done;
  }
  const path = criticalPath(found, now);
  const saved = whatIf(found, now);
  call.output.data({ ...path, whatIf: saved }, () => renderPath(path, saved, textOptions(call)));
  return EXIT.done;
};

export const diff: Command<{ one: string; other: string; archive?: string }> = async (call, flags) => {
  const one = await readTrace(call, flags.one, flags.archive);
  const other = await readTrace(call, flags.other, flags.archive);
  const found = diffTraces(one, other);
  call.output.data(found, () => renderDiff(found, textOptions(call)));
  return EXIT.done;
};

function readTrace(call: Invocation, run: string, archive?: string, at?: string): Promise<Trace> {
  const source = archive === undefined ? { run } : { run, archive };
  return withReader(call, source, (reader) =>
    replay(run, reader.records(run), at === undefined ? {} : momentFlag(at, call.shell)),
  );
}
