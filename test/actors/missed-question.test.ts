/**
 * Would catch: a goal that is given up because an agent was too busy to say that it is there.
 */
import { pino } from "pino";
import { describe, expect, it } from "vitest";
import { SwarmPlanning } from "../../src/actors/swarm-planning.ts";
import type { Bus } from "../../src/bus/bus.ts";
import { SwarmStage } from "./swarm-stage.ts";

/** Plans a goal in a swarm whose only agent does not hear the first questions who is here. */
async function planned(missed: number) {
  const stage = new SwarmStage();
  await stage.join("worker", [{ name: "work", gives: ["report"] }]);
  let asked = 0;
  const deaf = (bus: Bus): Bus => ({
    ...bus,
    presence: {
      announce: (...agent) => bus.presence.announce(...agent),
      list: async (timeoutMs) => (++asked <= missed ? [] : bus.presence.list(timeoutMs)),
    },
  });
  const log = pino({ level: "silent" });
  await stage.daemon((bus) => new SwarmPlanning(deaf(bus), stage.clock, log));
  const body = { v: 1 as const, goals: "a report", inputs: {} };
  await stage.bus.log.append("r1", { kind: "submit", body }, { expectLast: 0 });
  await stage.clock.advance(0);
  return { asked, fold: await stage.fold() };
}

describe("an agent that misses the question who is here", () => {
  it("is asked again before the goal is given up", async () => {
    const { asked, fold } = await planned(1);
    expect(fold.ended).toBe(false);
    expect(fold.plan?.reasons).toHaveProperty("work");
    expect(asked).toBe(2);
  });

  it("is taken for absent when it misses that as well", async () => {
    const { asked, fold } = await planned(2);
    expect(fold).toMatchObject({ status: "failed", error: { code: "E_GOAL_UNCLEAR" } });
    expect(asked).toBe(2);
  });

  it("is not asked twice when it heard", async () => {
    const { asked, fold } = await planned(0);
    expect(fold.plan?.reasons).toHaveProperty("work");
    expect(asked).toBe(1);
  });
});
