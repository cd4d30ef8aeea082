/**
 * The floor: the path that every step has to take, and nothing else.
 *
 * A task is published to a work queue, pulled by a second process, its result published to the log, and
 * republished live to the process that published the task. Both processes are built directly on the NATS
 * client; messages are as large as the runtime's, made before the clock starts and never decoded.
 *
 * The thorough floor is the same path with what the message format, the schemas and the step machine cost and
 * nothing else: it bounds what any runtime on these libraries can reach on the machine.
 */
import { connectNatsBus } from "../src/bus/nats/bus.ts";
import { BenchProcess } from "./child-process.ts";
import { type BrokerAddress, type Effort, ROLE, type Shape, type Subject } from "./subject.ts";

export type FloorKind = "floor" | "thorough";

export async function startFloor(
  broker: BrokerAddress,
  workers: number,
  profile: string | undefined,
  kind: FloorKind = "floor",
): Promise<Subject> {
  const party = { ...broker, swarm: kind, thorough: kind === "thorough" };
  // The streams and the queue are those of the runtime: made by its own code, under another name.
  const bus = await connectNatsBus({ ...broker, swarm: kind, name: "bench floor", provision: true });
  await bus.tasks.ensureRole({ role: ROLE });
  await bus.close();
  const worker = new BenchProcess("floor-worker", profile);
  const orchestrator = new BenchProcess("floor-orchestrator", profile);
  const stop = async () => {
    await Promise.all([worker.stop(), orchestrator.stop()]);
  };
  try {
    await worker.call("start", { ...party, concurrency: workers });
    await orchestrator.call("start", party);
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    name: kind,
    swarm: kind,
    run: (run: string, shape: Shape) => orchestrator.call("run", { run, shape }),
    effort: async (): Promise<Effort> => ({
      orchestrator: await orchestrator.cpu(),
      worker: await worker.cpu(),
    }),
    peakMemory: () => ({ orchestrator: orchestrator.peakMemoryBytes(), worker: worker.peakMemoryBytes() }),
    stop,
  };
}
