/**
 * The schemas that a workflow declares for keys of its environment, as JSON Schema.
 *
 * Owns compiling them and saying where a value does not match. Pure: the same schema and value give the same
 * verdict for every reader of a log (L1). A value that is in the log as a reference cannot be looked at here.
 */
import { z } from "zod";
import { DataHammerError } from "./errors.ts";

type JsonSchema = Parameters<typeof z.fromJSONSchema>[0];

/** Places of a mismatch that are told; more are counted. */
const PLACES_SHOWN = 3;

export class EnvironmentSchemas {
  readonly #schemas = new Map<string, z.ZodType>();

  /**
   * @param wasAccepted the schema is in a log: what it says in vain does not count against it any more (L1)
   * @throws DataHammerError `E_SCHEMA` for a schema that cannot be used
   */
  add(key: string, schema: unknown, wasAccepted: boolean): void {
    const vain = wasAccepted ? undefined : saidInVain(schema);
    if (vain !== undefined) throw new DataHammerError("E_SCHEMA", vain);
    try {
      this.#schemas.set(key, z.fromJSONSchema(withItems(schema) as JsonSchema));
    } catch (cause) {
      throw new DataHammerError("E_SCHEMA", (cause as Error).message, { cause });
    }
  }

  has(key: string): boolean {
    return this.#schemas.has(key);
  }

  /** Where the value does not match the key's schema, in words; undefined: it does, or there is none. */
  problem(key: string, value: unknown): string | undefined {
    const result = this.#schemas.get(key)?.safeParse(value);
    if (result === undefined || result.success) return undefined;
    const { issues } = result.error;
    const places = issues.slice(0, PLACES_SHOWN).map(({ path, message }) => {
      const steps = path.map((part) => (typeof part === "number" ? `[${part}]` : `.${String(part)}`));
      return `${key}${steps.join("")}: ${message}`;
    });
    const more = issues.length - places.length;
    return `${places.join("; ")}${more > 0 ? ` (and ${more} more)` : ""}`;
  }
}

/** Keywords whose values are data, not schemas. */
const DATA_KEYWORDS = new Set(["const", "default", "enum", "examples"]);
/** Keywords whose values are schemas by name. */
const NAMED_SCHEMAS = new Set(["$defs", "definitions", "patternProperties", "properties"]);
/** Keywords that are about values of one type. */
const TYPE_OF_KEYWORD: ReadonlyMap<string, string> = new Map(
  Object.entries({
    number: ["exclusiveMaximum", "exclusiveMinimum", "maximum", "minimum", "multipleOf"],
    string: ["format", "maxLength", "minLength", "pattern"],
    array: ["contains", "items", "maxItems", "minItems", "prefixItems", "uniqueItems"],
    object: [
      "additionalProperties",
      "maxProperties",
      "minProperties",
      "patternProperties",
      "properties",
      "propertyNames",
      "required",
    ],
  }).flatMap(([type, keywords]) => keywords.map((keyword): [string, string] => [keyword, type])),
);

/** What zod would pass over without a word: a keyword about one type in a schema that does not say its type. */
function saidInVain(schema: unknown, isNames = false): string | undefined {
  if (typeof schema !== "object" || schema === null) return undefined;
  for (const [key, inner] of Object.entries(schema)) {
    const type = isNames || Array.isArray(schema) ? undefined : TYPE_OF_KEYWORD.get(key);
    if (type !== undefined && !("type" in schema)) {
      return `"${key}" says nothing without a type beside it. Add "type": "${type}".`;
    }
    if (!isNames && DATA_KEYWORDS.has(key)) continue;
    const deeper = saidInVain(inner, !isNames && NAMED_SCHEMAS.has(key));
    if (deeper !== undefined) return deeper;
  }
  return undefined;
}

/** A list of anything says so: zod minds `minItems` and its like only where `items` is there. */
function withItems(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(withItems);
  if (typeof schema !== "object" || schema === null) return schema;
  const entries = Object.entries(schema).map(([key, inner]): [string, unknown] => [
    key,
    DATA_KEYWORDS.has(key) ? inner : withItems(inner),
  ]);
  const isBareList = "type" in schema && schema.type === "array" && !("items" in schema);
  if (isBareList && !("prefixItems" in schema)) entries.push(["items", {}]);
  return Object.fromEntries(entries);
}
