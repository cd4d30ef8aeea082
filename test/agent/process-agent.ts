/** An agent in a process of its own, for tests against a real server. Argument: JSON of `AgentProcessSettings`. */
import { pino } from "pino";
import { z } from "zod";
import { defineAgent } from "../../src/agent/define-agent.ts";
import { serveAgent } from "../../src/agent/host.ts";
import { connectNatsBus } from "../../src/bus/nats/bus.ts";
import { systemClock } from "../../src/bus/system-clock.ts";

export interface AgentProcessSettings {
  url: string;
  token: string;
  id: string;
  concurrency: number;
}

const settings = JSON.parse(process.argv[2] ?? "{}") as AgentProcessSettings;
const say = (line: object) => process.stdout.write(`${JSON.stringify(line)}\n`);

const agent = defineAgent({
  role: "worker",
  tasks: {
    /** Blocks this process's event loop. */
    block: {
      inputs: z.object({ ms: z.number() }),
      run: ({ ms }, { step, n }) => {
        say({ event: "ran", step, n, pid: process.pid });
        const until = Date.now() + ms;
        while (Date.now() < until);
        return { pid: process.pid };
      },
    },
    /** Waits until the process is told to go on, by a line on its standard input. */
    wait: {
      run: async (_inputs, { step, n }) => {
        say({ event: "ran", step, n, pid: process.pid });
        await goOn;
        return { pid: process.pid };
      },
    },
  },
});

const goOn = new Promise<void>((resolve) => process.stdin.once("data", () => resolve()));
const bus = await connectNatsBus({ url: settings.url, token: settings.token, name: settings.id });
const running = await serveAgent([agent], {
  bus,
  clock: systemClock,
  log: pino({ level: "warn" }, pino.destination(2)),
  id: settings.id,
  concurrency: settings.concurrency,
  about: { pid: process.pid, host: "test", version: "0" },
});
await running.joined;
say({ event: "joined", pid: process.pid });
process.once("SIGTERM", async () => {
  await running.drain();
  await bus.close();
  say({ event: "drained" });
  process.stdin.destroy();
});
