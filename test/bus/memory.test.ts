/** The memory bus under a virtual clock: would catch a rule of the real broker that it does not keep. */
import { createMemoryBroker } from "../../src/bus/memory/broker.ts";
import type { BusStage } from "./bus-fixture.ts";
import { describeBus } from "./conformance.ts";
import { settle, VirtualClock } from "./virtual-clock.ts";

const TICK_MS = 100;

describeBus("memory bus", async (): Promise<BusStage> => {
  const clock = new VirtualClock();
  let cutOff = false;
  const broker = createMemoryBroker({
    clock,
    deliver: ({ kind }, arrive) => {
      if (!(cutOff && kind === "record")) queueMicrotask(arrive);
    },
  });
  const buses: { close(): Promise<void> }[] = [];
  const connect = async (swarm?: string) => {
    const bus = broker.connect(swarm);
    buses.push(bus);
    return bus;
  };
  return {
    connect,
    async connectLossy() {
      return {
        bus: await connect(),
        async whileCutOff(work) {
          cutOff = true;
          await work().finally(() => {
            cutOff = false;
          });
        },
      };
    },
    async inject(subject, bytes) {
      broker.inject(subject, bytes);
    },
    async until(signal, tick) {
      let settled = false;
      const done = (): void => {
        settled = true;
      };
      signal.then(done, done);
      await settle();
      while (!settled) {
        await clock.advance(TICK_MS);
        tick?.();
        await settle();
      }
      return signal;
    },
    async close() {
      await Promise.all(buses.map((bus) => bus.close()));
    },
  };
});
