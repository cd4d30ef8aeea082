/** Catches an environment that depends on anything but its updates in their order, or loses who wrote what. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Environment, readPath } from "../../src/workflow/environment.ts";
import { InvalidInputError } from "../../src/workflow/errors.ts";

const update = (key: string, value: unknown, revision: number, ifRevision?: number) => ({
  key,
  value,
  revision,
  writer: { step: `step-${revision}` },
  ...(ifRevision !== undefined && { ifRevision }),
});

describe("the environment", () => {
  it("starts with what the run was given, at revision 0", () => {
    const environment = new Environment({ a: 1 });
    expect(environment.revision).toBe(0);
    expect(environment.entry("a")).toEqual({ value: 1, revision: 0, writer: {}, number: 0 });
    expect(environment.has("b")).toBe(false);
    expect(environment.get("b")).toBeUndefined();
  });

  it("keeps the last value with its revision and writer", () => {
    const environment = new Environment();
    environment.apply(update("a", 1, 4));
    expect(environment.apply(update("a", null, 9))).toEqual({ applied: true, revision: 9 });
    expect(environment.entry("a")).toEqual({
      value: null,
      revision: 9,
      writer: { step: "step-9" },
      number: 2,
    });
    expect(environment.has("a")).toBe(true);
    expect(environment.revision).toBe(9);
  });

  it("an update for an older revision conflicts, names who stands instead, and changes nothing", () => {
    const environment = new Environment();
    environment.apply(update("a", 1, 4));
    const verdict = environment.apply(update("a", 2, 6, 3));
    expect(verdict).toEqual({ applied: false, conflict: { revision: 4, writer: { step: "step-4" } } });
    expect(environment.get("a")).toBe(1);
    expect(environment.revision).toBe(4);
    expect(environment.apply(update("a", 2, 7, 4)).applied).toBe(true);
  });

  it("ifRevision 0 means that nobody has set the key yet", () => {
    const environment = new Environment();
    expect(environment.apply(update("a", 1, 1, 0)).applied).toBe(true);
    expect(environment.apply(update("a", 2, 2, 0)).applied).toBe(false);
  });

  it("several keys of one record share its revision, but the log never goes back", () => {
    const environment = new Environment();
    environment.apply(update("a", 1, 5));
    environment.apply(update("b", 2, 5));
    expect(() => environment.apply(update("a", 3, 4))).toThrow(InvalidInputError);
  });

  it("the live values are one object for ever; a snapshot is another that stays as it is", () => {
    const environment = new Environment({ a: 1 });
    const { values } = environment;
    const snapshot = environment.snapshot();
    environment.apply(update("a", 2, 1));
    expect(environment.values).toBe(values);
    expect(values.a).toBe(2);
    expect(snapshot).toEqual({ revision: 0, values: { a: 1 } });
  });

  it("keys that JavaScript treats specially are only keys", () => {
    const environment = new Environment(JSON.parse('{"__proto__": {"polluted": 1}}'));
    environment.apply(update("constructor", 2, 1));
    expect([...environment.keys()]).toEqual(["__proto__", "constructor"]);
    expect(Object.keys(environment.snapshot().values)).toEqual(["__proto__", "constructor"]);
    expect(environment.has("toString")).toBe(false);
    expect(({} as Record<string, unknown>).polluted).toBeUndefined();
  });

  it("is a fold: the same updates in the same order give the same, however often they are split", () => {
    const updates = fc.array(
      fc.record({
        key: fc.constantFrom("a", "b", "c"),
        value: fc.integer(),
        ifRevision: fc.option(fc.nat(20), { nil: undefined }),
      }),
    );
    fc.assert(
      fc.property(updates, (log) => {
        const fold = () => {
          const environment = new Environment({ a: 0 });
          const verdicts = log.map(({ key, value, ifRevision }, index) =>
            environment.apply(update(key, value, index + 1, ifRevision)),
          );
          return { verdicts, ...environment.snapshot() };
        };
        const folded = fold();
        expect(fold()).toEqual(folded);
        // By definition: the value of a key is that of its last applied update.
        for (const key of ["a", "b", "c"]) {
          const last = log.findLast((entry, index) => entry.key === key && folded.verdicts[index]?.applied);
          expect(folded.values[key]).toBe(last ? last.value : key === "a" ? 0 : undefined);
        }
      }),
    );
  });
});

describe("reading a path", () => {
  const values = { a: { b: [{ c: 1 }, null] }, n: null };

  it.each([
    ["a.b.0.c", 1],
    ["a.b.1", null],
    ["n", null],
    ["a", values.a],
  ])("%s goes down through maps and lists", (path, value) => {
    expect(readPath(values, path)).toEqual({ found: true, value });
  });

  it.each([
    ["x.y", "x"],
    ["a.x.y", "a.x"],
    ["a.b.2", "a.b.2"],
    ["a.b.length", "a.b.length"],
    ["n.x", "n.x"],
    ["a.constructor", "a.constructor"],
    ["", ""],
  ])("%s is missing from %s on", (path, missing) => {
    expect(readPath(values, path)).toEqual({ found: false, missing });
  });
});
