/** `cancel RUN [--step S]`: stops a run or one step, and says what became of the work that was out. */
import type { StoppedStep } from "../../client/swarm.ts";
import { withClient } from "../connection.ts";
import { EXIT } from "../exit-code.ts";
import type { Command } from "../invocation.ts";
import { refused } from "./control.ts";

export interface CancelFlags {
  run: string;
  step?: string;
  reason?: string;
}

const WORDS: Readonly<Record<StoppedStep["outcome"], string>> = {
  removed: "taken out of its queue",
  stopped: "stopped by its agent",
  "given-up": "given up: its agent did not answer in time",
};

export const cancel: Command<CancelFlags> = async (call, { run, step, reason }) => {
  const { output } = call;
  const options = { ...(step === undefined ? {} : { step }), ...(reason === undefined ? {} : { reason }) };
  const verdict = await withClient(call, (client) => client.cancel(run, options));
  if (!verdict.applied) {
    output.data({ run, ok: false, reason: verdict.reason }, () => "");
    throw refused("cancel", run, verdict.reason);
  }
  const { settled, steps } = verdict;
  output.data({ run, ok: true, settled, steps }, () => {
    const about = step === undefined ? run : `${run} ${step}`;
    const lines = steps.map((one) => `  ${one.step}  ${WORDS[one.outcome]}\n`);
    return `cancel ${about}: ${settled ? "done" : "accepted"}\n${lines.join("")}`;
  });
  if (!settled) {
    output.notice(`not carried out yet: \`datahammer show ${run}\` tells when a daemon has done it`);
  }
  return EXIT.done;
};
