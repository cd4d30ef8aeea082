/** What connecting to a broker tells about it: for `doctor`. */
import type { BrokerReport, BrokerTarget } from "../daemon/doctor.ts";
import { clientOn, connectBus } from "./connection.ts";
import type { Invocation } from "./invocation.ts";

/** @throws UnreachableError when the broker does not answer */
export async function examineBroker(call: Invocation, target: BrokerTarget): Promise<BrokerReport> {
  const { examineServer } = await import("../bus/nats/examination.ts");
  const { swarm } = call.settings;
  const report = await examineServer({ ...target, swarm, clock: call.shell.clock });
  if (report.jetstreamProblem !== undefined || report.missingRights.length > 0) return report;
  const bus = await connectBus(call, target, "datahammer-doctor");
  try {
    const answered = await (await clientOn(bus, call)).hasDaemon();
    return { ...report, daemons: answered ? 1 : 0 };
  } finally {
    await bus.close();
  }
}
