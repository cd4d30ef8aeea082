/** `watch RUN`: follows a run live until it ends. */
import { withClient } from "../connection.ts";
import { EXIT } from "../exit-code.ts";
import type { Command } from "../invocation.ts";
import { exitCodeOfRun, runText } from "../run-report.ts";
import { watchRun } from "../watched-run.ts";

export const watch: Command<{ run: string }> = async (call, { run }) => {
  const { output } = call;
  const { view, because } = await withClient(call, (client) => watchRun(call, client, run, { events: true }));
  if (because === "interrupted") {
    output.notice(`run ${run} goes on`);
    return EXIT.interrupted;
  }
  output.data({ type: "end", ...view }, () => runText(view, output.colors));
  return exitCodeOfRun(view);
};
