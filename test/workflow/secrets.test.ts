/** Catches a secret that is shown after all, and a mask that hides what is none or changes what it was given. */
import { describe, expect, it } from "vitest";
import { MASK, masked, SecretMask, secretNamesOf } from "../../src/workflow/secrets.ts";

function maskOf(values: Record<string, unknown>): SecretMask {
  const mask = new SecretMask(Object.keys(values));
  mask.learnAll(values);
  return mask;
}

describe("a secret", () => {
  it("is hidden under its name, whatever it is, and stays nothing where it is nothing", () => {
    const mask = maskOf({ key: { id: 7, parts: ["a"] }, pin: 4711, on: true, later: null });
    const view = { environment: { key: { id: 7, parts: ["a"] }, pin: 4711, on: true, later: null, seen: 1 } };
    expect(mask.view(view)).toEqual({
      environment: { key: MASK, pin: MASK, on: MASK, later: null, seen: 1 },
    });
  });

  it.each([
    ["a text around it", 'say s3cr"t\nkey twice: s3cr"t\nkey', `say ${MASK} twice: ${MASK}`],
    ["its form in JSON", String.raw`{"a":"s3cr\"t\nkey"}`, `{"a":"${MASK}"}`],
    ["its form on one line", 's3cr"t key', MASK],
    ["its form in an address", "?k=s3cr%22t%0Akey&x=1", `?k=${MASK}&x=1`],
  ])("is hidden in %s", (_, text, shown) => {
    expect(maskOf({ k: 's3cr"t\nkey' }).text(text)).toBe(shown);
  });

  it("is hidden line by line, where it has several", () => {
    const mask = maskOf({ pem: "-----BEGIN-----\nMIIabcdef\n-----END-----" });
    expect(mask.text("could not parse MIIabcdef")).toBe(`could not parse ${MASK}`);
  });

  it("that begins like another one leaves nothing of the longer one", () => {
    expect(maskOf({ a: "abcdef", b: "abcdef-ghi" }).text("x abcdef-ghi y")).toBe(`x ${MASK} y`);
  });

  it("that is short is hidden as a whole value under any name, and not inside words", () => {
    const mask = maskOf({ pin: "eu" });
    expect(mask.view({ inputs: { region: "eu", text: "neutral" }, status: "eu" })).toEqual({
      inputs: { region: MASK, text: "neutral" },
      status: "eu",
    });
  });

  it("is hidden as a name of a field, and `__proto__` stays a field", () => {
    const view = JSON.parse('{"values": {"top-secret": 1, "__proto__": "top-secret"}}');
    expect(JSON.stringify(maskOf({ k: "top-secret" }).view(view))).toBe(
      `{"values":{"__proto__":"${MASK}","${MASK}":1}}`,
    );
  });

  it("stays hidden when its key holds another one", () => {
    const mask = maskOf({ k: "first-value" });
    mask.learn("k", "second-value");
    mask.learn("other", "third-value");
    expect(mask.text("first-value second-value third-value")).toBe(`${MASK} ${MASK} third-value`);
  });

  it("is found in a key's change, and in what is written beside it", () => {
    const change = { key: "k", value: { deep: 1 }, revision: 3 };
    expect(maskOf({ k: { deep: 1 } }).view(change)).toEqual({ key: "k", value: MASK, revision: 3 });
  });
});

describe("what holds no secret", () => {
  it("is the very same thing afterwards, and what it was made of is not changed", () => {
    const mask = maskOf({ k: "a-secret" });
    const view = { inputs: { a: [1, { b: "x" }] }, bytes: new Uint8Array([1, 2]) };
    expect(mask.view(view)).toBe(view);
    const other = { outputs: { text: "is a-secret", same: view } };
    const copy = mask.view(other);
    expect(copy.outputs.text).toBe(`is ${MASK}`);
    expect(copy.outputs.same).toBe(view);
    expect(other.outputs.text).toBe("is a-secret");
    expect(masked(undefined, other)).toBe(other);
  });

  it("bytes that are no text stay as they are, a text loses its secrets", () => {
    const mask = maskOf({ k: "a-secret" });
    const noise = new Uint8Array([0xff, 0xfe, 0x00]);
    expect(mask.bytes(noise)).toBe(noise);
    expect(new TextDecoder().decode(mask.bytes(new TextEncoder().encode("an a-secret")))).toBe(`an ${MASK}`);
  });

  it("a document of unknown shape names none", () => {
    for (const document of [undefined, null, 1, "x", [], { secrets: "x" }, { secrets: {} }])
      expect(secretNamesOf(document)).toEqual([]);
    expect(secretNamesOf({ secrets: ["a", 1, "b"] })).toEqual(["a", "b"]);
  });
});

it("texts that a task brings are hidden without a name", () => {
  const mask = SecretMask.ofTexts(maskOf({ k: "a-secret" }).textsIn({ deep: ["Bearer a-secret"], other: 1 }));
  expect(mask.text("no a-secret here")).toBe(`no ${MASK} here`);
});
