/**
 * The claim check: a value too large for a message travels through the artifact store, and a reference
 * stands in its place.
 *
 * Owns when a value is checked in and how it is found again; not where bytes are kept (the artifact store)
 * nor how they look (the codec: the artifact's body is the one-field object `{ value }`, encoded like any
 * message, so that its first byte tells the encoding).
 *
 * A reference that stands for a value is marked `holds: "value"` and is redeemed for whoever reads it; one
 * without the mark names a file that a task stored on purpose, and is handed on as it is.
 */
import { DataHammerError, InvalidInputError, UnreachableError } from "../workflow/errors.ts";
import type { ArtifactRef, ArtifactStore } from "./bus.ts";
import { decodeBody, encodeBody } from "./codec.ts";

/** A value whose encoding is larger than this is checked in (L8). */
export const CLAIM_CHECK_BYTES = 256 * 1024;
/** The most that MessagePack puts before a value, numbers whole. */
const MAX_HEAD_BYTES = 9;
/** Deeper values are left to the codec to judge. */
const PLAIN_DEPTH = 20;
/** Of one message together, as many times a value's own bound. */
const VALUES_SHARE = 2;
/** Values of one message together stay below this, well under the smallest usual broker payload of 1 MiB. */
export const MESSAGE_VALUES_BYTES = VALUES_SHARE * CLAIM_CHECK_BYTES;
/** The largest value that may be checked in (L8). */
const MAX_VALUE_BYTES = 256 * 1024 * 1024;

/**
 * Whether values are small and plain beyond doubt, so that nothing has to be checked in: the usual case, told
 * without encoding them. False says nothing: `checkIn` knows.
 */
export function travelsAsItIs(values: Record<string, unknown>, bytes = CLAIM_CHECK_BYTES): boolean {
  return roomAfter(values, bytes, 0) >= 0;
}

/** What values of one message may have together where values go into this store. */
export function messageValuesBytes({ claimCheckBytes }: Pick<ArtifactStore, "claimCheckBytes">): number {
  return claimCheckBytes === undefined ? MESSAGE_VALUES_BYTES : VALUES_SHARE * claimCheckBytes;
}

/** What is left of `room` bytes after the value at its largest; negative: too large, or not plain. */
function roomAfter(value: unknown, room: number, depth: number): number {
  switch (typeof value) {
    case "string":
      return room - MAX_HEAD_BYTES - 3 * value.length;
    case "number":
    case "boolean":
    case "undefined":
      return room - MAX_HEAD_BYTES;
    case "object":
      break;
    default:
      return -1;
  }
  if (value === null) return room - MAX_HEAD_BYTES;
  if (value instanceof Uint8Array) return room - MAX_HEAD_BYTES - value.length;
  if (depth >= PLAIN_DEPTH) return -1;
  let left = room - MAX_HEAD_BYTES;
  if (Array.isArray(value)) {
    for (let index = 0; index < value.length && left >= 0; index++)
      left = roomAfter(value[index], left, depth + 1);
    return left;
  }
  const proto = Object.getPrototypeOf(value);
  if ((proto !== Object.prototype && proto !== null) || "toJSON" in value) return -1;
  for (const [key, inner] of Object.entries(value)) {
    if (left < 0) return left;
    left = roomAfter(inner, left - MAX_HEAD_BYTES - 3 * key.length, depth + 1);
  }
  return left;
}

/**
 * Replaces values that are too large by references. Gives back the very same object when none is.
 * @throws InvalidInputError `E_UNSERIALISABLE` naming the place, or `E_VALUE_TOO_LARGE` with both numbers.
 */
export async function checkIn(
  artifacts: ArtifactStore,
  run: string,
  values: Record<string, unknown>,
): Promise<Record<string, unknown>> {
  const { claimCheckBytes = CLAIM_CHECK_BYTES } = artifacts;
  if (travelsAsItIs(values, claimCheckBytes) || encodeBody(values).length <= claimCheckBytes) return values;
  const sized = Object.entries(values).map(([key, value]) => {
    const body = encodeBody({ value });
    if (body.length > MAX_VALUE_BYTES) throw tooLarge(key, body.length);
    return { key, body };
  });
  // Largest first, until each alone and all together are small enough.
  sized.sort((a, b) => b.body.length - a.body.length);
  let total = sized.reduce((sum, { body }) => sum + body.length, 0);
  const checked = { ...values };
  for (const { key, body } of sized) {
    if (body.length <= claimCheckBytes && total <= messageValuesBytes(artifacts)) break;
    const { $artifact } = await artifacts.put(run, body);
    checked[key] = { $artifact: { ...$artifact, holds: "value" } } satisfies ArtifactRef;
    total -= body.length;
  }
  return checked;
}

/**
 * Puts the values back in the place of their references, at any depth. Gives back the very same value when
 * there is nothing to redeem.
 * @throws NotFoundError when the artifact was purged; InvalidInputError when its body cannot be read.
 */
export async function redeem(artifacts: Pick<ArtifactStore, "get">, value: unknown): Promise<unknown> {
  if (!holdsReference(value)) return value;
  const fetched = new FetchedValues();
  await fetched.fetch(artifacts, referencesIn(value));
  return fetched.whole(value);
}

/** Whether a value is a reference: to a value, or to a file. */
function isReference(value: unknown): value is ArtifactRef {
  if (typeof value !== "object" || value === null || !("$artifact" in value)) return false;
  const { $artifact } = value;
  return (
    typeof $artifact === "object" &&
    $artifact !== null &&
    "name" in $artifact &&
    typeof $artifact.name === "string"
  );
}

/** Whether a value is a reference that stands for a value. */
export function isClaimCheck(value: unknown): value is ArtifactRef {
  return isReference(value) && value.$artifact.holds === "value";
}

/** Whether there is anything to redeem in a value. */
export function holdsReference(value: unknown): boolean {
  if (typeof value !== "object" || value === null || value instanceof Uint8Array) return false;
  if (isClaimCheck(value)) return true;
  for (const inner of Array.isArray(value) ? value : Object.values(value)) {
    if (holdsReference(inner)) return true;
  }
  return false;
}

/** The references that stand for values, at any depth. */
export function referencesIn(value: unknown): ArtifactRef[] {
  if (!holdsReference(value)) return [];
  if (isClaimCheck(value)) return [value];
  return (Array.isArray(value) ? value : Object.values(value as object)).flatMap(referencesIn);
}

/** Values that were fetched, by the references that stand for them. */
export class FetchedValues {
  readonly #values = new Map<string, unknown>();
  /** Those that are gone or cannot be read. */
  readonly #lost = new Map<string, DataHammerError>();

  /** Whether it was fetched, or cannot be. */
  has({ $artifact: { name } }: ArtifactRef): boolean {
    return this.#values.has(name) || this.#lost.has(name);
  }

  /** @throws UnreachableError */
  async fetch(artifacts: Pick<ArtifactStore, "get">, references: readonly ArtifactRef[]): Promise<void> {
    const missing = new Map(
      references.filter((ref) => !this.has(ref)).map((ref) => [ref.$artifact.name, ref]),
    );
    await Promise.all(
      [...missing].map(async ([name, ref]) => {
        try {
          this.#values.set(name, await fetchValue(artifacts, ref));
        } catch (error) {
          if (!(error instanceof DataHammerError) || error instanceof UnreachableError) throw error;
          this.#lost.set(name, error);
        }
      }),
    );
  }

  /**
   * Puts the values in the place of their references. Gives back the very same value when it holds none.
   * @throws NotFoundError when one was purged; InvalidInputError when its body cannot be read
   */
  whole(value: unknown): unknown {
    if (!holdsReference(value)) return value;
    if (isClaimCheck(value)) {
      const lost = this.#lost.get(value.$artifact.name);
      if (lost !== undefined) throw lost;
      return this.has(value) ? this.#values.get(value.$artifact.name) : value;
    }
    if (Array.isArray(value)) return value.map((inner) => this.whole(inner));
    const entries = Object.entries(value as Record<string, unknown>);
    return Object.fromEntries(entries.map(([key, inner]) => [key, this.whole(inner)]));
  }
}

/**
 * Gives another run its own copy of every artifact that a value names, so that purging the first run leaves
 * the second whole. Gives back the very same value when it names none.
 * @throws NotFoundError when an artifact was purged.
 */
export async function copyArtifacts(artifacts: ArtifactStore, run: string, value: unknown): Promise<unknown> {
  const copies = new Map<string, Promise<ArtifactRef>>();
  const copy = async (inner: unknown): Promise<unknown> => {
    if (typeof inner !== "object" || inner === null || inner instanceof Uint8Array) return inner;
    if (isReference(inner)) {
      const { name } = inner.$artifact;
      const copied = copies.get(name) ?? artifacts.get(inner).then((bytes) => artifacts.put(run, bytes));
      copies.set(name, copied);
      return { $artifact: { ...inner.$artifact, name: (await copied).$artifact.name } };
    }
    if (Array.isArray(inner)) {
      const items = await Promise.all(inner.map(copy));
      return items.every((item, at) => item === inner[at]) ? inner : items;
    }
    const entries = Object.entries(inner);
    const values = await Promise.all(entries.map(([, one]) => copy(one)));
    if (values.every((one, at) => one === entries[at]?.[1])) return inner;
    return Object.fromEntries(entries.map(([key], at) => [key, values[at]]));
  };
  return copy(value);
}

async function fetchValue(artifacts: Pick<ArtifactStore, "get">, ref: ArtifactRef): Promise<unknown> {
  const decoded = decodeBody(await artifacts.get(ref), MAX_VALUE_BYTES);
  if (decoded.ok && typeof decoded.value === "object" && decoded.value !== null && "value" in decoded.value) {
    return decoded.value.value;
  }
  const problem = decoded.ok ? "it is no { value } object" : decoded.problem;
  throw new InvalidInputError(
    "E_ARTIFACT_UNREADABLE",
    `artifact "${ref.$artifact.name}" holds no value: ${problem}`,
    {
      remedy: "Produce the value again: rerun the step that wrote it.",
      data: { artifact: ref.$artifact.name },
    },
  );
}

function tooLarge(key: string, bytes: number): InvalidInputError {
  return new InvalidInputError(
    "E_VALUE_TOO_LARGE",
    `"${key}" has ${bytes} bytes, the bound is ${MAX_VALUE_BYTES}`,
    {
      remedy: "Write it to a file or with artifacts.put, and pass the path or reference.",
      data: { key, actualBytes: bytes, maxBytes: MAX_VALUE_BYTES },
    },
  );
}
