/**
 * Waiting for a place in a run's log. Catches: whoever waits for a place that never comes and is never let go, and
 * a timer that outlives what it was set for.
 */
import { pino } from "pino";
import { describe, expect, it } from "vitest";
import { Deadlines } from "../../src/actors/deadlines.ts";
import { Defeats } from "../../src/actors/defeats.ts";
import { HoldFrame } from "../../src/actors/hold-frame.ts";
import { RoleShares } from "../../src/actors/role-shares.ts";
import { SwarmPlanning } from "../../src/actors/swarm-planning.ts";
import { createMemoryBroker } from "../../src/bus/memory/broker.ts";
import { RunFold } from "../../src/fold/run-fold.ts";
import { settle, VirtualClock } from "../bus/virtual-clock.ts";

const BOUND_MS = 5_000;

function frameOf() {
  const clock = new VirtualClock();
  const bus = createMemoryBroker({ clock }).connect();
  const log = pino({ level: "silent" });
  const fold = new RunFold("r");
  const frame = new HoldFrame(
    {
      ...{ bus, clock, log, holder: "h", newId: () => "id", lease: { keptAt: 0, forMs: BOUND_MS } },
      planning: new SwarmPlanning(bus, clock, log),
      shares: new RoleShares(clock),
      defeats: new Defeats(),
    },
    fold,
    new Deadlines(clock, () => {}),
    () => {},
  );
  const waits = { over: false };
  const wait = (seq: number) => frame.folded(seq, BOUND_MS).then(() => Object.assign(waits, { over: true }));
  return { clock, fold, frame, waits, wait };
}

describe("whoever waits for a place in the log", () => {
  it("goes on when it is folded, and no timer is left", async () => {
    const { clock, frame, waits, wait } = frameOf();
    const idle = clock.pending;
    void wait(3);
    frame.reached(2);
    await settle();
    expect(waits.over).toBe(false);
    frame.reached(3);
    await settle();
    expect([waits.over, clock.pending]).toEqual([true, idle]);
  });

  it("goes on when its time is over, and is not met again when the place comes after all", async () => {
    const { clock, frame, waits, wait } = frameOf();
    const idle = clock.pending;
    void wait(Number.MAX_SAFE_INTEGER);
    const later = frame.folded(7);
    await clock.advance(BOUND_MS - 1);
    expect(waits.over).toBe(false);
    await clock.advance(1);
    expect([waits.over, clock.pending]).toEqual([true, idle]);
    frame.reached(7);
    await later;
  });

  it("goes on when the hold is over", async () => {
    const { clock, frame, waits, wait } = frameOf();
    const idle = clock.pending;
    void wait(3);
    frame.end();
    await settle();
    expect([waits.over, clock.pending]).toEqual([true, idle]);
  });
});
