/**
 * The daemon, put together for real: managed nats-server, orchestrator, role queues, health checks.
 * Catches: parts that fit in their own tests and not together, a start that leaves something behind when it
 * fails, and health checks that say what is not so.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Bus } from "../../src/bus/bus.ts";
import { connectNatsBus } from "../../src/bus/nats/bus.ts";
import { type Daemon, type DaemonOptions, startDaemon } from "../../src/daemon/daemon.ts";
import { RunFold } from "../../src/fold/run-fold.ts";

let store: string;
let daemons: Daemon[];
let buses: Bus[];

beforeEach(() => {
  store = mkdtempSync(join(tmpdir(), "dh-daemon-"));
  daemons = [];
  buses = [];
});

afterEach(async () => {
  await Promise.all(buses.map((bus) => bus.close()));
  await Promise.all(daemons.map((daemon) => daemon.stop()));
  rmSync(store, { recursive: true, force: true });
});

async function start(options: Partial<DaemonOptions> = {}): Promise<Daemon> {
  const log = pino({ level: "silent" });
  const daemon = await startDaemon({ swarm: "main", store, env: process.env, log, product: "0", ...options });
  daemons.push(daemon);
  return daemon;
}

async function connect(daemon: Daemon): Promise<Bus> {
  const bus = await connectNatsBus({ ...daemon.nats, swarm: daemon.swarm, name: "test" });
  buses.push(bus);
  return bus;
}

describe("roles", () => {
  const card = { role: "words", tasks: [] };

  it("an agent that announces itself gets the queues of its roles", async () => {
    const bus = await connect(await start());
    const reply = await bus.live.hello({ v: 1, id: "a1", roles: [card] }, 5_000);
    expect(reply).toMatchObject({ ok: true, roles: [{ role: "words", encoding: "msgpack" }] });
    expect((await bus.tasks.roles()).map(({ role }) => role)).toContain("words");
  });

  it("one that reads JSON only gets JSON, and an agent that reads both leaves it so", async () => {
    const bus = await connect(await start());
    await bus.live.hello({ v: 1, id: "py", roles: [card], encoding: "json" }, 5_000);
    const reply = await bus.live.hello({ v: 1, id: "ts", roles: [card] }, 5_000);
    expect(reply?.roles[0]?.encoding).toBe("json");
  });
});

describe("health", () => {
  it("says alive and ready while the broker is reached, and 404 elsewhere", async () => {
    const { http } = await start({ http: "127.0.0.1:0" });
    const status = async (path: string) => (await fetch(`${http}${path}`)).status;
    expect([await status("/healthz"), await status("/readyz"), await status("/x")]).toEqual([200, 200, 404]);
    const ready = (await (await fetch(`${http}/readyz`)).json()) as Record<string, unknown>;
    expect(ready).toMatchObject({ ready: true, swarm: "main", runs: 0 });
  });

  it("a port in use is refused with its remedy, and nothing of the daemon stays", async () => {
    const taken = createServer().listen(0, "127.0.0.1");
    await new Promise((resolve) => taken.once("listening", resolve));
    const { port } = taken.address() as AddressInfo;
    try {
      await expect(start({ http: `127.0.0.1:${port}` })).rejects.toMatchObject({ code: "E_PORT_IN_USE" });
    } finally {
      taken.close();
    }
    // The store is free again: the failed start released it, and its broker is gone.
    await start();
  });

  for (const address of ["nonsense", "127.0.0.1:99999", "::1:80"]) {
    it(`${address} is refused as an address`, async () => {
      await expect(start({ http: address })).rejects.toMatchObject({ code: "E_HTTP_ADDRESS" });
    });
  }
});

describe("the store", () => {
  it("a second daemon on it is refused and the first goes on", async () => {
    const first = await start();
    await expect(start()).rejects.toMatchObject({ code: "E_STORE_LOCKED" });
    expect(first.bus.status()).toBe("connected");
  });

  it("a run that was submitted while no daemon ran is taken by the next one", async () => {
    const first = await start();
    const workflow = { steps: [{ id: "a", agent: "nobody", task: "x", timeout: "500ms" }] };
    const entry = { kind: "submit" as const, body: { v: 1 as const, workflow, inputs: {} } };
    await first.stop();
    const second = await start();
    const bus = await connect(second);
    await bus.log.append("r1", entry, { expectLast: 0 });
    await second.stop();
    const third = await start();
    const watcher = await connect(third);
    const fold = new RunFold("r1");
    await new Promise<void>((resolve) => {
      void watcher.log.follow("r1", (record) => {
        fold.apply(record);
        if (fold.ended) resolve();
      });
    });
    expect(fold.error).toMatchObject({ code: "E_TIMEOUT", step: "a" });
  });
});
