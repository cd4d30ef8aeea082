/** `machines [NAME]`: the machines that every trace is a replay of, for Stately's tools and other programs. */
import {
  isMachineName,
  MACHINE_NAMES,
  machineModule,
  plainConfiguration,
} from "../../machines/plain-configuration.ts";
import { InvalidInputError } from "../../workflow/errors.ts";
import { EXIT } from "../exit-code.ts";
import type { Command } from "../invocation.ts";

export interface MachinesFlags {
  name?: string;
  format: string;
}

export const machines: Command<MachinesFlags> = async ({ output }, { name, format }) => {
  if (name !== undefined && !isMachineName(name)) {
    throw new InvalidInputError("E_MACHINE", `there is no machine "${name}"`, {
      remedy: `Use one of ${MACHINE_NAMES.join(", ")}, or none for all.`,
    });
  }
  if (format !== "json" && format !== "ts") {
    throw new InvalidInputError("E_FORMAT", `there is no format "${format}"`, { remedy: "Use json or ts." });
  }
  const value =
    name === undefined
      ? Object.fromEntries(MACHINE_NAMES.map((each) => [each, plainConfiguration(each)]))
      : plainConfiguration(name);
  output.data(value, () =>
    format === "ts"
      ? machineModule(name === undefined ? MACHINE_NAMES : [name])
      : `${JSON.stringify(value, null, 2)}\n`,
  );
  return EXIT.done;
};
