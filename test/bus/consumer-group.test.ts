/**
 * When the copies of a queue in a cluster are helped.
 * Catches: a server that dropped out of a queue's group and is left out, one that is only down or still catching up and
 * is fussed over, a queue that is made anew (which gives out again what agents hold) when saying it again would do, and
 * help that comes at every look for ever.
 */
import { expect, it } from "vitest";
import { assess, type GroupSight, type Help, sightOf, WHOLE } from "../../src/bus/nats/consumer-group.ts";

const copies = (leader: string | undefined, lags: Record<string, number | "current">) => ({
  ...(leader === undefined ? {} : { leader }),
  replicas: Object.entries(lags).map(([name, lag]) =>
    lag === "current" ? { name, current: true } : { name, current: false, lag },
  ),
});
const wholeStream = copies("a", { b: "current", c: "current" });

it("a server is out of a group only while its copy of the stream is up to date", () => {
  const group = copies("b", { a: "current", c: 40 });
  expect(sightOf(group, wholeStream)).toEqual({ is: "out", lags: new Map([["c", 40]]) });
  const dead = copies("a", { b: "current", c: 7 });
  expect(sightOf(group, dead)).toEqual({ is: "whole" });
});

it("the leader of the stream is up, though no list of replicas names it", () => {
  expect(sightOf(copies("b", { a: 3, c: "current" }), wholeStream)).toEqual({
    is: "out",
    lags: new Map([["a", 3]]),
  });
});

it("a group without a leader is told from a cluster that has none", () => {
  const headless = copies(undefined, { a: 3, b: 3, c: 3 });
  expect(sightOf(undefined, wholeStream)).toEqual({ is: "leaderless" });
  expect(sightOf(headless, wholeStream)).toEqual({ is: "leaderless" });
  expect(sightOf(undefined, headless)).toEqual({ is: "unknown" });
});

/** What is done at each of these looks, one after the other. */
function helps(sights: Iterable<GroupSight>): (Help | undefined)[] {
  let condition = WHOLE;
  return [...sights].map((sight) => {
    const next = assess(condition, sight);
    condition = next.condition;
    return next.help;
  });
}
const out = (lag: number): GroupSight => ({ is: "out", lags: new Map([["c", lag]]) });
const leaderless: GroupSight = { is: "leaderless" };
const times = <Item>(count: number, item: (index: number) => Item): Item[] =>
  Array.from({ length: count }, (_, index) => item(index));

it("a server that is out and gets no nearer is helped at the third look", () => {
  expect(helps([out(5), out(9), out(9)])).toEqual([undefined, undefined, "declare"]);
});

it("a server that catches up is left alone", () => {
  expect(helps(times(50, (look) => out(100 - look)))).toEqual(times(50, () => undefined));
});

it("one server that catches up does not hide another that does not", () => {
  const both = (look: number): GroupSight => ({
    is: "out",
    lags: new Map([
      ["b", 50 - look],
      ["c", 8],
    ]),
  });
  expect(helps(times(3, both)).at(-1)).toBe("declare");
});

it("a queue without a leader is declared again before it is made anew, and never at the first look", () => {
  const done = helps(times(12, () => leaderless));
  expect(done[0]).toBeUndefined();
  expect(done.filter((help) => help !== undefined).slice(0, 3)).toEqual(["declare", "anew", "anew"]);
});

it("a queue that has a leader is never made anew", () => {
  expect(new Set(helps(times(5_000, out)))).toEqual(new Set([undefined, "declare"]));
});

it("help in vain becomes rare, and does not delay that for a worse trouble", () => {
  const many = times(1_000, () => out(9));
  expect(helps(many).filter((help) => help !== undefined).length).toBeLessThan(25);
  expect(helps([...many, leaderless, leaderless]).at(-1)).toBe("declare");
});

it("a look that was not answered is no look", () => {
  expect(helps([out(5), { is: "unknown" }, out(5), { is: "unknown" }, out(5)])).toEqual([
    undefined,
    undefined,
    undefined,
    undefined,
    "declare",
  ]);
});

it("a group that was whole in between is waited for again", () => {
  expect(helps([out(5), out(5), { is: "whole" }, out(5), out(5)])).toEqual(times(5, () => undefined));
});
