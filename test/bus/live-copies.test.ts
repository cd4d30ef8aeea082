/**
 * The order of live copies. Catches: a younger record that is handed over before its elder although the
 * elder was only a moment late, a copy that waits for ever for one that never comes, a loss that nobody is told.
 */
import { expect, it } from "vitest";
import { ElderFirst } from "../../src/bus/nats/live-copies.ts";
import { VirtualClock } from "./virtual-clock.ts";

function queue() {
  const clock = new VirtualClock();
  const passed: (number | "loss")[] = [];
  const order = new ElderFirst<{ seq: number }>({
    clock,
    waitMs: 2,
    pass: ({ seq }) => passed.push(seq),
    onLoss: () => passed.push("loss"),
  });
  const offer = (...seqs: number[]) => {
    for (const seq of seqs) order.offer({ seq });
  };
  return { clock, passed, offer, order };
}

it("what continues the sequence passes at once", () => {
  const { passed, offer } = queue();
  offer(7, 8, 9);
  expect(passed).toEqual([7, 8, 9]);
});

it("two that swapped places are put in order, and whatever waited behind them follows", () => {
  const { passed, offer } = queue();
  offer(7, 9, 10);
  expect(passed).toEqual([7]);
  offer(8);
  expect(passed).toEqual([7, 8, 9, 10]);
});

it("behind a gap that stays open they wait a moment, and then pass in order after word of the loss", async () => {
  const { clock, passed, offer } = queue();
  offer(7, 12, 10, 11);
  expect(passed).toEqual([7]);
  await clock.advance(5);
  expect(passed).toEqual([7, "loss", 10, 11, 12]);
  offer(13);
  expect(passed).toEqual([7, "loss", 10, 11, 12, 13]);
});

it("one that comes far too late passes at once: the follower judges it", async () => {
  const { clock, passed, offer } = queue();
  offer(7, 9);
  await clock.advance(5);
  offer(8);
  expect(passed).toEqual([7, "loss", 9, 8]);
});

it("after the stop nothing passes any more", async () => {
  const { clock, passed, offer, order } = queue();
  offer(7, 9);
  order.stop();
  await clock.advance(5);
  expect(passed).toEqual([7]);
});
