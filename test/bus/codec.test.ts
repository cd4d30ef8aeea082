/** Would catch a value that changes on the wire, depends on the encoding, or brings a reader down. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { assertFits, decodeBody, encodeBody, MAX_BODY_BYTES, parseBody } from "../../src/bus/codec.ts";
import { InvalidInputError } from "../../src/workflow/errors.ts";

const ENCODINGS = ["json", "msgpack"] as const;

function carried(value: unknown, encoding: (typeof ENCODINGS)[number]): unknown {
  const decoded = decodeBody(encodeBody({ value }, encoding));
  if (!decoded.ok) throw new Error(decoded.problem);
  return (decoded.value as { value?: unknown }).value;
}

describe.each(ENCODINGS)("a body in %s", (encoding) => {
  test("carries every JSON value unchanged", () => {
    const value = fc
      .jsonValue({ noUnicodeString: false })
      .filter((made) => !JSON.stringify(made).includes("__proto__"));
    fc.assert(
      fc.property(value, (made) => {
        // JSON has no negative zero.
        const plain: unknown = JSON.parse(JSON.stringify(made));
        expect(carried(plain, encoding)).toEqual(plain);
      }),
    );
  });

  test("leaves undefined properties out and turns what JSON cannot say into null", () => {
    expect(
      carried({ a: undefined, b: [1, undefined], c: Number.NaN, d: Number.POSITIVE_INFINITY }, encoding),
    ).toEqual({
      b: [1, null],
      c: null,
      d: null,
    });
    expect(Object.keys(carried({ a: undefined, b: 1 }, encoding) as object)).toEqual(["b"]);
  });

  test("carries dates as text, small BigInts as numbers and objects of classes as their fields", () => {
    class Point {
      readonly x = 1;
      readonly y = 2;
    }
    const value = { at: new Date(0), rows: 3_201n, point: new Point(), url: new URL("http://here/") };
    expect(carried(value, encoding)).toEqual({
      at: "1970-01-01T00:00:00.000Z",
      rows: 3_201,
      point: { x: 1, y: 2 },
      url: "http://here/",
    });
  });

  test("refuses what no reader could understand, naming the place", () => {
    const cycle: Record<string, unknown> = {};
    cycle.self = cycle;
    const refused: [unknown, string][] = [
      [() => 1, "value.deep.1"],
      [Symbol("s"), "value.deep.1"],
      [2n ** 64n, "value.deep.1"],
      [new Map([["a", 1]]), "value.deep.1"],
      [new Set([1]), "value.deep.1"],
      [new Float64Array(2), "value.deep.1"],
      [cycle, "value.deep.1.self.self"],
    ];
    for (const [bad, place] of refused) {
      expect(() => carried({ deep: [0, bad] }, encoding)).toThrow(InvalidInputError);
      expect(() => carried({ deep: [0, bad] }, encoding)).toThrow(place);
    }
  });

  test("is not changed by being sent: the sender's value stays as it was", () => {
    const value = Object.freeze({ rows: Object.freeze([1n, undefined, Number.NaN]) });
    carried(value, encoding);
    expect(value.rows).toEqual([1n, undefined, Number.NaN]);
  });
});

describe("decoding", () => {
  test("bytes survive in MessagePack and are base64 in JSON", () => {
    const bytes = new Uint8Array([1, 2, 3]);
    expect(Buffer.compare(carried(bytes, "msgpack") as Uint8Array, bytes)).toBe(0);
    expect(carried(bytes, "json")).toBe("AQID");
  });

  test("no bytes at all make it throw, and whatever it gives can be sent on", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        const decoded = decodeBody(bytes);
        if (decoded.ok) encodeBody(decoded.value);
        else expect(decoded.problem).not.toBe("");
      }),
      { numRuns: 2_000 },
    );
  });

  test("guests of MessagePack become wire values", () => {
    // A timestamp extension and an int64 beyond 2^53, as other languages write them.
    const timestamp = Buffer.from("81a161d6ff00000000", "hex");
    expect(decodeBody(timestamp)).toEqual({ ok: true, value: { a: "1970-01-01T00:00:00.000Z" } });
    const int64 = Buffer.from("81a161cf0020000000000001", "hex");
    expect(decodeBody(int64)).toEqual({ ok: true, value: { a: 2 ** 53 } });
  });

  test("what is empty, too long or nested without end is a problem, not a crash", () => {
    expect(decodeBody(new Uint8Array(0))).toMatchObject({ ok: false });
    expect(decodeBody(new Uint8Array(MAX_BODY_BYTES + 1))).toMatchObject({
      ok: false,
      problem: expect.stringContaining(String(MAX_BODY_BYTES)),
    });
    expect(decodeBody(new Uint8Array(1_000_000).fill(0x91))).toMatchObject({ ok: false });
  });

  test("a body that breaks its schema is told by the place and the number of problems", () => {
    const schema = z.object({ a: z.number(), b: z.object({ c: z.string() }) });
    const parsed = parseBody(schema, encodeBody({ a: "x", b: { c: 1 } }));
    expect(parsed).toMatchObject({ ok: false, problem: expect.stringMatching(/^a: .*\(and 1 more\)$/) });
    expect(parseBody(schema, encodeBody({ a: 1, b: { c: "x" }, later: true }))).toEqual({
      ok: true,
      value: { a: 1, b: { c: "x" } },
    });
  });

  test("a body over the bound is refused with both numbers", () => {
    expect(() => assertFits(new Uint8Array(11), 10, "The task")).toThrow(
      "The task has 11 bytes, the bound is 10",
    );
  });
});
