/**
 * Bodies of messages: MessagePack, or JSON when the first byte is `{`.
 *
 * Owns what a value may be on the wire. Both encodings carry JSON's data model plus byte strings, so that a
 * body means the same whichever way it went, and a decoded value can always be encoded again:
 *  - a property that is `undefined` is left out, an element that is becomes `null`, as do NaN and ±Infinity;
 *  - a Date, and whatever else has `toJSON`, travels as what that gives;
 *  - a BigInt within ±(2^53 − 1) becomes a number; a larger one is refused, since no reader could keep it;
 *  - bytes travel as MessagePack `bin`, in JSON as base64;
 *  - functions, symbols, Maps, Sets, other typed arrays, cycles and nesting below 100 levels are refused,
 *    naming the place.
 * MessagePack is the plain standard: no records, no extension types, maps with string keys.
 *
 * Schemas are checked here as well (L9): `parseBody` never throws.
 */
import { Packr } from "msgpackr";
import type { z } from "zod";
import { InvalidInputError } from "../workflow/errors.ts";
import { WIRE_VERSION } from "./messages.ts";

export type Encoding = "json" | "msgpack";

/** Bodies above this are refused when decoding, whatever the broker let through (L8). */
export const MAX_BODY_BYTES = 8 * 1024 * 1024;
const MAX_DEPTH = 100;
const OPENING_BRACE = 0x7b;

// A header of fixed width per map would cost two bytes a map; `variableMapSize` writes the shortest one.
const packr = new Packr({
  useRecords: false,
  variableMapSize: true,
  mapsAsObjects: true,
  moreTypes: false,
  int64AsType: "number",
  encodeUndefinedAsNil: true,
});
const utf8 = new TextDecoder("utf-8", { fatal: true });
const toUtf8 = new TextEncoder();

/** @throws InvalidInputError `E_UNSERIALISABLE` naming the place in the value. */
export function encodeBody(value: unknown, encoding: Encoding = "msgpack"): Uint8Array {
  const clean = wireValue(value);
  if (encoding === "json") return toUtf8.encode(JSON.stringify(clean, bytesAsBase64));
  return packr.pack(clean);
}

/** How a body is encoded, by its first byte. An answer is encoded as its question was. */
export function encodingOf(bytes: Uint8Array): Encoding {
  return bytes[0] === OPENING_BRACE ? "json" : "msgpack";
}

export type Parsed<Value> =
  | { ok: true; value: Value }
  | {
      ok: false;
      problem: string;
      /** Its wire version, where that is newer than the one that is read here: not nonsense, only not ours to judge. */
      newer?: number;
    };

/** Decodes without a schema. Never throws. */
export function decodeBody(bytes: Uint8Array, maxBytes = MAX_BODY_BYTES): Parsed<unknown> {
  if (bytes.length === 0) return { ok: false, problem: "the body is empty" };
  if (bytes.length > maxBytes) {
    return { ok: false, problem: `the body has ${bytes.length} bytes, more than ${maxBytes}` };
  }
  try {
    if (encodingOf(bytes) === "json") return { ok: true, value: JSON.parse(utf8.decode(bytes)) };
    // Timestamps, int64 and other guests are turned into wire values, so that they can be sent on.
    return { ok: true, value: wireValue(packr.unpack(bytes)) };
  } catch (error) {
    return {
      ok: false,
      problem: `neither JSON nor MessagePack: ${error instanceof Error ? error.message : error}`,
    };
  }
}

/** Decodes and checks against the message's schema. Never throws (L9). */
export function parseBody<Schema extends z.ZodType>(
  schema: Schema,
  bytes: Uint8Array,
): Parsed<z.output<Schema>> {
  const decoded = decodeBody(bytes);
  return decoded.ok ? checkBody(schema, decoded.value) : decoded;
}

/** Checks a decoded body against the message's schema. Never throws (L9). */
export function checkBody<Schema extends z.ZodType>(
  schema: Schema,
  value: unknown,
): Parsed<z.output<Schema>> {
  const checked = schema.safeParse(value);
  if (checked.success) return { ok: true, value: checked.data };
  const newer = newerVersion(value);
  if (newer !== undefined) {
    const problem = `it has wire version ${newer}, this DataHammer reads ${WIRE_VERSION}: upgrade it`;
    return { ok: false, problem, newer };
  }
  const issue = checked.error.issues[0];
  const more = checked.error.issues.length - 1;
  const place = issue === undefined || issue.path.length === 0 ? "the body" : issue.path.join(".");
  return {
    ok: false,
    problem: `${place}: ${issue?.message ?? "invalid"}${more > 0 ? ` (and ${more} more)` : ""}`,
  };
}

function newerVersion(value: unknown): number | undefined {
  const v = typeof value === "object" && value !== null && "v" in value ? value.v : undefined;
  return typeof v === "number" && Number.isInteger(v) && v > WIRE_VERSION ? v : undefined;
}

/** Refuses a body that the broker would refuse, with both numbers and the way out (L8). */
export function assertFits(bytes: Uint8Array, maxBytes: number, what: string, remedy = PASS_REFERENCE): void {
  if (bytes.length <= maxBytes) return;
  throw new InvalidInputError(
    "E_PAYLOAD_TOO_LARGE",
    `${what} has ${bytes.length} bytes, the bound is ${maxBytes}`,
    { remedy, data: { maxPayloadBytes: maxBytes, actualBytes: bytes.length } },
  );
}

const PASS_REFERENCE =
  "Store the large value with artifacts.put and send the reference, or raise the broker's max_payload.";
const MAKE_IT_AN_INPUT =
  "Give what is large in the workflow as an input instead: inputs may be of any size (run FILE --input-file " +
  "items.json), and the workflow reads them (forEach: inputs.items). Or raise the broker's max_payload.";

/** Refuses a record of a run's log that the broker would refuse. */
export function assertRecordFits(bytes: Uint8Array, maxBytes: number, kind: string, run: string): void {
  if (kind === "submit") return assertFits(bytes, maxBytes, `The submission of run ${run}`, MAKE_IT_AN_INPUT);
  assertFits(bytes, maxBytes, `The ${kind} record of run ${run}`);
}

function bytesAsBase64(_key: string, value: unknown): unknown {
  return value instanceof Uint8Array ? Buffer.from(value).toString("base64") : value;
}

/** Where the walk is, for the error message; emptied by each call from outside. */
const trail: (string | number)[] = [];

/**
 * The value as it may travel. Gives back the very same object when nothing had to change, which is the
 * usual case, so that the walk costs no copies.
 */
function wireValue(value: unknown): unknown {
  trail.length = 0;
  return walk(value);
}

function walk(value: unknown): unknown {
  switch (typeof value) {
    case "string":
    case "boolean":
    case "undefined":
      return value;
    case "number":
      return Number.isFinite(value) ? value : null;
    case "bigint": {
      const number = Number(value);
      if (Number.isSafeInteger(number)) return number;
      throw refusal(`the BigInt ${value} is beyond 2^53 − 1`);
    }
    case "object":
      break;
    default:
      throw refusal(`a ${typeof value} cannot be sent`);
  }
  if (value === null || value instanceof Uint8Array) return value;
  // Too deep is what a cycle looks like, too: the walk ends either way.
  if (trail.length >= MAX_DEPTH)
    throw refusal(`it contains itself, or is nested deeper than ${MAX_DEPTH} levels`);
  if (Array.isArray(value)) return walkArray(value);
  if ("toJSON" in value && typeof value.toJSON === "function") return walk(value.toJSON());
  const kind = Object.prototype.toString.call(value);
  if (kind !== "[object Object]") throw refusal(`a ${kind.slice(8, -1)} cannot be sent`);
  return walkObject(value as Record<string, unknown>);
}

function walkArray(array: readonly unknown[]): readonly unknown[] {
  let copy: unknown[] | undefined;
  for (let index = 0; index < array.length; index++) {
    trail.push(index);
    const before = array[index];
    const after = walk(before) ?? null;
    trail.pop();
    if (copy === undefined && after !== before) copy = array.slice(0, index);
    copy?.push(after);
  }
  return copy ?? array;
}

function walkObject(object: Record<string, unknown>): Record<string, unknown> {
  const keys = Object.keys(object);
  let changes: Map<string, unknown> | undefined;
  for (const key of keys) {
    const before = object[key];
    trail.push(key);
    const after = walk(before);
    trail.pop();
    if (after === before && after !== undefined) continue;
    changes ??= new Map();
    changes.set(key, after);
  }
  const proto = Object.getPrototypeOf(object);
  if (changes === undefined && (proto === Object.prototype || proto === null)) return object;
  const copy: Record<string, unknown> = {};
  for (const key of keys) {
    const value = changes?.has(key) ? changes.get(key) : object[key];
    if (value !== undefined) copy[key] = value;
  }
  return copy;
}

function refusal(why: string): InvalidInputError {
  const place = trail.length === 0 ? "the value" : trail.slice(0, 12).join(".");
  return new InvalidInputError("E_UNSERIALISABLE", `${place} cannot travel: ${why}`, {
    remedy: "Send plain data: objects, arrays, strings, numbers, booleans, null or bytes.",
    data: { place },
  });
}
