/** `demo`. */
import { DataHammerError } from "../../workflow/errors.ts";
import type { Command } from "../invocation.ts";

export interface DemoFlags {
  data?: string;
  goal?: string;
  out?: string;
}

export const demo: Command<DemoFlags> = async () => {
  throw new DataHammerError("E_DEMO", "the demo's agents are not built in");
};
