/** The promises about the roles' queues. Would catch a dispatch held twice, forgotten with its holder, or handed out unasked. */
import { describe, expect, test } from "vitest";
import type { Bus } from "../../src/bus/bus.ts";
import { type BusStage, bytesOf, type OpenStage, setUpBus } from "./bus-fixture.ts";
import { ROLE, task } from "./messages.ts";

export function describeTasks(openStage: OpenStage): void {
  describe("tasks", () => {
    let stage: BusStage;
    let bus: Bus;
    let other: Bus;
    const { pull, role } = setUpBus(openStage, (made) => {
      ({ stage, bus, other } = made);
    });

    test("a dispatch is queued once: as long as it is queued or held, a second push finds it present", async () => {
      await role();
      expect(await bus.tasks.push(task("load"))).toBe("queued");
      expect(await other.tasks.push(task("load"))).toBe("present");
      const { deliveries } = pull(bus, 1);
      const delivery = await stage.until(deliveries.next());
      expect(await other.tasks.push(task("load"))).toBe("present");
      expect(await other.tasks.push(task("load", { n: 2 }))).toBe("queued");
      delivery.ack();
      await gone("load");
      expect(await other.tasks.push(task("load"))).toBe("queued");
    });

    /** Acks are not answered, so that a task is gone is seen by looking. */
    async function gone(step: string): Promise<void> {
      while (await bus.tasks.has(task(step))) await stage.until(Promise.resolve());
    }

    test("a task arrives as it was pushed", async () => {
      await role();
      const sent = task("load~3", {
        inputs: { path: "a.csv", rows: [1, 2] },
        deadline: 5,
        outputs: ["dataset"],
      });
      await bus.tasks.push(sent);
      const { deliveries } = pull(other, 1);
      const delivery = await stage.until(deliveries.next());
      expect(delivery.task).toEqual(sent);
      expect(delivery.deliveryCount).toBe(1);
    });

    test("no more is delivered than there are free slots", async () => {
      await role();
      for (let index = 0; index < 10; index++) await bus.tasks.push(task(`step-${index}`));
      const { deliveries, free } = pull(other, 3);
      await stage.until(deliveries.count(3));
      // Whoever pulls the rest proves that the first three were all that the first one was given.
      const rest = pull(bus, 7);
      await stage.until(rest.deliveries.count(7));
      expect(deliveries.all).toHaveLength(3);
      await bus.tasks.push(task("next"));
      free();
      await stage.until(deliveries.count(4));
      expect(deliveries.all[3]?.task.step).toBe("next");
    });

    test("two pullers of a role share its tasks, and none is given twice", async () => {
      await role();
      const left = pull(bus, 50);
      const right = pull(other, 50);
      await Promise.all(Array.from({ length: 100 }, (_, index) => bus.tasks.push(task(`step-${index}`))));
      await stage.until(Promise.all([left.deliveries.count(50), right.deliveries.count(50)]));
      const steps = [...left.deliveries.all, ...right.deliveries.all].map(({ task: { step } }) => step);
      expect(new Set(steps).size).toBe(100);
    });

    test("a role never has more tasks in hand than its limit", async () => {
      await role({ inFlight: 2 });
      for (let index = 0; index < 4; index++) await bus.tasks.push(task(`step-${index}`));
      const { deliveries } = pull(other, 10);
      await stage.until(deliveries.count(2));
      expect((await bus.tasks.roles()).find((status) => status.role === ROLE)).toMatchObject({
        held: 2,
        queued: 2,
      });
      deliveries.all[0]?.ack();
      await stage.until(deliveries.count(3));
      deliveries.all[1]?.ack();
      await stage.until(deliveries.count(4));
      expect(deliveries.all.map(({ deliveryCount }) => deliveryCount)).toEqual([1, 1, 1, 1]);
    });

    test("a task whose holder dies is given to another, who sees that it is not the first", async () => {
      await role();
      const holder = await stage.connect();
      const first = pull(holder, 1);
      await bus.tasks.push(task("load"));
      await stage.until(first.deliveries.next());
      await holder.close();
      const second = pull(other, 1);
      const again = await stage.until(second.deliveries.next());
      expect(again.task.step).toBe("load");
      expect(again.deliveryCount).toBe(2);
      expect(await bus.tasks.push(task("load"))).toBe("present");
    });

    test("a task whose holder says that it works stays with it, longer than the ack-wait", async () => {
      await role();
      await bus.tasks.push(task("kept"));
      await bus.tasks.push(task("silent"));
      const { deliveries, free } = pull(other, 2);
      await stage.until(deliveries.count(2));
      const kept = deliveries.all.find(({ task: { step } }) => step === "kept");
      free(2);
      // The silent one comes back twice: twice the ack-wait has passed.
      await stage.until(deliveries.count(4), () => kept?.working());
      expect(deliveries.all.slice(2).map(({ task: { step } }) => step)).toEqual(["silent", "silent"]);
    });

    test("a task that is given back comes again after its delay, not before", async () => {
      await role();
      const { deliveries, free } = pull(other, 1);
      await bus.tasks.push(task("load"));
      const first = await stage.until(deliveries.next());
      first.nak(300);
      free();
      await bus.tasks.push(task("between"));
      const between = await stage.until(deliveries.next());
      expect(between.task.step).toBe("between");
      free();
      const again = await stage.until(deliveries.next());
      expect(again.task.step).toBe("load");
      expect(again.deliveryCount).toBe(2);
    });

    test("a queued task that is removed is never delivered", async () => {
      await role();
      await bus.tasks.push(task("removed"));
      await bus.tasks.push(task("kept"));
      expect(await bus.tasks.has(task("removed"))).toBe(true);
      expect(await other.tasks.remove(task("removed"))).toBe(true);
      expect(await other.tasks.remove(task("removed"))).toBe(false);
      expect(await bus.tasks.has(task("removed"))).toBe(false);
      const { deliveries } = pull(other, 2);
      await stage.until(deliveries.next());
      expect(deliveries.all.map(({ task: { step } }) => step)).toEqual(["kept"]);
    });

    test("a held task that is removed does not come back", async () => {
      await role();
      await bus.tasks.push(task("removed"));
      await bus.tasks.push(task("silent"));
      const { deliveries, free } = pull(other, 2);
      await stage.until(deliveries.count(2));
      expect(await bus.tasks.remove(task("removed"))).toBe(true);
      expect(await bus.tasks.push(task("removed", { n: 2 }))).toBe("queued");
      free(3);
      await stage.until(deliveries.count(3));
      expect(deliveries.all[2]?.task).toMatchObject({ step: "removed", n: 2 });
      deliveries.all[2]?.ack();
      // The silent one is back: the ack-wait of the removed one has passed as well.
      await stage.until(deliveries.count(4));
      expect(deliveries.all[3]?.task.step).toBe("silent");
    });

    test("stored tasks are listed from a place on, queued and held, until the end", async () => {
      await role();
      const { deliveries } = pull(other, 1);
      for (const step of ["a", "b", "c"]) await bus.tasks.push(task(step));
      await stage.until(deliveries.next());
      const steps: string[] = [];
      for (let next: number | undefined = 0; next !== undefined; ) {
        const page = await bus.tasks.stored(next, 2);
        expect(page.tasks.length).toBeLessThanOrEqual(2);
        steps.push(...page.tasks.map(({ step }) => step));
        next = page.next;
      }
      expect(steps).toEqual(["a", "b", "c"]);
    });

    test("removing a run's tasks leaves those of others", async () => {
      await role();
      await bus.tasks.ensureRole({ role: "second" });
      await bus.tasks.push(task("a"));
      await bus.tasks.push(task("b", { role: "second" }));
      await bus.tasks.push(task("c", { run: "run-2" }));
      const there = await other.tasks.ofRun("run-1");
      expect(there.map((ref) => `${ref.role} ${ref.step}#${ref.n}`).sort()).toEqual([
        `second b#1`,
        `${task("a").role} a#1`,
      ]);
      expect(await other.tasks.removeRun("run-1")).toBe(2);
      expect(await other.tasks.ofRun("run-1")).toEqual([]);
      expect(await bus.tasks.has(task("a"))).toBe(false);
      expect(await bus.tasks.has(task("c", { run: "run-2" }))).toBe(true);
    });

    test("tasks wait for a role that has no queue yet, and so do its pullers", async () => {
      expect(await bus.tasks.push(task("early"))).toBe("queued");
      expect(await bus.tasks.push(task("early"))).toBe("present");
      const { deliveries } = pull(other, 1);
      await role();
      expect((await stage.until(deliveries.next())).task.step).toBe("early");
    });

    test("a puller that stops leaves what it has not been given to others", async () => {
      await role();
      const first = pull(other, 5);
      await bus.tasks.push(task("one"));
      await stage.until(first.deliveries.next());
      await first.puller.stop();
      await bus.tasks.push(task("two"));
      const second = pull(bus, 1);
      expect((await stage.until(second.deliveries.next())).task.step).toBe("two");
      expect(first.deliveries.all).toHaveLength(1);
    });

    test("a role of JSON gets its tasks as JSON, and reads the same", async () => {
      await role({ encoding: "json" });
      await bus.tasks.push(task("load", { inputs: { rows: 3 } }));
      await stage.inject("dh.main.task.worker.run-1.foreign.1", bytesOf(JSON.stringify(task("foreign"))));
      const { deliveries } = pull(other, 2);
      await stage.until(deliveries.count(2));
      expect(deliveries.all.map((delivery) => delivery.task)).toEqual([
        task("load", { inputs: { rows: 3 } }),
        task("foreign"),
      ]);
    });

    test("a task that nobody can read is set aside, told, and stops none behind it", async () => {
      await role();
      await stage.inject("dh.main.task.worker.run-1.broken.1", bytesOf("{ not json"));
      await stage.inject("dh.main.task.worker.run-1.other.1", bytesOf(JSON.stringify(task("elsewhere"))));
      await bus.tasks.push(task("good"));
      const problems: { subject: string; problem: string }[] = [];
      const { deliveries } = pull(other, 1, { onUnreadable: (problem) => problems.push(problem) });
      expect((await stage.until(deliveries.next())).task.step).toBe("good");
      expect(problems.map(({ subject }) => subject)).toEqual([
        "dh.main.task.worker.run-1.broken.1",
        "dh.main.task.worker.run-1.other.1",
      ]);
      expect(other.unreadableCount()).toBe(2);
      while (await bus.tasks.has({ role: ROLE, run: "run-1", step: "broken", n: 1 }))
        await stage.until(Promise.resolve());
    });

    test("settings of a role that are not given keep their value", async () => {
      const made = await bus.tasks.ensureRole({
        role: ROLE,
        encoding: "json",
        inFlight: 7,
        ackWaitMs: 2_000,
      });
      expect(made).toEqual({ role: ROLE, encoding: "json", inFlight: 7, ackWaitMs: 2_000 });
      expect(await other.tasks.ensureRole({ role: ROLE, inFlight: 9 })).toEqual({ ...made, inFlight: 9 });
      expect(await other.tasks.roles()).toMatchObject([{ ...made, inFlight: 9, queued: 0, held: 0 }]);
    });

    test("settings that no role can have are refused", async () => {
      await expect(bus.tasks.ensureRole({ role: ROLE, inFlight: 0 })).rejects.toMatchObject({
        code: "E_ROLE",
      });
      await expect(bus.tasks.ensureRole({ role: ROLE, ackWaitMs: 10 })).rejects.toMatchObject({
        code: "E_ROLE",
      });
      await expect(bus.tasks.ensureRole({ role: "no.role" })).rejects.toMatchObject({ code: "E_NAME" });
      expect(await bus.tasks.roles()).toEqual([]);
    });
  });
}
