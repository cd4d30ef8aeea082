/**
 * Deadlines and the heap under them.
 * Catches: a deadline that fires twice, early, out of order, or after it was cleared or moved; and memory that grows
 * with every deadline that was ever set.
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

  it("keep no room for what was cleared or moved, and forget none of the others", async () => {
    const clock = new VirtualClock();
    const fired: string[] = [];
    const deadlines = new Deadlines(clock, (key) => fired.push(key));
    for (const key of ["one", "two", "three"]) deadlines.set(key, 100);
    for (let round = 0; round < 10_000; round += 1) {
      deadlines.set("moved", 86_400_000 - round);
      deadlines.set(`cleared ${round}`, 86_400_000);
      deadlines.clear(`cleared ${round}`);
    }
    expect(deadlines.size).toBeLessThan(100);
    await clock.advance(100);
    expect(fired.sort()).toEqual(["one", "three", "two"]);
    await clock.advance(86_400_000);
    expect(fired).toHaveLength(4);
  });

  it("set after the end arm nothing", () => {
    const clock = new VirtualClock();
    const deadlines = new Deadlines(clock, () => {});
    deadlines.set("before", 10);
    deadlines.stop();
    deadlines.set("after", 10);
    expect(clock.pending).toBe(0);
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
