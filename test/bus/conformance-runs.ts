/** The promises about the runs' queue and their timers. Would catch a run held twice, or never again. */
import { describe, expect, test } from "vitest";
import type { Bus, RunDelivery } from "../../src/bus/bus.ts";
import { Arrivals } from "./arrivals.ts";
import { type BusStage, type OpenStage, setUpBus } from "./bus-fixture.ts";
import { control, submit } from "./messages.ts";

export function describeRuns(openStage: OpenStage): void {
  describe("runs", () => {
    let stage: BusStage;
    let bus: Bus;
    let other: Bus;
    const { append } = setUpBus(openStage, (made) => {
      ({ stage, bus, other } = made);
    });

    function pullRuns(from: Bus, slots: number): Arrivals<RunDelivery> {
      const deliveries = new Arrivals<RunDelivery>();
      from.runs.pull({ slots: () => slots - deliveries.all.length, onDelivery: deliveries.add });
      return deliveries;
    }

    test("a run waits for one orchestrator, and for the next when that one dies", async () => {
      const holder = await stage.connect();
      expect(await bus.runs.push("run-1")).toBe("queued");
      expect(await other.runs.push("run-1")).toBe("present");
      expect(await stage.until(pullRuns(holder, 1).next())).toMatchObject({
        run: "run-1",
        deliveryCount: 1,
      });
      await holder.close();
      const again = await stage.until(pullRuns(other, 1).next());
      expect(again).toMatchObject({ run: "run-1", deliveryCount: 2 });
      await again.ack();
      expect(await bus.runs.push("run-1")).toBe("queued");
    });

    test("a run that is reclaimed is offered anew at once, and ends for both when one acks", async () => {
      await bus.runs.push("run-1");
      const first = await stage.until(pullRuns(bus, 1).next());
      await other.runs.reclaim();
      const again = pullRuns(other, 1);
      expect(await stage.until(again.next())).toMatchObject({ run: "run-1" });
      await first.ack();
      expect(await bus.runs.push("run-1")).toBe("queued");
    });

    test("a submission becomes one orchestrator task, however many daemons listen", async () => {
      await bus.runs.serveArrivals();
      await other.runs.serveArrivals();
      await append("run-1", submit());
      await append("run-2", submit());
      const deliveries = pullRuns(bus, 10);
      await stage.until(deliveries.count(2));
      expect(deliveries.all.map(({ run }) => run).sort()).toEqual(["run-1", "run-2"]);
    });

    test("a control wakes a run that was parked", async () => {
      await append("run-1", submit());
      await bus.runs.serveArrivals();
      const deliveries = pullRuns(other, 10);
      const first = await stage.until(deliveries.next());
      await first.ack();
      await append("run-1", control("resume"));
      expect(await stage.until(deliveries.next())).toMatchObject({ run: "run-1", deliveryCount: 1 });
    });

    test("a timer wakes its run, later than asked for and after its setter is gone", async () => {
      await bus.runs.serveArrivals();
      const setter = await stage.connect();
      await setter.runs.setTimer("run-1", 300);
      await setter.close();
      expect(await stage.until(pullRuns(other, 1).next())).toMatchObject({
        run: "run-1",
        deliveryCount: 1,
      });
    });

    test("a timer that was set while no daemon was there is not forgotten", async () => {
      const first = await bus.runs.serveArrivals();
      await first.stop();
      await other.runs.setTimer("run-1", 1);
      await bus.runs.serveArrivals();
      expect((await stage.until(pullRuns(other, 1).next())).run).toBe("run-1");
    });

    test("a timer is replaced by a later one of its run, and a cleared one wakes nobody", async () => {
      await bus.runs.serveArrivals();
      await other.runs.setTimer("run-1", 200);
      await other.runs.setTimer("run-1", 3_600_000);
      await other.runs.setTimer("run-2", 200);
      await other.runs.clearTimer("run-2");
      await other.runs.setTimer("run-3", 500);
      const deliveries = pullRuns(bus, 3);
      expect((await stage.until(deliveries.next())).run).toBe("run-3");
      expect(deliveries.all).toHaveLength(1);
    });

    test("those that are queued or held are counted", async () => {
      expect(await bus.runs.count()).toBe(0);
      await bus.runs.push("run-1");
      await bus.runs.push("run-2");
      const held = await stage.until(pullRuns(bus, 1).next());
      expect(await other.runs.count()).toBe(2);
      await held.ack();
      expect(await other.runs.count()).toBe(1);
    });

    test("so are those that were submitted and that nobody has seen yet", async () => {
      const arrivals = await bus.runs.serveArrivals();
      await arrivals.stop();
      const body = { v: 1 as const, workflow: { steps: [] }, inputs: {} };
      for (const run of ["run-1", "run-2"])
        await other.log.append(run, { kind: "submit", body }, { expectLast: 0 });
      expect(await other.runs.count()).toBe(2);
    });

    test("a timer that fires while its run is held waits until it is not", async () => {
      await bus.runs.serveArrivals();
      await bus.runs.push("run-1");
      const deliveries = pullRuns(bus, 2);
      await stage.until(deliveries.next());
      await bus.runs.setTimer("run-1", 1);
      await bus.runs.push("run-2");
      await stage.until(deliveries.count(2));
      // A run that nobody keeps is offered again, before the timer looks a second time.
      for (const delivery of deliveries.all) await delivery.ack();
      const again = new Arrivals<RunDelivery>();
      other.runs.pull({ slots: () => 1 - again.all.length, onDelivery: again.add });
      expect((await stage.until(again.next())).run).toBe("run-1");
    });

    test("a control that finds the run's task on its way out wakes the run all the same", async () => {
      await bus.runs.serveArrivals();
      await append("run-1", submit());
      const deliveries = pullRuns(other, 1);
      const leaving = await stage.until(deliveries.next());
      // The holder has read the log, and dies after its ack without looking back.
      await append("run-1", control("resume"));
      await leaving.ack();
      const again = new Arrivals<RunDelivery>();
      bus.runs.pull({ slots: () => 1 - again.all.length, onDelivery: again.add });
      expect((await stage.until(again.next())).run).toBe("run-1");
    });

    test("a submission that came while no daemon was there is not forgotten", async () => {
      await append("run-1", submit());
      await bus.runs.serveArrivals();
      expect((await stage.until(pullRuns(other, 1).next())).run).toBe("run-1");
    });
  });
}
