/** `cancel`, `pause`, `resume` and `retry`: what a person may say to a run. */
import { DataHammerError } from "../../workflow/errors.ts";
import { budgetFlag } from "../budget-flag.ts";
import { withClient } from "../connection.ts";
import { EXIT } from "../exit-code.ts";
import type { Command } from "../invocation.ts";

export const CONTROLS = {
  cancel: "ends the run; agents are told to stop what they do for it",
  pause: "gives out no more steps; what runs goes on",
  resume: "goes on with a paused run",
  retry: "gives the failed steps of a failed run a new chance",
} as const;

export type ControlName = keyof typeof CONTROLS;

export interface ControlFlags {
  verb: ControlName;
  run: string;
  step?: string;
  /** `RESOURCE=AMOUNT`, each a new limit. */
  budget?: string[];
}

export const control: Command<ControlFlags> = async (call, { verb, run, step, budget }) => {
  const request = {
    verb,
    ...(step === undefined ? {} : { step }),
    ...(budget === undefined ? {} : { value: { budget: budgetFlag(budget) } }),
  };
  const verdict = await withClient(call, (client) => client.control(run, request));
  call.output.data({ run, ok: verdict.applied }, () => (verdict.applied ? `${verb} ${run}: accepted\n` : ""));
  if (verdict.applied) return EXIT.done;
  throw new DataHammerError("E_REFUSED", `${verb} does not apply to run "${run}": ${verdict.reason}`, {
    remedy: `See where it stands with \`datahammer show ${run}\`.`,
    data: { run, verb },
  });
};
