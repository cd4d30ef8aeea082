/** `rerun RUN` and `fork RUN`: a new run that takes over results of an old one. */
import { InvalidInputError } from "../../workflow/errors.ts";
import { budgetFlag } from "../budget-flag.ts";
import { withClient } from "../connection.ts";
import { EXIT } from "../exit-code.ts";
import { integerFlag } from "../given-file.ts";
import type { Command } from "../invocation.ts";

export interface RerunFlags {
  run: string;
  from: string | undefined;
  at: string | undefined;
  budget: string[] | undefined;
  newRun: string | undefined;
}

export const rerun: Command<RerunFlags> = async (call, { run, from, at, budget, newRun }) => {
  const request = {
    ...(from === undefined ? {} : { from }),
    ...(at === undefined ? {} : { at: integerFlag("--at", at, 1, Number.MAX_SAFE_INTEGER) }),
    ...(budget === undefined ? {} : { budget: budgetFlag(budget) }),
    ...(newRun === undefined ? {} : { run: newRun }),
  };
  const reply = await withClient(call, (client) => client.rerun(run, request));
  call.output.data({ ...reply, ok: true }, () => `${reply.run}\n`);
  const kept = reply.kept.length === 0 ? "nothing" : `${reply.kept.length} steps`;
  call.output.notice(`takes over ${kept} of ${run}; follow it with \`datahammer watch ${reply.run}\``);
  return EXIT.done;
};

export const fork: Command<RerunFlags> = async (call, flags) => {
  if (flags.at !== undefined) return rerun(call, flags);
  throw new InvalidInputError("E_USAGE", "fork was not told at which log sequence", {
    remedy: `Add --at SEQ; \`datahammer trace ${flags.run} --json\` shows the sequences.`,
  });
};
