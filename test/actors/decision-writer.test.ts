/**
 * Decisions are written on what they were made from.
 * Catches: a decision that another holder's claim overtook between its making and its writing, and that expects
 * that very claim: it would be stored after the claim, though it was made before it.
 */
import { expect, it } from "vitest";
import { type DecisionScene, DecisionWriter } from "../../src/actors/decision-writer.ts";
import { createMemoryBroker } from "../../src/bus/memory/broker.ts";
import { VirtualClock } from "../bus/virtual-clock.ts";

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
