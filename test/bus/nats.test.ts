/**
 * The NATS bus against a real server: would catch an adapter that keeps the port's promises only as long as
 * nothing breaks, or on one server version only.
 */
import { connect, type NatsConnection } from "nats";
import { afterAll, beforeAll } from "vitest";
import type { Bus } from "../../src/bus/bus.ts";
import { connectNatsBus } from "../../src/bus/nats/bus.ts";
import { startTestNats, type TestNats } from "../support/nats.ts";
import type { BusStage } from "./bus-fixture.ts";
import { describeBus } from "./conformance.ts";
import { CuttableProxy } from "./proxy.ts";

const TICK_MS = 100;

let server: TestNats;
let raw: NatsConnection;
beforeAll(async () => {
  server = await startTestNats();
  raw = await connect({ servers: server.url, token: server.token });
});
afterAll(async () => {
  await raw.close();
  await server.stop();
});

/** Each test begins with streams of its own. */
async function removeStreams(): Promise<void> {
  const names = await raw.request("$JS.API.STREAM.NAMES", "");
  const { streams } = names.json<{ streams: string[] | null }>();
  for (const name of streams ?? []) await raw.request(`$JS.API.STREAM.DELETE.${name}`, "");
}

describeBus("NATS bus", async (): Promise<BusStage> => {
  await removeStreams();
  const buses: { close(): Promise<void> }[] = [];
  const proxies: CuttableProxy[] = [];
  const open = async (url: string, swarm: string): Promise<Bus> => {
    const bus = await connectNatsBus({
      url,
      token: server.token,
      swarm,
      name: "conformance",
      provision: true,
      runAckWaitMs: 1_000,
    });
    buses.push(bus);
    return bus;
  };
  return {
    connect: (swarm = "main") => open(server.url, swarm),
    async connectLossy() {
      const proxy = await CuttableProxy.inFrontOf(server.url);
      proxies.push(proxy);
      const bus = await open(proxy.url, "main");
      return {
        bus,
        async whileCutOff(work) {
          const lost = statusOf(bus, "reconnecting");
          proxy.cut();
          await lost;
          await work();
          const back = statusOf(bus, "connected");
          proxy.mend();
          await back;
        },
      };
    },
    async inject(subject, bytes) {
      raw.publish(subject, bytes);
      await raw.flush();
    },
    async until(signal, tick = () => undefined) {
      const timer = setInterval(tick, TICK_MS);
      try {
        return await signal;
      } finally {
        clearInterval(timer);
      }
    },
    async close() {
      await Promise.all(buses.map((bus) => bus.close()));
      await Promise.all(proxies.map((proxy) => proxy.close()));
    },
  };
});

function statusOf(bus: Bus, wanted: string): Promise<void> {
  return new Promise((resolve) => {
    const listening = bus.onStatus((status) => {
      if (status !== wanted) return;
      listening.close();
      resolve();
    });
  });
}
