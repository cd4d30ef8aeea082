/**
 * Why a broker stores nothing, as one connection can tell.
 * Catches: a want of room that is forgotten when the server, because of it, answers nothing any more.
 */
import { expect, it } from "vitest";
import type { NatsLink } from "../../src/bus/nats/link.ts";
import { StorageRoom } from "../../src/bus/nats/storage-room.ts";
import { VirtualClock } from "./virtual-clock.ts";

it("a server that falls silent after it had no room is silent for that reason, until it stores again", async () => {
  const clock = new VirtualClock();
  const api = () => Promise.reject(new Error("no answer within 2000 ms"));
  const room = new StorageRoom({ clock, status: "connected", api } as unknown as NatsLink);
  room.refused("dh.x was refused: no space left on device (10077)");
  await clock.advance(60_000);
  expect(await room.problem()).toEqual({
    kind: "silent",
    reason:
      "the broker has no room: dh.x was refused: no space left on device (10077); since then JetStream does not answer: no answer within 2000 ms",
  });
  room.stored();
  expect((await room.problem())?.reason).toBe("JetStream does not answer: no answer within 2000 ms");
});
