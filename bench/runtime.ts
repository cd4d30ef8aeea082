/** The runtime on the same work: a daemon process, an agent process, workflows of steps that do nothing. */
import type { NatsConnection } from "nats";
import { decodeBody, encodeBody } from "../src/bus/codec.ts";
import type { SubmitMessage } from "../src/bus/messages.ts";
import { subjectsOf } from "../src/bus/subjects.ts";
import { BenchProcess } from "./child-process.ts";
import { type BrokerAddress, type Effort, ROLE, type Shape, type Subject, TASK } from "./subject.ts";

const SWARM = "runtime";

/** @param nc for submitting and for hearing of the end; it is the measuring process's own */
export async function startRuntime(
  broker: BrokerAddress,
  nc: NatsConnection,
  concurrency: number,
  profile: string | undefined,
): Promise<Subject> {
  const daemon = new BenchProcess("runtime-daemon", profile);
  const agent = new BenchProcess("runtime-agent", profile);
  const stop = async () => {
    await agent.stop();
    await daemon.stop();
  };
  try {
    await daemon.call("start", { ...broker, swarm: SWARM });
    await agent.call("start", { ...broker, swarm: SWARM, concurrency });
  } catch (error) {
    await stop();
    throw error;
  }
  const subjects = subjectsOf(SWARM);
  return {
    name: "runtime",
    swarm: SWARM,
    run: async (run: string, shape: Shape) => {
      const body: SubmitMessage = { v: 1, workflow: workflowOf(shape), inputs: {} };
      const end = decisionOf(nc, subjects.liveRecord(run, { kind: "decision" }), "end");
      nc.publish(subjects.record(run, { kind: "submit" }), encodeBody(body));
      const { status } = await end;
      if (status !== "done") throw new Error(`run ${run} ended as ${status}`);
    },
    effort: async (): Promise<Effort> => ({ orchestrator: await daemon.cpu(), worker: await agent.cpu() }),
    peakMemory: () => ({ orchestrator: daemon.peakMemoryBytes(), worker: agent.peakMemoryBytes() }),
    stop,
  };
}

function workflowOf(shape: Shape): object {
  const step = (index: number) => ({ id: `s${index}`, agent: ROLE, task: TASK });
  const steps = Array.from({ length: shape.steps }, (_, index) =>
    shape.kind === "chain" && index > 0 ? { ...step(index), dependsOn: [`s${index - 1}`] } : step(index),
  );
  return { name: shape.kind, ...(shape.kind === "fan" ? { maxParallel: shape.inFlight } : {}), steps };
}

/** Resolves with the first decision of this type. Decisions are few, so listening costs the run nothing. */
function decisionOf(nc: NatsConnection, subject: string, type: string): Promise<{ status?: unknown }> {
  return new Promise((resolve) => {
    const subscription = nc.subscribe(subject, {
      callback: (_, message) => {
        const body = decodeBody(message.data);
        const decision = (body.ok ? body.value : {}) as { type?: unknown; status?: unknown };
        if (decision.type !== type) return;
        subscription.unsubscribe();
        resolve(decision);
      },
    });
  });
}
