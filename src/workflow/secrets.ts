/**
 * What a workflow names as secret, and how it is kept out of all that is shown.
 *
 * Owns the names, the values that were seen under them, and hiding both: a value under its name whatever it is,
 * and its text wherever it stands inside another text, as in an error that quotes it. It does not own who is
 * shown what: agents, expressions and the log have the values themselves (L1); every view of a run is passed
 * through here.
 *
 *  - S1 A text of `MIN_TEXT` characters or more is hidden wherever it occurs; a shorter one only as a whole value,
 *    since it would be found in words that have nothing to do with it.
 *  - S2 Whatever has been a value of a secret key stays hidden after the key has another one.
 */

/** Stands where a secret was. */
export const MASK = "***";
/** Shorter texts are not looked for inside others. */
const MIN_TEXT = 6;

/** Fields of a view that hold values by the names of inputs, outputs or environment keys. */
const HOLDERS: ReadonlySet<string> = new Set(["inputs", "outputs", "environment", "values", "fallback"]);
/** Fields that hold one value; beside a field `key` they hold that key's. */
const SINGLE: ReadonlySet<string> = new Set(["value", "data"]);

export class SecretMask {
  readonly #names = new Set<string>();
  /** Whole values, as they are compared. */
  readonly #whole = new Set<unknown>();
  /** What is looked for inside texts, with its forms in JSON, in an address, and on one line. */
  readonly #texts = new Set<string>();
  #pattern: RegExp | undefined;

  constructor(names: Iterable<string> = []) {
    this.add(names);
  }

  /** Of texts alone, as a task brings them. */
  static ofTexts(texts: Iterable<string>): SecretMask {
    const mask = new SecretMask();
    for (const text of texts) mask.#take(text);
    return mask;
  }

  add(names: Iterable<string>): void {
    for (const name of names) this.#names.add(name);
  }

  has(name: string): boolean {
    return this.#names.has(name);
  }

  /** Takes what a key or an input holds, if it is one of the names. */
  learn(name: string, value: unknown): void {
    if (this.#names.has(name)) this.#take(value);
  }

  learnAll(values: Readonly<Record<string, unknown>>): void {
    for (const name of this.#names) if (Object.hasOwn(values, name)) this.#take(values[name]);
  }

  /** The texts that stand in these values and must not be shown. */
  textsIn(values: unknown): string[] {
    const found = new Set<string>();
    const look = (value: unknown): void => {
      if (typeof value === "string") {
        for (const text of this.#texts) if (value.includes(text)) found.add(text);
      } else if (typeof value === "object" && value !== null) Object.values(value).forEach(look);
    };
    look(values);
    return [...found];
  }

  /** The text without the secrets in it. */
  text(text: string): string {
    if (this.#texts.size === 0 || text.length < MIN_TEXT) return text;
    // Longer ones first: one secret may be the beginning of another.
    this.#pattern ??= new RegExp(
      [...this.#texts]
        .sort((a, b) => b.length - a.length)
        .map((secret) => secret.replaceAll(/[\\^$.*+?()[\]{}|/-]/g, "\\$&"))
        .join("|"),
      "g",
    );
    return text.replaceAll(this.#pattern, MASK);
  }

  /** The bytes of a text without the secrets in it; what is no text stays as it is. */
  bytes(bytes: Uint8Array): Uint8Array {
    if (this.#texts.size === 0) return bytes;
    try {
      const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
      const shown = this.text(text);
      return shown === text ? bytes : new TextEncoder().encode(shown);
    } catch (error) {
      if (error instanceof TypeError) return bytes;
      throw error;
    }
  }

  /** A copy of what is shown of a run, without the secrets in it. Shares with the original what holds none. */
  view<View>(view: View): View {
    return this.#shown(view, false) as View;
  }

  /** A copy of values by their names. */
  values<Values extends Readonly<Record<string, unknown>>>(values: Values): Values {
    return this.#named(values) as Values;
  }

  #take(value: unknown): void {
    if (typeof value === "string") {
      if (value !== "") this.#whole.add(value);
      this.#look(value);
      // Several lines, as of a key file, are often quoted one by one.
      if (value.includes("\n")) for (const line of value.split(/\r?\n/)) this.#look(line.trim());
    } else if (typeof value === "number" || typeof value === "bigint") {
      this.#whole.add(value);
      this.#look(String(value));
    } else if (typeof value === "object" && value !== null) {
      for (const inner of Object.values(value)) this.#take(inner);
    }
  }

  #look(text: string): void {
    if (text.length < MIN_TEXT) return;
    const forms = [text, JSON.stringify(text).slice(1, -1), text.replaceAll(/\s+/g, " "), encoded(text)];
    for (const form of forms) this.#texts.add(form);
    this.#pattern = undefined;
  }

  /** @param held inside values, where a short secret is hidden, too */
  #shown(value: unknown, held: boolean): unknown {
    if (typeof value === "string") return held && this.#whole.has(value) ? MASK : this.text(value);
    if (typeof value === "number" || typeof value === "bigint")
      return held && this.#whole.has(value) ? MASK : value;
    if (typeof value !== "object" || value === null || value instanceof Uint8Array) return value;
    if (Array.isArray(value))
      return same(
        value,
        value.map((inner) => this.#shown(inner, held)),
      );
    const fields = value as Record<string, unknown>;
    const isSecret = typeof fields.key === "string" && this.#names.has(fields.key);
    return this.#copy(fields, (name, inner) => {
      if (SINGLE.has(name)) return isSecret ? hidden(inner) : this.#shown(inner, true);
      if (HOLDERS.has(name) && isPlain(inner)) return this.#named(inner);
      return this.#shown(inner, held);
    });
  }

  #named(values: Readonly<Record<string, unknown>>): Record<string, unknown> {
    return this.#copy(values, (name, inner) =>
      this.#names.has(name) ? hidden(inner) : this.#shown(inner, true),
    );
  }

  #copy(
    fields: Readonly<Record<string, unknown>>,
    shown: (name: string, value: unknown) => unknown,
  ): Record<string, unknown> {
    let copy: Record<string, unknown> | undefined;
    for (const [name, inner] of Object.entries(fields)) {
      const label = this.text(name);
      const outer = shown(name, inner);
      if (outer === inner && label === name) continue;
      // Without a prototype, so that `__proto__` is a name like any other.
      copy ??= Object.assign(Object.create(null), fields) as Record<string, unknown>;
      if (label !== name) delete copy[name];
      copy[label] = outer;
    }
    return copy ?? fields;
  }
}

/** The names in a document of unknown origin: what is wrong with it must be told without them, too. */
export function secretNamesOf(document: unknown): string[] {
  if (typeof document !== "object" || document === null || !("secrets" in document)) return [];
  const { secrets } = document;
  return Array.isArray(secrets) ? secrets.filter((name) => typeof name === "string") : [];
}

/** Hides what a view shows where there is something to hide. */
export function masked<View>(mask: SecretMask | undefined, view: View): View {
  return mask === undefined ? view : mask.view(view);
}

/** Nothing stays nothing: that a secret is not there is no secret. */
const hidden = (value: unknown): unknown => (value === null || value === undefined ? value : MASK);

function same(before: readonly unknown[], after: unknown[]): unknown {
  return after.every((value, index) => value === before[index]) ? before : after;
}

function isPlain(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** As in an address; a lone half of a character cannot be. */
function encoded(text: string): string {
  return /\p{Cs}/u.test(text) ? text : encodeURIComponent(text);
}
