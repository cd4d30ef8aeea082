/**
 * The board of held tasks and the rounds over it. Catches: a task that is not kept in time, one that is
 * kept after it was let go or past its end, a slot that is read while it changes hands.
 */
import { describe, expect, it } from "vitest";
import {
  KeepAliveBoard,
  KeepAliveRounds,
  MAX_RECEIPT_BYTES,
  SLOTS_PER_SEGMENT,
} from "../../src/bus/nats/keep-alive-board.ts";

const FOREVER = Number.POSITIVE_INFINITY;

function board() {
  const rounds = new KeepAliveRounds();
  const written = new KeepAliveBoard((memory) => rounds.add(memory));
  for (const memory of written.memory) rounds.add(memory);
  const sentAt = (now: number) => {
    const sent: string[] = [];
    const nextAt = rounds.go(now, (receipt) => sent.push(receipt));
    return { sent, nextAt };
  };
  return { written, sentAt };
}

describe("the keep-alive board", () => {
  it("has a task due an interval after it was put up, and then every interval", () => {
    const { written, sentAt } = board();
    written.put("a", 300, FOREVER, 1_000);
    expect(sentAt(1_299)).toEqual({ sent: [], nextAt: 1_300 });
    expect(sentAt(1_300)).toEqual({ sent: ["a"], nextAt: 1_600 });
    expect(sentAt(1_599)).toEqual({ sent: [], nextAt: 1_600 });
    expect(sentAt(1_650)).toEqual({ sent: ["a"], nextAt: 1_950 });
  });

  it("is silent about a task that was removed, and about whoever had its slot before", () => {
    const { written, sentAt } = board();
    written.put("a", 300, FOREVER, 0);
    written.remove("a");
    expect(sentAt(10_000)).toEqual({ sent: [], nextAt: FOREVER });
    written.put("b", 300, FOREVER, 10_000);
    expect(sentAt(10_299).sent).toEqual([]);
    expect(sentAt(10_300).sent).toEqual(["b"]);
  });

  it("lets go of a task at its end, unless its terms are changed before", () => {
    const { written, sentAt } = board();
    written.put("ends", 300, 1_000, 0);
    written.put("stays", 300, 1_000, 0);
    written.put("stays", 300, FOREVER, 500);
    expect(sentAt(900).sent).toEqual(["ends", "stays"]);
    expect(sentAt(1_200).sent).toEqual(["stays"]);
  });

  it("grows beyond its first piece of memory and keeps every task", () => {
    const { written, sentAt } = board();
    const receipts = Array.from({ length: 3 * SLOTS_PER_SEGMENT + 1 }, (_, index) => `receipt-${index}`);
    for (const receipt of receipts) written.put(receipt, 100, FOREVER, 0);
    expect(new Set(sentAt(100).sent)).toEqual(new Set(receipts));
    for (const receipt of receipts) written.remove(receipt);
    for (const receipt of receipts) written.put(receipt, 100, FOREVER, 100);
    expect(written.memory).toHaveLength(4);
  });

  it("carries receipts of any text whole, and keeps none that it would have to cut", () => {
    const { written, sentAt } = board();
    const longest = "ü".repeat(MAX_RECEIPT_BYTES / 2);
    written.put(longest, 1, FOREVER, 0);
    written.put(`${longest}x`, 1, FOREVER, 0);
    expect(sentAt(1).sent).toEqual([longest]);
  });

  it("does not read a slot while it is being written", () => {
    const { written, sentAt } = board();
    written.put("a", 1, FOREVER, 0);
    const [memory] = written.memory;
    const sequences = new Int32Array(memory as SharedArrayBuffer);
    Atomics.add(sequences, 0, 1);
    expect(sentAt(10).sent).toEqual([]);
    Atomics.add(sequences, 0, 1);
    expect(sentAt(20).sent).toEqual(["a"]);
  });
});
