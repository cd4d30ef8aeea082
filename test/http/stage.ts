/**
 * A real daemon with its managed broker, its HTTP side, and agents in this process that do as the test says:
 * the stage of the tests of the API and of the inspector page.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { Handoff } from "../../src/agent/define.ts";
import { defineAgent } from "../../src/agent/define-agent.ts";
import { type RunningAgent, serveAgent } from "../../src/agent/host.ts";
import type { Bus } from "../../src/bus/bus.ts";
import { connectNatsBus } from "../../src/bus/nats/bus.ts";
import { systemClock } from "../../src/bus/system-clock.ts";
import { connectSwarm } from "../../src/client/connect.ts";
import type { SwarmClient } from "../../src/client/swarm.ts";
import { type Daemon, type DaemonOptions, startDaemon } from "../../src/daemon/daemon.ts";
import { NonRetryableError } from "../../src/workflow/errors.ts";

export interface HttpStage {
  readonly url: string;
  readonly client: SwarmClient;
  readonly daemon: Daemon;
  /** Lets the tasks `hold` of this gate end. */
  open(gate: string): void;
  /** Resolves when a task `hold` of this gate runs. */
  held(gate: string): Promise<void>;
  stop(): Promise<void>;
}

interface Gate {
  reached: Promise<void>;
  reach: () => void;
  opened: Promise<void>;
  open: () => void;
}

/** Makes gates by name: a task waits at one, a test opens it. */
class Gates {
  readonly #gates = new Map<string, Gate>();

  at(name: string): Gate {
    let gate = this.#gates.get(name);
    if (gate === undefined) {
      let reach = (): void => {};
      let open = (): void => {};
      const reached = new Promise<void>((resolve) => {
        reach = resolve;
      });
      const opened = new Promise<void>((resolve) => {
        open = resolve;
      });
      gate = { reached, reach, opened, open };
      this.#gates.set(name, gate);
    }
    return gate;
  }
}

export async function openHttpStage(options: Partial<DaemonOptions> = {}): Promise<HttpStage> {
  const store = mkdtempSync(join(tmpdir(), "dh-http-"));
  const log = pino({ level: "silent" });
  const daemon = await startDaemon({
    swarm: "main",
    store,
    env: process.env,
    log,
    product: "0.0.0-test",
    http: "127.0.0.1:0",
    ...options,
  });
  const gates = new Gates();
  const buses: Bus[] = [];
  const agents: RunningAgent[] = [];
  for (const agent of cast(gates)) {
    const bus = await connectNatsBus({ ...daemon.nats, swarm: daemon.swarm, name: agent.role });
    buses.push(bus);
    const running = await serveAgent([agent], {
      bus,
      clock: systemClock,
      log,
      id: `${agent.role}-1`,
      concurrency: 64,
      about: { pid: process.pid, host: "stage", version: "0.0.0-test" },
    });
    await running.joined;
    agents.push(running);
  }
  const client = await connectSwarm({ bus: daemon.bus, by: "test" });
  return {
    url: daemon.http ?? "",
    client,
    daemon,
    open: (gate) => gates.at(gate).open(),
    held: (gate) => gates.at(gate).reached,
    stop: async () => {
      await Promise.all(agents.map((agent) => agent.stop()));
      await Promise.all(buses.map((bus) => bus.close()));
      await daemon.stop();
      rmSync(store, { recursive: true, force: true });
    },
  };
}

/** What a task is told in its inputs: what to give, which gate to wait at. */
interface Told {
  give?: Record<string, unknown>;
  gate?: string;
  bytes?: number;
}

function cast(gates: Gates): ReturnType<typeof defineAgent>[] {
  return [
    defineAgent({
      role: "worker",
      description: "Does as it is told.",
      tasks: {
        work: { gives: ["made"], run: (told: Told) => told.give ?? {} },
        remake: { gives: ["made"], cost: 9, run: (told: Told) => told.give ?? { made: 2 } },
        hold: {
          run: async (told: Told, ctx) => {
            const gate = gates.at(told.gate ?? "");
            gate.reach();
            ctx.progress(0.5, "waiting at the gate");
            ctx.emit({ text: "half way" });
            const stopped = new Promise((resolve) => ctx.signal.addEventListener("abort", resolve));
            await Promise.race([gate.opened, stopped]);
            return told.give ?? {};
          },
        },
        fail: {
          run: () => {
            throw new Error("it went wrong on purpose");
          },
        },
        break: {
          gives: ["mended"],
          run: () => {
            throw new NonRetryableError("it cannot be mended so");
          },
        },
        mend: { gives: ["mended"], cost: 9, run: () => ({ mended: 1 }) },
        pass: { run: () => new Handoff("helper", "work", { give: { passed: 1 } }, "not my trade") },
        large: { run: (told: Told) => ({ large: "x".repeat(told.bytes ?? 0) }) },
      },
    }),
    defineAgent({ role: "helper", tasks: { work: { run: (told: Told) => told.give ?? {} } } }),
  ];
}
