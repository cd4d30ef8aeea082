/** Watching one run to its end, to the end of patience, or to Ctrl-C. */
import type { SwarmClient, WatchEvent } from "../client/swarm.ts";
import { revisionLines } from "../trace/plan-view.ts";
import { traceTransition } from "../trace/replay.ts";
import type { RunView } from "../trace/view.ts";
import { stepLabel } from "../workflow/derived-step.ts";
import type { Invocation } from "./invocation.ts";
import { showProgress } from "./progress/live-view.ts";

export interface WatchedRun {
  view: RunView;
  /** Why the watching is over. */
  because: "ended" | "timeout" | "interrupted";
}

export interface WatchedRunOptions {
  timeoutMs?: number | undefined;
  /** Also write every event to stdout: as JSON lines with `--json`. */
  events?: boolean;
  onEvent?: (event: WatchEvent) => void;
}

export async function watchRun(
  call: Invocation,
  client: SwarmClient,
  run: string,
  options: WatchedRunOptions = {},
): Promise<WatchedRun> {
  const { shell, output } = call;
  const over = new AbortController();
  let because: WatchedRun["because"] = "ended";
  const end = (reason: WatchedRun["because"]) => (): void => {
    because = reason;
    over.abort();
  };
  const onInterrupt = end("interrupted");
  shell.interrupted.addEventListener("abort", onInterrupt, { once: true });
  if (shell.interrupted.aborted) onInterrupt();
  const { timeoutMs } = options;
  const timer = timeoutMs === undefined ? undefined : shell.clock.setTimeout(end("timeout"), timeoutMs);
  const jsonLines = options.events === true && output.json;
  const progress = jsonLines ? undefined : showProgress(shell, output);
  let revisionsTold = 0;
  try {
    const view = await client.watch(
      run,
      (event) => {
        progress?.note(event);
        options.onEvent?.(event);
        if (!jsonLines) {
          const { revisions } = event.fold;
          const news = revisionLines(revisions.slice(revisionsTold), output.noticeColors);
          revisionsTold = revisions.length;
          for (const line of news) output.notice(line);
          return;
        }
        for (const transition of event.transitions) {
          output.data({ type: "transition", ...traceTransition(transition) }, () => "");
        }
        for (const record of event.voids) {
          const step = record.step === null ? null : stepLabel(record.step);
          output.data({ type: "void", ...record, step }, () => "");
        }
        const { live } = event;
        if (live !== undefined) {
          const { type: kind, step, ...rest } = live;
          output.data({ type: "live", kind, step: stepLabel(step), ...rest }, () => "");
        }
      },
      { signal: over.signal },
    );
    return { view, because };
  } finally {
    progress?.close();
    shell.clock.clearTimeout(timer);
    shell.interrupted.removeEventListener("abort", onInterrupt);
  }
}
