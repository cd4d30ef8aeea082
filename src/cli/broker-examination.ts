/** What connecting to a broker tells about it: for `doctor`. */
import type { BrokerReport, BrokerTarget } from "../daemon/doctor.ts";
import { connectBus } from "./connection.ts";
import type { Invocation } from "./invocation.ts";

const DAEMON_ANSWERS_MS = 1_000;

/** @throws UnreachableError when the broker does not answer */
export async function examineBroker(call: Invocation, target: BrokerTarget): Promise<BrokerReport> {
  const { examineServer } = await import("../bus/nats/examination.ts");
  const { swarm } = call.settings;
  const report = await examineServer({ ...target, swarm, clock: call.shell.clock });
  if (report.jetstreamProblem !== undefined || report.missingRights.length > 0) return report;
  const bus = await connectBus(call, target, "datahammer-doctor");
  try {
    // An announcement of no roles changes nothing, and any daemon answers it.
    const reply = await bus.live.hello({ v: 1, id: "datahammer-doctor", roles: [] }, DAEMON_ANSWERS_MS);
    const problem = (await bus.storageProblem())?.reason ?? reply?.problem;
    const storage = problem === undefined ? {} : { storageProblem: problem };
    return { ...report, ...storage, daemons: reply === undefined ? 0 : 1 };
  } finally {
    await bus.close();
  }
}
