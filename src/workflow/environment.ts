/**
 * The environment of a run: its shared keys and values, as a fold over updates (L1).
 *
 * Owns the last value, revision and writer of every key. Does not own the order of updates or their
 * durability: whoever folds the log calls `apply` once per update, in log order, with the record's
 * sequence as revision. The same updates in the same order always give the same environment.
 *
 * Values are handed in and out by reference and never copied; treat them as immutable.
 */
import { InvalidInputError } from "./errors.ts";

/** Who set a key. Neither field: the submission, or a person. */
export interface EnvironmentWriter {
  readonly step?: string;
  readonly agent?: string;
}

export interface EnvironmentEntry {
  readonly value: unknown;
  /** The log sequence that set it; 0 for what the run started with. */
  readonly revision: number;
  readonly writer: EnvironmentWriter;
  /** Which change of the environment it was, from 1; 0 for what the run started with. Several may share a revision. */
  readonly number: number;
}

export interface EnvironmentUpdate {
  readonly key: string;
  readonly value: unknown;
  /** The log sequence of the record that carries this update. */
  readonly revision: number;
  readonly writer: EnvironmentWriter;
  /** Apply only when the key still has this revision; 0: only when it is not set yet, or only initially. */
  readonly ifRevision?: number;
}

/** What became of an update. A conflict is an expected outcome, not an error. */
export type EnvironmentVerdict =
  | { readonly applied: true; readonly revision: number }
  | {
      readonly applied: false;
      readonly conflict: { readonly revision: number; readonly writer: EnvironmentWriter };
    };

export interface EnvironmentSnapshot {
  readonly revision: number;
  readonly values: Record<string, unknown>;
}

const NOBODY: EnvironmentWriter = Object.freeze({});

export class Environment {
  readonly #entries = new Map<string, EnvironmentEntry>();
  /**
   * Every key with its current value, kept up to date in place: usable as the `env` of an expression
   * scope without copying. It has no prototype, so that keys such as `__proto__` are ordinary keys.
   */
  readonly values: Record<string, unknown> = Object.create(null);
  /** Whether a value ever was too large for the log, and stands as a reference. */
  hasLarge = false;
  /** Whether a value ever had such a reference inside. */
  hasNested = false;
  #revision = 0;
  #number = 0;

  /** @param initial what the run starts with; these keys have revision 0. */
  constructor(initial: Readonly<Record<string, unknown>> = {}) {
    for (const key of Object.keys(initial)) {
      const entry = { value: initial[key], revision: 0, writer: NOBODY, number: 0 };
      this.#entries.set(key, entry);
      this.values[key] = entry.value;
    }
  }

  /** Revision of the last applied update; 0 when there was none. */
  get revision(): number {
    return this.#revision;
  }

  /** Number of the last change; 0 when there was none. */
  get number(): number {
    return this.#number;
  }

  get size(): number {
    return this.#entries.size;
  }

  has(key: string): boolean {
    return this.#entries.has(key);
  }

  get(key: string): unknown {
    return this.#entries.get(key)?.value;
  }

  entry(key: string): EnvironmentEntry | undefined {
    return this.#entries.get(key);
  }

  keys(): IterableIterator<string> {
    return this.#entries.keys();
  }

  /**
   * Folds one update in.
   * @returns `applied`, or `conflict` with the revision and writer that stand instead
   * @throws InvalidInputError when the revision is below the last applied one: updates come in log order
   *   (several keys of one record share its revision)
   */
  apply(update: EnvironmentUpdate): EnvironmentVerdict {
    if (update.revision < this.#revision) {
      throw new InvalidInputError(
        "E_REVISION",
        `Update of "${update.key}" has revision ${update.revision}, but the environment is already at ${this.#revision}.`,
        { remedy: "Fold the run's log in stream order.", data: { key: update.key } },
      );
    }
    const current = this.#entries.get(update.key);
    if (update.ifRevision !== undefined && update.ifRevision !== (current?.revision ?? 0)) {
      return {
        applied: false,
        conflict: { revision: current?.revision ?? 0, writer: current?.writer ?? NOBODY },
      };
    }
    this.#number += 1;
    this.#entries.set(update.key, {
      value: update.value,
      revision: update.revision,
      writer: update.writer,
      number: this.#number,
    });
    this.values[update.key] = update.value;
    this.#revision = update.revision;
    return { applied: true, revision: update.revision };
  }

  /** The values as they are now, as an object of its own; the values themselves are shared. */
  snapshot(): EnvironmentSnapshot {
    return { revision: this.#revision, values: Object.assign(Object.create(null), this.values) };
  }
}

/** What `readPath` found. A key may be there and hold null, so absence is told apart. */
export type PathReading = { found: true; value: unknown } | { found: false; missing: string };

/**
 * Reads `a.b.0.c` inside values: each dot goes one level down, a number into a list.
 * Environment keys hold no dots, so there is nothing to escape.
 * @returns the value, or the shortest prefix of the path that is not there
 */
export function readPath(values: unknown, path: string): PathReading {
  const segments = path.split(".");
  let value = values;
  for (const [depth, segment] of segments.entries()) {
    const container = value;
    const there =
      typeof container === "object" &&
      container !== null &&
      (Array.isArray(container)
        ? /^\d+$/.test(segment) && Number(segment) < container.length
        : Object.hasOwn(container, segment));
    if (!there) return { found: false, missing: segments.slice(0, depth + 1).join(".") };
    value = (container as Record<string, unknown>)[segment];
  }
  return { found: true, value };
}
