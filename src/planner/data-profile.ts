/**
 * What may be told of data without telling the data: its keys, with the type and size of each value.
 *
 * Values themselves are in it only where that is allowed, and then cut.
 */

export interface KeyProfile {
  readonly type: "nothing" | "boolean" | "number" | "text" | "list" | "object";
  /** Characters of a text, items of a list, fields of an object. */
  readonly size?: number;
  /** The beginning of the value as JSON, where it may be told. */
  readonly value?: string;
}

export interface DataProfile {
  readonly keys: Readonly<Record<string, KeyProfile>>;
  /** Keys beyond those that are listed. */
  readonly more?: number;
}

const KEYS_SHOWN = 300;
const VALUE_LENGTH = 200;

export function profileOf(values: Readonly<Record<string, unknown>>, allowValues: boolean): DataProfile {
  const names = Object.keys(values);
  const keys = Object.fromEntries(
    names.slice(0, KEYS_SHOWN).map((name) => [name, keyProfile(values[name], allowValues)]),
  );
  return { keys, ...(names.length > KEYS_SHOWN && { more: names.length - KEYS_SHOWN }) };
}

function keyProfile(value: unknown, allowValues: boolean): KeyProfile {
  const shape = shapeOf(value);
  if (!allowValues) return shape;
  return { ...shape, value: (JSON.stringify(value) ?? "null").slice(0, VALUE_LENGTH) };
}

function shapeOf(value: unknown): KeyProfile {
  if (value === null || value === undefined) return { type: "nothing" };
  if (typeof value === "boolean") return { type: "boolean" };
  if (typeof value === "string") return { type: "text", size: value.length };
  if (Array.isArray(value)) return { type: "list", size: value.length };
  if (typeof value === "object") return { type: "object", size: Object.keys(value).length };
  return { type: "number" };
}
