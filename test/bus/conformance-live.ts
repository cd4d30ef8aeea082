/** The promises about what is said live. Would catch a question without an answer, and a presence that outlives its process. */
import { describe, expect, test } from "vitest";
import type { Bus } from "../../src/bus/bus.ts";
import { Arrivals } from "./arrivals.ts";
import { type BusStage, bytesOf, type OpenStage, setUpBus } from "./bus-fixture.ts";
import { card, ROLE } from "./messages.ts";

export function describeLive(openStage: OpenStage): void {
  describe("live", () => {
    let stage: BusStage;
    let bus: Bus;
    let other: Bus;
    setUpBus(openStage, (made) => {
      ({ stage, bus, other } = made);
    });

    const ref = { role: ROLE, run: "run-1", step: "load", n: 2 };

    test("live messages, environment changes and handoffs reach who listens to the run or to all", async () => {
      const all = new Arrivals<unknown>();
      const one = new Arrivals<unknown>();
      for (const [run, seen] of [
        [undefined, all],
        ["run-1", one],
      ] as const) {
        other.live.onLive(run, ({ type, role, run: id }) => seen.add([type, role, id]));
        other.live.onEnv(run, ({ key, revision, run: id }) => seen.add(["env", key, revision, id]));
        other.live.onHandoff(run, ({ from, to, run: id }) =>
          seen.add(["handoff", from[0]?.role, to.role, id]),
        );
      }
      await other.log.exists("subscribed");
      for (const run of ["run-2", "run-1"]) {
        bus.live.publish({ type: "started", run, step: "load", n: 1, agent: "agent-1", role: ROLE });
        bus.live.publishEnv({ run, key: "rows", value: 3, revision: 7, writer: { step: "load" } });
        bus.live.publishHandoff({
          run,
          step: "load",
          n: 1,
          kind: "handoff",
          from: [{ step: "load", role: "a" }],
          to: { role: "b", task: "t" },
          reason: "",
        });
      }
      await stage.until(Promise.all([all.count(6), one.count(3)]));
      expect(one.all).toEqual([
        ["started", ROLE, "run-1"],
        ["env", "rows", 7, "run-1"],
        ["handoff", "a", "b", "run-1"],
      ]);
      expect(all.all.slice(3)).toEqual(one.all);
    });

    test("a question is answered by the one who knows; the others leave it alone", async () => {
      bus.live.onAsk(() => undefined);
      bus.live.onAsk(async () => undefined);
      bus.live.onAsk(() => Promise.reject(new Error("broken listener")));
      other.live.onAsk(async (asked, question) => ({ open: asked.n === 2 && question.q === "open" }));
      await other.log.exists("subscribed");
      expect(await stage.until(bus.live.ask(ref, { q: "open" }, 2_000))).toEqual({ open: true });
    });

    test("a question that nobody answers ends", async () => {
      expect(await stage.until(bus.live.ask(ref, { q: "open" }, 500))).toBeUndefined();
      other.live.onAsk(() => undefined);
      await other.log.exists("subscribed");
      expect(await stage.until(bus.live.ask(ref, { q: "open" }, 500))).toBeUndefined();
    });

    test("a cancel is answered when the holder has stopped, and only by the holder", async () => {
      const reasons: string[] = [];
      bus.live.onCancel(ROLE, () => undefined);
      other.live.onCancel(ROLE, async (asked, reason) => {
        reasons.push(`${asked.step}/${asked.n}: ${reason}`);
        return true;
      });
      other.live.onCancel("elsewhere", async () => false);
      await other.log.exists("subscribed");
      expect(await stage.until(bus.live.cancel(ref, "enough", 2_000))).toBe(true);
      expect(reasons).toEqual(["load/2: enough"]);
      expect(await stage.until(bus.live.cancel({ ...ref, role: "nobody" }, "enough", 500))).toBe(false);
    });

    test("an announcement of roles is answered by a daemon, or not at all", async () => {
      const hello = { v: 1 as const, id: "agent-1", roles: card("agent-1").roles };
      expect(await stage.until(bus.live.hello(hello, 500))).toBeUndefined();
      const settings = { role: ROLE, encoding: "json" as const, inFlight: 3, ackWaitMs: 2_000 };
      const served = other.live.onHello(async ({ roles }) => ({
        ok: roles.length === 1,
        roles: [settings],
      }));
      await other.log.exists("subscribed");
      expect(await stage.until(bus.live.hello(hello, 2_000))).toEqual({ ok: true, roles: [settings] });
      served.close();
      await other.log.exists("unsubscribed");
      expect(await stage.until(bus.live.hello(hello, 500))).toBeUndefined();
    });

    test("a live message that nobody can read is counted and goes nowhere", async () => {
      const seen = new Arrivals<string>();
      other.live.onLive(undefined, ({ step }) => seen.add(step));
      await other.log.exists("subscribed");
      await stage.inject("dh.main.live.worker.run-1.load", bytesOf('{"type":"dance"}'));
      await stage.inject(
        "dh.main.live.worker.run-1.load",
        bytesOf('{"type":"started","run":"run-1","step":"good","n":1,"agent":"a"}'),
      );
      expect(await stage.until(seen.next())).toBe("good");
      expect(other.unreadableCount()).toBe(1);
    });
  });
}
