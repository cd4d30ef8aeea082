/**
 * Which values the judges call too large for a message. Would catch: a judge that takes a value for larger than it
 * travels, and one that lets a value above the bound pass.
 */
import { expect, it } from "vitest";
import type { LogRecord } from "../../src/bus/bus.ts";
import { encodeBody } from "../../src/bus/codec.ts";
import { claimChecks } from "../../src/simulation/claim-judge.ts";
import { KeptValues } from "../../src/simulation/kept-values.ts";

const BOUND = 1024;

/** What is said of a record that sets a key to this value. */
function saidOf(value: unknown): string[] {
  const said: string[] = [];
  const record = { seq: 1, ts: 1, kind: "env", body: { v: 1, key: "k", value, by: "ada" } };
  const say = (rule: string): void => void said.push(rule);
  claimChecks("r1", [record as unknown as LogRecord], [], new KeptValues(BOUND), say);
  return said;
}

const words = (count: number) => Array.from({ length: count }, (_, at) => ({ a: `${at % 10}`, b: true }));
const sizeOf = (value: unknown) => encodeBody(value).length;

it("a value of many short texts is as large as it travels, however long it is as JSON", () => {
  const value = words(127);
  expect([sizeOf(value) <= BOUND, JSON.stringify(value).length > 2 * BOUND]).toEqual([true, true]);
  expect(saidOf(value)).toEqual([]);
});

it.each([
  ["many short texts", words(128)],
  ["one long text", "x".repeat(BOUND - 2)],
])("%s just above the bound are too large", (_, value) => {
  expect(sizeOf(value) - BOUND).toBeLessThan(20);
  expect(sizeOf(value)).toBeGreaterThan(BOUND);
  expect(saidOf(value)).toEqual(["a large value goes by claim check"]);
});
