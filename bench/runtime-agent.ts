/** The runtime's second process: an agent whose only task does nothing. */
import { pino } from "pino";
import { defineAgent } from "../src/agent/define-agent.ts";
import { type RunningAgent, serveAgent } from "../src/agent/host.ts";
import type { Bus } from "../src/bus/bus.ts";
import { connectNatsBus } from "../src/bus/nats/bus.ts";
import { systemClock } from "../src/bus/system-clock.ts";
import { serveParent } from "./child-process.ts";
import { ROLE, TASK } from "./subject.ts";

let bus: Bus | undefined;
let agent: RunningAgent | undefined;

async function start(options: {
  url: string;
  token: string;
  swarm: string;
  concurrency: number;
}): Promise<void> {
  const { url, token, swarm, concurrency } = options;
  bus = await connectNatsBus({ url, token, swarm, name: "bench-agent" });
  agent = await serveAgent([defineAgent({ role: ROLE, tasks: { [TASK]: { run: () => ({}) } } })], {
    bus,
    clock: systemClock,
    log: pino({ level: "warn" }, process.stderr),
    id: "bench-agent",
    concurrency,
    about: { pid: process.pid, host: "localhost", version: "bench" },
  });
  await agent.joined;
}

serveParent({ start }, async () => {
  await agent?.stop();
  await bus?.close();
});
