/** What a person may say to a run, beside `cancel`: `pause`, `resume`, `retry`, `approve`, `reject` and `signal`. */
import type { ControlRequest } from "../../client/swarm.ts";
import { DataHammerError } from "../../workflow/errors.ts";
import { budgetFlag } from "../budget-flag.ts";
import { withClient } from "../connection.ts";
import { EXIT } from "../exit-code.ts";
import { parseJsonArgument } from "../given-file.ts";
import type { Command } from "../invocation.ts";

export type ControlName = ControlRequest["verb"];

export interface ControlFlags {
  verb: ControlName;
  run: string;
  step?: string;
  /** Of a signal. */
  name?: string;
  /** The value that goes with it. */
  json?: string;
  /** `RESOURCE=AMOUNT`, each a new limit. */
  budget?: string[];
}

export const control: Command<ControlFlags> = async (call, { verb, run, step, name, json, budget }) => {
  const request: ControlRequest = {
    verb,
    ...(step === undefined ? {} : { step }),
    ...(name === undefined ? {} : { name }),
    ...(json === undefined ? {} : { value: parseJsonArgument(json) }),
    ...(budget === undefined ? {} : { value: { budget: budgetFlag(budget) } }),
  };
  const verdict = await withClient(call, (client) => client.control(run, request));
  const about = [run, step ?? name].filter((word) => word !== undefined).join(" ");
  const facts = verdict.applied ? {} : { reason: verdict.reason };
  call.output.data({ run, ok: verdict.applied, ...facts }, () =>
    verdict.applied ? `${verb} ${about}: accepted\n` : "",
  );
  if (verdict.applied) return EXIT.done;
  throw refused(verb, run, verdict.reason);
};

/** The log's word against a control, as the command's error. */
export function refused(verb: ControlName, run: string, reason: string): DataHammerError {
  return new DataHammerError("E_REFUSED", `${verb} does not apply to run "${run}": ${reason}`, {
    remedy: `See where it stands with \`datahammer show ${run}\`.`,
    data: { run, verb },
  });
}
