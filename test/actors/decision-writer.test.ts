/**
 * Decisions are written on what they were made from, and of two claims the younger one stands.
 * Catches: two holders that claim over each other without end; and a decision that another holder's claim overtook
 * between its making and its writing, and that expects that very claim: it would be stored after the claim, though it
 * was made before it.
 */
import { expect, it } from "vitest";
import { type DecisionScene, DecisionWriter } from "../../src/actors/decision-writer.ts";
import { createMemoryBroker } from "../../src/bus/memory/broker.ts";
import { VirtualClock } from "../bus/virtual-clock.ts";

it("a claim that another claimed over before it was folded gives way", async () => {
  const bus = createMemoryBroker({ clock: new VirtualClock() }).connect();
  let epoch = 0;
  const writer = new DecisionWriter(bus, "r1", {
    get epoch() {
      return epoch;
    },
    lastDecisionSeq: 0,
    now: () => 0,
    newId: () => "id",
    // By then the other's claim is folded, too.
    folded: async () => {
      epoch = 2;
    },
    sync: async () => 0,
    pause: async () => undefined,
    over: () => false,
  });
  expect(await writer.claim("one")).toBe(false);
  expect(writer.epoch).toBe(0);
  const stored: number[] = [];
  for await (const { seq } of bus.log.read("r1")) stored.push(seq);
  expect(stored).toHaveLength(1);
});

it("a decision that a claim overtook while its values were checked in is refused", async () => {
  const bus = createMemoryBroker({ clock: new VirtualClock() }).connect();
  const at = { epoch: 0, lastDecisionSeq: 0 };
  const scene: DecisionScene = {
    get epoch() {
      return at.epoch;
    },
    get lastDecisionSeq() {
      return at.lastDecisionSeq;
    },
    now: () => 0,
    newId: () => "id",
    // Everything that is stored is folded at once.
    folded: async (seq) => void Object.assign(at, { lastDecisionSeq: seq }),
    sync: async () => 0,
    pause: async () => undefined,
    over: () => false,
  };
  const writer = new DecisionWriter(bus, "r1", scene);
  at.epoch = 1;
  const claiming = writer.claim("one");
  at.epoch = 2;
  expect(await claiming).toBe(true);
  expect(writer.epoch).toBe(2);

  const decided = writer.propose(() => ({
    type: "end",
    status: "done",
    outputs: { large: "x".repeat(400_000) },
  }));
  // The other's claim is stored, and folded here, while the large output is on its way to the store.
  const put = bus.artifacts.put.bind(bus.artifacts);
  bus.artifacts.put = async (...given) => {
    const body = { v: 1, id: "x", epoch: 3, at: 0, type: "claim", holder: "two" } as const;
    const claim = await bus.log.append("r1", { kind: "decision", body });
    if (claim.ok) Object.assign(at, { epoch: 3, lastDecisionSeq: claim.seq });
    return put(...given);
  };
  await decided;
  const epochs: number[] = [];
  for await (const record of bus.log.read("r1"))
    if (record.kind === "decision") epochs.push(record.body.epoch);
  expect(epochs).toEqual([2, 3]);
});
