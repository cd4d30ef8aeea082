/**
 * Deadlines and the heap under them.
 * Catches: a deadline that fires twice, early, out of order, or after it was cleared or moved.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Deadlines } from "../../src/actors/deadlines.ts";
import { Heap } from "../../src/workflow/heap.ts";
import { VirtualClock } from "../bus/virtual-clock.ts";

describe("deadlines", () => {
  it("fire once, in order of time, and a moved one only at its new time", async () => {
    const clock = new VirtualClock();
    const fired: string[] = [];
    const deadlines = new Deadlines(clock, (key) => fired.push(key));
    deadlines.set("b", 20);
    deadlines.set("a", 10);
    deadlines.set("moved", 5);
    deadlines.set("moved", 30);
    deadlines.set("cleared", 15);
    deadlines.clear("cleared");
    await clock.advance(25);
    expect(fired).toEqual(["a", "b"]);
    await clock.advance(10);
    expect(fired).toEqual(["a", "b", "moved"]);
  });

  it("may be set again from within", async () => {
    const clock = new VirtualClock();
    let rounds = 0;
    const deadlines = new Deadlines(clock, (key) => {
      rounds += 1;
      if (rounds < 3) deadlines.set(key, 10);
    });
    deadlines.set("tick", 10);
    await clock.advance(100);
    expect(rounds).toBe(3);
  });

  it("wait for a time that no single timer reaches", async () => {
    const clock = new VirtualClock();
    const fired: string[] = [];
    const deadlines = new Deadlines(clock, (key) => fired.push(key));
    const days = 40 * 86_400_000;
    deadlines.set("far", days);
    await clock.advance(days - 1);
    expect(fired).toEqual([]);
    await clock.advance(1);
    expect(fired).toEqual(["far"]);
  });
});

it("a heap gives back what was put in, in order", () => {
  fc.assert(
    fc.property(fc.array(fc.integer()), (numbers) => {
      const heap = new Heap<number>((a, b) => a < b);
      for (const number of numbers) heap.push(number);
      const out = Array.from(numbers, () => heap.pop());
      expect(out).toEqual([...numbers].sort((a, b) => a - b));
      expect(heap.pop()).toBeUndefined();
    }),
  );
});
