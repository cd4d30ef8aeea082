/**
 * Values that went by claim check, as the judges know them: what was put into the artifact store, by name.
 *
 * It owns reading them a second time, without the runtime's claim check. Who puts them there, and what their
 * references are good for, is the runtime's matter.
 */
import { unpack } from "msgpackr";

interface Reference {
  $artifact: { name: string; holds?: string };
}

export class KeptValues {
  /** Larger values have to go by reference. Default: as in a real swarm, which no judge looks at. */
  readonly fromBytes: number | undefined;
  readonly #values = new Map<string, unknown>();

  constructor(fromBytes?: number) {
    this.fromBytes = fromBytes;
  }

  /** Takes what was stored under a name; a file that a task stored on purpose is no value. */
  note(name: string, bytes: Uint8Array): void {
    const body = bytes[0] === 0x7b ? JSON.parse(new TextDecoder().decode(bytes)) : unpack(bytes);
    if (typeof body === "object" && body !== null && "value" in body) this.#values.set(name, body.value);
  }

  /** The value with what its references stand for, at any depth. */
  whole(value: unknown): unknown {
    if (!this.isKept(value)) return value;
    if (isReference(value)) {
      const { name } = value.$artifact;
      if (!this.#values.has(name)) throw new Error(`nothing was kept as ${name}`);
      return this.#values.get(name);
    }
    if (Array.isArray(value)) return value.map((inner) => this.whole(inner));
    const entries = Object.entries(value as object).map(([key, inner]) => [key, this.whole(inner)]);
    return Object.fromEntries(entries);
  }

  /** Whether it is a reference, or holds one. */
  isKept(value: unknown): boolean {
    if (typeof value !== "object" || value === null) return false;
    return isReference(value) || Object.values(value).some((inner) => this.isKept(inner));
  }
}

function isReference(value: unknown): value is Reference {
  return (
    typeof value === "object" &&
    value !== null &&
    "$artifact" in value &&
    (value as Reference).$artifact.holds === "value"
  );
}
